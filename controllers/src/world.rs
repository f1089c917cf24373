//! What every reconciler of a process shares: one store per kind, the members, the recorder.

use std::sync::{Arc, OnceLock};

use crds::{
    apps::WorkloadRebalancer,
    cluster::Cluster,
    config::{ResourceInterpreterCustomization, ResourceInterpreterWebhookConfiguration},
    keys,
    object::{Gvk, Key},
    policy::{
        ClusterOverridePolicy, ClusterPropagationPolicy, FederatedResourceQuota, OverridePolicy,
        PropagationPolicy, defaults,
    },
    work::{Binding, ClusterResourceBinding, ObjectReference, ResourceBinding, Work},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, Resource, ResourceExt,
    api::{Api, DynamicObject},
};
use propagation::matching::PolicyRef;
use runtime::{
    ApiError, Controller, Queue, Store,
    discovery::Mapper,
    dynamic::DynamicStores,
    error::call,
    events::Recorder,
    member::Members,
    metrics::{Reconciles, Shared},
    store::{IndexId, packing::Codec},
    watch::{self, Selection, Trim, drop_managed_fields},
};
use scheduler::relevance;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    brake::Brake,
    detector,
    interpretation::{Interpretation, kinds_in_use},
    own_writes::OwnWrites,
    records::Answers,
    scheduling::group_values,
};

/// Namespace with the credentials of members.
pub const CREDENTIALS_NAMESPACE: &str = "karmada-cluster";

/// The stores of the control plane and everything else that reconcilers share.
#[derive(Debug)]
pub struct World {
    pub clusters: Arc<Store<Cluster>>,
    /// Policies of either kind are kept as admission completes them, see [`crds::policy::defaults`].
    pub policies: Arc<Store<PropagationPolicy>>,
    /// The `PropagationPolicy` objects of each namespace.
    pub policies_by_namespace: IndexId,
    pub cluster_policies: Arc<Store<ClusterPropagationPolicy>>,
    pub overrides: Arc<Store<OverridePolicy>>,
    pub cluster_overrides: Arc<Store<ClusterOverridePolicy>>,
    /// Quotas over all clusters; nothing waits for these to be filled.
    pub quotas: Arc<Store<FederatedResourceQuota>>,
    pub bindings: Arc<Store<ResourceBinding>>,
    pub cluster_bindings: Arc<Store<ClusterResourceBinding>>,
    /// Bindings of the kind `ResourceBinding` by the policies that have claimed them, see [`claims`].
    pub bindings_by_claim: IndexId,
    /// Bindings of the kind `ResourceBinding` by their permanent id.
    pub bindings_by_id: IndexId,
    /// Bindings of the kind `ResourceBinding` by the bindings that they are attached to, see [`dependents`].
    pub bindings_by_dependent: IndexId,
    /// Bindings of the kind `ResourceBinding` by the workload groups that they are in.
    pub bindings_by_group: IndexId,
    /// Bindings of the kind `ResourceBinding` by their interest in clusters, see [`relevance::interest`].
    bindings_by_interest: IndexId,
    /// Bindings of the kind `ResourceBinding` that a quota refused, by their namespace.
    bindings_by_refusal: IndexId,
    /// Bindings of the kind `ClusterResourceBinding` likewise by claim.
    pub cluster_bindings_by_claim: IndexId,
    /// Bindings of the kind `ClusterResourceBinding` likewise by permanent id.
    pub cluster_bindings_by_id: IndexId,
    /// Bindings of the kind `ClusterResourceBinding` likewise by the bindings that they are attached to.
    pub cluster_bindings_by_dependent: IndexId,
    /// Bindings of the kind `ClusterResourceBinding` likewise by their interest in clusters.
    cluster_bindings_by_interest: IndexId,
    pub works: Arc<Store<Work>>,
    /// The Works that this process is writing.
    pub work_writes: OwnWrites,
    /// Works by the permanent id of their binding, of either kind.
    pub works_by_binding: IndexId,
    /// Works by their execution namespace.
    pub works_by_namespace: IndexId,
    pub rebalancers: Arc<Store<WorkloadRebalancer>>,
    /// Secrets of [`CREDENTIALS_NAMESPACE`].
    pub credentials: Arc<Store<Secret>>,
    pub customizations: Arc<Store<ResourceInterpreterCustomization>>,
    pub webhook_configurations: Arc<Store<ResourceInterpreterWebhookConfiguration>>,
    /// Objects of every kind that may be propagated.
    pub templates: Arc<DynamicStores>,
    /// Templates by the policies that have claimed them, see [`claims`].
    pub templates_by_claim: IndexId,
    /// What the control plane's API server serves.
    pub mapper: Mapper,
    pub members: Members,
    /// What members answered last.
    pub answers: Answers,
    /// Holds back removals that are too many.
    pub brake: Brake,
    /// What kinds mean, by every rule that is configured.
    pub interpreter: Interpretation,
    /// What the detector goes by, once it is set up in this process.
    pub detector: OnceLock<detector::Insight>,
    pub recorder: Recorder,
    pub reconciles: Arc<Reconciles>,
    pub metrics: Shared,
    /// Ends the process's work.
    pub stop: CancellationToken,
    client: ClientHandle,
}

