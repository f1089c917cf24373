//! What every story stands on: a control plane with three members, `navarch serve all`, and waiting with a deadline.

mod kinds;
mod short;
mod wait;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use testbed::{Bed, Program, Source};

pub use self::{
    kinds::resource,
    short::{BINDINGS, WORKS, is_applied, item, message},
};

/// The program under test.
pub const NAVARCH: &str = env!("CARGO_BIN_EXE_navarch");
/// How long anything that a user waits for may take here, on a machine that does much else besides.
pub const DEADLINE: Duration = Duration::from_secs(150);
/// How long each cluster may take to start, while others compile.
const PATIENCE: Duration = Duration::from_mins(6);

/// The clusters of a test binary. They end with it.
pub struct Stage {
    pub bed: Bed,
    /// Where the servers tell health, metrics and decisions.
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

static STAGE: OnceLock<Stage> = OnceLock::new();

/// The clusters with Navarch serving them and every member joined; started at the first call.
pub fn stage() -> &'static Stage {
    STAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (bed, address) = runtime.block_on(async {
            let bed = Bed::builder()
                .members(3)
                .nodes(2)
                .patience(PATIENCE)
                .start()
                .await
                .unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], bed.port().unwrap()));
            serve(&bed, "serve", address);
            (bed, address)
        });
        let stage = Stage {
            bed,
            address,
            runtime,
        };
        for member in ["member1", "member2", "member3"] {
            stage.join(member);
        }
        stage
    })
}

/// Starts the servers beside the clusters.
fn serve(bed: &Bed, name: &str, address: SocketAddr) {
    let kubeconfig = bed.control_plane().kubeconfig().display().to_string();
    // Thresholds are for flapping networks; here an outage is meant.
    let address = address.to_string();
    let args = [
        "serve",
        "all",
        "--kubeconfig",
        &kubeconfig,
        "--health-probe-bind-address",
        &address,
        "--controllers",
        "*,hpaScaleTargetMarker,deploymentReplicasSyncer",
        "--enable-debug",
        "--feature-gates",
        "PropagationPolicyPreemption=true,StatefulFailoverInjection=true",
        "--cluster-status-update-frequency",
        "1s",
        "--cluster-failure-threshold",
        "2s",
        "--cluster-success-threshold",
        "2s",
        // Many stories delete side by side; those about the brake set thresholds of their own.
        "--cluster-removal-threshold",
        "off",
        "--policy-removal-threshold",
        "off",
    ];
    let args = args.map(str::to_owned).to_vec();
    bed.run(name, Path::new(NAVARCH), args, None).unwrap();
}

impl Stage {
    /// `navarch join`, as a user does it.
    pub fn join(&self, member: &str) {
        let kubeconfig = self
            .bed
            .member(member)
            .unwrap()
            .kubeconfig()
            .display()
            .to_string();
        let output = self.navarch(&[
            "join",
            member,
            "--cluster-kubeconfig",
            &kubeconfig,
            "--wait",
            "150s",
        ]);
        assert!(output.status.success(), "join {member}: {}", text(&output));
    }

