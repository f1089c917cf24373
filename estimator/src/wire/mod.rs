//! The protocol of the reference's estimators: the generated code, and what it says in our types.
//!
//! `core`, `estimator`, `resource` and `service` are generated from `proto/` by the test `wire`.

#[allow(clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub mod core;
#[allow(clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub mod estimator;
#[allow(clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub mod resource;
#[allow(clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub mod service;

mod read;
mod write;

pub use read::Malformed;

#[cfg(test)]
mod tests {
    use crds::work::{Component, ReplicaRequirements};
    use prost::Message as _;
    use serde_json::json;

    use super::*;

    fn requirements() -> ReplicaRequirements {
        serde_json::from_value(json!({
            "nodeClaim": {
                "hardNodeAffinity": {"nodeSelectorTerms": [{
                    "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}],
                    "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}],
                }]},
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [
                    {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 30},
                    {"operator": "Exists"},
                ],
            },
            "resourceRequest": {"cpu": "100m", "memory": "1Gi"},
            "namespace": "shop",
            "priorityClassName": "high",
        }))
        .unwrap()
    }

    #[test]
    fn requirements_survive_the_wire() {
        let written = estimator::ReplicaRequirements::from(&requirements());
        let bytes = written.encode_to_vec();
        let read = estimator::ReplicaRequirements::decode(&*bytes).unwrap();
        assert_eq!(ReplicaRequirements::try_from(read).unwrap(), requirements());
    }

    #[test]
    fn components_survive_the_wire() {
        let component: Component = serde_json::from_value(json!({
            "name": "jobmanager", "replicas": 2,
            "replicaRequirements": {"resourceRequest": {"cpu": "1"}, "priorityClassName": "low"},
        }))
        .unwrap();
        let written = estimator::Component::from(&component);
        assert_eq!(Component::try_from(written).unwrap(), component);
    }

    #[test]
    fn either_variant_of_a_field_is_read_and_the_bytes_win() {
        let mut old = estimator::ReplicaRequirements::from(&requirements());
        old.resource_request_bytes.clear();
        let claim = old.node_claim.as_mut().unwrap();
        claim.node_affinity_bytes.clear();
        claim.tolerations_bytes.clear();
        assert_eq!(ReplicaRequirements::try_from(old).unwrap(), requirements());

        let mut new = estimator::ReplicaRequirements::from(&requirements());
        new.resource_request.clear();
        let claim = new.node_claim.as_mut().unwrap();
        claim.node_affinity = None;
        claim.tolerations.clear();
        assert_eq!(ReplicaRequirements::try_from(new).unwrap(), requirements());

        let mut both = estimator::ReplicaRequirements::from(&requirements());
        both.resource_request.get_mut("cpu").unwrap().string = "9".to_owned();
        assert_eq!(ReplicaRequirements::try_from(both).unwrap(), requirements());
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let mut bad = estimator::ReplicaRequirements::from(&requirements());
        bad.resource_request_bytes
            .insert("cpu".to_owned(), vec![0xff, 0xff]);
        let error = ReplicaRequirements::try_from(bad).unwrap_err();
        assert!(
            error.to_string().starts_with("resourceRequestBytes[cpu]"),
            "{error}"
        );
    }

    #[test]
    fn what_is_absent_is_not_written() {
        let written = estimator::ReplicaRequirements::from(&ReplicaRequirements::default());
        assert_eq!(written, estimator::ReplicaRequirements::default());
        assert_eq!(written.encode_to_vec(), Vec::<u8>::new());
    }

    #[test]
    fn field_numbers_are_the_references() {
        // Field 1 of a requirement on labels, as the reference's Go code encodes it.
        let requirement = core::NodeSelectorRequirement {
            key: "k".to_owned(),
            operator: "In".to_owned(),
            values: vec!["v".to_owned()],
        };
        assert_eq!(requirement.encode_to_vec(), b"\x0a\x01k\x12\x02In\x1a\x01v");
        let request = estimator::MaxAvailableReplicasRequest {
            cluster: "m1".to_owned(),
            replica_requirements: Some(estimator::ReplicaRequirements {
                namespace: "n".to_owned(),
                priority_class_name: "p".to_owned(),
                ..estimator::ReplicaRequirements::default()
            }),
            assumed_workloads: vec![estimator::AssumedWorkload {
                namespace: "a".to_owned(),
                components: Vec::new(),
            }],
        };
        assert_eq!(
            request.encode_to_vec(),
            b"\x0a\x02m1\x12\x06\x1a\x01n\x22\x01p\x1a\x03\x0a\x01a"
        );
    }
}
