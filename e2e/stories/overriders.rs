//! The seven overriders, each through the whole chain: what stands in the member, cluster by cluster.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::stage::{Scene, on, policy};

const EVERYWHERE: &str = "member1, member2, member3";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// An OverridePolicy `differ` with a rule for each cluster; `rules` are `(cluster, overriders)` as inline YAML.
fn differ(api_version: &str, kind: &str, name: &str, rules: &[(&str, &str)]) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|(cluster, overriders)| {
            format!(
                "\n  - targetCluster: {{clusterNames: [{cluster}]}}\n    overriders: {overriders}"
            )
        })
        .collect();
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: differ, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: {api_version}, kind: {kind}, name: {name}}}]
  overrideRules:{}
",
        rules.concat()
    )
}

/// A Deployment `web` whose pod template has this specification.
fn workload(spec: &str) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {{ns}}, labels: {{app: web}}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {spec}}}
"
    )
}

async fn pod(scene: &Scene, member: &str) -> Value {
    let object = scene
        .until(member, "deployments.apps", "web", "there", |_| true)
        .await;
    object["spec"]["template"]["spec"].clone()
}

#[tokio::test]
async fn image_overriders_change_a_component_of_every_container_or_of_one_path() {
    let scene = Scene::open("ovr-image").await;
    let spec = format!(
        "{{initContainers: [{{name: init, image: 'docker.io/library/busybox:1'}}], containers: [\
         {{name: web, image: 'docker.io/library/nginx:1.29'}}, \
         {{name: side, image: 'quay.io/acme/side@{DIGEST}'}}]}}"
    );
    let rules = differ(
        "apps/v1",
        "Deployment",
        "web",
        &[
            (
                "member1",
                "{imageOverrider: [{component: Registry, operator: replace, value: r.example.com}, \
                 {component: Tag, operator: add, value: -alpine}]}",
            ),
            (
                "member2",
                "{imageOverrider: [\
                 {predicate: {path: /spec/template/spec/containers/1/image}, component: Tag, operator: replace, value: v9}, \
                 {predicate: {path: /spec/template/spec/initContainers/0/image}, component: Registry, operator: remove}]}",
            ),
            (
                "member3",
                "{imageOverrider: [\
                 {predicate: {path: /spec/template/spec/containers/0/image}, component: Repository, operator: replace, value: mirror/nginx}, \
                 {component: Registry, operator: add, value: ':5000'}, \
                 {component: Tag, operator: remove}]}",
            ),
        ],
    );
    scene.apply(&(rules + &workload(&spec)));
    scene.apply(&policy("web", "apps/v1", "Deployment", &on(EVERYWHERE)));
    let init = "docker.io/library/busybox:1";
    let with_digest = format!("r.example.com/acme/side@{DIGEST}");
    for (member, init, web, side) in [
        (
            "member1",
            init,
            "r.example.com/library/nginx:1.29-alpine",
            // A digest with a suffix is neither a tag nor a digest, and stays.
            with_digest.as_str(),
        ),
        (
            "member2",
            "library/busybox:1",
            "docker.io/library/nginx:1.29",
            "quay.io/acme/side:v9",
        ),
        (
            "member3",
            init,
            "docker.io:5000/mirror/nginx",
            "quay.io:5000/acme/side",
        ),
    ] {
        let pod = pod(&scene, member).await;
        assert_eq!(pod["initContainers"][0]["image"], init, "{member}");
        assert_eq!(pod["containers"][0]["image"], web, "{member}");
        assert_eq!(pod["containers"][1]["image"], side, "{member}");
    }
}

#[tokio::test]
async fn commands_and_arguments_gain_and_lose_words() {
    let scene = Scene::open("ovr-words").await;
    let spec = "{containers: [{name: web, image: 'nginx:1', command: [run], args: [--x, --y, --x]}, \
                {name: bare, image: 'nginx:1'}]}";
    let rules = differ(
        "apps/v1",
        "Deployment",
        "web",
        &[
            (
                "member1",
                "{commandOverrider: [{containerName: web, operator: add, value: [--fast, --now]}], \
                 argsOverrider: [{containerName: web, operator: remove, value: [--x, --unknown]}]}",
            ),
            (
                "member2",
                "{commandOverrider: [{containerName: bare, operator: add, value: [sleep, '1']}], \
                 argsOverrider: [{containerName: bare, operator: remove, value: [--x]}, \
                 {containerName: nobody, operator: add, value: [--lost]}]}",
            ),
        ],
    );
    scene.apply(&(rules + &workload(spec)));
    scene.apply(&policy("web", "apps/v1", "Deployment", &on(EVERYWHERE)));
    let plain = (json!(["run"]), json!(["--x", "--y", "--x"]));
    for (member, (command, args), (bare_command, bare_args)) in [
        (
            "member1",
            (json!(["run", "--fast", "--now"]), json!(["--y"])),
            (Value::Null, Value::Null),
        ),
        (
            "member2",
            plain.clone(),
            // Taking words from nothing leaves the image's own arguments alone.
            (json!(["sleep", "1"]), Value::Null),
        ),
        ("member3", plain, (Value::Null, Value::Null)),
    ] {
        let containers = &pod(&scene, member).await["containers"];
        assert_eq!(containers[0]["command"], command, "{member}");
        assert_eq!(containers[0]["args"], args, "{member}");
        assert_eq!(containers[1]["command"], bare_command, "{member}");
        assert_eq!(containers[1]["args"], bare_args, "{member}");
    }
}

