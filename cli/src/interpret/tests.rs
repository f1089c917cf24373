//! The command as users run it, on files.

use std::{fs, io::BufReader, path::PathBuf};

use tempfile::TempDir;

use super::{
    cases::{self, Tally},
    check,
    execute::{self, Question},
    rules::Rules,
    sources,
};
use crate::failure::Failure;

const CUSTOMIZATION: &str = "
apiVersion: config.karmada.io/v1alpha1
kind: ResourceInterpreterCustomization
metadata: {name: things}
spec:
  target: {apiVersion: example.com/v1, kind: Thing}
  customizations:
    replicaResource:
      luaScript: |
        function GetReplicas(obj)
          return obj.spec.count, {resourceRequest = {cpu = obj.spec.cpu}}
        end
    replicaRevision:
      luaScript: |
        function ReviseReplica(obj, replica)
          obj.spec.count = replica
          return obj
        end
    retention:
      luaScript: |
        function Retain(desired, observed)
          desired.spec.node = observed.spec.node
          return desired
        end
    healthInterpretation:
      luaScript: |
        function InterpretHealth(obj)
          print('looking at ' .. obj.metadata.name)
          return obj.status.phase == 'Ready'
        end
    statusAggregation:
      luaScript: |
        function AggregateStatus(obj, items)
          obj.status = {ready = 0}
          for _, item in ipairs(items) do
            obj.status.ready = obj.status.ready + item.status.ready
          end
          return obj
        end
    dependencyInterpretation:
      luaScript: |
        function GetDependencies(obj)
          return {{apiVersion = 'v1', kind = 'Secret', namespace = obj.metadata.namespace, name = obj.spec.secret}}
        end
";

const THING: &str = "
apiVersion: example.com/v1
kind: Thing
metadata: {name: one, namespace: demo}
spec: {count: 3, cpu: 0.5, secret: key, node: n1}
";

/// Files in a folder that goes with the test.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rules(&self, names: &[&str], compat: bool) -> Rules {
        let names: Vec<_> = names
            .iter()
            .map(|name| self.path(name).display().to_string())
            .collect();
        Rules::new(&sources::customizations(&names, false).unwrap(), compat)
    }
}

fn files() -> Files {
    Files::new(&[
        ("rules.yaml", CUSTOMIZATION),
        ("thing.yaml", THING),
        (
            "observed.yaml",
            "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: one}\nspec: {node: n7}\nstatus: {phase: Ready}\n",
        ),
        (
            "status.yaml",
            "clusterName: m1\nstatus: {ready: 2}\n---\nclusterName: m2\nstatus: {ready: 3}\n",
        ),
        (
            "deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
        ),
    ])
}

/// Runs an operation and returns what it prints and what scripts print.
fn run(
    files: &Files,
    operation: &str,
    [desired, observed, status]: [Option<&str>; 3],
) -> Result<(String, Vec<String>), Failure> {
    let path = |name: Option<&str>| name.map(|name| files.path(name));
    let (desired, observed) = (path(desired), path(observed));
    let statuses: Vec<_> = path(status).into_iter().collect();
    let question = Question {
        operation: serde_json::from_value(operation.into()).unwrap(),
        desired: desired.as_deref(),
        observed: observed.as_deref(),
        statuses: &statuses,
        replicas: 5,
    };
    let executed = execute::execute(&files.rules(&["rules.yaml"], false), &question)?;
    Ok((executed.yaml()?, executed.printed))
}

