//! What each filter says, through the text of the condition.

use crds::cluster::Cluster;
use crds::policy::{
    ClusterAffinity, ClusterAffinityTerm, OverflowAffinityTerm, Placement, SpreadField,
};
use crds::work::{GracefulEvictionTask, ResourceBinding, WorkloadAffinityGroups};
use k8s_openapi::api::core::v1::Toleration;
use scheduler::inflight::Peers;
use scheduler::plugins::Registry;
use scheduler::trace::NoTrace;
use scheduler::{Compat, Decision, Inputs, Options, decide};

use crate::fixtures::*;

const FITS: &str = "fits";

/// Why the only cluster does not fit.
fn reason(binding: &ResourceBinding, cluster: &Cluster, options: &Options) -> String {
    match outcome(binding, std::slice::from_ref(cluster), options).result {
        Ok(_) => FITS.to_owned(),
        Err(failure) => {
            let text = failure
                .message
                .strip_prefix("0/1 clusters are available: 1 cluster(s) ");
            text.unwrap_or(&failure.message)
                .trim_end_matches('.')
                .to_owned()
        }
    }
}

#[track_caller]
fn check_toleration(toleration: (&str, &str, &str, &str), expected: &str) {
    let tainted = with_taint(cluster("m1", 1), "k", "v", "NoSchedule");
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (key, operator, value, effect) = toleration;
    let mut placement = duplicated();
    placement.cluster_tolerations = vec![Toleration {
        key: text(key),
        operator: text(operator),
        value: text(value),
        effect: text(effect),
        toleration_seconds: Some(0),
    }];
    assert_eq!(
        reason(&binding(1, placement), &tainted, &Options::default()),
        expected
    );
}

#[test]
fn tolerations_cover_taints_like_those_of_pods() {
    let untolerated = "had untolerated taint {k=v:NoSchedule}";
    check_toleration(("k", "Equal", "v", "NoSchedule"), FITS);
    check_toleration(("k", "", "v", ""), FITS);
    check_toleration(("k", "Exists", "", ""), FITS);
    check_toleration(("", "Exists", "", ""), FITS);
    check_toleration(("", "Equal", "v", ""), FITS);
    check_toleration(("", "Equal", "w", ""), untolerated);
    check_toleration(("k", "Equal", "w", ""), untolerated);
    check_toleration(("k", "Exists", "", "NoExecute"), untolerated);
    check_toleration(("k", "Gt", "v", ""), untolerated);
    check_toleration(("j", "Exists", "", ""), untolerated);
}

#[test]
fn only_two_effects_keep_resources_off() {
    let options = Options::default();
    let binding = binding(1, duplicated());
    let with = |value: &str, effect: &str| {
        reason(
            &binding,
            &with_taint(cluster("m1", 1), "k", value, effect),
            &options,
        )
    };
    assert_eq!(with("v", "PreferNoSchedule"), FITS);
    assert_eq!(with("", "NoExecute"), "had untolerated taint {k:NoExecute}");
}

#[test]
fn evictions_are_not_undone() {
    let mut binding = with_targets(binding(1, duplicated()), &[("m1", 1)]);
    binding.spec.graceful_eviction_tasks = vec![GracefulEvictionTask {
        from_cluster: "m1".to_owned(),
        ..GracefulEvictionTask::default()
    }];
    let text = outcome(&binding, &clusters(&[("m1", 1)]), &Options::default())
        .result
        .unwrap_err();
    assert_eq!(
        text.message,
        "0/1 clusters are available: 1 cluster(s) is in the process of eviction."
    );
}

#[test]
fn clusters_need_what_they_are_spread_by() {
    let options = options(Compat::REFERENCE);
    let with = |field| {
        let placement = with_spread(static_weights(&[]), &[spread(field, 1, 2)]);
        reason(&binding(1, placement), &cluster("m1", 1), &options)
    };
    assert_eq!(
        with(SpreadField::Provider),
        "did not have provider property"
    );
    assert_eq!(with(SpreadField::Region), "did not have region property");
    assert_eq!(with(SpreadField::Zone), "did not have zones property");
    assert_eq!(with(SpreadField::Cluster), FITS);
}

