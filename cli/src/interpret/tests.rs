//! The command as users run it, on files.

use std::{fs, io::BufReader, path::PathBuf};

use serde_json::json;
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
          obj.status = {ready = 0, first = items[1].clusterName}
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
        Rules::new(
            &sources::find(&names, false).unwrap().sound().unwrap().0,
            compat,
        )
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
            "clusterName: m2\nstatus: {ready: 2}\n---\nclusterName: m1\nstatus: {ready: 3}\n",
        ),
        (
            "deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
        ),
    ])
}

/// Runs an operation and returns what it prints, and what scripts print.
fn run(
    files: &Files,
    operation: &str,
    [desired, observed, status]: [Option<&str>; 3],
) -> (Result<String, Failure>, Vec<String>) {
    let path = |name: Option<&str>| name.map(|name| files.path(name));
    let (desired, observed) = (path(desired), path(observed));
    let statuses: Vec<_> = path(status).into_iter().collect();
    let question = Question {
        operation: serde_json::from_value(operation.into()).unwrap(),
        desired: desired.as_deref(),
        observed: observed.as_deref(),
        statuses: &statuses,
        replicas: (operation == "ReviseReplica").then_some(5),
    };
    let mut printed = Vec::new();
    let rules = files.rules(&["rules.yaml"], false);
    let executed = execute::execute(&rules, &question, &mut printed);
    (executed.map(|executed| executed.yaml()), printed)
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
            format!("---\n# [1/1] aggregatedStatus:\n{}status:\n  first: m1\n  ready: 5\n", object("3", "n1")),
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
        let (text, printed) = run(&files, operation, places);
        assert_eq!(text.unwrap(), expected, "{operation}");
        let has_printed = operation == "InterpretHealth";
        assert_eq!(printed.len(), usize::from(has_printed), "{operation}: {printed:?}");
    }
}

/// What is printed means the same to whoever reads it, `kubectl` and this command included.
#[test]
fn results_read_back() {
    let status = "on: 'yes'\n    'y': '0777'\n    date: '2026-01-01'\n    number: '1e3'\n    text: |\n      a\n      b\n";
    let observed = format!(
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: one}}\nstatus:\n    '{}",
        status.replacen("on:", "on':", 1)
    );
    let files = Files::new(&[("rules.yaml", CUSTOMIZATION), ("observed.yaml", &observed)]);
    let places = [None, Some("observed.yaml"), None];
    let (text, _) = run(&files, "InterpretStatus", places);
    let again = format!("apiVersion: v1\nkind: Status\n{}", text.unwrap());
    let documents = super::yaml::documents(&again).unwrap();
    assert_eq!(
        documents[1].value(),
        json!({"on": "yes", "y": "0777", "date": "2026-01-01", "number": "1e3", "text": "a\nb\n"})
    );
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
        replicas: None,
    };
    let executed = execute::execute(
        &files.rules(&["rules.yaml"], false),
        &question,
        &mut Vec::new(),
    )
    .unwrap();
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
            "status.yaml: the file holds 2 documents; it has to hold one object",
        ),
        (
            "InterpretHealth",
            [Some("absent.yaml"), None, None],
            "No such file",
        ),
    ] {
        let (answer, printed) = run(&files, operation, places);
        let failure = answer.unwrap_err();
        assert!(
            failure.message.contains(problem),
            "{operation}: {}",
            failure.message
        );
        assert_eq!(failure.code, 1);
        // Where the script was before it failed.
        let has_printed = problem.contains("attempt to index field 'status'");
        let expected: &[&str] = if has_printed {
            &["looking at one"]
        } else {
            &[]
        };
        assert_eq!(printed, expected);
    }
}

#[test]
fn replicas_have_to_be_given() {
    let files = files();
    let thing = files.path("thing.yaml");
    let question = Question {
        operation: crds::config::InterpreterOperation::ReviseReplica,
        desired: Some(&thing),
        observed: None,
        statuses: &[],
        replicas: None,
    };
    let failure = execute::execute(
        &files.rules(&["rules.yaml"], false),
        &question,
        &mut Vec::new(),
    );
    let failure = failure.map(|_| ()).unwrap_err();
    assert_eq!(failure.message, "ReviseReplica needs --replica");
    assert!(failure.hint.is_some());
    let question = Question {
        operation: crds::config::InterpreterOperation::InterpretReplica,
        replicas: Some(3),
        ..question
    };
    let failure = execute::execute(
        &files.rules(&["rules.yaml"], false),
        &question,
        &mut Vec::new(),
    );
    let failure = failure.map(|_| ()).unwrap_err();
    assert_eq!(failure.message, "InterpretReplica takes no --replica");
}

