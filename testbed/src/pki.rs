//! Certificates: one authority per cluster, as real clusters have, so that a mix-up of authorities shows.
//!
//! Authorities and service account keys are kept in the data folder, because tokens and joined clusters refer to them;
//! the certificates that they sign are made anew at every start and so never expire on a developer's machine.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::Error;

const DAY: Duration = Duration::from_hours(24);
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate and its key on disk.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    fn at(dir: &Path, name: &str) -> Self {
        Self {
            certificate: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        }
    }
}

/// Everything one cluster's processes present and trust.
#[derive(Debug, Clone)]
pub(crate) struct ClusterPki {
    pub(crate) authority: Pair,
    pub(crate) front_proxy_authority: Pair,
    pub(crate) serving: Pair,
    pub(crate) front_proxy: Pair,
    /// What the API server shows to kubelets.
    pub(crate) kubelet_client: Pair,
    pub(crate) kubelet_serving: Pair,
    pub(crate) admin: Pair,
    /// Signs and checks tokens: a public key and its private one.
    pub(crate) service_account: Pair,
}

/// Loads or makes the authorities of a cluster and signs its certificates.
pub(crate) fn cluster(dir: &Path, name: &str) -> Result<ClusterPki, Error> {
    let authority = Authority::load_or_create(dir, "ca", &format!("{name}-ca"))?;
    let front_proxy =
        Authority::load_or_create(dir, "front-proxy-ca", &format!("{name}-front-proxy-ca"))?;
    let server_names = [
        &LOOPBACK[..],
        &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ],
        &["10.96.0.1"],
    ]
    .concat();
    Ok(ClusterPki {
        serving: authority.sign_server("apiserver", "kube-apiserver", &server_names)?,
        kubelet_client: authority.sign_client(
            "kubelet-client",
            "kube-apiserver-kubelet-client",
            "system:masters",
        )?,
        kubelet_serving: authority.sign_server("kubelet", "system:node:kwok", &LOOPBACK)?,
        admin: authority.sign_client("admin", "navarch-local-admin", "system:masters")?,
        front_proxy: front_proxy.sign_client("front-proxy", "front-proxy-client", "")?,
        service_account: service_account(dir)?,
        authority: authority.pair,
        front_proxy_authority: front_proxy.pair,
    })
}

struct Authority {
    dir: PathBuf,
    owner: String,
    pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn load_or_create(dir: &Path, file: &str, common_name: &str) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let pair = Pair::at(dir, file);
        let failed = |what| {
            let owner = common_name.to_owned();
            move |source| Error::Certificate {
                what,
                owner,
                source,
            }
        };
        // Issued certificates name the authority by its subject and key, both of which stay; so the parameters can be
        // made again instead of being read from the certificate.
        let params = authority_params(common_name);
        let key = if pair.certificate.exists() && pair.key.exists() {
            let text = fs::read_to_string(&pair.key).map_err(Error::file("read", &pair.key))?;
            KeyPair::from_pem(&text).map_err(failed("a key"))?
        } else {
            let key = KeyPair::generate().map_err(failed("a key"))?;
            let certificate = params.self_signed(&key).map_err(failed("an authority"))?;
            write(&pair.key, &key.serialize_pem())?;
            write(&pair.certificate, &certificate.pem())?;
            key
        };
        let owner = common_name.to_owned();
        Ok(Self {
            dir: dir.to_owned(),
            owner,
            pair,
            issuer: Issuer::new(params, key),
        })
    }

    fn sign_server(&self, file: &str, common_name: &str, names: &[&str]) -> Result<Pair, Error> {
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(file, common_name, "", names, usages)
    }

    fn sign_client(&self, file: &str, common_name: &str, group: &str) -> Result<Pair, Error> {
        self.sign(
            file,
            common_name,
            group,
            &[],
            vec![ExtendedKeyUsagePurpose::ClientAuth],
        )
    }

    fn sign(
        &self,
        file: &str,
        common_name: &str,
        group: &str,
        names: &[&str],
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<Pair, Error> {
        let failed = |source| Error::Certificate {
            what: "a certificate",
            owner: self.owner.clone(),
            source,
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        if !group.is_empty() {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        set_validity(&mut params, 365);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;

        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let pair = Pair::at(&self.dir, file);
        write(&pair.key, &key.serialize_pem())?;
        write(&pair.certificate, &certificate.pem())?;
        Ok(pair)
    }
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut params, 3650);
    params
}

/// From yesterday, because clocks differ, for some days.
fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + (now + DAY * days);
}

fn service_account(dir: &Path) -> Result<Pair, Error> {
    let pair = Pair {
        certificate: dir.join("service-account.pub"),
        key: dir.join("service-account.key"),
    };
    if !pair.key.exists() {
        let owner = dir.display().to_string();
        let key = KeyPair::generate().map_err(|source| Error::Certificate {
            what: "a key",
            owner,
            source,
        })?;
        write(&pair.certificate, &key.public_key_pem())?;
        write(&pair.key, &key.serialize_pem())?;
    }
    Ok(pair)
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_and_service_account_keys_outlive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();

        let first = cluster(dir.path(), "member1").unwrap();
        let kept = [
            read(&first.authority.certificate),
            read(&first.service_account.key),
        ];
        let leaf = read(&first.admin.certificate);

        let second = cluster(dir.path(), "member1").unwrap();
        assert_eq!(
            kept,
            [
                read(&second.authority.certificate),
                read(&second.service_account.key)
            ]
        );
        assert_ne!(leaf, read(&second.admin.certificate));
    }

    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let pki = cluster(dir.path(), "member1").unwrap();
        let mode = fs::metadata(&pki.admin.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
