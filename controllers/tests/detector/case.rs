//! What the cases share: a namespace, objects to put into it, and waiting for what becomes of them.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use crds::{policy::PropagationPolicy, work::ResourceBinding};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Namespace},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Long enough for the garbage collector, which looks for new kinds every half minute.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
pub(crate) const PP_ID: &str = "propagationpolicy.karmada.io/permanent-id";
pub(crate) const CPP_ID: &str = "clusterpropagationpolicy.karmada.io/permanent-id";

/// What a case needs.
pub(crate) struct Case {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Case {
    pub(crate) async fn new(client: &Client, name: &str) -> Self {
        let case = Self {
            client: client.clone(),
            namespace: name.to_owned(),
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(
            &PostParams::default(),
            &serde_json::from_value(namespace).unwrap(),
        )
        .await
        .unwrap();
        case
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn deployment(&self, name: &str, labels: Value) -> Deployment {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{
                        "name": "web", "image": "nginx:1.27",
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    }]},
                },
            },
        });
        create(&self.api(), object).await
    }

    pub(crate) async fn policy(&self, name: &str, spec: Value) -> PropagationPolicy {
        create(&self.api(), pp(name, &spec)).await
    }

    pub(crate) async fn claimed(&self, name: &str, policy: &str) -> Deployment {
        until(&self.api(), name, "claimed", |it: &Deployment| {
            annotation(it, "propagationpolicy.karmada.io/name") == Some(policy)
                && it.labels().contains_key(PP_ID)
        })
        .await
    }

    pub(crate) async fn bound(&self, name: &str, policy: &str) -> ResourceBinding {
        until(&self.api(), name, "bound", |it: &ResourceBinding| {
            annotation(it, "propagationpolicy.karmada.io/name") == Some(policy)
                && it.metadata.deletion_timestamp.is_none()
        })
        .await
    }
}

pub(crate) fn pp(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

pub(crate) fn cpp(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "ClusterPropagationPolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

pub(crate) fn selects(selectors: &Value) -> Value {
    json!({
        "resourceSelectors": selectors,
        "placement": {"clusterAffinity": {"clusterNames": ["member1"]}},
    })
}

pub(crate) fn deployments(extra: &Value) -> Value {
    let mut selector = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    for (key, value) in extra.as_object().unwrap() {
        selector[key] = value.clone();
    }
    selects(&json!([selector]))
}

pub(crate) fn annotation<'a>(object: &'a impl ResourceExt, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

pub(crate) async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + Serialize + DeserializeOwned + Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

pub(crate) async fn merge<K>(api: &Api<K>, name: &str, patch: Value) -> K
where
    K: Clone + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap()
}

/// Asks again and again until the answer is as wanted.
pub(crate) async fn poll<T, F: Future<Output = T>>(
    what: &str,
    ask: impl Fn() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T
where
    T: Debug,
{
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut interval = tokio::time::interval(Duration::from_millis(50));
    loop {
        interval.tick().await;
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not {what} in time: {answer:#?}"
        );
    }
}

pub(crate) async fn until<K>(api: &Api<K>, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Clone + DeserializeOwned + Debug,
{
    let ask = || async { api.get_opt(name).await.unwrap() };
    let wanted = |found: &Option<K>| found.as_ref().is_some_and(&wanted);
    poll(&format!("{name} {what}"), ask, wanted).await.unwrap()
}

pub(crate) async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + DeserializeOwned + Debug,
{
    let ask = || async { api.get_opt(name).await.unwrap() };
    poll(&format!("{name} gone"), ask, Option::is_none).await;
}

/// Messages of events by reason, once one of this reason is there.
pub(crate) async fn events_about(
    case: &Case,
    name: &str,
    reason: &str,
) -> BTreeMap<String, String> {
    let api: Api<Event> = case.api();
    let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let ask = || async {
        let events = api.list(&params).await.unwrap();
        let pairs = events
            .into_iter()
            .filter_map(|event| Some((event.reason?, event.message?)));
        pairs.collect::<BTreeMap<_, _>>()
    };
    poll("events", ask, |events| events.contains_key(reason)).await
}

/// Waits until the garbage collector has deleted the binding and does what the controller of Works does then.
pub(crate) async fn finish_binding(case: &Case, name: &str) {
    let api = case.api::<ResourceBinding>();
    until(&api, name, "terminating", |it: &ResourceBinding| {
        it.metadata.deletion_timestamp.is_some()
    })
    .await;
    merge::<ResourceBinding>(&api, name, json!({"metadata": {"finalizers": null}})).await;
}