#[test]
fn a_cluster_counts_once_under_the_first_filter_that_stops_it() {
    let without_api = |name: &str| {
        let mut cluster = cluster(name, 1);
        cluster.status.as_mut().unwrap().api_enablements.clear();
        cluster
    };
    let mut all: Vec<Cluster> = (0..10)
        .map(|number| cluster(&format!("a{number}"), 1))
        .collect();
    all.push(without_api("b"));
    all.extend([without_api("x"), without_api("y")]);
    let mut placement = duplicated();
    placement.cluster_affinity = Some(named(&["x", "y"]));
    let failure = outcome(&binding(1, placement), &all, &Options::default())
        .result
        .unwrap_err();
    assert_eq!(
        failure.message,
        "0/13 clusters are available: 10 cluster(s) did not match the placement cluster affinity constraint, \
         3 cluster(s) did not have the API resource."
    );
}

#[test]
fn plugins_can_be_switched_off() {
    let tainted = with_taint(cluster("m1", 1), "k", "v", "NoSchedule");
    let mut options = Options::default();
    options.plugins = Registry::builtin()
        .enable("*,-TaintToleration", &options.gates)
        .unwrap();
    assert_eq!(reason(&binding(1, duplicated()), &tainted, &options), FITS);
}

fn in_region(region: &str) -> Placement {
    let text = format!(
        r#"{{"fieldSelector":{{"matchExpressions":[{{"key":"region","operator":"In","values":["{region}"]}}]}}}}"#
    );
    Placement {
        cluster_affinity: Some(serde_json::from_str(&text).unwrap()),
        ..Placement::default()
    }
}

#[test]
fn regions_may_have_any_name_except_in_the_reference() {
    let cluster = with_region(cluster("m1", 1), "Europe, West");
    let binding = binding(1, in_region("Europe, West"));
    let mismatch = "did not match the placement cluster affinity constraint";
    assert_eq!(reason(&binding, &cluster, &Options::default()), FITS);
    assert_eq!(
        reason(&binding, &cluster, &options(Compat::REFERENCE)),
        mismatch
    );
}

#[test]
fn overflow_groups_are_for_workloads() {
    let placement = Placement {
        cluster_affinities: vec![ClusterAffinityTerm {
            affinity_name: "p".to_owned(),
            affinity: named(&["m2"]),
            overflow_affinities: vec![OverflowAffinityTerm {
                affinity_name: "o".to_owned(),
                affinity: ClusterAffinity::default(),
            }],
        }],
        ..aggregated()
    };
    let cluster = cluster("m1", 9);
    let mismatch = "did not match the placement cluster affinity constraint";
    assert_eq!(
        reason(
            &binding(1, placement.clone()),
            &cluster,
            &Options::default()
        ),
        FITS
    );
    assert_eq!(
        reason(&config(placement), &cluster, &Options::default()),
        mismatch
    );
}

#[test]
fn groups_stay_together_or_apart() {
    let mut options = Options::default();
    options.gates.workload_affinity = true;
    options.plugins = Registry::builtin().enable("*", &options.gates).unwrap();
    let mut binding = binding(1, duplicated());
    binding.spec.workload_affinity_groups = Some(WorkloadAffinityGroups {
        affinity_group: Some("app=a".to_owned()),
        anti_affinity_group: Some("zone=z".to_owned()),
    });
    let snapshot = snapshot(&clusters(&[("m1", 1), ("m2", 1), ("m3", 1)]));
    let told_with = |peers: Option<&Peers>, binding: &ResourceBinding| {
        let mut inputs = Inputs::new(&snapshot, &options, now());
        inputs.peers = peers;
        match decide(binding, &inputs, &mut NoTrace) {
            Decision::Scheduled(outcome) => told(&outcome),
            other => panic!("{other:?}"),
        }
    };
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let peers = Peers {
        affinity: vec![
            names(&["m1", "m2", "gone"]),
            names(&[]),
            names(&["m2", "m3"]),
        ],
        anti_affinity: vec![names(&["m3"])],
        failure: None,
    };
    assert_eq!(told_with(Some(&peers), &binding), "m2 1");
    let text = told_with(None, &binding);
    assert_eq!(
        text,
        "NoClusterFit: 0/3 clusters are available: 3 ResourceBindingIndexer is nil."
    );
    let text = told_with(Some(&Peers::unlisted()), &binding);
    assert_eq!(
        text,
        "NoClusterFit: 0/3 clusters are available: 3 failed to list ResourceBindings."
    );
    let stays = with_targets(binding, &[("m3", 1)]);
    assert_eq!(told_with(Some(&peers), &stays), "m3 1, m2 1");
}
