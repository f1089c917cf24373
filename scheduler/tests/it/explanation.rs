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