#[derive(Clone)]
struct ClientHandle(Client);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl World {
    /// Makes the stores, still empty. [`World::start`] fills them, once the reconcilers have subscribed.
    pub fn new(control_plane: Client, stop: CancellationToken) -> Arc<Self> {
        let mut works = Store::<Work>::builder();
        works.packed(Codec::json());
        let works_by_binding = works.index(|work| {
            let id = |key| work.labels().get(key).cloned();
            id(keys::RESOURCE_BINDING_PERMANENT_ID)
                .or_else(|| id(keys::CLUSTER_RESOURCE_BINDING_PERMANENT_ID))
                .into_iter()
                .collect()
        });
        let works_by_namespace = works.index(|work| work.namespace().into_iter().collect());
        let mut policies = Store::<PropagationPolicy>::builder();
        let policies_by_namespace =
            policies.index(|policy| policy.namespace().into_iter().collect());
        let mut bindings = Store::<ResourceBinding>::builder();
        bindings.packed(Codec::json());
        let bindings_by_claim = bindings.index(claims);
        let bindings_by_id = bindings.index(permanent_id);
        let bindings_by_dependent = bindings.index(dependents);
        let bindings_by_group = bindings.index(group_values);
        let bindings_by_interest = bindings.index(interests);
        let bindings_by_refusal = bindings.index(|binding| {
            let refused = relevance::is_refused_by_quota(binding);
            let namespace = binding.namespace().filter(|_| refused);
            namespace.into_iter().collect()
        });
        let mut cluster_bindings = Store::<ClusterResourceBinding>::builder();
        cluster_bindings.packed(Codec::json());
        let cluster_bindings_by_claim = cluster_bindings.index(claims);
        let cluster_bindings_by_id = cluster_bindings.index(permanent_id);
        let cluster_bindings_by_dependent = cluster_bindings.index(dependents);
        let cluster_bindings_by_interest = cluster_bindings.index(interests);
        let templates = DynamicStores::new(
            control_plane.clone(),
            trim_template,
            Selection::default(),
            stop.clone(),
        );
        let templates_by_claim = templates.index(claims);
        let reconciles = Arc::new(Reconciles::default());
        let metrics = Shared::default();
        let answers = Answers::default();
        metrics.register(|registry| {
            reconciles.register(registry);
            answers.register(registry);
        });
        Arc::new(Self {
            clusters: Store::builder().build(),
            policies: policies.build(),
            policies_by_namespace,
            cluster_policies: Store::builder().build(),
            overrides: Store::builder().build(),
            cluster_overrides: Store::builder().build(),
            quotas: Store::builder().build(),
            bindings: bindings.build(),
            cluster_bindings: cluster_bindings.build(),
            bindings_by_claim,
            bindings_by_id,
            bindings_by_dependent,
            bindings_by_group,
            bindings_by_interest,
            bindings_by_refusal,
            cluster_bindings_by_claim,
            cluster_bindings_by_id,
            cluster_bindings_by_dependent,
            cluster_bindings_by_interest,
            works: works.build(),
            work_writes: OwnWrites::default(),
            works_by_binding,
            works_by_namespace,
            rebalancers: Store::builder().build(),
            credentials: Store::builder().build(),
            customizations: Store::builder().build(),
            webhook_configurations: Store::builder().build(),
            interpreter: Interpretation::new(
                control_plane.clone(),
                Arc::clone(&templates),
                &metrics,
            ),
            templates,
            templates_by_claim,
            mapper: Mapper::default(),
            members: Members::default(),
            answers,
            brake: Brake::default(),
            detector: OnceLock::new(),
            recorder: Recorder::start(control_plane.clone()),
            reconciles,
            metrics,
            stop,
            client: ClientHandle(control_plane),
        })
    }

