//! How many more replicas the quotas of a namespace admit.

use std::{borrow::Borrow, collections::BTreeMap};

use crds::work::{Component, ReplicaRequirements};
use k8s_openapi::{
    api::core::v1::ScopedResourceSelectorRequirement, apimachinery::pkg::api::resource::Quantity,
};
use scheduler::{inflight::AssumedWorkload, quantity::Amount};

use crate::{amounts::BadQuantity, fleet::UNLIMITED, objects::Quota};

/// The scope that is known here; by others a quota never applies to what is asked about.
const PRIORITY_CLASS: &str = "PriorityClass";
/// One pod, in billionths as everything else here.
const ONE: i128 = 1_000_000_000;

/// Amounts in billionths by resource.
type Demand = BTreeMap<String, i128>;

/// How many more replicas fit into the quotas of their namespace; `None` if none of them limits.
pub fn replicas<Q: Borrow<Quota>>(
    quotas: impl IntoIterator<Item = Q>,
    requirements: &ReplicaRequirements,
    assumed: &[AssumedWorkload],
) -> Result<Option<i64>, BadQuantity> {
    let class = requirements.priority_class_name.as_deref();
    let demand = demand(&requirements.resource_request, 1)?;
    let namespace = requirements.namespace.as_deref().unwrap_or_default();
    smallest(quotas, namespace, assumed, |quota| {
        Ok(applies(quota, class).then(|| demand.clone()))
    })
}

/// How many more sets of all components fit into the quotas of their namespace; `None` if none of them limits.
pub fn sets<Q: Borrow<Quota>>(
    quotas: impl IntoIterator<Item = Q>,
    namespace: &str,
    components: &[Component],
    assumed: &[AssumedWorkload],
) -> Result<Option<i64>, BadQuantity> {
    smallest(quotas, namespace, assumed, |quota| {
        total(quota, components).map(Some)
    })
}

/// The smallest answer of the quotas to what each of them counts of one replica or set.
fn smallest<Q: Borrow<Quota>>(
    quotas: impl IntoIterator<Item = Q>,
    namespace: &str,
    assumed: &[AssumedWorkload],
    counted: impl Fn(&Quota) -> Result<Option<Demand>, BadQuantity>,
) -> Result<Option<i64>, BadQuantity> {
    let mut smallest: Option<i64> = None;
    for quota in quotas {
        let quota = quota.borrow();
        let Some(demand) = counted(quota)? else {
            continue;
        };
        let mut free = free(quota);
        for workload in assumed.iter().filter(|it| it.namespace == namespace) {
            for (name, amount) in total(quota, &workload.components)? {
                if let Some(free) = free.get_mut(name.as_str()) {
                    *free = free.saturating_sub(amount);
                }
            }
        }
        let fits = demand
            .iter()
            .filter(|(_, amount)| **amount > 0)
            .filter_map(|(name, amount)| Some(free.get(name.as_str())?.max(&0) / amount))
            .min()
            .and_then(|fits| i64::try_from(fits).ok())
            .filter(|fits| *fits <= UNLIMITED);
        smallest = [smallest, fits].into_iter().flatten().min();
    }
    Ok(smallest)
}

/// What is left by the name of the resource; of two forms of one name the scarcer counts.
fn free(quota: &Quota) -> BTreeMap<&str, i128> {
    let mut free: BTreeMap<&str, i128> = BTreeMap::new();
    for (name, left) in &quota.free {
        let resource = match name.as_str() {
            "pods" | "count/pods" => "pods",
            name if name.starts_with("limits.") || name.starts_with("count/") => continue,
            name => name.strip_prefix("requests.").unwrap_or(name),
        };
        let least = free.entry(resource).or_insert(*left);
        *least = (*least).min(*left);
    }
    free
}

