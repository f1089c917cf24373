//! Nodes without machines: Node objects, and what kwok does with them and their pods.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A pod whose annotation has the value `"false"` runs without ever getting ready, for tests of unhealthy workloads.
pub const POD_READY_ANNOTATION: &str = "testbed.navarch.dev/ready";

/// What `kubectl logs` shows for every pod, in the format of container runtimes.
pub(crate) const POD_LOG: &str = "\
2025-01-01T00:00:00.000000000Z stdout F navarch testbed: this pod runs on a simulated node
2025-01-01T00:00:01.000000000Z stdout F navarch testbed: ready
";

/// The size of each node of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShape {
    /// Kubernetes quantities.
    pub cpu: String,
    pub memory: String,
    pub pods: u32,
}

impl Default for NodeShape {
    fn default() -> Self {
        Self {
            cpu: "8".to_owned(),
            memory: "32Gi".to_owned(),
            pods: 110,
        }
    }
}

/// The Node objects of a member, for kwok to manage.
pub(crate) fn nodes(cluster: &str, count: u32, shape: &NodeShape) -> Vec<Value> {
    let node = |index: u32| {
        let name = format!("{cluster}-node-{index}");
        let capacity = json!({
            "cpu": shape.cpu,
            "memory": shape.memory,
            "pods": shape.pods.to_string(),
            "ephemeral-storage": "100Gi",
        });
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "node-role.kubernetes.io/worker": "",
                },
            },
            "status": { "allocatable": capacity, "capacity": capacity },
        })
    };
    (1..=count).map(node).collect()
}

/// kwok's configuration: what pods go through, the log that all of them share and, if asked for, exec.
///
/// kwok serves whoever connects, so exec would let every user of this machine run commands as the one who started the
/// bed; that is why it is off unless asked for.
pub(crate) fn config(pod_log: &Path, exec: bool) -> String {
    let resource = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": name },
            "spec": spec,
        })
    };
    let mut documents = vec![
        resource("Stage", "pod-start", pod_start()),
        resource("Stage", "pod-start-unready", pod_start_unready()),
        resource("Stage", "pod-complete", pod_complete()),
        resource("Stage", "pod-delete", pod_delete()),
        resource(
            "ClusterLogs",
            "all-pods",
            json!({ "logs": [{ "logsFile": pod_log }] }),
        ),
    ];
    if exec {
        documents.push(resource(
            "ClusterExec",
            "all-pods",
            json!({ "execs": [{ "local": {} }] }),
        ));
    }
    // JSON is YAML; one document per resource.
    documents.iter().fold(String::new(), |text, document| {
        format!("{text}---\n{document}\n")
    })
}

fn exists(key: &str, operator: &str) -> Value {
    json!({ "key": key, "operator": operator })
}

fn is(key: &str, operator: &str, value: &str) -> Value {
    json!({ "key": key, "operator": operator, "values": [value] })
}

fn ready_annotation() -> String {
    format!(".metadata.annotations[\"{POD_READY_ANNOTATION}\"]")
}

fn stage(conditions: &[Value], next: &Value) -> Value {
    json!({
        "resourceRef": { "apiGroup": "v1", "kind": "Pod" },
        "selector": { "matchExpressions": conditions },
        "next": next,
    })
}

fn pod_start() -> Value {
    let conditions = [
        exists(".metadata.deletionTimestamp", "DoesNotExist"),
        exists(".status.podIP", "DoesNotExist"),
        is(&ready_annotation(), "NotIn", "false"),
    ];
    stage(
        &conditions,
        &json!({ "statusTemplate": start_template("\"True\"", "true") }),
    )
}

fn pod_start_unready() -> Value {
    let conditions = [
        exists(".metadata.deletionTimestamp", "DoesNotExist"),
        exists(".status.podIP", "DoesNotExist"),
        is(&ready_annotation(), "In", "false"),
    ];
    stage(
        &conditions,
        &json!({ "statusTemplate": start_template("\"False\"", "false") }),
    )
}

/// A pod of a Job has done its work as soon as it runs.
fn pod_complete() -> Value {
    let conditions = [
        exists(".metadata.deletionTimestamp", "DoesNotExist"),
        is(".status.phase", "In", "Running"),
        is(".metadata.ownerReferences.[].kind", "In", "Job"),
        is(&ready_annotation(), "NotIn", "false"),
    ];
    stage(&conditions, &json!({ "statusTemplate": COMPLETE_TEMPLATE }))
}

fn pod_delete() -> Value {
    let conditions = [exists(".metadata.deletionTimestamp", "Exists")];
    stage(
        &conditions,
        &json!({ "finalizers": { "empty": true }, "delete": true }),
    )
}

fn start_template(condition: &str, ready: &str) -> String {
    START_TEMPLATE
        .replace("@CONDITION", condition)
        .replace("@READY", ready)
}

const START_TEMPLATE: &str = r#"
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
conditions:
- type: Initialized
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
- type: PodReadyToStartContainers
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
- type: ContainersReady
  status: @CONDITION
  lastTransitionTime: {{ $now | Quote }}
- type: Ready
  status: @CONDITION
  lastTransitionTime: {{ $now | Quote }}
{{ range .spec.readinessGates }}
- type: {{ .conditionType | Quote }}
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: @READY
  started: true
  restartCount: 0
  state:
    running:
      startedAt: {{ $now | Quote }}
{{ end }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  {{ if eq .restartPolicy "Always" }}
  started: true
  state:
    running:
      startedAt: {{ $now | Quote }}
  {{ else }}
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
  {{ end }}
{{ end }}
"#;

const COMPLETE_TEMPLATE: &str = r"
{{ $now := Now }}
phase: Succeeded
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
";