#[test]
fn checks_tell_files_from_customizations() {
    let broken = CUSTOMIZATION.replace("kind: Thing}", "kind: ''}");
    let files = Files::new(&[
        ("a.yaml", CUSTOMIZATION),
        ("b.yaml", &broken.replace("name: things", "name: b")),
    ]);
    let verdict = |names: &[&str]| {
        let path = |name: &&str| files.path(name).display().to_string();
        let names: Vec<_> = names.iter().map(path).collect();
        let found = sources::find(&names, false).unwrap();
        check::check(&found.documents)
            .verdict()
            .map_err(|failure| failure.message)
    };
    assert_eq!(verdict(&["a.yaml"]), Ok(()));
    assert_eq!(
        verdict(&["absent.yaml"]),
        Err("a file cannot be read".to_owned())
    );
    assert_eq!(
        verdict(&["a.yaml", "b.yaml"]),
        Err("a customization cannot work as it is written".to_owned())
    );
    assert_eq!(
        verdict(&["b.yaml", "absent.yaml", "gone.yaml"]),
        Err("a customization cannot work as it is written, and 2 files cannot be read".to_owned())
    );
}

#[test]
fn texts_that_yaml_takes_for_something_else_are_to_be_quoted() {
    let odd = CUSTOMIZATION.replace("name: things", "name: n");
    let files = Files::new(&[("odd.yaml", &odd)]);
    let name = files.path("odd.yaml").display().to_string();
    let found = sources::find(std::slice::from_ref(&name), false).unwrap();
    let faults: Vec<_> = found.documents[0]
        .faults
        .iter()
        .map(|it| &*it.message)
        .collect();
    assert_eq!(
        faults,
        ["metadata.name: expected a string, found a boolean; quote it"]
    );
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
    retention: {luaScript: Retain = 5}
";
    let files = Files::new(&[
        ("a.yaml", CUSTOMIZATION),
        ("sub/b.yml", broken),
        ("notes.txt", "no YAML: ["),
    ]);
    let names = [files.0.path().display().to_string()];
    let find = |recursive| sources::find(&names, recursive).unwrap().documents;
    assert_eq!(check::check(&find(false)).failed(), 0);
    let mut all = find(true);
    let report = check::check(&all);
    assert_eq!(report.failed(), 1);
    assert_eq!(
        report.text().replace(&names[0], ""),
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
TARGET: example.com/v1
        ERROR: spec.target.kind is empty: name the kind that the rules are for
RULES:
    Retain:              ERROR: line 1: Retain is a number, not a function: define it as `function Retain(desiredObj, observedObj) … end`
    InterpretReplica:    ERROR: line 1: the script does not define the function GetReplicas: define it as `function GetReplicas(desiredObj) … end`
    InterpretComponent:  UNSET
    ReviseReplica:       UNSET
    InterpretStatus:     UNSET
    AggregateStatus:     UNSET
    InterpretHealth:     ERROR: line 3: expected an expression, found `end`
    InterpretDependency: UNSET
"
    );
    let json = serde_json::to_value(&report).unwrap();
    let retain = json!({"operation": "Retain", "result": "ERROR", "line": 1, "message":
        "Retain is a number, not a function: define it as `function Retain(desiredObj, observedObj) … end`"});
    assert_eq!(json[1]["rules"][0], retain);
    assert_eq!(json[1]["rules"][6]["line"], 3);
    let mut other = all[0].clone();
    if let Some(object) = &mut other.object {
        object.metadata.name = Some("others".into());
    }
    all[1] = other;
    let report = check::check(&all);
    assert_eq!(report.failed(), 2);
    assert!(report.text().contains(
        "Retain:              ERROR: customization others has a script for it as well; keep one of the two"
    ));
}

