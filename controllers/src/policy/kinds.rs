//! What the two kinds of policy have in common.

use std::{fmt::Debug, sync::Arc};

use crds::{
    keys::{self, finalizers},
    object::Key,
    policy::{ClusterPropagationPolicy, PropagationPolicy},
};
use kube::{Api, Resource};
use propagation::matching::{Policy, PolicyRef};
use runtime::Store;
use serde::{Serialize, de::DeserializeOwned};

use crate::world::{World, complete_cluster_policy, complete_policy};

/// A kind of policy.
pub(super) trait Policies:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The label with the permanent id.
    const ID: &'static str;
    const FINALIZER: &'static str;

    fn store(world: &World) -> &Arc<Store<Self>>;
    /// The endpoint that holds the policy.
    fn api(world: &World, policy: &PolicyRef) -> Api<Self>;
    fn view(&self) -> Policy<'_>;
    /// Puts an answer of the API server into the form in which the store keeps policies.
    fn complete(&mut self);
}

impl Policies for PropagationPolicy {
    const ID: &'static str = keys::PROPAGATION_POLICY_PERMANENT_ID;
    const FINALIZER: &'static str = finalizers::PROPAGATION_POLICY_CONTROLLER;

    fn store(world: &World) -> &Arc<Store<Self>> {
        &world.policies
    }

    fn api(world: &World, policy: &PolicyRef) -> Api<Self> {
        Api::namespaced(world.client(), &policy.namespace)
    }

    fn view(&self) -> Policy<'_> {
        Policy::from(self)
    }

    fn complete(&mut self) {
        complete_policy(self);
    }
}

impl Policies for ClusterPropagationPolicy {
    const ID: &'static str = keys::CLUSTER_PROPAGATION_POLICY_PERMANENT_ID;
    const FINALIZER: &'static str = finalizers::CLUSTER_PROPAGATION_POLICY_CONTROLLER;

    fn store(world: &World) -> &Arc<Store<Self>> {
        &world.cluster_policies
    }

    fn api(world: &World, _policy: &PolicyRef) -> Api<Self> {
        Api::all(world.client())
    }

    fn view(&self) -> Policy<'_> {
        Policy::from(self)
    }

    fn complete(&mut self) {
        complete_cluster_policy(self);
    }
}

/// The key of a policy in its store.
pub(super) fn key_of(policy: &PolicyRef) -> Key {
    Key::new(&policy.namespace, &policy.name)
}