#[tokio::test]
async fn label_and_annotation_overriders_change_the_object_and_not_its_pods() {
    let scene = Scene::open("ovr-marks").await;
    let rules = differ(
        "apps/v1",
        "Deployment",
        "web",
        &[
            (
                "member1",
                "{labelsOverrider: [{operator: add, value: {app: web-1, example.com/zone: north}}, \
                 {operator: replace, value: {missing: x}}, {operator: remove, value: {missing: ''}}], \
                 annotationsOverrider: [{operator: add, value: {example.com/a.b: dotted}}, \
                 {operator: replace, value: {note: local}}]}",
            ),
            (
                "member2",
                "{labelsOverrider: [{operator: remove, value: {tier: ''}}], \
                 annotationsOverrider: [{operator: remove, value: {note: ''}}]}",
            ),
        ],
    );
    let template = workload("{containers: [{name: web, image: 'nginx:1'}]}").replace(
        "labels: {app: web}}\n",
        "labels: {app: web, tier: front}, annotations: {note: global}}\n",
    );
    scene.apply(&(rules + &template));
    scene.apply(&policy("web", "apps/v1", "Deployment", &on(EVERYWHERE)));
    let text = |object: &Value, field: &str, key: &str| object["metadata"][field][key].clone();
    for (member, app, zone, tier, note, dotted) in [
        (
            "member1",
            json!("web-1"),
            json!("north"),
            json!("front"),
            json!("local"),
            json!("dotted"),
        ),
        (
            "member2",
            json!("web"),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ),
        (
            "member3",
            json!("web"),
            Value::Null,
            json!("front"),
            json!("global"),
            Value::Null,
        ),
    ] {
        let object = scene
            .until(member, "deployments.apps", "web", "there", |_| true)
            .await;
        assert_eq!(text(&object, "labels", "app"), app, "{member}");
        assert_eq!(text(&object, "labels", "example.com/zone"), zone);
        assert_eq!(text(&object, "labels", "tier"), tier, "{member}");
        assert_eq!(text(&object, "labels", "missing"), Value::Null);
        assert_eq!(text(&object, "annotations", "note"), note, "{member}");
        assert_eq!(text(&object, "annotations", "example.com/a.b"), dotted);
        assert_eq!(
            object["spec"]["template"]["metadata"]["labels"],
            json!({ "app": "web" })
        );
    }
}

