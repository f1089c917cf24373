//! Kubeconfig files: one per cluster, and one with every context.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Error;
use crate::pki::{self, ClusterPki};

/// One context, self-contained, so that the file can be copied elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Names the context, the cluster and the file.
    name: String,
    server: String,
    authority: String,
    certificate: String,
    key: String,
}

impl Entry {
    /// The administrator's access to a cluster.
    pub(crate) fn admin(name: &str, server: &str, pki: &ClusterPki) -> Result<Self, Error> {
        let encode = |path: &Path| -> Result<String, Error> {
            Ok(STANDARD.encode(fs::read(path).map_err(Error::file("read", path))?))
        };
        Ok(Self {
            name: name.to_owned(),
            server: server.to_owned(),
            authority: encode(&pki.authority.certificate)?,
            certificate: encode(&pki.admin.certificate)?,
            key: encode(&pki.admin.key)?,
        })
    }
}

/// Writes the entries; the first one is the current context.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> Result<(), Error> {
    pki::write(path, &render(entries))
}

fn render(entries: &[Entry]) -> String {
    let mut text = String::from("apiVersion: v1\nkind: Config\n");
    if let Some(first) = entries.first() {
        let _ = writeln!(text, "current-context: {}", first.name);
    }
    text.push_str("clusters:\n");
    for Entry {
        name,
        server,
        authority,
        ..
    } in entries
    {
        let _ = write!(
            text,
            "- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n"
        );
    }
    text.push_str("contexts:\n");
    for Entry { name, .. } in entries {
        let _ = write!(
            text,
            "- name: {name}\n  context:\n    cluster: {name}\n    user: {name}-admin\n"
        );
    }
    text.push_str("users:\n");
    for Entry {
        name,
        certificate,
        key,
        ..
    } in entries
    {
        let _ = write!(
            text,
            "- name: {name}-admin\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_several_contexts_is_read_back() {
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            server: format!("https://{name}:1"),
            authority: STANDARD.encode("ca"),
            certificate: STANDARD.encode("crt"),
            key: STANDARD.encode("key"),
        };
        let text = render(&[entry("navarch"), entry("member1")]);
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("navarch"));
        assert_eq!(
            config.contexts[1].context.as_ref().unwrap().user.as_deref(),
            Some("member1-admin")
        );
        assert_eq!(
            config.clusters[1]
                .cluster
                .as_ref()
                .unwrap()
                .server
                .as_deref(),
            Some("https://member1:1")
        );
    }
}
