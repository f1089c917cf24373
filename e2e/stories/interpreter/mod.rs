//! Kinds that only a user knows: scripts and webhooks say what they mean.

mod example;
mod scripts;
mod webhook;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::stage::{Scene, condition};

/// The definition of a kind of the group `e2e.example.com`, and a policy that takes it to two members.
fn kind(plural: &str, kind: &str) -> String {
    let singular = kind.to_lowercase();
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.e2e.example.com}}
spec:
  group: e2e.example.com
  scope: Namespaced
  names: {{plural: {plural}, singular: {singular}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: {plural}}}
spec:
  resourceSelectors: [{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, name: {plural}.e2e.example.com}}]
  placement: {{clusterAffinity: {{clusterNames: [member1, member2]}}}}
"
    )
}

/// A customization with these rules, each a field and a script.
fn customization(name: &str, kind: &str, rules: &[(&str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: config.karmada.io/v1alpha1
kind: ResourceInterpreterCustomization
metadata: {{name: {name}}}
spec:
  target: {{apiVersion: e2e.example.com/v1, kind: {kind}}}
  customizations:
"
    );
    for (rule, script) in rules {
        let _ = write!(text, "    {rule}:\n      luaScript: |\n");
        for line in script.lines() {
            let _ = writeln!(text, "        {line}");
        }
    }
    text
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: e2e.example.com/v1
kind: {kind}
metadata: {{name: {name}, namespace: {{ns}}}}
spec: {spec}
"
    )
}

/// Sets the status of an object in a member, as a controller there would.
fn report(scene: &Scene, member: &str, kind: &str, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let args = [
        "patch",
        kind,
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    scene.kubectl(member, &args);
}

/// Brings up a kind in control plane and members.
async fn introduce(scene: &Scene, plural: &str, kind_name: &str) {
    scene.apply(&kind(plural, kind_name));
    let definition = format!("crd/{plural}.e2e.example.com");
    scene.kubectl(
        "control",
        &[
            "wait",
            "--for=condition=Established",
            &definition,
            "--timeout=60s",
        ],
    );
    let name = format!("{plural}.e2e.example.com");
    for member in ["member1", "member2"] {
        let kind = "customresourcedefinitions.apiextensions.k8s.io";
        scene
            .until(member, kind, &name, "established", |it| {
                condition(it, "Established").starts_with("True")
            })
            .await;
    }
}

fn health(binding: &Value, cluster: &str) -> String {
    let items = binding["status"]["aggregatedStatus"].as_array().cloned();
    let items = items.unwrap_or_default();
    let item = items.iter().find(|it| it["clusterName"] == cluster);
    item.map_or_else(String::new, |it| {
        it["health"].as_str().unwrap_or_default().to_owned()
    })
}

/// The message of a condition that does not hold.
fn failure(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned();
    let conditions = conditions.unwrap_or_default();
    let found = conditions
        .iter()
        .find(|it| it["type"] == type_ && it["status"] == "False");
    found.map_or_else(String::new, |it| {
        it["message"].as_str().unwrap_or_default().to_owned()
    })
}

const BINDINGS: &str = "resourcebindings.work.karmada.io";

/// The name of the Work that carries an object.
async fn binding_work(scene: &Scene, member: &str, object: &str) -> String {
    let space = format!("karmada-es-{member}");
    let works = scene.kubectl("control", &["get", "work", "-n", &space, "-o", "json"]);
    let works: Value = serde_json::from_str(&works).unwrap();
    let found = works["items"].as_array().unwrap().iter().find(|work| {
        let manifest = &work["spec"]["workload"]["manifests"][0];
        manifest["metadata"]["name"] == object
            && manifest["metadata"]["namespace"] == *scene.namespace
    });
    found.unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned()
}
