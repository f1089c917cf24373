//! The objects of a registration in the member, and the credentials that come from them.

use std::{collections::BTreeMap, time::Duration};

use crds::{keys, names};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Namespace, Secret, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client};

use super::{
    Error,
    call::{Created, call, delete_named},
};

/// How often the member is asked for a token.
const POLL: Duration = Duration::from_millis(100);
/// How long the member may take to issue one.
const TOKEN_LIMIT: Duration = Duration::from_secs(30);
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const SERVICE_ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// What the control plane needs to talk to the member.
pub(super) struct Tokens {
    pub(super) token: ByteString,
    pub(super) impersonator: ByteString,
    /// The certificate authority that the member gives to its service accounts, PEM.
    pub(super) authority: ByteString,
}

/// The objects as they are to be.
pub(super) struct Objects {
    pub(super) namespace: Namespace,
    pub(super) impersonator: ServiceAccount,
    pub(super) account: ServiceAccount,
    pub(super) role: ClusterRole,
    pub(super) binding: ClusterRoleBinding,
}

pub(super) fn system_labels() -> BTreeMap<String, String> {
    BTreeMap::from([(keys::SYSTEM.to_owned(), keys::TRUE.to_owned())])
}

pub(super) fn namespace(name: &str) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(system_labels()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

impl Objects {
    pub(super) fn new(cluster: &str, in_namespace: &str) -> Self {
        let account_name = names::member_service_account(cluster);
        let role_name = names::member_cluster_role(cluster);
        let metadata = |name: &str, namespace: Option<&str>| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: namespace.map(str::to_owned),
            labels: Some(system_labels()),
            ..ObjectMeta::default()
        };
        let account = |name: &str| ServiceAccount {
            metadata: metadata(name, Some(in_namespace)),
            ..ServiceAccount::default()
        };
        let all = || Some(vec!["*".to_owned()]);
        Self {
            namespace: namespace(in_namespace),
            impersonator: account(names::IMPERSONATOR),
            account: account(&account_name),
            role: ClusterRole {
                metadata: metadata(&role_name, None),
                rules: Some(vec![
                    PolicyRule {
                        api_groups: all(),
                        resources: all(),
                        verbs: vec!["*".to_owned()],
                        ..PolicyRule::default()
                    },
                    PolicyRule {
                        non_resource_urls: all(),
                        verbs: vec!["get".to_owned()],
                        ..PolicyRule::default()
                    },
                ]),
                ..ClusterRole::default()
            },
            binding: ClusterRoleBinding {
                metadata: metadata(&role_name, None),
                role_ref: RoleRef {
                    api_group: Some("rbac.authorization.k8s.io".to_owned()),
                    kind: "ClusterRole".to_owned(),
                    name: role_name,
                },
                subjects: Some(vec![Subject {
                    kind: "ServiceAccount".to_owned(),
                    name: account_name,
                    namespace: Some(in_namespace.to_owned()),
                    ..Subject::default()
                }]),
            },
        }
    }
}

/// Creates what is missing and waits for the tokens. `renew` has the member issue new ones.
pub(super) async fn prepare(
    member: &Client,
    cluster: &str,
    namespace: &str,
    renew: bool,
    created: &mut Created,
) -> Result<Tokens, Error> {
    let objects = Objects::new(cluster, namespace);
    let accounts = Api::namespaced(member.clone(), namespace);
    created
        .ensure(&Api::all(member.clone()), &objects.namespace, cluster)
        .await?;
    for account in [&objects.impersonator, &objects.account] {
        created.ensure(&accounts, account, cluster).await?;
    }
    created
        .ensure(&Api::all(member.clone()), &objects.role, cluster)
        .await?;
    created
        .ensure(&Api::all(member.clone()), &objects.binding, cluster)
        .await?;
    let secrets: Api<Secret> = Api::namespaced(member.clone(), namespace);
    let account = names::member_service_account(cluster);
    for name in [names::IMPERSONATOR, &account] {
        // The account for impersonation may serve other registrations of this member too.
        if renew && name == account {
            delete_named(&secrets, name).await?;
        }
        let secret = token_secret(name, namespace);
        created.ensure(&secrets, &secret, cluster).await?;
    }
    let (impersonator, own) = tokio::try_join!(
        token(&secrets, namespace, names::IMPERSONATOR),
        token(&secrets, namespace, &account),
    )?;
    Ok(Tokens {
        token: own.0,
        impersonator: impersonator.0,
        authority: own.1,
    })
}

