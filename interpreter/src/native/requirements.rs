//! What one pod needs: its resource requests and the nodes that it can run on.

use std::collections::BTreeMap;

use crds::work::{NodeClaim, ReplicaRequirements};
use k8s_openapi::api::core::v1::{NodeSelector, Toleration};
use serde_json::Value;

use crate::layer::Options;
use crate::quantity::{Format, Quantity};
use crate::value::{items, set, text};

/// The unit that a resource is counted in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Milli,
    Whole,
}

type Amounts<'a> = BTreeMap<&'a str, i64>;

/// Requirements of a pod with this `PodSpec`, which has been checked against its type. None: it asks for nothing.
pub(crate) fn of_pod(spec: &Value, options: Options) -> Option<ReplicaRequirements> {
    let amounts = if options.compat {
        requests_as_reference(spec)
    } else {
        requests_as_kube_scheduler(spec)
    };
    let resource_request: BTreeMap<_, _> = amounts
        .into_iter()
        .filter(|&(_, amount)| amount > 0)
        .map(|(name, amount)| (name.to_owned(), print(name, amount)))
        .collect();
    let node_claim = node_claim(spec);
    if node_claim.is_none() && resource_request.is_empty() {
        return None;
    }
    let priority_class_name = text(spec, &["priorityClassName"])
        .filter(|name| options.resource_quota_estimate && !name.is_empty());
    Some(ReplicaRequirements {
        node_claim,
        resource_request,
        namespace: None,
        priority_class_name: priority_class_name.map(str::to_owned),
    })
}

fn node_claim(spec: &Value) -> Option<NodeClaim> {
    let node_selector = set(spec, &["nodeSelector"]);
    let hard_node_affinity = set(
        spec,
        &[
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ],
    );
    let tolerations = items(spec, &["tolerations"]);
    if node_selector.is_none() && hard_node_affinity.is_none() && tolerations.is_empty() {
        return None;
    }
    let labels = node_selector
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    Some(NodeClaim {
        hard_node_affinity: hard_node_affinity.map(lenient::<NodeSelector>),
        node_selector: labels
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        tolerations: tolerations.iter().map(lenient::<Toleration>).collect(),
    })
}

/// Reads a struct the way Go does: `null` is the zero value, also of list elements.
fn lenient<T: serde::de::DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value)
        .or_else(|_| serde_json::from_value(without_nulls(value)))
        .unwrap_or_default()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(list) => list
            .iter()
            .filter(|item| !item.is_null())
            .map(without_nulls)
            .collect(),
        Value::Number(number) => {
            crate::schema::integer(number).map_or_else(|| value.clone(), Value::from)
        }
        other => other.clone(),
    }
}

/// The sum over the containers, raised to each init container's own request, plus the overhead.
fn requests_as_reference(spec: &Value) -> Amounts<'_> {
    let mut total = Amounts::new();
    for container in items(spec, &["containers"]) {
        add(&mut total, &container_requests(container));
    }
    for container in items(spec, &["initContainers"]) {
        raise(&mut total, &container_requests(container));
    }
    add(&mut total, &amounts(set(spec, &["overhead"])));
    total
}

/// As the scheduler in a member counts: init containers that keep running count beside the containers and beside the
/// init containers after them, and pod-level requests replace the sum.
fn requests_as_kube_scheduler(spec: &Value) -> Amounts<'_> {
    let mut total = Amounts::new();
    for container in items(spec, &["containers"]) {
        add(&mut total, &container_requests(container));
    }
    let mut running = Amounts::new();
    let mut start_up = Amounts::new();
    for container in items(spec, &["initContainers"]) {
        let mut requests = container_requests(container);
        if text(container, &["restartPolicy"]) == Some("Always") {
            add(&mut total, &requests);
            add(&mut running, &requests);
            raise(&mut start_up, &running);
        } else {
            add(&mut requests, &running);
            raise(&mut start_up, &requests);
        }
    }
    raise(&mut total, &start_up);
    let pod_level = container_requests(spec);
    let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    total.extend(pod_level.into_iter().filter(|(name, _)| supported(name)));
    add(&mut total, &amounts(set(spec, &["overhead"])));
    total
}

/// The requests of a container, or of a whole pod; a resource with a limit alone requests its limit.
fn container_requests(container: &Value) -> Amounts<'_> {
    let mut requests = amounts(set(container, &["resources", "limits"]));
    count(&mut requests, set(container, &["resources", "requests"]));
    requests
}

fn amounts(quantities: Option<&Value>) -> Amounts<'_> {
    let mut amounts = Amounts::new();
    count(&mut amounts, quantities);
    amounts
}

/// Enters the quantities, in place of those that are there under their names.
fn count<'a>(amounts: &mut Amounts<'a>, quantities: Option<&'a Value>) {
    let quantities = quantities.and_then(Value::as_object).into_iter().flatten();
    for (name, quantity) in quantities {
        if let (Some(unit), Ok(quantity)) = (unit(name), Quantity::from_json(quantity)) {
            let amount = match unit {
                Unit::Milli => quantity.ceil_milli(),
                Unit::Whole => quantity.ceil(),
            };
            amounts.insert(name, amount);
        }
    }
}