    /// Starts the watches of our own kinds and waits until every store is filled: nothing may conclude from an absence
    /// before that.
    pub async fn start(&self) {
        self.watch(&self.clusters);
        self.watch_as(&self.policies, complete_policy, Selection::default());
        self.watch_as(
            &self.cluster_policies,
            complete_cluster_policy,
            Selection::default(),
        );
        self.watch(&self.overrides);
        self.watch(&self.cluster_overrides);
        self.watch(&self.quotas);
        self.watch(&self.bindings);
        self.watch(&self.cluster_bindings);
        self.watch(&self.works);
        self.watch(&self.rebalancers);
        self.watch(&self.customizations);
        self.watch(&self.webhook_configurations);
        let of_members = Selection {
            fields: Some(format!("metadata.namespace={CREDENTIALS_NAMESPACE}")),
            ..Selection::default()
        };
        self.watch_as(&self.credentials, drop_managed_fields, of_members);
        tokio::join!(
            self.clusters.synced(),
            self.policies.synced(),
            self.cluster_policies.synced(),
            self.overrides.synced(),
            self.cluster_overrides.synced(),
            self.bindings.synced(),
            self.cluster_bindings.synced(),
            self.works.synced(),
            self.rebalancers.synced(),
            self.credentials.synced(),
            self.customizations.synced(),
            self.webhook_configurations.synced(),
        );
        self.load_interpreter();
    }

    /// Brings the interpreter up to date with its configuration.
    pub(crate) fn load_interpreter(&self) {
        self.interpreter.load(
            &self.customizations.list(),
            &self.webhook_configurations.list(),
            || kinds_in_use(self),
        );
    }

    fn watch<K>(&self, store: &Arc<Store<K>>)
    where
        K: Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        self.watch_as(store, drop_managed_fields, Selection::default());
    }

    fn watch_as<K>(&self, store: &Arc<Store<K>>, trim: Trim<K>, selection: Selection)
    where
        K: Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        tokio::spawn(watch::typed(
            self.client(),
            Arc::clone(store),
            trim,
            selection,
            self.stop.clone(),
        ));
    }

    /// A reconciler on this process's metrics.
    pub fn controller<K>(
        &self,
        name: &'static str,
        queue: Arc<Queue<K>>,
        workers: usize,
    ) -> Controller<K>
    where
        K: Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        self.controller_with_queue(name, name, queue, workers)
    }

    /// The same for a queue that dashboards know by another name.
    pub fn controller_with_queue<K>(
        &self,
        name: &'static str,
        queue_name: &'static str,
        queue: Arc<Queue<K>>,
        workers: usize,
    ) -> Controller<K>
    where
        K: Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        self.reconciles.measure(queue_name, name, &queue, workers);
        Controller {
            name,
            queue,
            workers,
            metrics: Arc::clone(&self.reconciles),
        }
    }

    /// The client of the control plane.
    pub fn client(&self) -> Client {
        self.client.0.clone()
    }

    /// A template as stored, or read live while its kind is not watched yet; `None` when it does not exist.
    pub async fn template(
        &self,
        gvk: &Gvk,
        key: &Key,
    ) -> Result<Option<Arc<DynamicObject>>, ApiError> {
        if let Some(store) = self.templates.store(gvk) {
            let found = store.get(key);
            if found.is_some() || store.is_synced() {
                return Ok(found);
            }
        }
        let Some(resource) = self.mapper.resolve(gvk) else {
            return Ok(None);
        };
        let api = dynamic_api(self.client(), &resource, key.namespace.as_deref());
        Ok(call(api.get_opt(&key.name)).await?.map(Arc::new))
    }
}

