//! The account of a decision.

use crds::policy::{ClusterAffinity, FieldSelector, SpreadField};
use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use scheduler::{Explanation, Options};
use serde_json::{Value, json};

use crate::fixtures::*;

fn explained(binding: &crds::work::ResourceBinding, clusters: &[crds::cluster::Cluster]) -> Value {
    let (_, items) = recorded(binding, clusters, &Options::default());
    serde_json::to_value(Explanation::of(&items)).unwrap()
}

#[test]
fn a_division_shows_its_arithmetic() {
    let mut placement = dynamic_weight();
    placement.cluster_affinity = Some(ClusterAffinity {
        field_selector: Some(FieldSelector {
            match_expressions: vec![NodeSelectorRequirement {
                key: "region".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec!["eu".to_owned()]),
            }],
        }),
        ..ClusterAffinity::default()
    });
    let in_region = |name, pods, region| with_region(cluster(name, pods), region);
    let clusters = [
        in_region("m1", 12, "eu"),
        with_taint(in_region("m2", 9, "eu"), "dedicated", "gpu", "NoSchedule"),
        in_region("m3", 6, "eu"),
        with_taint(in_region("m4", 6, "us"), "dedicated", "gpu", "NoSchedule"),
        terminating(in_region("m5", 6, "eu")),
    ];
    let account = explained(&binding(9, placement), &clusters);
    assert_eq!(
        (&account["trigger"], &account["mode"]),
        (&json!("PlacementChanged"), &json!("Steady"))
    );
    assert_eq!(
        account["result"],
        json!([{ "name": "m1", "replicas": 6 }, { "name": "m3", "replicas": 3 }])
    );
    let attempt = &account["attempts"][0];
    assert_eq!(
        attempt["divisions"],
        json!([{
            "strategy": "DynamicWeight",
            "mode": "ScaleUp",
            "target": 9,
            "shares": [
                { "cluster": "m1", "weight": 12, "share": "6.00", "replicas": 6 },
                { "cluster": "m3", "weight": 6, "share": "3.00", "replicas": 3 },
            ],
            "base": [],
        }])
    );
    let of = |name: &str| {
        let clusters = attempt["clusters"].as_array().unwrap();
        clusters
            .iter()
            .find(|it| it["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("m1")["verdict"], json!({ "code": "Selected" }));
    assert_eq!(of("m1")["replicas"], 6);
    assert_eq!(of("m1")["estimators"][0]["explanation"], "pods 12");
    assert_eq!(
        of("m2")["verdict"],
        json!({
            "code": "UntoleratedTaint",
            "message": "cluster(s) had untolerated taint {dedicated=gpu:NoSchedule}",
        })
    );
    // Both failures are told; the first one decided.
    let filters = of("m4")["filters"].clone();
    let failed: Vec<&Value> = filters
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["passed"] == false)
        .collect();
    assert_eq!(
        (&failed[0]["plugin"], &failed[0]["decisive"]),
        (&json!("TaintToleration"), &json!(true))
    );
    assert_eq!(
        (&failed[1]["plugin"], &failed[1]["decisive"]),
        (&json!("ClusterAffinity"), &json!(false))
    );
    assert_eq!(
        failed[1]["detail"],
        "region: policy wants In [eu], cluster has us"
    );
    assert_eq!(of("m5")["verdict"]["code"], "Terminating");
}

#[test]
fn groups_and_what_was_left_out_are_told() {
    let clusters = [
        with_region(cluster("a", 9), "r1"),
        with_region(cluster("b", 8), "r2"),
        with_region(cluster("c", 1), "r3"),
    ];
    let constraints = [
        spread(SpreadField::Region, 2, 2),
        spread(SpreadField::Cluster, 2, 2),
    ];
    let account = explained(
        &binding(3, with_spread(aggregated(), &constraints)),
        &clusters,
    );
    let attempt = &account["attempts"][0];
    let chosen: Vec<&Value> = attempt["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| group["chosen"] == true)
        .map(|group| &group["name"])
        .collect();
    assert_eq!(chosen, ["r1", "r2"]);
    assert_eq!(attempt["clusters"][1]["verdict"]["code"], "ZeroReplicas");
    assert_eq!(attempt["clusters"][2]["verdict"]["code"], "NotSelected");
}

#[test]
fn static_weights_name_their_rule() {
    let account = explained(
        &binding(4, static_weights(&[("x", 9), ("a", 1), ("b", 3)])),
        &clusters(&[("a", 0), ("b", 0)]),
    );
    let clusters = &account["attempts"][0]["clusters"];
    assert_eq!(
        (&clusters[1]["weight"], &clusters[1]["weightRule"]),
        (&json!(3), &json!(2))
    );
}

#[test]
fn failures_are_told() {
    let account = explained(&binding(40, aggregated()), &clusters(&[("a", 1)]));
    assert_eq!(account["failure"]["reason"], "Unschedulable");
    assert_eq!(account["attempts"][0]["failure"]["reason"], "Unschedulable");
    assert_eq!(
        account["attempts"][0]["clusters"][0]["verdict"]["code"],
        "Selected"
    );
    assert_eq!(account["result"], json!([]));
}

#[test]
fn bindings_that_are_left_alone_and_those_that_cannot_be_read_say_so() {
    let clusters = clusters(&[("a", 9)]);
    let mut foreign = binding(1, duplicated());
    foreign.spec.scheduler_name = Some("other".to_owned());
    let account = explained(&foreign, &clusters);
    assert_eq!(
        (&account["trigger"], &account["skipped"]),
        (&json!("Skipped"), &json!("OtherScheduler"))
    );
    let mut unplaced = binding(1, duplicated());
    unplaced.spec.placement = None;
    let account = explained(&unplaced, &clusters);
    assert_eq!(account["trigger"], "NoPlacement");
    assert_eq!(
        account["failure"],
        json!({ "reason": "SchedulerError", "message": "the binding has no placement" })
    );
    let account = explained(&binding(-1, aggregated()), &clusters);
    assert_eq!(account["failure"]["reason"], "SchedulerError");
}

#[test]
fn the_path_and_the_patch_are_told() {
    let regions = [
        spread(SpreadField::Region, 1, 1),
        spread(SpreadField::Cluster, 1, 1),
    ];
    let clusters = [with_region(cluster("a", 9), "r1")];
    for (placement, path) in [
        (aggregated(), "All"),
        (with_spread(aggregated(), &regions[1..]), "Clusters"),
        (with_spread(aggregated(), &regions), "Regions"),
    ] {
        let account = explained(&binding(3, placement), &clusters);
        assert_eq!(account["attempts"][0]["selection"], json!({ "path": path }));
        assert_eq!(
            account["patch"]["spec"]["clusters"],
            json!([{ "name": "a", "replicas": 3 }])
        );
    }
    let placed = settled(with_targets(binding(3, aggregated()), &[("a", 3)]));
    assert_eq!(explained(&placed, &clusters)["patch"], Value::Null);
}

#[test]
fn numbers_are_compared_as_numbers() {
    let mut placement = duplicated();
    let expression = |operator: &str, bound: &str| NodeSelectorRequirement {
        key: "region".to_owned(),
        operator: operator.to_owned(),
        values: Some(vec![bound.to_owned()]),
    };
    placement.cluster_affinity = Some(ClusterAffinity {
        field_selector: Some(FieldSelector {
            match_expressions: vec![expression("Gt", "3"), expression("Lt", "5")],
        }),
        ..ClusterAffinity::default()
    });
    let clusters = [
        with_region(cluster("a", 9), "4"),
        with_region(cluster("b", 9), "7"),
    ];
    let account = explained(&binding(1, placement), &clusters);
    assert_eq!(account["result"][0]["name"], "a");
    let filters = account["attempts"][0]["clusters"][1]["filters"].clone();
    let details: Vec<&Value> = filters
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["detail"])
        .filter(|it| !it.is_null())
        .collect();
    assert_eq!(details, ["region: policy wants Lt [5], cluster has 7"]);
}
