use scheduler::{
    Cluster, Request,
    plugins::{Filter, Verdict},
};

/// The label of clusters to which nothing new comes.
const LABEL: &str = "example.com/curfew";

/// Keeps new workloads off clusters under curfew; what is there stays.
pub(crate) struct Curfew;

impl Filter for Curfew {
    fn name(&self) -> &'static str {
        "Curfew"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if cluster.label(LABEL) == Some("true") && !request.is_target(cluster) {
            Verdict::unfit("cluster(s) were under curfew")
        } else {
            Verdict::Fits
        }
    }

    fn code(&self) -> &'static str {
        "UnderCurfew"
    }
}

#[cfg(test)]
mod tests {
    use scheduler::{Options, cases::Cases, plugins::Registry};
    use serde_json::{Value, json};

    use super::*;
    use crate::price::Price;

    /// A workload that is put into one of two clusters with these labels, and is in `targets` now.
    #[track_caller]
    fn check(east: &Value, west: &Value, targets: &Value, expected: &Value) {
        let mut registry = Registry::builtin();
        registry.filter(Curfew).score(Price);
        let mut options = Options::default();
        options.plugins = registry.enable("*", &options.gates).unwrap();
        let cluster = |name: &str, labels: &Value| {
            let apis = json!([{ "groupVersion": "v1", "resources": [{ "name": "configmaps", "kind": "ConfigMap" }] }]);
            json!({
                "metadata": { "name": name, "labels": labels },
                "spec": { "syncMode": "Push" },
                "status": { "apiEnablements": apis },
            })
        };
        let case = json!({
            "clusters": [cluster("east", east), cluster("west", west)],
            "binding": {
                "metadata": { "name": "settings-configmap" },
                "spec": {
                    "resource": { "apiVersion": "v1", "kind": "ConfigMap", "name": "settings" },
                    "placement": { "spreadConstraints": [{ "spreadByField": "cluster", "minGroups": 1, "maxGroups": 1 }] },
                    "clusters": targets,
                },
            },
        });
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let answer = Cases::new(options).answer(1, case.to_string().as_bytes(), now);
        let answer = serde_json::to_value(answer).unwrap();
        let got = answer
            .pointer("/clusters/0/name")
            .or_else(|| answer.pointer("/error/message"));
        assert_eq!(got, Some(expected), "{answer}");
    }

    #[test]
    fn nothing_new_comes_to_a_cluster_under_curfew() {
        let (open, closed) = (json!({}), json!({ LABEL: "true" }));
        check(&open, &open, &json!([]), &json!("east"));
        check(&closed, &open, &json!([]), &json!("west"));
        check(&closed, &open, &json!([{ "name": "east" }]), &json!("east"));
        let refused = "0/2 clusters are available: 2 cluster(s) were under curfew.";
        check(&closed, &closed, &json!([]), &json!(refused));
    }

    #[test]
    fn the_cheaper_cluster_wins() {
        let price = |amount: &str| json!({ crate::price::LABEL: amount });
        check(&price("7"), &price("3"), &json!([]), &json!("west"));
        check(&price("3"), &price("7"), &json!([]), &json!("east"));
        check(&json!({}), &price("7"), &json!([]), &json!("west"));
        let refused = "failed to prioritize clusters: plugin \"Price\" failed with: the price of east is no number: \"cheap\"";
        check(&price("cheap"), &price("7"), &json!([]), &json!(refused));
    }
}