/// The endpoint of one kind, in a namespace if there is one.
pub fn dynamic_api(
    client: Client,
    resource: &runtime::discovery::Resource,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) if resource.namespaced => {
            Api::namespaced_with(client, namespace, &resource.api)
        }
        _ => Api::all_with(client, &resource.api),
    }
}

/// What the watch makes of each `PropagationPolicy`, and what has to be made of replies to writes before they are observed.
pub fn complete_policy(policy: &mut PropagationPolicy) {
    drop_managed_fields(policy);
    defaults::propagation_policy(policy, None);
}

/// The same for a `ClusterPropagationPolicy`.
pub fn complete_cluster_policy(policy: &mut ClusterPropagationPolicy) {
    drop_managed_fields(policy);
    defaults::cluster_propagation_policy(policy, None);
}

/// The claims of a template or binding: the permanent ids in their labels, and the policies that their annotations name as
/// [`claimant`] writes them. The policy's own id may have been edited since the claim was made.
pub fn claims(object: &impl ResourceExt) -> Vec<String> {
    let annotation = |key: &str| object.annotations().get(key).map(String::as_str);
    let mut found = Vec::new();
    if let Some(id) = object.labels().get(keys::PROPAGATION_POLICY_PERMANENT_ID) {
        found.push(id.clone());
        let namespace = annotation(keys::PROPAGATION_POLICY_NAMESPACE);
        if let (Some(namespace), Some(name)) =
            (namespace, annotation(keys::PROPAGATION_POLICY_NAME))
        {
            found.push(claimant(&PolicyRef::namespaced(namespace, name)));
        }
    }
    let id = object
        .labels()
        .get(keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID);
    if let Some(id) = id {
        found.push(id.clone());
        if let Some(name) = annotation(keys::CLUSTER_PROPAGATION_POLICY_NAME) {
            found.push(claimant(&PolicyRef::cluster(name)));
        }
    }
    found
}

/// A policy as [`claims`] have it; no id looks like this.
pub fn claimant(policy: &PolicyRef) -> String {
    format!("{} {policy}", policy.kind.as_str())
}

fn permanent_id(binding: &impl Binding) -> Vec<String> {
    binding
        .permanent_id()
        .map(ToOwned::to_owned)
        .into_iter()
        .collect()
}

fn interests(binding: &impl Binding) -> Vec<String> {
    relevance::interest(binding).into_iter().collect()
}

/// What an attached binding names the bindings by that need it: their keys as text, and the labels that stand for them.
pub fn dependents(binding: &impl Binding) -> Vec<String> {
    let snapshots = binding.spec().required_by.iter().map(|snapshot| {
        let namespace = snapshot.namespace.as_deref().unwrap_or_default();
        Key::new(namespace, &snapshot.name).to_string()
    });
    let labels = binding.meta().labels.iter().flatten();
    let labels = labels
        .map(|(key, _)| key)
        .filter(|key| key.starts_with(keys::DEPENDED_BY_PREFIX));
    snapshots.chain(labels.cloned()).collect()
}

/// Removes from a template what nothing reads: the managed fields, and the copy that client-side apply leaves and that is not propagated.
fn trim_template(object: &mut DynamicObject) {
    drop_managed_fields(object);
}

