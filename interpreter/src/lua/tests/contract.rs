use super::*;

#[track_caller]
fn check(compat: bool, script: &str, question: &Question<'_>, expected: Result<Answer, &str>) {
    assert_eq!(
        ask(compat, script, question),
        expected.map_err(str::to_owned),
        "{script}"
    );
}

#[track_caller]
fn check_both(script: &str, question: &Question<'_>, expected: Result<Answer, &str>) {
    check(true, script, question, expected.clone());
    check(false, script, question, expected);
}

fn thing() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 3}})
}

#[test]
fn replicas() {
    let thing = thing();
    let question = Question::Replicas { object: &thing };
    check_both(
        "function GetReplicas(o) return o.spec.size end",
        &question,
        Ok(Answer::Replicas(3, None)),
    );
    check_both(
        "function GetReplicas(o) return 2.9 end",
        &question,
        Ok(Answer::Replicas(2, None)),
    );
    check_both(
        "GetReplicas = function(o) return 0, {} end",
        &question,
        Ok(Answer::Replicas(
            0,
            Some(crds::work::ReplicaRequirements::default()),
        )),
    );
    let fewer = "\nfunction GetReplicas(o) return -1 end";
    check(true, fewer, &question, Ok(Answer::Replicas(-1, None)));
    check(
        false,
        fewer,
        &question,
        Err("line 2: GetReplicas: -1 is no number of replicas: it has to be 0 or more"),
    );
    let script = "function GetReplicas(o) return 1, {resourceRequest = {cpu = '0.5', memory = 1024}, namespace = 'n',
        nodeClaim = {nodeSelector = {a = 'b'}, tolerations = {{key = 'k', tolerationSeconds = 5}}}, unknown = 1} end";
    let requirements = serde_json::from_value(
        json!({"resourceRequest": {"cpu": "500m", "memory": "1024"}, "namespace": "n",
        "nodeClaim": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "tolerationSeconds": 5}]}}),
    );
    check_both(
        script,
        &question,
        Ok(Answer::Replicas(1, Some(requirements.unwrap()))),
    );
    check_both(
        "function GetReplicas(o) end",
        &question,
        Err("line 1: GetReplicas: expected a number of replicas, found nil"),
    );
    check_both(
        "function GetReplicas(o) return '3' end",
        &question,
        Err("line 1: GetReplicas: expected a number of replicas, found a string"),
    );
    check_both(
        "function GetReplicas(o) return 1, 2 end",
        &question,
        Err("line 1: GetReplicas: expected a table or nil as requirements, found a number"),
    );
    check_both(
        "function GetReplicas(o) return 1e10 end",
        &question,
        Err(
            "line 1: GetReplicas: 10000000000 is no number of replicas: it has to be a 32-bit integer, of at most 2147483647",
        ),
    );
    check_both(
        "function GetReplicas(o) return 1, {resourceRequest = {cpu = 'x'}} end",
        &question,
        Err("line 1: GetReplicas: requirements.resourceRequest[cpu]: `x` is no quantity"),
    );
    assert!(
        ask(
            true,
            "function GetReplicas(o) return 1, {nodeClaim = 'x'} end",
            &question
        )
        .is_err()
    );
}

