//! Interpretation by scripts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InterpreterOperation;
use crate::kind::Column;

kind! {
    /// Teaches the control plane a kind through scripts in Lua, for example how many replicas an object asks for or whether it is
    /// healthy. What no script answers is interpreted as before: by a webhook, by the rules for well-known kinds, by the native
    /// rules.
    pub struct ResourceInterpreterCustomization { spec: ResourceInterpreterCustomizationSpec }
    group: "config.karmada.io",
    version: "v1alpha1",
    plural: "resourceinterpretercustomizations",
    singular: "resourceinterpretercustomization",
    scope: Cluster as ClusterResourceScope,
    short_names: ["ric"],
    categories: ["karmada-io"],
    columns: &[
        Column::string("TARGET-API-VERSION", ".spec.target.apiVersion"),
        Column::string("TARGET-KIND", ".spec.target.kind"),
        Column::age("AGE"),
    ],
    subresources: Empty,
    rules: &[],
}

/// Which kind is interpreted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInterpreterCustomizationSpec {
    /// The scripts, one per question. Two objects for one kind must not answer the same question, except for
    /// `dependencyInterpretation`, whose answers are joined.
    pub customizations: CustomizationRules,

    /// The kind that the scripts are about.
    pub target: CustomizationTarget,
}

/// A kind in one version.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct CustomizationTarget {
    /// Group and version, for example `apps/v1`.
    pub api_version: String,

    /// The kind, for example `Deployment`.
    pub kind: String,
}

/// The scripts, one per question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomizationRules {
    /// Which components of the object have replicas: `GetComponents(desiredObj)` returns a list of tables with `name`,
    /// `replicas` and `replicaRequirements`. For kinds with several pod templates, where `replicaResource` is too coarse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_resource: Option<LuaScript>,

    /// Which other objects the object needs: `GetDependencies(desiredObj)` returns a list of tables with `apiVersion`, `kind`,
    /// `namespace`, and `name` or `labelSelector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency_interpretation: Option<LuaScript>,

    /// Whether the object in a member cluster is healthy: `InterpretHealth(observedObj)` returns true or false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_interpretation: Option<LuaScript>,

    /// How many replicas the object asks for and what each needs: `GetReplicas(desiredObj)` returns the number and a table with
    /// `resourceRequest`, `nodeClaim`, `namespace` and `priorityClassName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_resource: Option<LuaScript>,

    /// How to change the number of replicas: `ReviseReplica(desiredObj, desiredReplica)` returns the changed object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_revision: Option<LuaScript>,

    /// What to keep of the object as it is in a member cluster, for example fields that a controller there sets:
    /// `Retain(desiredObj, observedObj)` returns the object to apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<LuaScript>,

    /// How the status in the control plane follows from those in the member clusters: `AggregateStatus(desiredObj, statusItems)`
    /// returns the object with its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_aggregation: Option<LuaScript>,

    /// Which part of the status to collect from member clusters: `ReflectStatus(observedObj)` returns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reflection: Option<LuaScript>,
}

impl CustomizationRules {
    /// The script for one operation, if there is one that is not empty.
    pub fn script(&self, operation: InterpreterOperation) -> Option<&str> {
        let script = match operation {
            InterpreterOperation::Retain => &self.retention,
            InterpreterOperation::InterpretReplica => &self.replica_resource,
            InterpreterOperation::InterpretComponent => &self.component_resource,
            InterpreterOperation::ReviseReplica => &self.replica_revision,
            InterpreterOperation::InterpretStatus => &self.status_reflection,
            InterpreterOperation::AggregateStatus => &self.status_aggregation,
            InterpreterOperation::InterpretHealth => &self.health_interpretation,
            InterpreterOperation::InterpretDependency => &self.dependency_interpretation,
            InterpreterOperation::Prune => &None,
        };
        script
            .as_ref()
            .map(|it| it.lua_script.as_str())
            .filter(|it| !it.is_empty())
    }
}

/// A script in Lua.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LuaScript {
    /// The script. It defines the function named above; the library `kube` may be required.
    pub lua_script: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_scripts_count_as_absent() {
        let rules: CustomizationRules = serde_json::from_value(serde_json::json!({
            "retention": {"luaScript": ""},
            "replicaResource": {"luaScript": "function GetReplicas(o) end"},
        }))
        .unwrap();
        assert_eq!(rules.script(InterpreterOperation::Retain), None);
        assert_eq!(rules.script(InterpreterOperation::Prune), None);
        assert_eq!(
            rules.script(InterpreterOperation::InterpretReplica),
            Some("function GetReplicas(o) end")
        );
    }
}
