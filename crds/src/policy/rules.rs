//! Rules over policies that the API server checks on every write, so that they hold without a webhook.
//!
//! Where a rule compares fields it is written in CEL, whose cost is limited: the API server estimates it from the size of the
//! largest possible object, so that a rule may walk one list but not a list within a list, and not compare all pairs of a list.
//! Rules that need to do so look at the first few elements by their indexes, which are more than anybody uses. Rules about the
//! value of one field stand as plain schema under `allOf`, which is free and works at any depth. Bindings copy parts of policies and are not held to
//! these rules again, see [`unchecked`](crate::schema::unchecked).
//!
//! What is left to reconcilers: namespaces of selectors, duplicate taints in long lists, contents of
//! labels and annotations in overriders, names of resources in quotas and sums over them.

use k8s_openapi::api::core::v1::Toleration;
use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::schema::{self, LABEL_KEY_PATTERN, LABEL_VALUE_PATTERN, Rule, rules};

/// The name of a quota becomes the value of a label.
pub(super) const FEDERATED_RESOURCE_QUOTA: &[Rule] = &[Rule::new(
    "self.metadata.name.size() <= 63",
    "must be no more than 63 characters",
)
.at(".metadata.name")];

pub(super) fn propagation_spec() -> Value {
    rules(&[
        Rule::new(
            "!has(self.preemption) || self.preemption != 'Always' || self.resourceSelectors.all(it, has(it.name) && it.name != '')",
            "name cannot be empty if preemption is Always, the empty name may cause unexpected resources preemption",
        )
        .at(".resourceSelectors"),
        // Selecting a ServiceImport switches propagateDeps on.
        Rule::new(
            "!has(self.failover) || !has(self.failover.application) || (has(self.propagateDeps) && self.propagateDeps) || self.resourceSelectors.exists(it, it.kind == 'ServiceImport' && it.apiVersion == 'multicluster.x-k8s.io/v1alpha1')",
            "application failover is set, propagateDeps must be true",
        )
        .at(".propagateDeps"),
    ])
}

pub(super) fn scheduler_name() -> Value {
    rules(&[Rule::new(
        "self == oldSelf",
        "the schedulerName should not be updated",
    )])
}

pub(super) fn suspension() -> Value {
    rules(&[Rule::new(
        "!has(self.dispatching) || !self.dispatching || !has(self.dispatchingOnClusters) || !has(self.dispatchingOnClusters.clusterNames) || self.dispatchingOnClusters.clusterNames.size() == 0",
        "suspension dispatching cannot co-exist with dispatchingOnClusters.clusterNames",
    )])
}

pub(super) fn placement() -> Value {
    rules(&[
        Rule::new(
            "!has(self.clusterAffinity) || !has(self.clusterAffinities) || self.clusterAffinities.size() == 0",
            "clusterAffinities cannot co-exist with clusterAffinity",
        )
        .at(".clusterAffinities"),
        // Weighted is what divided replicas get without a preference.
        Rule::new(
            "!has(self.clusterAffinities) || !self.clusterAffinities.exists(it, has(it.overflowAffinities) && it.overflowAffinities.size() > 0) || (has(self.replicaScheduling) && (!has(self.replicaScheduling.replicaSchedulingType) || self.replicaScheduling.replicaSchedulingType == 'Divided') && (has(self.replicaScheduling.replicaDivisionPreference) && self.replicaScheduling.replicaDivisionPreference == 'Aggregated' || has(self.replicaScheduling.weightPreference) && has(self.replicaScheduling.weightPreference.dynamicWeight)))",
            "overflowAffinities can only be used together with dynamic weight or aggregated scheduling",
        )
        .at(".clusterAffinities"),
        Rule::new(
            "!has(self.clusterAffinities) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(j, i >= j || j >= self.clusterAffinities.size() || self.clusterAffinities[i].affinityName != self.clusterAffinities[j].affinityName))",
            "each affinity term in a policy must have a unique name",
        )
        .at(".clusterAffinities"),
        Rule::new(
            "!has(self.clusterAffinities) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, i >= self.clusterAffinities.size() || !has(self.clusterAffinities[i].overflowAffinities) || [0,1,2,3,4,5,6,7].all(j, j >= self.clusterAffinities[i].overflowAffinities.size() || self.clusterAffinities[i].overflowAffinities[j].affinityName != self.clusterAffinities[i].affinityName && [0,1,2,3,4,5,6,7].all(k, j >= k || k >= self.clusterAffinities[i].overflowAffinities.size() || self.clusterAffinities[i].overflowAffinities[j].affinityName != self.clusterAffinities[i].overflowAffinities[k].affinityName)))",
            "overflow affinity name must be unique and must not duplicate the primary group's affinityName",
        )
        .at(".clusterAffinities"),
    ])
}