#[test]
fn checks_name_the_fields_that_cannot_be() {
    let files = Files::new(&[(
        "odd.yaml",
        "kind: Secret
---
apiVersion: config.karmada.io/v1
kind: ResourceInterpreterCustomization
metadata: {}
spec:
  target:
    apiVersion: example.com/v1
    kind: Thing
  customizations:
    health:
      luaScript: x
    retention:
      luaScript: [x]
",
    )]);
    let name = files.path("odd.yaml").display().to_string();
    let found = sources::find(std::slice::from_ref(&name), false).unwrap();
    assert_eq!(
        found.skipped,
        [format!(
            "{name}: skipped a document that is no ResourceInterpreterCustomization: Secret"
        )]
    );
    let report = check::check(&found.documents);
    assert_eq!(report.failed(), 1);
    assert_eq!(
        report.text().replace(&name, "odd.yaml"),
        "-----------------------------------
SOURCE: odd.yaml, document 2
NAME:   \nTARGET: \n        ERROR: line 3: apiVersion: \"config.karmada.io/v1\" has no such kind; write config.karmada.io/v1alpha1
        ERROR: line 5: metadata.name: missing; customizations are told apart, and ordered, by their names
        ERROR: line 14: spec.customizations.retention.luaScript: expected a string, found a list
        ERROR: line 11: spec.customizations.health: unknown field; known here: componentResource, dependencyInterpretation, healthInterpretation, replicaResource, replicaRevision, retention, statusAggregation, statusReflection
"
    );
    let failure = found.sound().map(|_| ()).unwrap_err();
    assert_eq!(
        failure.message.replace(&name, "odd.yaml"),
        "odd.yaml, document 2 (ResourceInterpreterCustomization \"\"), line 3: apiVersion: \"config.karmada.io/v1\" has no such kind; write config.karmada.io/v1alpha1"
    );
}

#[test]
fn folders_may_hold_other_things() {
    let files = Files::new(&[
        ("rules.yaml", CUSTOMIZATION),
        ("sub/deep/rules.yml", CUSTOMIZATION),
        ("thing.yaml", THING),
        ("empty.yaml", "---\n"),
    ]);
    let folder = files.0.path().display().to_string();
    for (recursive, customizations) in [(false, 1), (true, 2)] {
        let found = sources::find(std::slice::from_ref(&folder), recursive).unwrap();
        assert_eq!(found.documents.len(), customizations);
        let skipped: Vec<_> = found
            .skipped
            .iter()
            .map(|line| line.replace(&folder, ""))
            .collect();
        assert_eq!(
            skipped,
            [
                "/empty.yaml: skipped, it is empty",
                "/thing.yaml: skipped, it holds no ResourceInterpreterCustomization, but Thing",
            ]
        );
    }
    // The example has customizations beside what they are for.
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/interpreter");
    let found = sources::find(&[example.to_owned()], false).unwrap();
    assert_eq!(found.skipped.len(), 3, "{:?}", found.skipped);
    assert_eq!(found.documents.len(), 2);
    assert_eq!(check::check(&found.documents).failed(), 0);
}

#[test]
fn sources_that_are_no_customizations_are_refused() {
    let files = Files::new(&[
        ("other.yaml", THING),
        ("empty.yaml", "# nothing\n"),
        ("folder/thing.yaml", THING),
        ("broken.yaml", "a: b\n c: d\n"),
    ]);
    let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    fs::write(files.path("deep.yaml"), deep).unwrap();
    for (name, problem) in [
        (
            "other.yaml",
            "other.yaml: there is no ResourceInterpreterCustomization in it, but Thing",
        ),
        (
            "empty.yaml",
            "empty.yaml: there is no ResourceInterpreterCustomization in it: the file is empty",
        ),
        ("folder", "no ResourceInterpreterCustomization in "),
        ("broken.yaml", "broken.yaml: line 2, column "),
        ("deep.yaml", "nested deeper than 64 levels"),
        ("absent.yaml", "No such file"),
    ] {
        let name = files.path(name).display().to_string();
        let found = sources::find(&[name], false).and_then(sources::Found::sound);
        let failure = found.map(|_| ()).unwrap_err();
        assert!(failure.message.contains(problem), "{}", failure.message);
    }
}

