//! What scripts, objects and replies of webhooks can never do, whatever they are: end the process, or outlast their limits.
//!
//! Each target runs on seeds and on random input. To look further, give the number of inputs:
//! `PROPTEST_CASES=1000000 cargo test --release -p navarch-interpreter --test fuzz`. What fails is kept in a file that the
//! test names, and is tried first from then on.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

mod object;
mod reply;
mod script;

/// Scripts that reach the engine, its libraries and the reading of results.
const SCRIPTS: &[&str] = &[
    "function GetReplicas(o) return o.spec.number, {resourceRequest = {cpu = '1'}} end",
    "function GetReplicas(o) local t = {} for i = 1, 25 do t = {t, t} end return 1, t end",
    "function Retain(d, o) d.spec.list = o.spec.map return d end",
    "function Retain(d, o) return string.format('%s', d) end",
    "local kube = require('kube') function GetReplicas(o) return 1, kube.accuratePodRequirements({spec = {containers = {{}}}}) end",
    "function GetReplicas(o) while true do end end",
    "function GetReplicas(o) local s = 'x' while true do s = s .. s end end",
    "function GetReplicas(o) local t = {} for i = 1, 300 do t[i] = i end return pcall(unpack, t) end",
    "function GetReplicas(o) return pcall(GetReplicas, o) end",
    "function GetReplicas(o) return xpcall(function() GetReplicas(o) end, function(e) error(e) end) end",
    "function GetReplicas(o) return 1 + GetReplicas(o) end",
    "function GetReplicas(o) return #string.format('%s', string.find('a', 'a)')) end",
    "goto nowhere",
    "GetReplicas = 5",
    "\u{0}",
];

const OBJECTS: &[&str] = &[
    "",
    "null",
    "[]",
    "{\"apiVersion\": \"v1\"}",
    "{\"apiVersion\": 7, \"kind\": []}",
    "1e999",
];

#[test]
fn scripts() {
    for seed in SCRIPTS {
        script::run(seed);
        for (cut, _) in seed.char_indices().step_by(7) {
            script::run(&seed[..cut]);
        }
    }
}

#[test]
fn objects() {
    for seed in OBJECTS {
        object::run(seed.as_bytes());
    }
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]);
    let spec = json!({"replicas": 3, "template": {"spec": {"containers": containers}}});
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("ray.io/v1", "RayCluster"),
    ] {
        for status in [
            json!({"readyReplicas": 1, "conditions": [{}]}),
            json!([]),
            Value::Null,
        ] {
            let seed = json!({"apiVersion": version, "kind": kind, "spec": spec, "status": status});
            object::run(seed.to_string().as_bytes());
        }
    }
    let mut deep = String::new();
    for _ in 0..100 {
        // Writing into a String cannot fail.
        let _ = write!(deep, "{{\"spec\": [");
    }
    object::run(deep.as_bytes());
}

#[test]
fn replies() {
    for response in [
        json!({}),
        json!({"uid": "u", "successful": true, "replicas": 3_000_000_000_u64}),
        json!({"uid": "u", "successful": true, "components": [{"name": "", "replicas": 1}]}),
        json!({"uid": "u", "successful": true, "dependencies": [{"apiVersion": "v1", "kind": "Secret"}]}),
        json!({"uid": "u", "successful": true, "patchType": "JSONPatch", "patch": "W10="}),
        json!({"uid": "u", "successful": false, "status": {"code": 500}}),
    ] {
        reply::run(json!({"response": response}).to_string().as_bytes());
    }
}

/// A few inputs, unless the environment asks for more.
fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(64),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_scripts(source in "\\PC{0,80}") {
        script::run(&source);
    }

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        object::run(&data);
        reply::run(&data);
    }
}
