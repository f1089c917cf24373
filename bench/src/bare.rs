//! The limit: the API writes that propagation cannot do without, done by a writer that thinks nothing and waits for nothing.
//!
//! Per Deployment and with three members these are eleven writes to the control plane (template, claim, binding, its clusters, three
//! Works, three Work status, the binding's status) and one create in each member. A single change of replicas is a chain of four:
//! template, binding, and for each member at the same time Work and object.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::future::{try_join, try_join_all};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use testbed::Bed;

use crate::{
    load::{self, NAMESPACE},
    lone,
    observe::{Observer, until},
    server,
    summary::{Percentiles, percentiles},
};

/// How long the pods of all members may take to become ready.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the machine and its API servers allow.
#[derive(Debug)]
pub(crate) struct Bare {
    /// How long all Deployments took.
    pub(crate) total: Duration,
    /// What they cost this process, which does nothing but send the requests and read the replies.
    pub(crate) cpu_seconds: f64,
    /// Single changes, from the user's request until every member has answered.
    pub(crate) lone: Percentiles,
}

struct Writer {
    control_plane: Client,
    members: Vec<(String, Client)>,
    replicas: i32,
}

/// Writes `count` Deployments with `writers` at a time, and then `changes` single changes.
pub(crate) async fn run(
    bed: &Bed,
    count: usize,
    writers: usize,
    replicas: i32,
    changes: usize,
) -> anyhow::Result<Bare> {
    let control_plane = bed.control_plane().client();
    load::namespace(&control_plane).await?;
    let mut members = Vec::new();
    for member in bed.members() {
        load::namespace(&member.client()).await?;
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(space(member.name())),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::<Namespace>::all(control_plane.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        members.push((member.name().to_owned(), member.client()));
    }
    let writer = Writer {
        control_plane,
        members,
        replicas,
    };
    let next = AtomicUsize::new(0);
    let cpu_before = server::usage("self")?.cpu_seconds;
    let started = Instant::now();
    try_join_all((0..writers).map(|_| async {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return anyhow::Ok(());
            }
            writer.propagate(index).await?;
        }
    }))
    .await?;
    let total = started.elapsed();
    let cpu_seconds = server::usage("self")?.cpu_seconds - cpu_before;

    let of_member = |(_, client): &(String, Client)| Observer::start(client, 1);
    let observers: Vec<Observer> = writer.members.iter().map(of_member).collect();
    let mut lone = Vec::new();
    for change in 0..changes {
        let settled = || {
            let settled = |seen: &Observer| {
                let seen = seen.all();
                seen.len() >= count && seen.values().all(|it| it.complete.is_some())
            };
            observers.iter().all(settled)
        };
        until("ready pods", PATIENCE, Duration::from_millis(100), settled).await?;
        tokio::time::sleep(lone::REST).await;
        lone.push(writer.change(change % count, replicas + 1).await?);
    }
    Ok(Bare {
        total,
        cpu_seconds,
        lone: percentiles(lone),
    })
}

impl Writer {
    async fn propagate(&self, index: usize) -> anyhow::Result<()> {
        let name = load::name(index);
        let params = PostParams::default();
        let template = load::deployment(index, self.replicas);
        let templates: Api<Deployment> = Api::namespaced(self.control_plane.clone(), NAMESPACE);
        templates.create(&params, &template).await?;
        let claim = json!({"metadata": {
            "labels": {"propagationpolicy.karmada.io/permanent-id": "5b1e0a6e-8d4b-4b3e-a5a5-0b0a3f1f3f37"},
            "annotations": {"propagationpolicy.karmada.io/name": "everywhere", "propagationpolicy.karmada.io/namespace": NAMESPACE},
        }});
        let claimed = templates
            .patch(&name, &PatchParams::default(), &Patch::Merge(&claim))
            .await?;

        let bindings = self.objects("work.karmada.io", "v1alpha2", "ResourceBinding", NAMESPACE);
        let binding_name = binding_name(&name);
        let binding = json!({
            "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
            "metadata": {
                "name": binding_name, "namespace": NAMESPACE,
                "labels": {"propagationpolicy.karmada.io/permanent-id": "5b1e0a6e-8d4b-4b3e-a5a5-0b0a3f1f3f37", "resourcebinding.karmada.io/permanent-id": "0a2b1c3d-8d4b-4b3e-a5a5-0b0a3f1f3f37"},
                "annotations": {"propagationpolicy.karmada.io/name": "everywhere", "propagationpolicy.karmada.io/namespace": NAMESPACE},
                "finalizers": ["karmada.io/binding-controller"],
            },
            "spec": {
                "resource": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": NAMESPACE, "name": name, "uid": claimed.metadata.uid, "resourceVersion": claimed.metadata.resource_version},
                "replicas": self.replicas,
                "replicaRequirements": {"resourceRequest": {"cpu": "10m", "memory": "16Mi"}},
                "placement": {"clusterAffinity": {}},
                "schedulerName": "default-scheduler",
                "conflictResolution": "Abort",
            },
        });
        bindings
            .create(&params, &serde_json::from_value(binding)?)
            .await?;
        let clusters: Vec<Value> = self
            .members
            .iter()
            .map(|(member, _)| json!({"name": member, "replicas": self.replicas}))
            .collect();
        let scheduled = json!({
            "metadata": {"annotations": {"policy.karmada.io/applied-placement": "{\"clusterAffinity\":{}}"}},
            "spec": {"clusters": clusters},
        });
        bindings
            .patch(
                &binding_name,
                &PatchParams::default(),
                &Patch::Merge(&scheduled),
            )
            .await?;
        try_join_all(
            self.members
                .iter()
                .map(|(member, client)| self.deliver(member, client, &claimed)),
        )
        .await?;
        let items: Vec<Value> = self
            .members
            .iter()
            .map(|(member, _)| json!({"clusterName": member, "applied": true, "health": "Healthy", "status": status(self.replicas)}))
            .collect();
        let status = json!({"status": {"aggregatedStatus": items, "conditions": [condition("FullyApplied")]}});
        bindings
            .patch_status(
                &binding_name,
                &PatchParams::default(),
                &Patch::Merge(&status),
            )
            .await?;
        Ok(())
    }