pub(super) fn spread_constraints() -> Value {
    rules(&[
        // A constraint by nothing is one by cluster.
        Rule::new(
            "![0,1,2,3,4,5,6,7].exists(i, i < self.size() && has(self[i].spreadByField)) || [0,1,2,3,4,5,6,7].exists(i, i < self.size() && (has(self[i].spreadByField) ? self[i].spreadByField == 'cluster' : !has(self[i].spreadByLabel)))",
            "the cluster spread constraint must be enabled in one of the constraints in case of SpreadByField is enabled",
        ),
        Rule::new(
            "[0,1,2,3,4,5,6,7].filter(i, i < self.size() && has(self[i].spreadByField) && self[i].spreadByField == 'cluster').size() <= 1",
            "multiple cluster spread constraints are not allowed",
        ),
        Rule::new(
            "[0,1,2,3,4,5,6,7].filter(i, i < self.size() && has(self[i].spreadByField) && self[i].spreadByField == 'region').size() <= 1",
            "multiple region spread constraints are not allowed",
        ),
        Rule::new(
            "[0,1,2,3,4,5,6,7].filter(i, i < self.size() && has(self[i].spreadByField) && self[i].spreadByField == 'zone').size() <= 1",
            "multiple zone spread constraints are not allowed",
        ),
        Rule::new(
            "[0,1,2,3,4,5,6,7].filter(i, i < self.size() && has(self[i].spreadByField) && self[i].spreadByField == 'provider').size() <= 1",
            "multiple provider spread constraints are not allowed",
        ),
        Rule::new(
            "[0,1,2,3,4,5,6,7].all(i, i >= self.size() || !has(self[i].maxGroups) || !has(self[i].minGroups) || self[i].maxGroups <= 0 || self[i].maxGroups >= self[i].minGroups)",
            "maxGroups lower than minGroups is not allowed",
        ),
    ])
}

pub(super) fn affinity_term() -> Value {
    rules(&[
        Rule::new(
            "!has(self.overflowAffinities) || self.overflowAffinities.size() == 0 || has(self.labelSelector) || has(self.fieldSelector) || has(self.clusterNames) || has(self.exclude)",
            "overflowAffinities can only be used together with the inline ClusterAffinity",
        )
        .at(".overflowAffinities"),
    ])
}

pub(super) fn spread_constraint() -> Value {
    rules(&[
        Rule::new(
            "!has(self.spreadByField) || !has(self.spreadByLabel)",
            "spreadByLabel should not co-exist with spreadByField",
        ),
        Rule::new(
            "!has(self.minGroups) || self.minGroups >= 0",
            "minGroups lower than 0 is not allowed",
        ),
        Rule::new(
            "!has(self.maxGroups) || self.maxGroups >= 0",
            "maxGroups lower than 0 is not allowed",
        ),
    ])
}

/// Tolerations of taints on clusters, which have no numbers to compare.
pub(super) fn cluster_tolerations(generator: &mut SchemaGenerator) -> Schema {
    let mut toleration = Toleration::json_schema(generator);
    toleration.ensure_object()["properties"]["operator"]["allOf"] =
        one_of(&["", "Exists", "Equal"]);
    json_schema!({ "type": "array", "items": toleration })
}

pub(super) fn workload_affinity() -> Value {
    rules(&[Rule::new(
        "!has(self.affinity) || !has(self.antiAffinity) || self.affinity.groupByLabelKey != self.antiAffinity.groupByLabelKey",
        "affinity and antiAffinity must not use the same groupByLabelKey",
    )])
}