#[test]
fn numbers_that_are_no_replicas() {
    let thing = thing();
    let question = Question::Replicas { object: &thing };
    for (number, printed) in [
        ("1e12", "1000000000000"),
        ("-1e12", "-1000000000000"),
        ("2147483648", "2147483648"),
        ("0/0", "NaN"),
        ("1/0", "+Inf"),
    ] {
        let problem = format!(
            "line 2: GetReplicas: {printed} is no number of replicas: it has to be a 32-bit integer, of at most 2147483647"
        );
        let script = format!("\nfunction GetReplicas(o) return {number} end");
        check_both(&script, &question, Err(&problem));
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let thing = thing();
    let replicas = Question::Replicas { object: &thing };
    let components = Question::Components { object: &thing };
    let dependencies = Question::Dependencies { object: &thing };
    for (question, script, problem) in [
        (
            &replicas,
            "function GetReplicas(o) return 1, {nodeClaim = {tolerations = {{key = 1}}}} end",
            "GetReplicas: requirements.nodeClaim.tolerations[0].key: expected a string, found a number",
        ),
        (
            &components,
            "function GetComponents(o) return {{name = 'a', replicas = 1}, {name = 'b', replicas = 'x'}} end",
            "GetComponents: components[1].replicas: expected an integer, found a string",
        ),
        (
            &components,
            "function GetComponents(o) return {{name = 'a'}} end",
            "GetComponents: components[0].replicas: required, but missing",
        ),
        (
            &components,
            "function GetComponents(o) return {name = 'a', replicas = 1} end",
            "GetComponents: expected a list of components, found a table with names as keys",
        ),
        (
            &dependencies,
            "function GetDependencies(o) return {{apiVersion = 'v1', kind = 'Secret', name = {'x'}}} end",
            "GetDependencies: dependencies[0].name: expected a string, found a list",
        ),
        (
            &dependencies,
            "function GetDependencies(o) return {{apiVersion = 'v1', kind = 'Secret'}} end",
            "GetDependencies: dependencies[0].name: Secret has neither name nor labelSelector",
        ),
    ] {
        check_both(script, question, Err(&format!("line 1: {problem}")));
    }
    check(
        false,
        "function GetComponents(o) return {{name = 'a', replicas = 1}, {name = 'a', replicas = 1}} end",
        &components,
        Err("line 1: GetComponents: components[1].name: there is another component named \"a\""),
    );
}

#[test]
fn tail_calls_leave_the_line_of_the_function() {
    let thing = thing();
    let question = Question::Health { observed: &thing };
    check_both(
        "local x = 1\n\nfunction InterpretHealth(o)\n  return string.rep('x', 3)\nend",
        &question,
        Err("line 3: in InterpretHealth, which begins here: string.rep is not supported"),
    );
    // What called the tail is still there.
    check_both(
        "local function f()\n  return string.rep('x', 3)\nend\nfunction InterpretHealth(o)\n  local x = f()\n  return x\nend",
        &question,
        Err("line 5: string.rep is not supported"),
    );
}

#[test]
fn components() {
    let thing = thing();
    let question = Question::Components { object: &thing };
    check_both(
        "function GetComponents(o) end",
        &question,
        Ok(Answer::Components(vec![])),
    );
    check_both(
        "function GetComponents(o) return {} end",
        &question,
        Ok(Answer::Components(vec![])),
    );
    let script = "function GetComponents(o) return {{name = 'a', replicas = 2, replicaRequirements = {resourceRequest = {cpu = 1}}}, {name = 'b', replicas = 0}} end";
    let components = json!([{"name": "a", "replicas": 2, "replicaRequirements": {"resourceRequest": {"cpu": "1"}}}, {"name": "b", "replicas": 0}]);
    check_both(
        script,
        &question,
        Ok(Answer::Components(
            serde_json::from_value(components).unwrap(),
        )),
    );
    check_both(
        "function GetComponents(o) return 1 end",
        &question,
        Err("line 1: GetComponents: expected a list of components, found a number"),
    );
    assert!(
        ask(
            true,
            "function GetComponents(o) return {{name = 'a', replicas = 1.5}} end",
            &question
        )
        .is_err()
    );
}

#[test]
fn revision_and_retention() {
    let mut object = thing();
    object["spec"] =
        json!({"size": 3, "list": [], "map": {}, "float": 1.5, "whole": 2.0, "null": null});
    let question = Question::ReviseReplica {
        object: object.clone(),
        replicas: 7,
    };
    let mut expected = object.clone();
    expected["spec"] = json!({"size": 7, "list": [], "map": {}, "float": 1.5, "whole": 2});
    let script = "function ReviseReplica(o, n) o.spec.size = n return o end";
    check_both(script, &question, Ok(Answer::Object(expected)));
    check_both(
        "function ReviseReplica(o, n) end",
        &question,
        Err("line 1: ReviseReplica: expected an object, found nil"),
    );
    check_both(
        "function ReviseReplica(o, n) return {spec = {}} end",
        &question,
        Err("line 1: ReviseReplica: the object has no kind"),
    );
    check_both(
        "function ReviseReplica(o, n) return {1, 2} end",
        &question,
        Err("line 1: ReviseReplica: expected an object, found a list"),
    );
    let observed = json!({"kind": "Thing", "spec": {"empty": [], "own": {"deep": {}}}});
    let question = Question::Retain {
        desired: thing(),
        observed: &observed,
    };
    let mut expected = thing();
    expected["spec"] = observed["spec"].clone();
    check_both(
        "function Retain(d, o) d.spec = o.spec return d end",
        &question,
        Ok(Answer::Object(expected.clone())),
    );
    // Tables that the script makes become what the references have at their path.
    let script =
        "function Retain(d, o) d.spec = {empty = {}, own = {deep = {}}, other = {}} return d end";
    check_both(script, &question, Ok(Answer::Object(expected)));
}

#[test]
fn objects_keep_kind_and_name() {
    let observed = thing();
    for (change, problem) in [
        (
            "d.kind = 'Other'",
            "kind is changed from \"Thing\" to \"Other\"; it has to stay",
        ),
        (
            "d.metadata.name = 'u'",
            "metadata.name is changed from \"t\" to \"u\"; it has to stay",
        ),
        (
            "d.metadata = nil",
            "metadata.name is changed from \"t\" to nothing; it has to stay",
        ),
    ] {
        for (function, question) in [
            (
                "Retain",
                Question::Retain {
                    desired: thing(),
                    observed: &observed,
                },
            ),
            (
                "ReviseReplica",
                Question::ReviseReplica {
                    object: thing(),
                    replicas: 1,
                },
            ),
        ] {
            let script = format!("function {function}(d) {change} return d end");
            let problem = format!("line 1: {function}: {problem}");
            check(false, &script, &question, Err(&problem));
            assert!(ask(true, &script, &question).is_ok(), "{script}");
        }
    }
    let items: [AggregatedStatusItem; 0] = [];
    let question = Question::AggregateStatus {
        object: thing(),
        items: Some(&items),
    };
    let script = "function AggregateStatus(o) return {kind = 'Thing', status = {a = 1}} end";
    assert!(ask(false, script, &question).is_ok());
    check_both(
        "function AggregateStatus(o) return {1, 2} end",
        &question,
        Err("line 1: AggregateStatus: expected an object, found a list"),
    );
}

#[test]
fn reflection() {
    let mut observed = thing();
    observed["status"] = json!({"phase": "Up", "conditions": [], "state": {"running": {}}, "n": 1});
    let question = Question::Status {
        observed: &observed,
    };
    let script = "function ReflectStatus(o) return o.status end";
    check(
        true,
        script,
        &question,
        Ok(Answer::Status(Some(
            json!({"phase": "Up", "state": {}, "n": 1}),
        ))),
    );
    check(
        false,
        script,
        &question,
        Ok(Answer::Status(Some(observed["status"].clone()))),
    );
    check_both(
        "function ReflectStatus(o) return {} end",
        &question,
        Ok(Answer::Status(Some(json!({})))),
    );
    check_both(
        "function ReflectStatus(o) return nil end",
        &question,
        Err("line 1: ReflectStatus: expected a table, found nil"),
    );
}

#[test]
fn aggregation() {
    let script = "function AggregateStatus(o, items) o.status = {count = -1}
        if items ~= nil then o.status = {count = #items} end
        for i = 1, #(items or {}) do local it = items[i]
            o.status[it.clusterName] = tostring(it.status and it.status.n) .. tostring(it.applied) .. tostring(it.appliedMessage) .. tostring(it.health) end
        return o end";
    let items = [
        AggregatedStatusItem {
            cluster_name: "a".into(),
            status: Some(json!({"n": 5})),
            applied: Some(true),
            health: Some(ResourceHealth::Healthy),
            ..AggregatedStatusItem::default()
        },
        AggregatedStatusItem {
            cluster_name: "b".into(),
            applied: Some(false),
            applied_message: Some("m".into()),
            ..AggregatedStatusItem::default()
        },
    ];
    let status = |items: Option<&[AggregatedStatusItem]>| match ask(
        true,
        script,
        &Question::AggregateStatus {
            object: thing(),
            items,
        },
    ) {
        Ok(Answer::Object(object)) => object["status"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        status(Some(&items)),
        json!({"count": 2, "a": "5truenilHealthy", "b": "nilnilmnil"})
    );
    assert_eq!(status(Some(&[])), json!({"count": 0}));
    assert_eq!(status(None), json!({"count": -1}));
}

#[test]
fn health() {
    let thing = thing();
    let question = Question::Health { observed: &thing };
    check_both(
        "function InterpretHealth(o) return o.spec.size == 3 end",
        &question,
        Ok(Answer::Health(true)),
    );
    check_both(
        "function InterpretHealth(o) return 1 end",
        &question,
        Err("line 1: InterpretHealth: expected a boolean, found a number"),
    );
    check(
        true,
        "function InterpretHealth(o) end",
        &question,
        Err("line 1: InterpretHealth: expected a boolean, found nil"),
    );
    check(
        false,
        "function InterpretHealth(o) end",
        &question,
        Ok(Answer::Health(false)),
    );
}

#[test]
fn dependencies() {
    let thing = thing();
    let question = Question::Dependencies { object: &thing };
    let script = "function GetDependencies(o) return {{apiVersion = 'v1', kind = 'Secret', namespace = '', name = 's'},
        {apiVersion = 'v1', kind = 'Pod', namespace = 'n', labelSelector = {matchLabels = {a = 'b'}}}} end";
    let references = json!([{"apiVersion": "v1", "kind": "Secret", "name": "s"},
        {"apiVersion": "v1", "kind": "Pod", "namespace": "n", "labelSelector": {"matchLabels": {"a": "b"}}}]);
    check_both(
        script,
        &question,
        Ok(Answer::Dependencies(
            serde_json::from_value(references).unwrap(),
        )),
    );
    check_both(
        "function GetDependencies(o) return {} end",
        &question,
        Ok(Answer::Dependencies(vec![])),
    );
    check(
        true,
        "function GetDependencies(o) end",
        &question,
        Err("line 1: GetDependencies: expected a list of references, found nil"),
    );
    check(
        false,
        "function GetDependencies(o) end",
        &question,
        Ok(Answer::Dependencies(vec![])),
    );
}

#[test]
fn the_function_has_to_exist() {
    let thing = thing();
    let question = Question::Health { observed: &thing };
    check_both(
        "function Other() end",
        &question,
        Err("line 1: not found function InterpretHealth"),
    );
    check_both(
        "local n = 5\nInterpretHealth = n",
        &question,
        Err("line 2: InterpretHealth is a number, not a function"),
    );
    check_both(
        "local function InterpretHealth() end",
        &question,
        Err("line 1: not found function InterpretHealth"),
    );
    check_both(
        "function InterpretHealth(",
        &question,
        Err("line 1: expected a name, found the end of the script"),
    );
    check_both(
        "goto nowhere",
        &question,
        Err("line 1: no visible label 'nowhere' for <goto> at line 1"),
    );
    check_both(
        "\nlocal x = nil + 1",
        &question,
        Err("line 2: attempt to perform arithmetic on a nil value"),
    );
    // What the script itself returns is of no interest.
    check_both(
        "function InterpretHealth(o) return true end return false",
        &question,
        Ok(Answer::Health(true)),
    );
}

#[test]
fn printed_lines_reach_the_caller() {
    let runtime = Runtime::new(Limits::default());
    let script = runtime
        .compile("print('hello', 1, nil) function InterpretHealth(o) print(2) return true end")
        .unwrap();
    let lines = std::cell::RefCell::new(Vec::new());
    let print = |printed: crate::layer::Printed| lines.borrow_mut().push(printed);
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock(NOW));
    let context = Context {
        options: Options::default(),
        clock: &clock,
        print: Some(&print),
        customization: "things",
    };
    runtime
        .ask(
            &script,
            &Question::Health {
                observed: &json!({}),
            },
            &context,
        )
        .unwrap();
    let lines = lines.into_inner();
    assert!(
        lines
            .iter()
            .all(|printed| printed.customization == "things")
    );
    let lines: Vec<_> = lines.iter().map(|printed| printed.line.as_str()).collect();
    assert_eq!(lines, ["hello\t1\tnil", "2"]);
}
