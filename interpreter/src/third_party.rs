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

/// A part of a script: its name, for messages, and its text.
type File = (&'static str, &'static str);

macro_rules! file {
    ($path:literal) => {
        (
            concat!("thirdparty/", $path),
            include_str!(concat!("../thirdparty/", $path)),
        )
    };
}

/// Kinds that share nothing.
const NONE: File = ("", "");

/// Stands in front of every script.
const COMMON: File = file!("common.lua");

/// Stands behind the common part, in front of the scripts of some kinds.
const FLUX: File = file!("flux.lua");
const JOBS: File = file!("jobs.lua");
const RAY: File = file!("ray.lua");

/// The rules of a kind.
struct Rules {
    api_version: &'static str,
    kind: &'static str,
    shared: File,
    own: File,
}

const fn rules(api_version: &'static str, kind: &'static str, shared: File, own: File) -> Rules {
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
        NONE,
        file!("apps.kruise.io/v1alpha1/AdvancedCronJob/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "BroadcastJob",
        NONE,
        file!("apps.kruise.io/v1alpha1/BroadcastJob/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "CloneSet",
        NONE,
        file!("apps.kruise.io/v1alpha1/CloneSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "DaemonSet",
        NONE,
        file!("apps.kruise.io/v1alpha1/DaemonSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "SidecarSet",
        NONE,
        file!("apps.kruise.io/v1alpha1/SidecarSet/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1alpha1",
        "UnitedDeployment",
        NONE,
        file!("apps.kruise.io/v1alpha1/UnitedDeployment/rules.lua"),
    ),
    rules(
        "apps.kruise.io/v1beta1",
        "StatefulSet",
        NONE,
        file!("apps.kruise.io/v1beta1/StatefulSet/rules.lua"),
    ),
    rules(
        "argoproj.io/v1alpha1",
        "Workflow",
        NONE,
        file!("argoproj.io/v1alpha1/Workflow/rules.lua"),
    ),
    rules(
        "batch.volcano.sh/v1alpha1",
        "Job",
        NONE,
        file!("batch.volcano.sh/v1alpha1/Job/rules.lua"),
    ),
    rules(
        "flink.apache.org/v1beta1",
        "FlinkDeployment",
        NONE,
        file!("flink.apache.org/v1beta1/FlinkDeployment/rules.lua"),
    ),
    rules(
        "helm.toolkit.fluxcd.io/v2beta1",
        "HelmRelease",
        FLUX,
        file!("helm.toolkit.fluxcd.io/v2beta1/HelmRelease/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "Notebook",
        NONE,
        file!("kubeflow.org/v1/Notebook/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "PyTorchJob",
        JOBS,
        file!("kubeflow.org/v1/PyTorchJob/rules.lua"),
    ),
    rules(
        "kubeflow.org/v1",
        "TFJob",
        JOBS,
        file!("kubeflow.org/v1/TFJob/rules.lua"),
    ),
    rules(
        "kubeflow.org/v2beta1",
        "MPIJob",
        JOBS,
        file!("kubeflow.org/v2beta1/MPIJob/rules.lua"),
    ),
    rules(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        FLUX,
        file!("kustomize.toolkit.fluxcd.io/v1/Kustomization/rules.lua"),
    ),
    rules(
        "kyverno.io/v1",
        "ClusterPolicy",
        NONE,
        file!("kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    rules(
        "kyverno.io/v1",
        "Policy",
        NONE,
        file!("kyverno.io/v1/ClusterPolicy/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayCluster",
        RAY,
        file!("ray.io/v1/RayCluster/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayJob",
        RAY,
        file!("ray.io/v1/RayJob/rules.lua"),
    ),
    rules(
        "ray.io/v1",
        "RayService",
        RAY,
        file!("ray.io/v1/RayService/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        FLUX,
        file!("source.toolkit.fluxcd.io/v1/GitRepository/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "Bucket",
        FLUX,
        file!("source.toolkit.fluxcd.io/v1beta2/Bucket/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmChart",
        FLUX,
        file!("source.toolkit.fluxcd.io/v1beta2/HelmChart/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "HelmRepository",
        FLUX,
        file!("source.toolkit.fluxcd.io/v1beta2/HelmRepository/rules.lua"),
    ),
    rules(
        "source.toolkit.fluxcd.io/v1beta2",
        "OCIRepository",
        FLUX,
        file!("source.toolkit.fluxcd.io/v1beta2/OCIRepository/rules.lua"),
    ),
    rules(
        "sparkoperator.k8s.io/v1beta2",
        "SparkApplication",
        NONE,
        file!("sparkoperator.k8s.io/v1beta2/SparkApplication/rules.lua"),
    ),
];

/// Versions that came after the ones above and have the fields that the rules read, each with the version whose rules it has and
/// the kind. Karmada does not know them.
pub const NEWER_THIRD_PARTY_KINDS: &[(&str, &str, &str)] = &[
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "AdvancedCronJob",
    ),
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "BroadcastJob",
    ),
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "CloneSet",
    ),
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "DaemonSet",
    ),
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "SidecarSet",
    ),
    (
        "apps.kruise.io/v1beta1",
        "apps.kruise.io/v1alpha1",
        "UnitedDeployment",
    ),
    (
        "helm.toolkit.fluxcd.io/v2",
        "helm.toolkit.fluxcd.io/v2beta1",
        "HelmRelease",
    ),
    (
        "helm.toolkit.fluxcd.io/v2beta2",
        "helm.toolkit.fluxcd.io/v2beta1",
        "HelmRelease",
    ),
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

/// Operations that rules of ours answer for kinds which Karmada leaves to its native rules.
const NOT_IN_KARMADA: &[(&str, InterpreterOperation)] =
    &[("ray.io", InterpreterOperation::InterpretStatus)];

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
    let newer = NEWER_THIRD_PARTY_KINDS
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
            let files = [COMMON, rules.shared, rules.own];
            let script = files.map(|(_, text)| text).concat();
            (Target::new(api_version, rules.kind), files, script)
        })
        .collect();
    let sources = scripts.iter().flat_map(|(target, files, script)| {
        let lines = |text: &str| u32::try_from(text.lines().count()).unwrap_or_default();
        let files = files.iter().map(|(name, text)| (*name, lines(text)));
        // A script that does not parse would be a mistake of this crate's, and a test finds it.
        let parsed = Script::parse(script)
            .map(|script| Arc::new(script.keeping_globals().made_of(files.collect())));
        let operations = InterpreterOperation::ALL
            .into_iter()
            .filter(|operation| !compat || !NOT_IN_KARMADA.contains(&(target.group, *operation)))
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
