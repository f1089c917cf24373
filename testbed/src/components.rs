//! The command line of every component.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::binaries::Program;
use crate::folder::{Folder, Role};
use crate::pki::{ClusterPki, Pair};
use crate::process::Spec;
use crate::{kwok, pki};

/// Controllers of the control plane. A Deployment there is a template: nothing may turn it into pods.
const CONTROL_PLANE_CONTROLLERS: &[&str] = &[
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-token-controller",
    "ttl-after-finished-controller",
    "bootstrap-signer-controller",
    "token-cleaner-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
];

/// A socket in a folder that only its owner may enter needs neither a port nor TLS, whose handshakes, hundreds of them,
/// are a tenth of the work of starting four API servers. The number is for etcd, which wants a port in every address.
const ETCD_URL: &str = "unix://etcd.sock:0";
const PEER_URL: &str = "unix://peer.sock:0";

/// Metadata of every request, for what a benchmark wants to count.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// What is the same for all clusters of a bed.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) durable: bool,
    /// Write `logs/CLUSTER-audit.log` for the control plane.
    pub(crate) audit: bool,
    /// Let `kubectl exec` run commands on this machine.
    pub(crate) pod_exec: bool,
}

/// One cluster, for its components.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) folder: &'a Folder,
    pub(crate) pki: &'a ClusterPki,
    pub(crate) kubeconfig: &'a Path,
}

impl Target<'_> {
    fn spec(&self, program: Program, path: PathBuf, args: Vec<String>) -> Spec {
        let name = format!("{}/{}", self.name, program.name());
        Spec {
            log: self.folder.log(&name),
            name,
            program: path,
            args,
            env: small_heap(program),
            dir: self.folder.sockets(),
        }
    }

    pub(crate) fn kube_apiserver(
        &self,
        path: PathBuf,
        port: u16,
        settings: &Settings,
    ) -> Result<Spec, Error> {
        let mut args = Args::default();
        args.set("etcd-servers", ETCD_URL);
        args.set("etcd-prefix", format!("/{}", self.name));

        args.set("bind-address", "127.0.0.1");
        args.set("advertise-address", "127.0.0.1");
        args.set("secure-port", port.to_string());
        args.pair("tls-cert-file", "tls-private-key-file", &self.pki.serving);
        args.file("client-ca-file", &self.pki.authority.certificate);
        args.set("authorization-mode", "Node,RBAC");
        args.set("enable-bootstrap-token-auth", "true");

        args.set(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        );
        args.file(
            "service-account-key-file",
            &self.pki.service_account.certificate,
        );
        args.file(
            "service-account-signing-key-file",
            &self.pki.service_account.key,
        );
        args.set("service-cluster-ip-range", "10.96.0.0/16");
        // Loopback addresses are not allowed in Endpoints, and nothing here looks for the API server by its Service.
        args.set("endpoint-reconciler-type", "none");

        args.file(
            "requestheader-client-ca-file",
            &self.pki.front_proxy_authority.certificate,
        );
        args.set("requestheader-allowed-names", "front-proxy-client");
        args.set("requestheader-extra-headers-prefix", "X-Remote-Extra-");
        args.set("requestheader-group-headers", "X-Remote-Group");
        args.set("requestheader-username-headers", "X-Remote-User");
        args.pair(
            "proxy-client-cert-file",
            "proxy-client-key-file",
            &self.pki.front_proxy,
        );

        args.set("profiling", "false");
        match self.role {
            Role::ControlPlane => {
                args.set(
                    "disable-admission-plugins",
                    "ServiceAccount,StorageObjectInUseProtection",
                );
                if settings.audit {
                    let policy = self.folder.data(self.name)?.join("audit-policy.yaml");
                    pki::write(&policy, AUDIT_POLICY)?;
                    args.file("audit-policy-file", &policy);
                    args.file("audit-log-path", &audit_log(self.folder, self.name));
                    args.set("audit-log-maxsize", "4096");
                }
            }
            Role::Member => {
                args.set("allow-privileged", "true");
                args.pair(
                    "kubelet-client-certificate",
                    "kubelet-client-key",
                    &self.pki.kubelet_client,
                );
                args.file(
                    "kubelet-certificate-authority",
                    &self.pki.authority.certificate,
                );
                args.set("kubelet-preferred-address-types", "InternalIP");
            }
        }
        Ok(self.spec(Program::KubeApiserver, path, args.0))
    }

    pub(crate) fn kube_controller_manager(&self, path: PathBuf) -> Spec {
        let mut args = self.client_args();
        let controllers = match self.role {
            Role::ControlPlane => CONTROL_PLANE_CONTROLLERS.join(","),
            Role::Member => "*".to_owned(),
        };
        args.set("controllers", controllers);
        args.file(
            "service-account-private-key-file",
            &self.pki.service_account.key,
        );
        args.file("root-ca-file", &self.pki.authority.certificate);
        args.pair(
            "cluster-signing-cert-file",
            "cluster-signing-key-file",
            &self.pki.authority,
        );
        self.spec(Program::KubeControllerManager, path, args.0)
    }

    pub(crate) fn kube_scheduler(&self, path: PathBuf) -> Spec {
        self.spec(Program::KubeScheduler, path, self.client_args().0)
    }

    pub(crate) fn kwok(
        &self,
        path: PathBuf,
        port: u16,
        settings: &Settings,
    ) -> Result<Spec, Error> {
        let data = self.folder.data(self.name)?;
        let pod_log = data.join("pod.log");
        pki::write(&pod_log, kwok::POD_LOG)?;
        let config = data.join("kwok.yaml");
        pki::write(&config, &kwok::config(&pod_log, settings.pod_exec))?;

        let mut args = Args::default();
        args.file("kubeconfig", self.kubeconfig);
        args.file("config", &config);
        args.set("manage-all-nodes", "true");
        // Without leases, nodes turn NotReady on a loaded machine.
        args.set("node-lease-duration-seconds", "40");
        args.set("node-ip", "127.0.0.1");
        args.set("node-port", port.to_string());
        args.set("server-address", format!("127.0.0.1:{port}"));
        args.pair(
            "tls-cert-file",
            "tls-private-key-file",
            &self.pki.kubelet_serving,
        );
        let mut spec = self.spec(Program::Kwok, path, args.0);
        // Keeps it from reading and writing the user's own ~/.kwok.
        spec.env
            .push(("KWOK_WORKDIR".to_owned(), data.display().to_string()));
        Ok(spec)
    }

    /// Kubernetes' own clients of the API server.
    fn client_args(&self) -> Args {
        let mut args = Args::default();
        args.file("kubeconfig", self.kubeconfig);
        args.set("leader-elect", "false");
        args.set("profiling", "false");
        // Nobody asks them, and it saves a port.
        args.set("secure-port", "0");
        args.set("kube-api-qps", "200");
        args.set("kube-api-burst", "400");
        args
    }
}

