//! Names that are computed from other names.
//!
//! Objects on the wire are found by these names, by other components and by users' scripts; they never change.

use std::fmt::Write as _;

use crate::keys;
use crate::keys::namespaces::EXECUTION_PREFIX;

/// A namespace that is not an execution namespace was taken for one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the execution space name is in wrong format: {0}")]
pub struct NotAnExecutionNamespace(pub String);

/// The namespace with the Works of a cluster.
pub fn execution_namespace(cluster: &str) -> String {
    format!("{EXECUTION_PREFIX}{cluster}")
}

/// The cluster whose Works a namespace holds.
pub fn cluster_of_execution_namespace(namespace: &str) -> Result<&str, NotAnExecutionNamespace> {
    namespace
        .strip_prefix(EXECUTION_PREFIX)
        .filter(|cluster| !cluster.is_empty())
        .ok_or_else(|| NotAnExecutionNamespace(namespace.to_owned()))
}

/// The name of the binding of a resource. A ResourceBinding lives in the resource's namespace.
pub fn binding_name(name: &str, kind: &str) -> String {
    format!("{}-{kind}", without_colons(name)).to_lowercase()
}

/// The name of the Work of a resource; None or an empty namespace for a cluster-scoped one.
pub fn work_name(name: &str, kind: &str, namespace: Option<&str>) -> String {
    let name = without_colons(name).to_lowercase();
    let hashed = match namespace {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}-{name}-{kind}"),
        _ => format!("{name}-{kind}"),
    };
    let hash = safe_encode(fnv1a32(hashed.to_lowercase().as_bytes()));
    format!("{name}-{hash}")
}

/// The label on an attached binding that says which binding needs it.
pub fn depended_by_label(namespace: Option<&str>, binding: &str) -> String {
    let hash = match namespace {
        Some(namespace) if !namespace.is_empty() => {
            fnv1a32(format!("{namespace}/{binding}").as_bytes())
        }
        _ => fnv1a32(binding.as_bytes()),
    };
    format!("{}{}", keys::DEPENDED_BY_PREFIX, safe_encode(hash))
}

/// The name of a policy that a user command generates for a resource.
pub fn generated_policy_name(
    name: &str,
    namespace: Option<&str>,
    group: &str,
    version: &str,
    kind: &str,
) -> String {
    let hashed = format!(
        "{}{group}/{version}, Kind={kind}",
        namespace.unwrap_or_default()
    );
    let hash = safe_encode(fnv1a32(hashed.as_bytes()));
    format!("{}-{hash}", without_colons(name)).to_lowercase()
}

/// The ServiceAccount in a member that the control plane acts as.
pub fn member_service_account(cluster: &str) -> String {
    format!("karmada-{cluster}")
}

/// The ServiceAccount, ClusterRole and ClusterRoleBinding in a member through which users are impersonated.
pub const IMPERSONATOR: &str = "karmada-impersonator";

/// The ClusterRole and ClusterRoleBinding in a member of the ServiceAccount that the control plane acts as.
pub fn member_cluster_role(cluster: &str) -> String {
    format!(
        "karmada-controller-manager:{}",
        member_service_account(cluster)
    )
}

/// The Secret in the control plane with the token for impersonation in a cluster. The Secret with the control plane's own token
/// is named like the cluster.
pub fn impersonator_secret(cluster: &str) -> String {
    format!("{cluster}-impersonator")
}

/// The EndpointSlice in the control plane that was imported from a member for a ServiceExport.
pub fn imported_endpoint_slice(cluster: &str, name: &str) -> String {
    format!("imported-{cluster}-{name}")
}

/// The EndpointSlice in a member that was dispatched from another for a MultiClusterService.
pub fn dispatched_endpoint_slice(provider_cluster: &str, name: &str) -> String {
    format!("{provider_cluster}-{name}")
}

/// The Service that is derived from a ServiceImport.
pub fn derived_service(name: &str) -> String {
    format!("derived-{name}")
}

/// The scheduler estimator of a cluster; the prefix is `karmada-scheduler-estimator` unless configured otherwise.
pub fn scheduler_estimator(prefix: &str, cluster: &str) -> String {
    format!("{prefix}-{cluster}")
}

/// The longest name that a cluster can have, so that its execution namespace gets a valid one.
pub const CLUSTER_NAME_MAX_LENGTH: usize = 48;