#[test]
fn operations_print_their_values() {
    let files = files();
    let (thing, observed) = (Some("thing.yaml"), Some("observed.yaml"));
    let plain = "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: one\n  namespace: demo\nspec:\n  count: COUNT\n  cpu: 0.5\n  node: NODE\n  secret: key\n";
    let object = |count: &str, node: &str| plain.replace("COUNT", count).replace("NODE", node);
    for (operation, places, expected) in [
        (
            "InterpretReplica",
            [thing, None, None],
            "---\n# [1/2] replica:\n3\n---\n# [2/2] requires:\nresourceRequest:\n  cpu: 500m\n".to_owned(),
        ),
        (
            "ReviseReplica",
            [thing, None, None],
            format!("---\n# [1/1] revised:\n{}", object("5", "n1")),
        ),
        (
            "Retain",
            [thing, observed, None],
            format!("---\n# [1/1] retained:\n{}", object("3", "n7")),
        ),
        ("InterpretHealth", [None, observed, None], "---\n# [1/1] healthy:\ntrue\n".to_owned()),
        (
            "InterpretStatus",
            [None, observed, None],
            "---\n# [1/1] status:\nphase: Ready\n".to_owned(),
        ),
        (
            "AggregateStatus",
            [thing, None, Some("status.yaml")],
            format!("---\n# [1/1] aggregatedStatus:\n{}status:\n  ready: 5\n", object("3", "n1")),
        ),
        (
            "InterpretDependency",
            [thing, None, None],
            "---\n# [1/1] dependencies:\n- apiVersion: v1\n  kind: Secret\n  name: key\n  namespace: demo\n".to_owned(),
        ),
        (
            "InterpretReplica",
            [Some("deployment.yaml"), None, None],
            "---\n# [1/2] replica:\n2\n---\n# [2/2] requires:\nnull\n".to_owned(),
        ),
    ] {
        let (text, printed) = run(&files, operation, places).unwrap();
        assert_eq!(text, expected, "{operation}");
        let has_printed = operation == "InterpretHealth";
        assert_eq!(printed.len(), usize::from(has_printed), "{operation}: {printed:?}");
    }
}

#[test]
fn json_tells_layer_and_time() {
    let files = files();
    let observed = files.path("observed.yaml");
    let question = Question {
        operation: crds::config::InterpreterOperation::InterpretHealth,
        desired: None,
        observed: Some(&observed),
        statuses: &[],
        replicas: 0,
    };
    let executed = execute::execute(&files.rules(&["rules.yaml"], false), &question).unwrap();
    let value: serde_json::Value = serde_json::from_str(&executed.json()).unwrap();
    assert_eq!(value["operation"], "InterpretHealth");
    assert_eq!(value["layer"], "customization");
    assert_eq!(value["result"], true);
    assert!(value["microseconds"].is_u64());
}

#[test]
fn failures_name_operation_and_line() {
    let files = files();
    let (thing, observed) = (Some("thing.yaml"), Some("observed.yaml"));
    for (operation, places, problem) in [
        (
            "InterpretHealth",
            [thing, None, None],
            "Execute InterpretHealth error: InterpretHealth of example.com/v1 Thing: customization: things: line 3: attempt to index field 'status' (a nil value)",
        ),
        (
            "InterpretComponent",
            [thing, None, None],
            "Execute InterpretComponent error: no rule for example.com/v1 Thing",
        ),
        (
            "Retain",
            [thing, None, None],
            "Retain needs --desired-file and --observed-file",
        ),
        (
            "InterpretHealth",
            [None, None, None],
            "InterpretHealth needs --desired-file or --observed-file",
        ),
        (
            "InterpretHealth",
            [thing, observed, None],
            "InterpretHealth takes --desired-file or --observed-file, not both",
        ),
        (
            "InterpretHealth",
            [Some("status.yaml"), None, None],
            "not exactly one object",
        ),
        (
            "InterpretHealth",
            [Some("absent.yaml"), None, None],
            "No such file",
        ),
    ] {
        let failure = run(&files, operation, places).map(|_| ()).unwrap_err();
        assert!(
            failure.message.contains(problem),
            "{operation}: {}",
            failure.message
        );
        assert_eq!(failure.code, 1);
    }
}