#[tokio::test]
async fn plaintext_is_one_patch_whose_parts_see_each_other() {
    let scene = Scene::open("ovr-plain").await;
    let rules = differ(
        "apps/v1",
        "Deployment",
        "web",
        &[
            (
                "member1",
                "{plaintext: [{path: /spec/template/spec/nodeSelector, operator: add, value: {}}, \
                 {path: /spec/template/spec/nodeSelector/example.com~1disk, operator: add, value: ssd}, \
                 {path: /spec/template/spec/tolerations/-, operator: add, value: {key: c, operator: Exists}}, \
                 {path: /spec/template/spec/tolerations/0, operator: remove}]}",
            ),
            (
                "member2",
                "{plaintext: [{path: /spec/template/spec/tolerations/-1, operator: replace, value: {key: z, operator: Exists}}, \
                 {path: /spec/minReadySeconds, operator: add, value: 7}, \
                 {path: /spec/revisionHistoryLimit, operator: replace, value: 2}]}",
            ),
        ],
    );
    let spec = "{tolerations: [{key: a, operator: Exists}, {key: b, operator: Exists}], \
                containers: [{name: web, image: 'nginx:1'}]}";
    scene.apply(&(rules + &workload(spec)));
    scene.apply(&policy("web", "apps/v1", "Deployment", &on(EVERYWHERE)));
    for (member, keys, selector, seconds, history) in [
        (
            "member1",
            ["b", "c"],
            json!({ "example.com/disk": "ssd" }),
            Value::Null,
            10,
        ),
        ("member2", ["a", "z"], Value::Null, json!(7), 2),
        ("member3", ["a", "b"], Value::Null, Value::Null, 10),
    ] {
        let object = scene
            .until(member, "deployments.apps", "web", "there", |_| true)
            .await;
        let pod = &object["spec"]["template"]["spec"];
        let found: Vec<&str> = pod["tolerations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["key"].as_str().unwrap())
            .collect();
        assert_eq!(found, keys, "{member}");
        assert_eq!(pod["nodeSelector"], selector, "{member}");
        assert_eq!(object["spec"]["minReadySeconds"], seconds, "{member}");
        assert_eq!(object["spec"]["revisionHistoryLimit"], history, "{member}");
    }
}

#[tokio::test]
async fn field_overriders_change_json_and_yaml_inside_a_field() {
    let scene = Scene::open("ovr-field").await;
    let template = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: app, namespace: {ns}}
data:
  app.json: '{\"z\": 1, \"db\": {\"url\": \"home\", \"pool\": 1.50}, \"list\": [1, 2]}'
  app.yaml: |
    # lost
    server: {port: 80, hosts: [a, b]}
    'n': 1
";
    let rules = differ(
        "v1",
        "ConfigMap",
        "app",
        &[
            (
                "member1",
                "{fieldOverrider: [{fieldPath: /data/app.json, json: [\
                 {subPath: /db/url, operator: replace, value: north}, \
                 {subPath: /list/-, operator: add, value: {k: v}}, \
                 {subPath: /z, operator: remove}]}]}",
            ),
            (
                "member2",
                "{fieldOverrider: [{fieldPath: /data/app.yaml, yaml: [\
                 {subPath: /server/port, operator: replace, value: 8080}, \
                 {subPath: /server/hosts/0, operator: remove}, \
                 {subPath: /tls, operator: add, value: {'on': true}}]}]}",
            ),
        ],
    );
    scene.apply(&(rules + template));
    scene.apply(&policy("app", "v1", "ConfigMap", &on(EVERYWHERE)));
    let original = scene.object("control", "configmaps", "app").await.unwrap();
    let (json_before, yaml_before) = (
        original["data"]["app.json"].as_str().unwrap(),
        original["data"]["app.yaml"].as_str().unwrap(),
    );
    for (member, json_text, yaml_text) in [
        (
            "member1",
            "{\"db\":{\"pool\":1.50,\"url\":\"north\"},\"list\":[1,2,{\"k\":\"v\"}]}",
            yaml_before,
        ),
        (
            "member2",
            json_before,
            "\"n\": 1\nserver:\n  hosts:\n  - b\n  port: 8080\ntls:\n  \"on\": true\n",
        ),
        ("member3", json_before, yaml_before),
    ] {
        let object = scene
            .until(member, "configmaps", "app", "there", |_| true)
            .await;
        assert_eq!(object["data"]["app.json"], json_text, "{member}");
        assert_eq!(object["data"]["app.yaml"], yaml_text, "{member}");
    }
}

#[tokio::test]
async fn field_overriders_reach_into_the_base64_of_a_secret() {
    let scene = Scene::open("ovr-secret").await;
    let rules = differ(
        "v1",
        "Secret",
        "login",
        &[(
            "member2",
            "{fieldOverrider: [{fieldPath: /data/login.yaml, yaml: [\
             {subPath: /password, operator: replace, value: changed}]}, \
             {fieldPath: /data/login.json, json: [{subPath: /user, operator: replace, value: deputy}]}]}",
        )],
    );
    scene.apply(&rules);
    scene.apply(
        "apiVersion: v1
kind: Secret
metadata: {name: login, namespace: {ns}}
stringData: {login.yaml: 'password: original', login.json: '{\"user\": \"admin\"}', other: untouched}
",
    );
    scene.apply(&policy("login", "v1", "Secret", &on(EVERYWHERE)));
    for (member, yaml, json) in [
        ("member1", "password: original", "{\"user\": \"admin\"}"),
        ("member2", "password: changed\n", "{\"user\":\"deputy\"}"),
    ] {
        let secret = scene
            .until(member, "secrets", "login", "there", |_| true)
            .await;
        let decoded = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap());
            String::from_utf8(bytes.unwrap()).unwrap()
        };
        assert_eq!(decoded("login.yaml"), yaml, "{member}");
        assert_eq!(decoded("login.json"), json, "{member}");
        assert_eq!(decoded("other"), "untouched", "{member}");
    }
}