/// What the quota counts of one set.
fn total(quota: &Quota, components: &[Component]) -> Result<Demand, BadQuantity> {
    let mut total = Demand::new();
    for component in components {
        let requirements = component.replica_requirements.as_ref();
        let class = requirements.and_then(|it| it.priority_class_name.as_deref());
        if !applies(quota, class) {
            continue;
        }
        let none = BTreeMap::new();
        let requests = requirements.map_or(&none, |it| &it.resource_request);
        for (name, amount) in demand(requests, component.replicas.max(0).into())? {
            let sum = total.entry(name).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    Ok(total)
}

fn demand(requests: &BTreeMap<String, Quantity>, replicas: i128) -> Result<Demand, BadQuantity> {
    let mut demand: Demand = requests
        .iter()
        .map(|(name, quantity)| {
            let amount = Amount::of(quantity).ok_or_else(|| BadQuantity {
                resource: name.clone(),
                quantity: quantity.0.clone(),
            })?;
            Ok((name.clone(), amount.nanos.saturating_mul(replicas)))
        })
        .collect::<Result<_, _>>()?;
    demand.insert("pods".to_owned(), replicas * ONE);
    Ok(demand)
}

/// Whether a quota counts pods of this priority class: as in Kubernetes all its scopes have to hold.
fn applies(quota: &Quota, class: Option<&str>) -> bool {
    let class = class.filter(|class| !class.is_empty());
    quota.scopes.iter().all(|scope| holds(scope, class))
}

fn holds(scope: &ScopedResourceSelectorRequirement, class: Option<&str>) -> bool {
    if scope.scope_name != PRIORITY_CLASS {
        return false;
    }
    let values = scope.values.as_deref().unwrap_or_default();
    let listed = class.is_some_and(|class| values.iter().any(|value| value == class));
    match scope.operator.as_str() {
        "Exists" => class.is_some(),
        "DoesNotExist" => class.is_none(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn quota(spec: &Value, hard: &Value, used: &Value) -> Quota {
        serde_json::from_value(json!({"spec": spec, "status": {"hard": hard, "used": used}}))
            .unwrap()
    }

    fn requirements(request: &Value, class: &str) -> ReplicaRequirements {
        serde_json::from_value(json!({
            "namespace": "shop", "resourceRequest": request, "priorityClassName": class,
        }))
        .unwrap()
    }

    fn example(spec: &Value) -> Quota {
        quota(
            spec,
            &json!({"requests.cpu": "10", "requests.memory": "20Gi"}),
            &json!({"requests.cpu": "6", "requests.memory": "8Gi"}),
        )
    }

    #[track_caller]
    fn check(quotas: &[Quota], request: &Value, class: &str, expected: Option<i64>) {
        let found = replicas(quotas, &requirements(request, class), &[]);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn worked_examples() {
        let request = json!({"cpu": "1500m", "memory": "1Gi"});
        check(&[example(&json!({}))], &request, "", Some(2));
        let scope = |operator: &str| {
            json!({"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": ["high"]},
            ]}})
        };
        check(&[example(&scope("In"))], &request, "", None);
        check(&[example(&scope("In"))], &request, "high", Some(2));
        check(&[example(&scope("NotIn"))], &request, "", Some(2));
        check(&[example(&scope("Near"))], &request, "high", None);
    }

    #[test]
    fn all_scopes_have_to_hold() {
        let both = json!({"scopes": ["BestEffort"], "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "Exists"},
        ]}});
        check(&[example(&both)], &json!({"cpu": "1"}), "high", None);
    }

    #[test]
    fn the_scarcest_of_forms_quotas_and_pods_limits() {
        let two_forms = quota(
            &json!({}),
            &json!({"cpu": "4", "requests.cpu": "2", "limits.cpu": "1"}),
            &json!({"cpu": "0", "requests.cpu": "0", "limits.cpu": "0"}),
        );
        let pods = quota(&json!({}), &json!({"pods": "9"}), &json!({"pods": "8"}));
        let full = quota(
            &json!({}),
            &json!({"memory": "1Gi"}),
            &json!({"memory": "2Gi"}),
        );
        check(
            std::slice::from_ref(&two_forms),
            &json!({"cpu": "1"}),
            "",
            Some(2),
        );
        check(
            &[two_forms.clone(), pods],
            &json!({"cpu": "1"}),
            "",
            Some(1),
        );
        check(
            &[two_forms, full.clone()],
            &json!({"cpu": "1"}),
            "",
            Some(2),
        );
        check(&[full], &json!({"memory": "1"}), "", Some(0));
        check(&[], &json!({"cpu": "1"}), "", None);
    }

    #[test]
    fn sets_are_summed_and_assumed_workloads_deducted() {
        let part = |replicas: i32, cpu: &str| -> Component {
            serde_json::from_value(json!({
                "name": "c", "replicas": replicas,
                "replicaRequirements": {"resourceRequest": {"cpu": cpu}},
            }))
            .unwrap()
        };
        let quotas = [quota(
            &json!({}),
            &json!({"requests.cpu": "10"}),
            &json!({"requests.cpu": "0"}),
        )];
        let set = [part(1, "1"), part(2, "500m")];
        assert_eq!(sets(&quotas, "shop", &set, &[]), Ok(Some(5)));
        let assumed = |namespace: &str| AssumedWorkload {
            namespace: namespace.to_owned(),
            components: vec![part(2, "2500m")],
        };
        let found = sets(&quotas, "shop", &set, &[assumed("shop"), assumed("other")]);
        assert_eq!(found, Ok(Some(2)));
    }
}
