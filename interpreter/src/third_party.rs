//! Rules for well-known kinds of other projects, shipped as scripts.
//!
//! They lie in `thirdparty/<group>/<version>/<kind>/rules.lua`, each beside the cases that it is tested with. A script
//! answers the operations whose functions it defines.

use std::sync::Arc;

use crds::config::InterpreterOperation;
use crds::object::Gvk;

use crate::customization::{Customizations, Source};
use crate::layer::{LayerName, Target};
use crate::lua::{Runtime, Script, function_name};

/// Stands in front of every script.
const COMMON: &str = include_str!("../thirdparty/common.lua");

/// Stands behind the common part, in front of the scripts of some kinds.
const FLUX: &str = include_str!("../thirdparty/flux.lua");
const JOBS: &str = include_str!("../thirdparty/jobs.lua");
const RAY: &str = include_str!("../thirdparty/ray.lua");

/// The rules of a kind.
struct Rules {
    api_version: &'static str,
    kind: &'static str,
    shared: &'static str,
    own: &'static str,
}

const fn rules(
    api_version: &'static str,
    kind: &'static str,
    shared: &'static str,
    own: &'static str,
) -> Rules {
    Rules {
        api_version,
        kind,
        shared,
        own,
    }
}

const RULES: &[Rules] = &[
    rules(
        "apps.kruise.io/v1alpha1",
        "AdvancedCronJob",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/AdvancedCronJob/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "BroadcastJob",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/BroadcastJob/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "CloneSet",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/CloneSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "DaemonSet",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/DaemonSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "SidecarSet",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/SidecarSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "UnitedDeployment",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1alpha1/UnitedDeployment/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1beta1",
        "StatefulSet",
        "",
        include_str!("../thirdparty/apps.kruise.io/v1beta1/StatefulSet/rules.lua"),
    ),
    rules(
        "argoproj.io/v1alpha1",
        "Workflow",
        "",
        include_str!("../thirdparty/argoproj.io/v1alpha1/Workflow/rules.lua"),
    ),
    rules(
        "batch.volcano.sh/v1alpha1",
        "Job",
        "",
        include_str!("../thirdparty/batch.volcano.sh/v1alpha1/Job/rules.lua"),
    ),
    rules(
        "flink.apache.org/v1beta1",
        "FlinkDeployment",
        "",
        include_str!("../thirdparty/flink.apache.org/v1beta1/FlinkDeployment/rules.lua"),
    ),
    rules(
        "helm.toolkit.fluxcd.io/v2beta1",
        "HelmRelease",
        FLUX,
        include_str!("../thirdparty/helm.toolkit.fluxcd.io/v2beta1/HelmRelease/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "Notebook",
        "",
        include_str!("../thirdparty/kubeflow.org/v1/Notebook/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "PyTorchJob",
        JOBS,
        include_str!("../thirdparty/kubeflow.org/v1/PyTorchJob/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "TFJob",
        JOBS,
        include_str!("../thirdparty/kubeflow.org/v1/TFJob/rules.lua"),
    ),
    rules(
        "kubeflow.org/v2beta1",
        "MPIJob",
        JOBS,
        include_str!("../thirdparty/kubeflow.org/v2beta1/MPIJob/rules.lua"),
    ),
    rules(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        FLUX,
        include_str!("../thirdparty/kustomize.toolkit.fluxcd.io/v1/Kustomization/rules.lua"),
    ),
    rules(
        "kyverno.io/v1",
        "ClusterPolicy",
        "",
        include_str!("../thirdparty/kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    rules(
        "kyverno.io/v1",
        "Policy",
        "",
        include_str!("../thirdparty/kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayCluster",
        RAY,
        include_str!("../thirdparty/ray.io/v1/RayCluster/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayJob",
        RAY,
        include_str!("../thirdparty/ray.io/v1/RayJob/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayService",
        RAY,
        include_str!("../thirdparty/ray.io/v1/RayService/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        FLUX,
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1/GitRepository/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "Bucket",
        FLUX,
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/Bucket/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmChart",
        FLUX,
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/HelmChart/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmRepository",
        FLUX,
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/HelmRepository/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "OCIRepository",
        FLUX,
        include_str!("../thirdparty/source.toolkit.fluxcd.io/v1beta2/OCIRepository/rules.lua"),
    ),
    rules(
        "sparkoperator.k8s.io/v1beta2",
        "SparkApplication",
        "",
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
        kinds[at] = (RULES[at].api_version, RULES[at].kind);
        at += 1;
    }
    kinds
};

/// The layer of built-in rules for third-party kinds. With `compat`, only for the kinds and versions that Karmada has.
pub fn third_party(runtime: &Runtime, compat: bool) -> Customizations {
    let all = RULES.iter().map(|rules| (rules.api_version, rules));
    let newer = NEWER
        .iter()
        .filter(|_| !compat)
        .filter_map(|(version, older, kind)| {
            let rules = RULES
                .iter()
                .find(|rules| rules.api_version == *older && rules.kind == *kind)?;
            Some((*version, rules))
        });
    let scripts: Vec<_> = all
        .chain(newer)
        .map(|(api_version, rules)| {
            (
                Target::new(api_version, rules.kind),
                format!("{COMMON}{}{}", rules.shared, rules.own),
            )
        })
        .collect();
    let sources = scripts.iter().flat_map(|(target, script)| {
        // A script that does not parse would be a mistake of this crate's, and a test finds it.
        let parsed = Script::parse(script).map(|script| Arc::new(script.keeping_globals()));
        let operations = InterpreterOperation::ALL
            .into_iter()
            .filter_map(move |operation| {
                let parsed = parsed
                    .as_ref()
                    .ok()
                    .filter(|parsed| parsed.defines(function_name(operation)))?;
                Some(Source {
                    customization: "built-in rules",
                    target: Gvk::new(target.group, target.version, target.kind),
                    operation,
                    script,
                    parsed: Some(Arc::clone(parsed)),
                })
            });
        operations.collect::<Vec<_>>()
    });
    Customizations::merge(LayerName::ThirdParty, sources, runtime, None)
}