/// etcd for all clusters of a bed.
pub(crate) fn etcd(path: PathBuf, folder: &Folder, settings: &Settings) -> Result<Spec, Error> {
    let mut args = Args::default();
    args.set("name", "bed");
    args.file("data-dir", &folder.data("etcd")?);
    args.set("listen-client-urls", ETCD_URL);
    args.set("advertise-client-urls", ETCD_URL);
    args.set("listen-peer-urls", PEER_URL);
    args.set("initial-advertise-peer-urls", PEER_URL);
    args.set("initial-cluster", format!("bed={PEER_URL}"));
    args.set("quota-backend-bytes", (8_u64 << 30).to_string());
    args.set("log-level", "warn");
    if !settings.durable {
        args.set("unsafe-no-fsync", "true");
    }
    let name = Program::Etcd.name().to_owned();
    Ok(Spec {
        log: folder.log(&name),
        name,
        program: path,
        args: args.0,
        env: Vec::new(),
        dir: folder.sockets(),
    })
}

/// Halves the garbage that everything but the API servers keeps; those would pay with a slower start.
fn small_heap(program: Program) -> Vec<(String, String)> {
    match program {
        Program::KubeApiserver => Vec::new(),
        _ => vec![("GOGC".to_owned(), "50".to_owned())],
    }
}

/// Where the control plane's API server writes what it was asked, with [`Settings::audit`].
pub(crate) fn audit_log(folder: &Folder, cluster: &str) -> PathBuf {
    folder.log(&format!("{cluster}/audit"))
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn set(&mut self, flag: &str, value: impl AsRef<str>) {
        self.0.push(format!("--{flag}={}", value.as_ref()));
    }

    fn file(&mut self, flag: &str, path: &Path) {
        self.set(flag, path.to_string_lossy());
    }

    fn pair(&mut self, certificate: &str, key: &str, pair: &Pair) {
        self.file(certificate, &pair.certificate);
        self.file(key, &pair.key);
    }
}
