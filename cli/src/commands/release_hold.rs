use clap::Args;
use crds::names;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use propagation::brake::{RELEASE_HOLD, RELEASE_LASTS, REMOVAL_HELD};
use serde_json::json;

use super::print;
use crate::{
    Global,
    connection::{access, chain},
    failure::Failure,
};

#[derive(Debug, Args)]
#[command(after_help = "What can be named:
  cluster/NAME                     everything that is held back in a cluster, whatever holds it
  propagationpolicy/NAME -n NS     everything that is held back of what a policy placed, in every cluster (also pp, cpp)
  resourcebinding/NAME -n NS       what is held back of one binding (also rb, crb)
  deployment/NAME -n NS            the same by the template; any kind that was propagated
  work/NAME -n karmada-es-CLUSTER  what is held back of one Work that belongs to no binding

The release is the annotation navarch.dev/release-hold with the present time, and is in force for five minutes. What is held, and
why, says the condition RemovalHeld of bindings, Works and clusters.

A release of a binding, policy or cluster also ends evictions that no other cluster takes up: the workload is on no cluster then.

Examples:
  navarch release-hold cluster/member1
  navarch release-hold pp/web -n shop")]
pub(crate) struct ReleaseHoldArgs {
    /// The object that has removals held back
    #[arg(value_name = "TYPE/NAME")]
    object: String,

    /// The namespace of the object [default: that of the context]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// What a type that the user wrote stands for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// Group, version, kind and whether it lives in namespaces.
    Ours(&'static str, &'static str, &'static str, bool),
    /// The binding of a template of this kind.
    Template(String),
}

fn target(kind: &str) -> Target {
    let kind = kind.to_lowercase();
    match kind.as_str() {
        "cluster" | "clusters" => Target::Ours("cluster.karmada.io", "v1alpha1", "Cluster", false),
        "propagationpolicy" | "propagationpolicies" | "pp" => {
            Target::Ours("policy.karmada.io", "v1alpha1", "PropagationPolicy", true)
        }
        "clusterpropagationpolicy" | "clusterpropagationpolicies" | "cpp" => Target::Ours(
            "policy.karmada.io",
            "v1alpha1",
            "ClusterPropagationPolicy",
            false,
        ),
        "resourcebinding" | "resourcebindings" | "rb" => {
            Target::Ours("work.karmada.io", "v1alpha2", "ResourceBinding", true)
        }
        "clusterresourcebinding" | "clusterresourcebindings" | "crb" => Target::Ours(
            "work.karmada.io",
            "v1alpha2",
            "ClusterResourceBinding",
            false,
        ),
        "work" | "works" => Target::Ours("work.karmada.io", "v1alpha1", "Work", true),
        _ => Target::Template(
            match kind.as_str() {
                "deploy" | "deployments" => "deployment",
                "sts" | "statefulsets" => "statefulset",
                "ds" | "daemonsets" => "daemonset",
                "cm" | "configmaps" => "configmap",
                "svc" | "services" => "service",
                "ing" | "ingresses" => "ingress",
                "sa" | "serviceaccounts" => "serviceaccount",
                "pvc" | "persistentvolumeclaims" => "persistentvolumeclaim",
                "po" | "pods" => "pod",
                "secrets" => "secret",
                "jobs" => "job",
                other => other,
            }
            .to_owned(),
        ),
    }
}

pub(crate) async fn run(args: &ReleaseHoldArgs, global: &Global) -> Result<(), Failure> {
    let Some((kind, name)) = args.object.split_once('/').filter(|(_, it)| !it.is_empty()) else {
        return Err(
            Failure::new(format!("{:?} is not TYPE/NAME", args.object)).with_hint(
                "name what is held, for example cluster/member1 or propagationpolicy/web -n shop",
            ),
        );
    };
    let config = access(global.kubeconfig.as_deref(), global.context.as_deref())
        .await?
        .config;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| Failure::new(chain(&error)))?;
    let now = jiff::Timestamp::now();
    let (label, object) = match target(kind) {
        Target::Ours(group, version, kind, namespaced) => {
            let namespace = namespaced.then_some(namespace.as_str());
            let resource = (group, version, kind);
            let label = label(kind, name, namespace);
            let found = release(&client, resource, namespace, name, now).await?;
            (label, found)
        }
        Target::Template(kind) => {
            let binding = names::binding_name(name, &kind);
            let resource = ("work.karmada.io", "v1alpha2", "ResourceBinding");
            let found = release(&client, resource, Some(&namespace), &binding, now).await?;
            if found.is_some() {
                (label("ResourceBinding", &binding, Some(&namespace)), found)
            } else {
                let resource = ("work.karmada.io", "v1alpha2", "ClusterResourceBinding");
                let found = release(&client, resource, None, &binding, now).await?;
                (label("binding", &binding, Some(&namespace)), found)
            }
        }
    };
    let Some(object) = object else {
        return Err(Failure::new(format!("{label} not found"))
            .with_hint("name what is held, for example cluster/member1, rb/web-deployment -n shop or deployment/web -n shop"));
    };
    print(&format!(
        "{label}: removals are let go for {} minutes\n",
        RELEASE_LASTS.as_secs() / 60
    ))?;
    if !global.quiet && has_status(&object) && !is_held(&object) {
        eprintln!("note: nothing of it is held back at the moment");
    }
    Ok(())
}

fn label(kind: &str, name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{} {namespace}/{name}", kind.to_lowercase()),
        None => format!("{} {name}", kind.to_lowercase()),
    }
}

fn has_status(object: &DynamicObject) -> bool {
    object.data["status"].is_object()
}

fn is_held(object: &DynamicObject) -> bool {
    object.data["status"]["conditions"]
        .as_array()
        .is_some_and(|list| list.iter().any(|it| it["type"] == REMOVAL_HELD))
}

/// Sets the annotation; `None` when there is no such object.
async fn release(
    client: &Client,
    (group, version, kind): (&str, &str, &str),
    namespace: Option<&str>,
    name: &str,
    now: jiff::Timestamp,
) -> Result<Option<DynamicObject>, Failure> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let patch = json!({"metadata": {"annotations": {RELEASE_HOLD: now.to_string()}}});
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Failure::new(format!(
            "release {}: {}",
            label(kind, name, namespace),
            chain(&error)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_users_name_them() {
        for (text, expected) in [
            ("Cluster", "Cluster"),
            ("pp", "PropagationPolicy"),
            ("ClusterPropagationPolicy", "ClusterPropagationPolicy"),
            ("rb", "ResourceBinding"),
            ("crb", "ClusterResourceBinding"),
            ("works", "Work"),
        ] {
            let Target::Ours(_, _, kind, _) = target(text) else {
                panic!("{text} is taken for a template")
            };
            assert_eq!(kind, expected, "{text}");
        }
        for (text, expected) in [("deploy", "deployment"), ("Widget", "widget")] {
            assert_eq!(target(text), Target::Template(expected.into()), "{text}");
        }
    }
}
