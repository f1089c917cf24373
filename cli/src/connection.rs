//! From kubeconfig files to connections.

use std::path::Path;

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::failure::Failure;

/// A cluster that a kubeconfig names.
pub(crate) struct Access {
    pub(crate) config: Config,
    /// The proxy that the kubeconfig itself names; that of the environment is the user's own and nobody else's.
    pub(crate) proxy_url: Option<String>,
}

/// Resolves a context as kubectl does: the file, else `KUBECONFIG`, else `~/.kube/config`, else the cluster that this process
/// runs in.
pub(crate) async fn access(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Access, Failure> {
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| {
            Failure::new(format!("cannot use {}: {}", path.display(), chain(&error)))
        })?,
        None => match Kubeconfig::read() {
            Ok(file) => file,
            Err(error) => {
                return match Config::incluster() {
                    Ok(config) if context.is_none() => Ok(Access {
                        config,
                        proxy_url: None,
                    }),
                    _ => Err(Failure::new(format!(
                        "cannot read the kubeconfig: {}",
                        chain(&error)
                    ))
                    .with_hint("name one with --kubeconfig")),
                };
            }
        },
    };
    let proxy_url = proxy_url(&file, context);
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let contexts = names(&file);
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| {
            let failure = Failure::new(chain(&error));
            match context {
                Some(_) if !contexts.is_empty() => {
                    failure.with_hint(format!("contexts of the kubeconfig: {contexts}"))
                }
                _ => failure,
            }
        })?;
    Ok(Access { config, proxy_url })
}

/// Whether the kubeconfig has a context of this name.
pub(crate) fn has_context(kubeconfig: &Path, context: &str) -> bool {
    Kubeconfig::read_from(kubeconfig)
        .is_ok_and(|file| file.contexts.iter().any(|it| it.name == context))
}

fn names(file: &Kubeconfig) -> String {
    let names: Vec<&str> = file.contexts.iter().map(|it| it.name.as_str()).collect();
    names.join(", ")
}

fn proxy_url(file: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(file.current_context.as_deref())?;
    let context = file.contexts.iter().find(|it| it.name == context)?;
    let cluster = &context.context.as_ref()?.cluster;
    let cluster = file.clusters.iter().find(|it| it.name == *cluster)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone();
    proxy.filter(|proxy| !proxy.is_empty())
}

/// An error with its causes in one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r"
apiVersion: v1
kind: Config
current-context: a
clusters:
- name: one
  cluster: {server: 'https://10.0.0.1:6443', proxy-url: 'socks5://10.0.0.9:1080'}
- name: two
  cluster: {server: 'https://10.0.0.2:6443'}
contexts:
- name: a
  context: {cluster: one, user: u}
- name: b
  context: {cluster: two, user: u}
users:
- name: u
  user: {token: t}
";

    #[tokio::test]
    async fn contexts_resolve_and_unknown_ones_name_the_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, FILE).unwrap();
        for (context, url, proxy) in [
            (
                None,
                "https://10.0.0.1:6443/",
                Some("socks5://10.0.0.9:1080"),
            ),
            (Some("b"), "https://10.0.0.2:6443/", None),
        ] {
            let access = access(Some(&path), context)
                .await
                .unwrap_or_else(|it| panic!("{it:?}"));
            assert_eq!(access.config.cluster_url.to_string(), url);
            assert_eq!(access.proxy_url.as_deref(), proxy);
        }
        let Err(failure) = access(Some(&path), Some("c")).await else {
            panic!("there is no context c")
        };
        assert_eq!(
            failure.hint.as_deref(),
            Some("contexts of the kubeconfig: a, b")
        );
        assert!(has_context(&path, "a") && !has_context(&path, "c"));
        let Err(failure) = access(Some(Path::new("/nowhere")), None).await else {
            panic!("there is no such file")
        };
        assert!(
            failure.message.starts_with("cannot use /nowhere: "),
            "{failure:?}"
        );
    }
}