    /// A user command against the control plane.
    pub fn navarch(&self, args: &[&str]) -> Output {
        let kubeconfig = self.bed.control_plane().kubeconfig().display().to_string();
        Command::new(NAVARCH)
            .args(args)
            .args(["--kubeconfig", &kubeconfig])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Starts more servers beside the first ones, and returns where they tell health and metrics.
    pub fn serve_also(&self, name: &str) -> SocketAddr {
        let address = SocketAddr::from(([127, 0, 0, 1], self.bed.port().unwrap()));
        // Programs are started on the runtime that the bed lives on.
        self.block_on(async { serve(&self.bed, name, address) });
        address
    }

    /// The status code and text of a page of the servers.
    pub fn page(&self, path: &str) -> (u16, String) {
        page_at(self.address, path)
    }

    /// Runs a future that has to outlive the test that asks for it, such as the start of a cluster.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The end of the servers' log, for messages of failed tests.
    pub fn log(&self) -> String {
        let path = self.bed.dir().join("logs").join("serve.log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// The status code and text of a page of the servers at an address; code 0 when nobody answers.
pub fn page_at(address: SocketAddr, path: &str) -> (u16, String) {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    if let Err(error) = asked {
        return (0, error.to_string());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

/// Both streams of a command.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// One story's view: a namespace of its own, and a client for each cluster that belongs to the story's runtime.
pub struct Scene {
    pub stage: &'static Stage,
    pub namespace: String,
}

impl Scene {
    /// Opens a scene in a fresh namespace.
    pub async fn open(name: &str) -> Self {
        let stage = tokio::task::spawn_blocking(stage).await.unwrap();
        let scene = Self {
            stage,
            namespace: name.to_owned(),
        };
        scene.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
        ));
        scene
    }

    /// A client of a cluster; `control` is the control plane.
    pub async fn client(&self, cluster: &str) -> Client {
        let file = Kubeconfig::read_from(self.kubeconfig(cluster)).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    fn kubeconfig(&self, cluster: &str) -> PathBuf {
        match cluster {
            "control" => self.stage.bed.control_plane().kubeconfig().to_owned(),
            member => self
                .stage
                .bed
                .member(member)
                .unwrap()
                .kubeconfig()
                .to_owned(),
        }
    }

    /// The endpoint of a kind such as `deployments.apps` in this scene's namespace, or of the whole cluster for kinds without one.
    pub async fn api(&self, cluster: &str, kind: &str) -> Api<DynamicObject> {
        let (resource, namespaced) = resource(kind);
        self.api_of(
            cluster,
            &resource,
            namespaced.then_some(self.namespace.as_str()),
        )
        .await
    }

    /// The endpoint of any kind.
    pub async fn api_of(
        &self,
        cluster: &str,
        resource: &ApiResource,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let client = self.client(cluster).await;
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        }
    }

    /// `kubectl apply` to the control plane; `{ns}` stands for the namespace.
    pub fn apply(&self, manifests: &str) {
        self.apply_to("control", manifests);
    }

    pub fn apply_to(&self, cluster: &str, manifests: &str) {
        let output = self.try_apply(cluster, manifests);
        assert!(
            output.status.success(),
            "apply to {cluster}: {}",
            text(&output)
        );
    }

    pub fn try_apply(&self, cluster: &str, manifests: &str) -> Output {
        self.kubectl_with(
            cluster,
            &["apply", "-f", "-"],
            &manifests.replace("{ns}", &self.namespace),
        )
    }

    /// kubectl against a cluster; fails the story if it fails.
    pub fn kubectl(&self, cluster: &str, args: &[&str]) -> String {
        let output = self.kubectl_with(cluster, args, "");
        assert!(
            output.status.success(),
            "kubectl {args:?} in {cluster}: {}",
            text(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn kubectl_with(&self, cluster: &str, args: &[&str], input: &str) -> Output {
        static KUBECTL: OnceLock<PathBuf> = OnceLock::new();
        let kubectl =
            KUBECTL.get_or_init(|| Source::from_env(None).locate(Program::Kubectl).unwrap());
        let mut child = Command::new(kubectl)
            .arg("--kubeconfig")
            .arg(self.kubeconfig(cluster))
            .args(["--namespace", &self.namespace])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    /// Waits until the object is as told, and returns it.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        cluster: &'a str,
        kind: &'a str,
        name: &'a str,
        is: &'a str,
        holds: impl Fn(&Value) -> bool + Send + 'a,
    ) -> impl Future<Output = Value> + 'a {
        wait::until(self, cluster, kind, name, is, holds)
    }

    /// Waits until there is no such object.
    pub async fn until_gone(&self, cluster: &str, kind: &str, name: &str) {
        wait::until_gone(self, cluster, kind, name).await;
    }

    /// The object as it is now.
    pub async fn object(&self, cluster: &str, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(cluster, kind).await.get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    /// Waits until an event with this reason, about an object of this name, contains the text.
    pub async fn until_event(&self, about: &str, reason: &str, contains: &str) {
        let namespace = self.namespace.clone();
        self.until_event_in(&namespace, about, reason, contains)
            .await;
    }

    /// The same for an object in another namespace; events of cluster-scoped objects are in `default`.
    pub async fn until_event_in(&self, namespace: &str, about: &str, reason: &str, contains: &str) {
        wait::until_event(self, namespace, about, reason, contains).await;
    }
}

/// A condition's status and reason as `True/Success`.
pub fn condition(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition["type"] == type_)
        .map(|condition| {
            format!(
                "{}/{}",
                condition["status"].as_str().unwrap_or(""),
                condition["reason"].as_str().unwrap_or("")
            )
        })
        .unwrap_or_default()
}

/// `spec.clusters` of a binding as `member1:2 member2:4`.
pub fn clusters(binding: &Value) -> String {
    let targets = binding["spec"]["clusters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown: Vec<String> = targets
        .iter()
        .map(|target| match target["replicas"].as_i64() {
            Some(replicas) => format!("{}:{replicas}", target["name"].as_str().unwrap_or("")),
            None => target["name"].as_str().unwrap_or("").to_owned(),
        })
        .collect();
    shown.join(" ")
}

/// A Deployment `web` with this many replicas.
pub fn deployment(replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {{ns}}, labels: {{app: web}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: 'docker.io/library/nginx:1.29'}}]}}
"
    )
}

/// A ConfigMap `settings` with one key.
pub fn config_map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {{ns}}}}\ndata: {{color: {value}}}\n"
    )
}

/// A PropagationPolicy for one object; `placement` is inline YAML.
pub fn policy(name: &str, api_version: &str, kind: &str, placement: &str) -> String {
    format!(
        "---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: {name}, namespace: {{ns}}}}
spec:
  resourceSelectors: [{{apiVersion: {api_version}, kind: {kind}}}]
  placement: {placement}
"
    )
}

/// Placement on the named clusters.
pub fn on(clusters: &str) -> String {
    format!("{{clusterAffinity: {{clusterNames: [{clusters}]}}}}")
}

/// Placement that divides replicas over clusters by weights such as `member1: 1, member2: 2`.
pub fn divided(weights: &[(&str, u32)]) -> String {
    let names: Vec<&str> = weights.iter().map(|(name, _)| *name).collect();
    let list: Vec<String> = weights
        .iter()
        .map(|(name, weight)| {
            format!("{{targetCluster: {{clusterNames: [{name}]}}, weight: {weight}}}")
        })
        .collect();
    format!(
        "{{clusterAffinity: {{clusterNames: [{}]}}, replicaScheduling: {{replicaSchedulingType: Divided, \
         replicaDivisionPreference: Weighted, weightPreference: {{staticWeightList: [{}]}}}}}}",
        names.join(", "),
        list.join(", ")
    )
}