#[test]
fn checks_go_on_after_what_cannot_be_read() {
    let files = Files::new(&[
        ("a.yaml", "a: b\n c: d\n"),
        ("b.yaml", CUSTOMIZATION),
        ("c.yaml", "a: *x\n"),
        ("d.yaml", CUSTOMIZATION),
    ]);
    fs::write(files.path("e.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let folder = files.0.path().display().to_string();
    let found = sources::find(std::slice::from_ref(&folder), false).unwrap();
    let report = check::check(&found.documents);
    assert_eq!(report.failed(), 4);
    let text = report.text().replace(&folder, "");
    let errors: Vec<_> = text.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 4, "{text}");
    assert!(errors[0].contains("ERROR: line 2, column "), "{text}");
    assert_eq!(
        errors[1..],
        [
            "        ERROR: line 1, column 4: an alias of an anchor that is not there",
            "        ERROR: line 4: metadata.name: /b.yaml (ResourceInterpreterCustomization \"things\") has this name as well, and on a server the one would replace the other; give each its own",
            "        ERROR: no text in UTF-8",
        ]
    );
    assert!(text.contains("SOURCE: /c.yaml\n        ERROR"), "{text}");
    assert!(found.sound().is_err());
}

#[test]
fn objects_and_states_name_what_does_not_fit() {
    let files = Files::new(&[
        ("none.yaml", ""),
        ("text.yaml", "hello\n"),
        ("kindless.yaml", "apiVersion: v1\nspec: {}\n"),
        (
            "states.yaml",
            "clusterName: m1\n---\nclusterName: m2\nhealth: Fine\n",
        ),
        ("nameless.yaml", "cluster: m1\n"),
        ("list.yaml", "- clusterName: m1\n- clusterName: m2\n"),
        ("number.yaml", "apiVersion: 5\nkind: Thing\n"),
    ]);
    for (name, problem) in [
        (
            "none.yaml",
            "none.yaml: the file is empty; it has to hold one object",
        ),
        ("text.yaml", "text.yaml: line 1: expected an object"),
        ("kindless.yaml", "kindless.yaml: kind: missing"),
        (
            "number.yaml",
            "number.yaml: apiVersion: must be a string, not a number",
        ),
    ] {
        let failure = sources::object(&files.path(name)).unwrap_err();
        assert!(failure.message.contains(problem), "{}", failure.message);
    }
    for (name, problem) in [
        (
            "states.yaml",
            "states.yaml, document 2 (AggregatedStatusItem), line 4: health: \"Fine\" is none of Healthy, Unhealthy, Unknown",
        ),
        (
            "nameless.yaml",
            "document 1 (AggregatedStatusItem), line 1: clusterName: required, but missing",
        ),
        (
            "list.yaml",
            "document 1 (AggregatedStatusItem), line 1: each document is an AggregatedStatusItem, an object with clusterName and status",
        ),
    ] {
        let failure = sources::status_items(&files.path(name)).unwrap_err();
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
{"op": "InterpretHealth"
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
            cases: 6,
            malformed: 2
        }
    );
    assert_eq!(
        String::from_utf8(output).unwrap(),
        r#"{"layer":"customization","result":true}
{"error":"InterpretHealth of example.com/v1 Thing: customization: things: line 2: attempt to index field 'metadata' (a nil value)"}
{}
{"error":"line 5: op: expected a string, found a number"}
{"error":"line 6, column 24: the line is no JSON: it ends within a value"}
{"layer":"native","result":{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}}
"#
    );
}

#[test]
fn cases_over_several_lines_get_one_hint() {
    let files = files();
    let mut output = Vec::new();
    let rules = files.rules(&[], false);
    let pretty = "{\n  \"op\": \"Prune\",\n  \"object\": {}\n}\n";
    let failure = cases::answer(&rules, BufReader::new(pretty.as_bytes()), &mut output);
    let failure = failure.unwrap_err();
    assert_eq!(
        failure.message,
        "the first case on standard input goes on in the next line"
    );
    assert_eq!(
        failure.hint.as_deref(),
        Some("one case a line: pipe it through `jq -c .`")
    );
    assert!(output.is_empty());
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