/// The object as one JSON value, as the pure crates take it.
pub fn to_value(object: &DynamicObject) -> Value {
    let mut value = object.data.clone();
    if !value.is_object() {
        value = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(map) = &mut value {
        if let Some(types) = &object.types {
            map.insert("apiVersion".into(), types.api_version.clone().into());
            map.insert("kind".into(), types.kind.clone().into());
        }
        // ObjectMeta consists of strings, maps and lists of them, which always serialise.
        map.insert(
            "metadata".into(),
            serde_json::to_value(&object.metadata).unwrap_or_default(),
        );
    }
    value
}

/// A store of the right kind for each of the two kinds of binding.
pub trait Bindings: Binding {
    fn store(world: &World) -> &Arc<Store<Self>>;
    /// The index of the store by [`dependents`].
    fn by_dependent(world: &World) -> IndexId;
    /// The index of the store by [`relevance::interest`].
    fn by_interest(world: &World) -> IndexId;
    /// The index of the store by namespace that holds those which a quota refused, if quotas count for this kind.
    fn by_refusal(world: &World) -> Option<IndexId>;
    /// The endpoint that holds the binding with this key.
    fn api(world: &World, namespace: Option<&str>) -> Api<Self>;
}

impl Bindings for ResourceBinding {
    fn store(world: &World) -> &Arc<Store<Self>> {
        &world.bindings
    }

    fn by_dependent(world: &World) -> IndexId {
        world.bindings_by_dependent
    }

    fn by_interest(world: &World) -> IndexId {
        world.bindings_by_interest
    }

    fn by_refusal(world: &World) -> Option<IndexId> {
        Some(world.bindings_by_refusal)
    }

    fn api(world: &World, namespace: Option<&str>) -> Api<Self> {
        Api::namespaced(world.client(), namespace.unwrap_or_default())
    }
}

impl Bindings for ClusterResourceBinding {
    fn store(world: &World) -> &Arc<Store<Self>> {
        &world.cluster_bindings
    }

    fn by_dependent(world: &World) -> IndexId {
        world.cluster_bindings_by_dependent
    }

    fn by_interest(world: &World) -> IndexId {
        world.cluster_bindings_by_interest
    }

    fn by_refusal(_world: &World) -> Option<IndexId> {
        None
    }

    fn api(world: &World, _namespace: Option<&str>) -> Api<Self> {
        Api::all(world.client())
    }
}

/// The binding that a Work says it comes from, if it is one of this kind.
pub fn binding_of<B: Binding>(work: &Work) -> Option<Key> {
    let annotation = |key: &str| work.annotations().get(key).cloned();
    let name = annotation(B::NAME_ANNOTATION)?;
    let namespace = match B::NAMESPACE_ANNOTATION {
        Some(key) => Some(annotation(key)?),
        None => None,
    };
    Some(Key { namespace, name })
}

/// Kind and key of the template that a binding is about.
pub fn template_of(resource: &ObjectReference) -> (Gvk, Key) {
    let gvk = Gvk::parse(&resource.api_version, &resource.kind);
    (
        gvk,
        Key {
            namespace: resource
                .namespace
                .clone()
                .filter(|namespace| !namespace.is_empty()),
            name: resource.name.clone(),
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_id_and_by_policy() {
        let (id, name) = (
            keys::PROPAGATION_POLICY_PERMANENT_ID,
            keys::PROPAGATION_POLICY_NAME,
        );
        let namespace = keys::PROPAGATION_POLICY_NAMESPACE;
        let of_cluster = keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID;
        for (labels, annotations, expected) in [
            (json!({}), json!({name: "p", namespace: "demo"}), vec![]),
            (json!({id: "1"}), json!({name: "p"}), vec!["1"]),
            (
                json!({id: "1"}),
                json!({name: "p", namespace: "demo"}),
                vec!["1", "PropagationPolicy demo/p"],
            ),
            (
                json!({of_cluster: "2"}),
                json!({keys::CLUSTER_PROPAGATION_POLICY_NAME: "q"}),
                vec!["2", "ClusterPropagationPolicy q"],
            ),
        ] {
            let object: DynamicObject = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "c", "labels": labels, "annotations": annotations},
            }))
            .unwrap();
            assert_eq!(claims(&object), expected);
        }
    }
}