fn add<'a>(total: &mut Amounts<'a>, more: &Amounts<'a>) {
    for (name, amount) in more {
        let sum = total.entry(name).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise<'a>(total: &mut Amounts<'a>, floor: &Amounts<'a>) {
    for (name, amount) in floor {
        let highest = total.entry(name).or_default();
        *highest = (*highest).max(*amount);
    }
}

/// How a resource is counted; None: not at all.
fn unit(name: &str) -> Option<Unit> {
    match name {
        "cpu" => Some(Unit::Milli),
        "memory" | "ephemeral-storage" | "pods" => Some(Unit::Whole),
        _ if name.contains("kubernetes.io/")
            || name.starts_with("hugepages-")
            || name.starts_with("attachable-volumes-")
            || is_extended(name) =>
        {
            Some(Unit::Whole)
        }
        _ => None,
    }
}

fn is_extended(name: &str) -> bool {
    name.contains('/')
        && !name.starts_with("requests.")
        && crate::reference::is_qualified_name(&format!("requests.{name}"))
}

fn print(name: &str, amount: i64) -> k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    let quantity = match name {
        "cpu" => Quantity::milli(amount, Format::Decimal),
        "memory" | "ephemeral-storage" => Quantity::whole(amount, Format::Binary),
        _ if name.starts_with("hugepages-") => Quantity::whole(amount, Format::Binary),
        _ => Quantity::whole(amount, Format::Decimal),
    };
    quantity.into()
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::needless_pass_by_value,
        reason = "cases read better with their values in place"
    )]

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(compat: bool, spec: Value, expected: Value) {
        let options = Options {
            compat,
            ..Options::default()
        };
        let found = of_pod(&spec, options).map(|it| serde_json::to_value(it).expect("plain data"));
        assert_eq!(found.unwrap_or_default(), expected, "{spec}");
    }

    #[test]
    fn sums_and_init_maximum() {
        let spec = json!({
            "containers": [
                {"resources": {"requests": {"cpu": "100.1m", "memory": "1Gi"}}},
                {"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": 2}, "requests": {"cpu": "250m", "storage": "1Gi"}}},
            ],
            "initContainers": [
                {"resources": {"requests": {"cpu": "2", "memory": "100Mi"}}},
                {"resources": {"requests": {"hugepages-2Mi": "4Mi"}}},
            ],
            "overhead": {"memory": "1Mi", "cpu": "10m"},
        });
        let expected = json!({"resourceRequest":
            {"cpu": "2010m", "memory": "1025Mi", "nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi"}});
        check(true, spec.clone(), expected.clone());
        check(false, spec, expected);
    }

    #[test]
    fn nothing_asked_for() {
        check(true, json!({}), Value::Null);
        check(
            true,
            json!({"containers": [{"resources": {"requests": {"cpu": "0", "storage": "1"}}}]}),
            Value::Null,
        );
        check(
            true,
            json!({"priorityClassName": "high", "tolerations": []}),
            Value::Null,
        );
    }

    #[test]
    fn node_claims() {
        check(true, json!({"nodeSelector": {}}), json!({"nodeClaim": {}}));
        check(
            true,
            json!({"nodeSelector": {"disk": "ssd"}}),
            json!({"nodeClaim": {"nodeSelector": {"disk": "ssd"}}}),
        );
        let affinity = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]});
        check(
            true,
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": affinity}},
                "tolerations": [{"key": "t", "operator": "Exists", "tolerationSeconds": 300}]}),
            json!({"nodeClaim": {"hardNodeAffinity": affinity,
                "tolerations": [{"key": "t", "operator": "Exists", "tolerationSeconds": 300}]}}),
        );
    }

    #[test]
    fn priority_class_comes_only_with_other_requirements() {
        let options = Options {
            resource_quota_estimate: true,
            ..Options::default()
        };
        assert_eq!(of_pod(&json!({"priorityClassName": "high"}), options), None);
        let found = of_pod(
            &json!({"priorityClassName": "high", "nodeSelector": {"a": "b"}}),
            options,
        )
        .expect("a claim");
        assert_eq!(found.priority_class_name.as_deref(), Some("high"));
    }

    #[test]
    fn sidecars_and_pod_level_requests_count_unless_compatible() {
        let sidecar = json!({
            "containers": [{"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
                {"resources": {"requests": {"cpu": "1200m"}}},
            ],
        });
        check(
            true,
            sidecar.clone(),
            json!({"resourceRequest": {"cpu": "1200m"}}),
        );
        check(false, sidecar, json!({"resourceRequest": {"cpu": "1700m"}}));
        let pod_level = json!({
            "resources": {"requests": {"cpu": "3"}},
            "containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Ki"}}}],
        });
        check(
            true,
            pod_level.clone(),
            json!({"resourceRequest": {"cpu": "1", "memory": "1Ki"}}),
        );
        check(
            false,
            pod_level,
            json!({"resourceRequest": {"cpu": "3", "memory": "1Ki"}}),
        );
    }

    #[test]
    fn names_that_count() {
        for (name, counts) in [
            ("cpu", true),
            ("pods", true),
            ("example.com/foo", true),
            ("kubernetes.io/batch-cpu", true),
            ("attachable-volumes-aws", true),
            ("requests.example.com/foo", false),
            ("storage", false),
            ("bad name/foo", false),
            ("example.com/", false),
        ] {
            assert_eq!(unit(name).is_some(), counts, "{name}");
        }
    }
}