/// Says what is wrong with the name of a cluster.
pub fn check_cluster_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("must be not empty");
    }
    if name.len() > CLUSTER_NAME_MAX_LENGTH {
        return Err("must be no more than 48 characters");
    }
    if name.contains('.') {
        return Err("must not contain dots");
    }
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let edges = [bytes[0], bytes[bytes.len() - 1]];
    if !edges.into_iter().all(is_alphanumeric)
        || !bytes
            .iter()
            .all(|byte| is_alphanumeric(*byte) || *byte == b'-')
    {
        return Err(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        );
    }
    Ok(())
}

/// The 32-bit FNV-1a hash.
pub fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Writes a hash in characters that are safe in names: its decimal digits in Kubernetes' alphabet without vowels, which cannot
/// spell words.
pub fn safe_encode(hash: u32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut digits = String::with_capacity(10);
    write!(digits, "{hash}").expect("writing to a string does not fail");
    digits
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

/// Names of RBAC objects contain colons, which names of other kinds must not.
fn without_colons(name: &str) -> String {
    name.replace(':', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_names() {
        for (namespace, name, kind, expected) in [
            (Some("default"), "nginx", "Deployment", "nginx-687f7fb96f"),
            (
                None,
                "karmada-impersonator",
                "ClusterRole",
                "karmada-impersonator-7cbb6bd5c9",
            ),
            (None, "system:Foo", "ClusterRole", "system.foo-5f7d88f69"),
            (None, "test", "Namespace", "test-69fd499b4c"),
            (Some(""), "foo", "Namespace", "foo-5dbdc7b59c"),
            (None, "system:a", "ClusterRole", "system.a-686785f9f8"),
            (Some("demo"), "web", "Deployment", "web-85cf589867"),
            (Some("demo"), "common", "ConfigMap", "common-bb76b47f7"),
            (None, "demo:reader", "ClusterRole", "demo.reader-7c485759d4"),
            (None, "demo", "Namespace", "demo-6654f4c4f6"),
        ] {
            assert_eq!(work_name(name, kind, namespace), expected);
        }
    }

    #[test]
    fn hashes_of_the_vectors() {
        for (text, hash) in [
            ("default-nginx-deployment", 2_439_396_529),
            ("karmada-impersonator-clusterrole", 3_766_268_175),
            ("system.foo-clusterrole", 193_844_925),
            ("test-namespace", 2_598_055_607),
            ("default/nginx-deployment", 1_687_170_879),
            ("", 2_166_136_261),
        ] {
            assert_eq!(fnv1a32(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn encoding_maps_every_digit() {
        assert_eq!(safe_encode(1_234_567_890), "56789bcdf4");
        assert_eq!(safe_encode(0), "4");
    }

    #[test]
    fn binding_names() {
        assert_eq!(binding_name("nginx", "Deployment"), "nginx-deployment");
        assert_eq!(
            binding_name("demo:reader", "ClusterRole"),
            "demo.reader-clusterrole"
        );
    }

    #[test]
    fn depended_by_labels() {
        for (namespace, binding, suffix) in [
            (Some("default"), "nginx-deployment", "5bdc5c4dcf"),
            (Some("demo"), "app1-deployment", "98ddd89bc"),
            (Some("demo"), "app2-deployment", "685b47d6f6"),
        ] {
            assert_eq!(
                depended_by_label(namespace, binding),
                format!("resourcebinding.karmada.io/depended-by-{suffix}")
            );
        }
    }

    #[test]
    fn generated_policy_names() {
        assert_eq!(
            generated_policy_name("nginx", Some("default"), "apps", "v1", "Deployment"),
            "nginx-6d7f8d5f5b"
        );
    }

    #[test]
    fn execution_namespaces_have_an_inverse() {
        assert_eq!(execution_namespace("m1"), "karmada-es-m1");
        assert_eq!(cluster_of_execution_namespace("karmada-es-m1"), Ok("m1"));
        for wrong in ["default", "karmada-es-", "my-karmada-es-m1"] {
            let error = cluster_of_execution_namespace(wrong).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("the execution space name is in wrong format")
            );
        }
    }

    #[test]
    fn cluster_names() {
        let longest = "a".repeat(48);
        let too_long = "a".repeat(49);
        for (name, expected) in [
            ("member1", None),
            (longest.as_str(), None),
            ("", Some("must be not empty")),
            (
                too_long.as_str(),
                Some("must be no more than 48 characters"),
            ),
            ("a.b", Some("must not contain dots")),
        ] {
            assert_eq!(check_cluster_name(name).err(), expected, "{name}");
        }
        for name in ["-a", "a-", "A", "a_b", "ä"] {
            assert!(check_cluster_name(name).is_err(), "{name}");
        }
    }
}