#[test]
fn checks_name_rule_and_line() {
    let broken = "
apiVersion: config.karmada.io/v1alpha1
kind: ResourceInterpreterCustomization
metadata: {name: broken}
spec:
  target: {apiVersion: example.com/v1, kind: ''}
  customizations:
    healthInterpretation: {luaScript: \"function InterpretHealth(o)\\n  return true +\\nend\"}
    replicaResource: {luaScript: \"function Replicas() end\"}
";
    let files = Files::new(&[
        ("a.yaml", CUSTOMIZATION),
        ("sub/b.yml", broken),
        ("notes.txt", "no YAML: ["),
    ]);
    let names = [files.0.path().display().to_string()];
    let sound = check::check(&sources::customizations(&names, false).unwrap());
    assert_eq!(sound.failed, 0);
    let all = sources::customizations(&names, true).unwrap();
    let report = check::check(&all);
    assert_eq!(report.failed, 1);
    let text = report.text.replace(&names[0], "");
    assert_eq!(
        text,
        "-----------------------------------
SOURCE: /a.yaml
NAME:   things
TARGET: example.com/v1 Thing
RULES:
    Retain:              PASS
    InterpretReplica:    PASS
    InterpretComponent:  UNSET
    ReviseReplica:       PASS
    InterpretStatus:     UNSET
    AggregateStatus:     PASS
    InterpretHealth:     PASS
    InterpretDependency: PASS
-----------------------------------
SOURCE: /sub/b.yml
NAME:   broken
TARGET: example.com/v1 \n        ERROR: target.kind is empty
RULES:
    Retain:              UNSET
    InterpretReplica:    WARNING: the script does not define the function GetReplicas
    InterpretComponent:  UNSET
    ReviseReplica:       UNSET
    InterpretStatus:     UNSET
    AggregateStatus:     UNSET
    InterpretHealth:     ERROR: line 3: expected an expression, found `end`
    InterpretDependency: UNSET
"
    );
    let twice = [all[0].clone(), {
        let mut other = all[0].clone();
        other.object.metadata.name = Some("others".into());
        other
    }];
    let report = check::check(&twice);
    assert_eq!(report.failed, 2);
    assert!(
        report.text.contains(
            "Retain:              ERROR: customization others has a script for it as well"
        )
    );
}

#[test]
fn sources_that_are_no_customizations_are_refused() {
    let files = Files::new(&[
        ("other.yaml", THING),
        (
            "odd.yaml",
            "apiVersion: config.karmada.io/v1alpha1\nkind: ResourceInterpreterCustomization\nspec: {target: 3}\n",
        ),
    ]);
    for (name, problem) in [
        (
            "other.yaml",
            "kind \"Thing\" is not ResourceInterpreterCustomization",
        ),
        ("odd.yaml", "odd.yaml: invalid type"),
        ("absent.yaml", "No such file"),
    ] {
        let name = files.path(name).display().to_string();
        let failure = sources::customizations(&[name], false).unwrap_err();
        assert!(failure.message.contains(problem), "{}", failure.message);
    }
}

#[test]
fn cases_are_answered_in_order() {
    let files = files();
    let input = r#"{"op": "InterpretHealth", "object": {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "status": {"phase": "Ready"}}}

{"op": "InterpretHealth", "object": {"apiVersion": "example.com/v1", "kind": "Thing"}}
{"op": "InterpretHealth", "object": {"apiVersion": "v1", "kind": "ConfigMap"}}
{"op": 7}
{"op": "Prune", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"uid": "u"}}}"#;
    let mut output = Vec::new();
    let rules = files.rules(&["rules.yaml"], false);
    let tally = cases::answer(
        &rules,
        BufReader::with_capacity(5, input.as_bytes()),
        &mut output,
    );
    assert_eq!(
        tally.unwrap(),
        Tally {
            cases: 5,
            malformed: 1
        }
    );
    assert_eq!(
        String::from_utf8(output).unwrap(),
        r#"{"layer":"customization","result":true}
{"error":"InterpretHealth of example.com/v1 Thing: customization: things: line 2: attempt to index field 'metadata' (a nil value)"}
{}
{"error":"line 5, column 8: expected value"}
{"layer":"native","result":{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}}
"#
    );
}

#[test]
fn compat_answers_as_the_reference_does() {
    let files = files();
    let case = r#"{"op": "AggregateStatus", "object": {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}, "items": [{"clusterName": "m1"}]}"#;
    let answer = |compat| {
        let mut output = Vec::new();
        let rules = files.rules(&[], compat);
        cases::answer(&rules, BufReader::new(case.as_bytes()), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    };
    assert!(answer(false).contains("Pending"), "{}", answer(false));
    assert!(answer(true).contains("Bound"), "{}", answer(true));
}