fn token_secret(account: &str, namespace: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(account.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(BTreeMap::from([(
                SERVICE_ACCOUNT_ANNOTATION.to_owned(),
                account.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some(TOKEN_TYPE.to_owned()),
        ..Secret::default()
    }
}

/// Waits until the member has filled in the token Secret of an account, and returns token and certificate authority.
async fn token(
    secrets: &Api<Secret>,
    namespace: &str,
    name: &str,
) -> Result<(ByteString, ByteString), Error> {
    let filled = async {
        loop {
            let step = format!("read secret/{namespace}/{name} in the member");
            if let Some(secret) = call(step, secrets.get_opt(name)).await? {
                let type_ = secret.type_.unwrap_or_default();
                if type_ != TOKEN_TYPE {
                    return Err(Error::ForeignSecret {
                        namespace: namespace.to_owned(),
                        name: name.to_owned(),
                        type_,
                    });
                }
                let mut data = secret.data.unwrap_or_default();
                let token = data.remove("token").filter(|token| !token.0.is_empty());
                if let Some(token) = token {
                    return Ok((token, data.remove("ca.crt").unwrap_or_default()));
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(TOKEN_LIMIT, filled)
        .await
        .unwrap_or_else(|_| {
            Err(Error::NoToken {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                limit: TOKEN_LIMIT,
            })
        })
}

/// The authority to trust: that of the kubeconfig, which is how the member was reached just now, unless it is the same as the
/// one that the member gives to its service accounts.
pub(super) fn authority(kubeconfig: Option<&[Vec<u8>]>, service_account: ByteString) -> ByteString {
    let Some(kubeconfig) = kubeconfig.filter(|certificates| !certificates.is_empty()) else {
        return service_account;
    };
    let certificates = |bundle: &[u8]| -> Vec<Vec<u8>> {
        let blocks = pem::parse_many(bundle).unwrap_or_default();
        blocks.into_iter().map(pem::Pem::into_contents).collect()
    };
    if certificates(&service_account.0) == kubeconfig {
        return service_account;
    }
    let text: String = kubeconfig
        .iter()
        .map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.as_slice())))
        .collect();
    ByteString(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_the_kubeconfig_wins_when_it_differs() {
        let bundle = |ders: &[&[u8]]| {
            let text: String = ders
                .iter()
                .map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", *der)))
                .collect();
            ByteString(text.into_bytes())
        };
        let account = bundle(&[b"one"]);
        for (kubeconfig, expected) in [
            (None, &account),
            (Some(vec![]), &account),
            (Some(vec![b"one".to_vec()]), &account),
            (Some(vec![b"two".to_vec()]), &bundle(&[b"two"])),
            (
                Some(vec![b"one".to_vec(), b"two".to_vec()]),
                &bundle(&[b"one", b"two"]),
            ),
        ] {
            assert_eq!(authority(kubeconfig.as_deref(), account.clone()), *expected);
        }
    }

    #[test]
    fn objects_have_the_names_of_the_wire() {
        let objects = Objects::new("m1", "karmada-cluster");
        let value = serde_json::to_value(&objects.binding).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "karmada-controller-manager:karmada-m1", "labels": {"karmada.io/system": "true"}},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "karmada-controller-manager:karmada-m1"},
                "subjects": [{"kind": "ServiceAccount", "name": "karmada-m1", "namespace": "karmada-cluster"}],
            })
        );
        assert_eq!(
            objects.impersonator.metadata.name.as_deref(),
            Some("karmada-impersonator")
        );
    }
}
