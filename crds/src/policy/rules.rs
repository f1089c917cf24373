//! Rules over policies in CEL, so that they hold without a webhook.

use serde_json::Value;

use crate::schema::{Rule, rules};

pub(super) const PROPAGATION_POLICY: &[Rule] = &[];
pub(super) const CLUSTER_PROPAGATION_POLICY: &[Rule] = &[];
pub(super) const FEDERATED_RESOURCE_QUOTA: &[Rule] = &[];

pub(super) fn placement() -> Value {
    rules(&[])
}
pub(super) fn cluster_tolerations() -> Value {
    rules(&[])
}
pub(super) fn workload_affinity() -> Value {
    rules(&[])
}
pub(super) fn field_selector() -> Value {
    rules(&[])
}
pub(super) fn propagation_spec() -> Value {
    rules(&[])
}
pub(super) fn suspension() -> Value {
    rules(&[])
}
pub(super) fn application_failover() -> Value {
    rules(&[])
}
pub(super) fn override_spec() -> Value {
    rules(&[])
}
