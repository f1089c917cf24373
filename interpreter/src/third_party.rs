//! Rules for well-known kinds of other projects, shipped as scripts.
//!
//! They lie in `thirdparty/<group>/<version>/<kind>/rules.lua`, each beside the cases that it is tested with. A script
//! answers the operations whose functions it defines.

use crds::config::InterpreterOperation;
use crds::object::Gvk;

use crate::customization::{Customizations, Source};
use crate::layer::{LayerName, Target};
use crate::lua::{Runtime, Script, function_name};

/// Stands in front of every script.
const COMMON: &str = include_str!("../thirdparty/common.lua");

const RULES: &[(&str, &str, &str)] = &[
    (
        "apps.kruise.io/v1alpha1",
        "AdvancedCronJob",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/AdvancedCronJob/rules.lua"),
    ),
    (
        "apps.kruise.io/v1alpha1",
        "BroadcastJob",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/BroadcastJob/rules.lua"),
    ),
    (
        "apps.kruise.io/v1alpha1",
        "CloneSet",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/CloneSet/rules.lua"),
    ),
    (
        "apps.kruise.io/v1alpha1",
        "DaemonSet",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/DaemonSet/rules.lua"),
    ),
    (
        "apps.kruise.io/v1alpha1",
        "SidecarSet",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/SidecarSet/rules.lua"),
    ),
    (
        "apps.kruise.io/v1alpha1",
        "UnitedDeployment",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/UnitedDeployment/rules.lua"),
    ),
    (
        "apps.kruise.io/v1beta1",
        "StatefulSet",
        include_str!("../thirdparty/apps.kruise.io/v1beta1/StatefulSet/rules.lua"),
    ),
    (
        "argoproj.io/v1alpha1",
        "Workflow",
        include_str!("../thirdparty/argoproj.io/v1alpha1/Workflow/rules.lua"),
    ),
    (
        "batch.volcano.sh/v1alpha1",
        "Job",
        include_str!("../thirdparty/batch.volcano.sh/v1alpha1/Job/rules.lua"),
    ),
    (
        "flink.apache.org/v1beta1",
        "FlinkDeployment",
        include_str!("../thirdparty/flink.apache.org/v1beta1/FlinkDeployment/rules.lua"),
    ),
    (
        "helm.toolkit.fluxcd.io/v2beta1",
        "HelmRelease",
        include_str!("../thirdparty/helm.toolkit.fluxcd.io/v2beta1/HelmRelease/rules.lua"),
    ),
    (
        "kubeflow.org/v1",
        "Notebook",
        include_str!("../thirdparty/kubeflow.org/v1/Notebook/rules.lua"),
    ),
    (
        "kubeflow.org/v1",
        "PyTorchJob",
        include_str!("../thirdparty/kubeflow.org/v1/PyTorchJob/rules.lua"),
    ),
    (
        "kubeflow.org/v1",
        "TFJob",
        include_str!("../thirdparty/kubeflow.org/v1/TFJob/rules.lua"),
    ),
    (
        "kubeflow.org/v2beta1",
        "MPIJob",
        include_str!("../thirdparty/kubeflow.org/v2beta1/MPIJob/rules.lua"),
    ),
    (
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        include_str!("../thirdparty/kustomize.toolkit.fluxcd.io/v1/Kustomization/rules.lua"),
    ),
    (
        "kyverno.io/v1",
        "ClusterPolicy",
        include_str!("../thirdparty/kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    (
        "kyverno.io/v1",
        "Policy",
        include_str!("../thirdparty/kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    (
        "ray.io/v1",
        "RayCluster",
        include_str!("../thirdparty/ray.io/v1/RayCluster/rules.lua"),
    ),
    (
        "ray.io/v1",
        "RayJob",
        include_str!("../thirdparty/ray.io/v1/RayJob/rules.lua"),
    ),
    (
        "ray.io/v1",
        "RayService",
        include_str!("../thirdparty/ray.io/v1/RayService/rules.lua"),
    ),
    (
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1/GitRepository/rules.lua"),
    ),
    (
        "source.toolkit.fluxcd.io/v1beta2",
        "Bucket",
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/Bucket/rules.lua"),
    ),
    (
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmChart",
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/HelmChart/rules.lua"),
    ),
    (
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmRepository",
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/HelmRepository/rules.lua"),
    ),
    (
        "source.toolkit.fluxcd.io/v1beta2",
        "OCIRepository",
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/OCIRepository/rules.lua"),
    ),
    (
        "sparkoperator.k8s.io/v1beta2",
        "SparkApplication",
        include_str!("../thirdparty/sparkoperator.k8s.io/v1beta2/SparkApplication/rules.lua"),
    ),
];

/// Versions that came after the ones above and have the fields that the rules read. Karmada does not know them.
const NEWER: &[(&str, &str, &str)] = &[
    (
        "source.toolkit.fluxcd.io/v1",
        "source.toolkit.fluxcd.io/v1beta2",
        "Bucket",
    ),
    (
        "source.toolkit.fluxcd.io/v1",
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmChart",
    ),
    (
        "source.toolkit.fluxcd.io/v1",
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmRepository",
    ),
    (
        "source.toolkit.fluxcd.io/v1",
        "source.toolkit.fluxcd.io/v1beta2",
        "OCIRepository",
    ),
];

/// The kinds with built-in rules that Karmada has as well, as API version and kind.
pub const THIRD_PARTY_KINDS: [(&str, &str); RULES.len()] = {
    let mut kinds = [("", ""); RULES.len()];
    let mut at = 0;
    while at < RULES.len() {
        kinds[at] = (RULES[at].0, RULES[at].1);
        at += 1;
    }
    kinds
};

/// The layer of built-in rules for third-party kinds. With `compat`, only for the kinds and versions that Karmada has.
pub fn third_party(runtime: &Runtime, compat: bool) -> Customizations {
    let rules_of = |api_version: &str, kind: &str| {
        RULES
            .iter()
            .find(|rule| (rule.0, rule.1) == (api_version, kind))
            .map_or("", |rule| rule.2)
    };
    let newer = NEWER
        .iter()
        .filter(|_| !compat)
        .map(|(version, older, kind)| (*version, *kind, rules_of(older, kind)));
    let scripts: Vec<_> = RULES
        .iter()
        .copied()
        .chain(newer)
        .map(|(api_version, kind, rules)| {
            (Target::new(api_version, kind), format!("{COMMON}{rules}"))
        })
        .collect();
    let sources = scripts.iter().flat_map(|(target, script)| {
        // A script that does not parse would be a mistake of this crate's, and a test finds it.
        let parsed = Script::parse(script);
        let defines = |operation: &InterpreterOperation| {
            parsed
                .as_ref()
                .is_ok_and(|script| script.defines(function_name(*operation)))
        };
        let operations: Vec<_> = InterpreterOperation::ALL
            .into_iter()
            .filter(defines)
            .collect();
        operations.into_iter().map(move |operation| Source {
            customization: "built-in rules",
            target: Gvk::new(target.group, target.version, target.kind),
            operation,
            script,
        })
    });
    Customizations::merge(LayerName::ThirdParty, sources, runtime, None)
}