    /// Scales one Deployment, as a user does, and carries that to the members.
    async fn change(&self, index: usize, replicas: i32) -> anyhow::Result<Duration> {
        let name = load::name(index);
        let params = PatchParams::default();
        let scaled = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let started = Instant::now();
        let templates: Api<Deployment> = Api::namespaced(self.control_plane.clone(), NAMESPACE);
        let template = templates.patch(&name, &params, &scaled).await?;
        let clusters: Vec<Value> = self
            .members
            .iter()
            .map(|(member, _)| json!({"name": member, "replicas": replicas}))
            .collect();
        let placed = json!({"spec": {"replicas": replicas, "clusters": clusters}});
        self.objects("work.karmada.io", "v1alpha2", "ResourceBinding", NAMESPACE)
            .patch(&binding_name(&name), &params, &Patch::Merge(&placed))
            .await?;
        try_join_all(self.members.iter().map(|(member, client)| async {
            let work = json!({"spec": {"workload": {"manifests": [&template]}}});
            self.objects("work.karmada.io", "v1alpha1", "Work", &space(member))
                .patch(&work_name(&name), &params, &Patch::Merge(&work))
                .await?;
            let objects: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
            objects.patch(&name, &params, &scaled).await?;
            anyhow::Ok(())
        }))
        .await?;
        Ok(started.elapsed())
    }

    /// Work, object in the member and the Work's status.
    async fn deliver(
        &self,
        member: &str,
        client: &Client,
        template: &Deployment,
    ) -> anyhow::Result<()> {
        let name = template.metadata.name.clone().unwrap_or_default();
        let space = space(member);
        let works = self.objects("work.karmada.io", "v1alpha1", "Work", &space);
        let work_name = work_name(&name);
        let mut manifest = template.clone();
        manifest.status = None;
        manifest.metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: template.metadata.labels.clone(),
            annotations: template.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        let mut manifest = serde_json::to_value(&manifest)?;
        manifest["apiVersion"] = "apps/v1".into();
        manifest["kind"] = "Deployment".into();
        manifest["metadata"]["labels"]["karmada.io/managed"] = "true".into();
        for (key, value) in [
            ("work.karmada.io/name", work_name.as_str()),
            ("work.karmada.io/namespace", space.as_str()),
            ("work.karmada.io/conflict-resolution", "abort"),
            ("resourcebinding.karmada.io/namespace", NAMESPACE),
            ("resourcebinding.karmada.io/name", name.as_str()),
            (
                "resourcetemplate.karmada.io/uid",
                "0a2b1c3d-8d4b-4b3e-a5a5-0b0a3f1f3f37",
            ),
            (
                "resourcetemplate.karmada.io/managed-labels",
                "app,app.kubernetes.io/part-of,karmada.io/managed,propagationpolicy.karmada.io/permanent-id,tier",
            ),
            (
                "resourcetemplate.karmada.io/managed-annotations",
                "owner,propagationpolicy.karmada.io/name,propagationpolicy.karmada.io/namespace,work.karmada.io/conflict-resolution,work.karmada.io/name,work.karmada.io/namespace",
            ),
        ] {
            manifest["metadata"]["annotations"][key] = value.into();
        }
        let work = json!({
            "apiVersion": "work.karmada.io/v1alpha1", "kind": "Work",
            "metadata": {"name": work_name, "namespace": space, "finalizers": ["karmada.io/execution-controller"]},
            "spec": {"workload": {"manifests": [manifest]}, "suspendDispatching": false, "preserveResourcesOnDeletion": false},
        });
        works
            .create(&PostParams::default(), &serde_json::from_value(work)?)
            .await?;
        let object: Deployment = serde_json::from_value(manifest)?;
        let members: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let created = async { members.create(&PostParams::default(), &object).await };
        let status = json!({"status": {
            "conditions": [condition("Applied")],
            "manifestStatuses": [{
                "identifier": {"ordinal": 0, "group": "apps", "version": "v1", "kind": "Deployment", "resource": "", "namespace": NAMESPACE, "name": name},
                "health": "Healthy", "status": status(self.replicas),
            }],
        }});
        let reported = async {
            works
                .patch_status(&work_name, &PatchParams::default(), &Patch::Merge(&status))
                .await
        };
        try_join(async { created.await.map(drop) }, async {
            reported.await.map(drop)
        })
        .await?;
        Ok(())
    }

    fn objects(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: &str,
    ) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.control_plane.clone(), namespace, &resource)
    }
}

fn space(member: &str) -> String {
    format!("karmada-es-{member}")
}

fn binding_name(template: &str) -> String {
    format!("{template}-deployment")
}

fn work_name(template: &str) -> String {
    format!("{template}-687f7fb96f")
}

fn condition(of: &str) -> Value {
    json!({"type": of, "status": "True", "reason": "AppliedSuccessful", "message": "Manifest has been successfully applied", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn status(replicas: i32) -> Value {
    json!({"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "generation": 1, "observedGeneration": 1, "resourceTemplateGeneration": 2})
}
