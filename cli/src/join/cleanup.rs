//! Removes from a member what its registration created there, and nothing else.

use crds::{keys, names};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{Discovery, Scope, verbs},
};

use super::{
    Error, UnjoinOptions,
    call::{call, delete, delete_named},
};

/// Names of what Kubernetes itself puts into every namespace.
const BUILT_IN: [(&str, &str); 2] = [
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
];
/// Objects to look at per kind: more than are built in.
const FEW: u32 = 3;
/// Kinds that say nothing about whether a namespace is used.
const TRACES: [&str; 1] = ["Event"];

/// The objects that [`clean`] would remove; the namespace among them only once it is empty.
pub(super) async fn objects(
    member: &Client,
    options: &UnjoinOptions,
) -> Result<Vec<String>, Error> {
    let namespace = &options.namespace;
    let account = names::member_service_account(&options.name);
    let role = names::member_cluster_role(&options.name);
    let mut labels = vec![
        format!("clusterrolebinding/{role}"),
        format!("clusterrole/{role}"),
        format!("serviceaccount/{namespace}/{account}"),
        format!("secret/{namespace}/{account}"),
    ];
    if is_last(member, namespace, &account).await? {
        let impersonator = names::IMPERSONATOR;
        labels.push(format!("serviceaccount/{namespace}/{impersonator}"));
        labels.push(format!("secret/{namespace}/{impersonator}"));
    }
    Ok(labels)
}

/// Removes them. What is gone already is fine.
pub(super) async fn clean(member: &Client, options: &UnjoinOptions) -> Result<(), Error> {
    let namespace = &options.namespace;
    let account = names::member_service_account(&options.name);
    let role = names::member_cluster_role(&options.name);
    let bindings: Api<ClusterRoleBinding> = Api::all(member.clone());
    let roles: Api<ClusterRole> = Api::all(member.clone());
    delete_named(&bindings, &role).await?;
    delete_named(&roles, &role).await?;
    let is_last = is_last(member, namespace, &account).await?;
    remove_account(member, namespace, &account).await?;
    if is_last {
        remove_account(member, namespace, names::IMPERSONATOR).await?;
        remove_namespace(member, namespace).await?;
    }
    Ok(())
}

/// Whether no other control plane has an account in this namespace.
async fn is_last(member: &Client, namespace: &str, account: &str) -> Result<bool, Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(member.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={}", keys::SYSTEM, keys::TRUE));
    let step = format!("list serviceaccounts in {namespace}");
    let list = call(step, accounts.list(&ours)).await?;
    Ok(list
        .iter()
        .map(ResourceExt::name_any)
        .all(|name| name == account || name == names::IMPERSONATOR))
}

async fn remove_account(member: &Client, namespace: &str, name: &str) -> Result<(), Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(member.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(member.clone(), namespace);
    delete_named(&accounts, name).await?;
    delete_named(&secrets, name).await?;
    Ok(())
}

/// Removes the namespace if it was made by a registration and holds nothing.
async fn remove_namespace(member: &Client, name: &str) -> Result<(), Error> {
    let namespaces: Api<Namespace> = Api::all(member.clone());
    let step = format!("read namespace/{name}");
    let Some(namespace) = call(step, namespaces.get_opt(name)).await? else {
        return Ok(());
    };
    let is_ours = namespace
        .labels()
        .get(keys::SYSTEM)
        .is_some_and(|value| value == keys::TRUE);
    if is_ours && is_empty(member, name).await {
        delete(&namespaces, &namespace).await?;
    }
    Ok(())
}

/// Whether there certainly is nothing in the namespace.
async fn is_empty(member: &Client, namespace: &str) -> bool {
    let discovery = Discovery::new(member.clone()).run_aggregated();
    let Ok(discovery) = call("discover APIs", discovery).await else {
        return false;
    };
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope != Scope::Namespaced
                || !capabilities.supports_operation(verbs::LIST)
                || TRACES.contains(&resource.kind.as_str())
            {
                continue;
            }
            let api: Api<DynamicObject> =
                Api::namespaced_with(member.clone(), namespace, &resource);
            let few = ListParams::default().limit(FEW);
            let Ok(list) = call("list objects", api.list(&few)).await else {
                return false;
            };
            let is_built_in = |object: &DynamicObject| {
                BUILT_IN.contains(&(resource.kind.as_str(), object.name_any().as_str()))
                    // The token controller is about to remove it.
                    || object.metadata.deletion_timestamp.is_some()
            };
            if !list.items.iter().all(is_built_in) {
                return false;
            }
        }
    }
    true
}
