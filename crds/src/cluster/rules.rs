//! Rules over clusters that the API server checks on every write.

use k8s_openapi::api::core::v1::Taint;
use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::schema::{self, Rule, rules};

/// The API server has checked already that names consist of DNS labels. What remains is that there is one label, short enough to
/// become part of a namespace's name.
pub(super) const CLUSTER: &[Rule] = &[
    Rule::new(
        "self.metadata.name.size() <= 48",
        "must be no more than 48 characters",
    )
    .at(".metadata.name"),
    Rule::new("!self.metadata.name.contains('.')", "must not contain dots").at(".metadata.name"),
];

pub(super) fn spec() -> Value {
    rules(&[
        Rule::new(
            "!has(self.zone) || self.zone == '' || !has(self.zones) || self.zones.size() == 0",
            "Zone and Zones cannot co-exist",
        )
        .at(".zone"),
        Rule::new(
            "!has(self.resourceModels) || self.resourceModels.all(it, it.ranges.size() == self.resourceModels[0].ranges.size())",
            "The number of resource types should be the same",
        )
        .at(".resourceModels"),
        // All pairs of a list of any length would cost too much; there are nine sizes by default.
        Rule::new(
            "!has(self.resourceModels) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(j, i >= j || j >= self.resourceModels.size() || self.resourceModels[i].grade != self.resourceModels[j].grade))",
            "The grade of each models should not be the same",
        )
        .at(".resourceModels"),
    ])
}

pub(super) fn api_endpoint() -> Value {
    rules(&[
        Rule::new(
            "self == '' || isURL(self) && url(self).getHost() != ''",
            "host must be provided; desired format: https://hostname, https://hostname:port, https://IP or https://IP:port",
        ),
        Rule::new(
            "!self.matches('^[^/]*//[^/]*@')",
            "user information is not permitted",
        ),
        Rule::new("!self.contains('#')", "fragments are not permitted"),
        Rule::new("!self.contains('?')", "query parameters are not permitted"),
    ])
}

pub(super) fn proxy_url() -> Value {
    rules(&[Rule::new(
        "self == '' || isURL(self) && url(self).getScheme() in ['http', 'https', 'socks5']",
        "unsupported scheme, must be http, https, or socks5",
    )])
}

/// Taints of clusters: fewer effects than those of nodes have, and no two with the same key and effect.
pub(super) fn taints(generator: &mut SchemaGenerator) -> Schema {
    let mut taint = Taint::json_schema(generator);
    let properties = &mut taint.ensure_object()["properties"];
    properties["effect"]["enum"] = json!(["NoSchedule", "NoExecute"]);
    for (field, constraints) in [
        ("key", schema::label_key(generator)),
        ("value", schema::label_value(generator)),
    ] {
        for (keyword, value) in constraints.as_object().into_iter().flatten() {
            properties[field][keyword] = value.clone();
        }
    }
    json_schema!({
        "type": "array",
        "items": taint,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key", "effect"],
    })
}

#[cfg(test)]
mod tests {
    use kube::core::crd::v1::CustomResourceExt as _;

    use super::*;
    use crate::cluster::Cluster;
    use crate::validation::complaints;

    #[track_caller]
    fn check(name: &str, field: &str, value: Value, expected: &[&str]) {
        let mut spec = json!({ "syncMode": "Push" });
        spec[field] = value;
        assert_eq!(complaints(&Cluster::crd(), name, &spec, None), expected);
    }

    #[test]
    fn names_become_part_of_namespaces() {
        check(&"a".repeat(48), "id", json!("x"), &[]);
        check(
            &"a".repeat(49),
            "id",
            json!("x"),
            &["metadata.name: must be no more than 48 characters"],
        );
        check(
            "a.b",
            "id",
            json!("x"),
            &["metadata.name: must not contain dots"],
        );
    }

    #[test]
    fn places_are_label_values() {
        check("a", "zones", json!(["eu-1a", "eu-1b"]), &[]);
        check("a", "region", json!(""), &[]);
        check(
            "a",
            "region",
            json!("West Europe"),
            &["spec.region: does not match the pattern"],
        );
        check(
            "a",
            "zones",
            json!(["a b"]),
            &["spec.zones[0]: does not match the pattern"],
        );
        let spec = json!({ "syncMode": "Push", "zone": "a", "zones": ["b"] });
        assert_eq!(
            complaints(&Cluster::crd(), "a", &spec, None),
            ["spec.zone: Zone and Zones cannot co-exist"]
        );
    }

    #[test]
    fn taints_have_the_effects_that_clusters_know() {
        let taint = |key: &str, effect: &str| json!([{ "key": key, "effect": effect }]);
        check("a", "taints", taint("example.com/a", "NoExecute"), &[]);
        check(
            "a",
            "taints",
            taint("a", "PreferNoSchedule"),
            &["spec.taints[0].effect: unsupported value"],
        );
        check(
            "a",
            "taints",
            taint("a b", "NoSchedule"),
            &["spec.taints[0].key: does not match the pattern"],
        );
    }

    #[test]
    fn sizes_have_their_own_grades_and_the_same_resources() {
        let size = |grade: u64, ranges: usize| {
            let range = json!({ "name": "cpu", "min": 0, "max": 1 });
            json!({ "grade": grade, "ranges": vec![range; ranges] })
        };
        check("a", "resourceModels", json!([size(1, 2), size(0, 2)]), &[]);
        check(
            "a",
            "resourceModels",
            json!([size(1, 1), size(0, 1), size(1, 1)]),
            &["spec.resourceModels: The grade of each models should not be the same"],
        );
        check(
            "a",
            "resourceModels",
            json!([size(0, 1), size(1, 2)]),
            &["spec.resourceModels: The number of resource types should be the same"],
        );
    }

    #[test]
    fn secrets_are_named_in_full() {
        let secret = |namespace: &str, name: &str| json!({ "namespace": namespace, "name": name });
        check("a", "secretRef", secret("ns", "a"), &[]);
        for (wrong, field) in [(secret("", "a"), "namespace"), (secret("ns", ""), "name")] {
            let expected = format!("spec.impersonatorSecretRef.{field}: too short");
            check("a", "impersonatorSecretRef", wrong, &[&expected]);
        }
    }
}