pub(super) fn application_failover() -> Value {
    rules(&[
        Rule::new(
            "!has(self.decisionConditions.tolerationSeconds) || self.decisionConditions.tolerationSeconds >= 0",
            "must be greater than or equal to 0",
        )
        .at(".decisionConditions.tolerationSeconds"),
        Rule::new(
            "!has(self.gracePeriodSeconds) || !has(self.purgeMode) || self.purgeMode in ['Gracefully', 'Graciously']",
            "only takes effect when purgeMode is gracefully",
        )
        .at(".gracePeriodSeconds"),
        Rule::new(
            "!has(self.gracePeriodSeconds) || self.gracePeriodSeconds > 0",
            "must be greater than 0",
        )
        .at(".gracePeriodSeconds"),
    ])
}

pub(super) fn override_spec() -> Value {
    rules(&[
        Rule::new(
            "!has(self.targetCluster) || !has(self.overrideRules) || self.overrideRules.size() == 0",
            "overrideRules and targetCluster can't co-exist",
        )
        .at(".targetCluster"),
        Rule::new(
            "!has(self.overriders) || !has(self.overrideRules) || self.overrideRules.size() == 0 || !(has(self.overriders.plaintext) || has(self.overriders.imageOverrider) || has(self.overriders.commandOverrider) || has(self.overriders.argsOverrider) || has(self.overriders.labelsOverrider) || has(self.overriders.annotationsOverrider))",
            "overrideRules and overriders can't co-exist",
        )
        .at(".overriders"),
    ])
}

pub(super) fn taints() -> Value {
    rules(&[Rule::new(
        "[[0,1],[0,2],[0,3],[1,2],[1,3],[2,3]].all(it, it[1] >= self.size() || self[it[0]].effect != self[it[1]].effect || self[it[0]].key != self[it[1]].key)",
        "Duplicate taint with the same key and effect is not allowed",
    )])
}

/// A field that holds the key of a label.
pub(super) fn label_key() -> Value {
    json!([{ "pattern": LABEL_KEY_PATTERN, "maxLength": 317 }])
}

/// A field that holds the value of a label.
pub(super) fn label_value() -> Value {
    json!([{ "pattern": LABEL_VALUE_PATTERN, "maxLength": 63 }])
}

/// A field that holds a JSON pointer: empty, or beginning with a slash.
pub(super) fn json_pointer() -> Value {
    json!([{ "pattern": "^(/|$)" }])
}

/// A field that holds the name of a cluster.
pub(super) fn cluster_name() -> Value {
    json!([{ "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 48 }])
}

/// A field with one of these values.
pub(super) fn one_of(values: &[&str]) -> Value {
    json!([{ "enum": values }])
}

/// A label selector with operators that label selectors have.
pub(super) fn label_selector(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = schema::label_selector(generator);
    let expressions = &mut schema.ensure_object()["properties"]["matchExpressions"];
    expressions["items"]["allOf"] = json!([{
        "properties": {
            "operator": { "enum": ["In", "NotIn", "Exists", "DoesNotExist"] },
        },
    }]);
    schema
}

/// Requirements over the fields by which clusters are selected.
pub(super) fn field_requirements(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = schema::requirements(generator);
    schema.ensure_object()["items"]["allOf"] = json!([{
        "properties": {
            "key": { "enum": ["provider", "region", "zone"] },
            "operator": { "enum": ["In", "NotIn"] },
        },
    }]);
    schema
}

/// Quantities of which none is negative.
pub(super) fn limits(generator: &mut SchemaGenerator) -> Schema {
    let mut limit = schema::quantity(generator);
    limit.insert(
        "allOf".into(),
        json!([{ "pattern": "^[^-]" }, { "minimum": 0 }]),
    );
    json_schema!({ "type": "object", "additionalProperties": limit })
}

/// A field overrider has changes for one kind of document.
pub(super) fn one_document() -> Value {
    json!([{ "required": ["json"] }, { "required": ["yaml"] }])
}

/// What is added or replaced needs a value, what is removed has none.
pub(super) fn value_as_operator_needs() -> Value {
    json!([
        { "anyOf": [
            { "required": ["value"] },
            { "properties": { "operator": { "not": { "enum": ["add", "replace"] } } } },
        ] },
        { "anyOf": [
            { "properties": { "operator": { "not": { "enum": ["remove"] } } } },
            { "not": { "required": ["value"] } },
        ] },
    ])
}
