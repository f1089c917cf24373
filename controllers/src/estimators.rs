//! Cluster, Service -> a connection to the accurate estimator of each cluster.
//!
//! reads   Clusters, Services of the estimators' namespace      woken by  both
//! writes  nothing
//!
//! The Service of a cluster's estimator is named `<prefix>-<cluster>`, as the reference's tools make it. It leads to wherever the
//! estimator listens; without one the names that such a Service would have in the cluster's DNS are tried.

use std::sync::{Arc, Weak};

use crds::cluster::{Cluster, ClusterSyncMode};
use estimator::client::{Address, Estimators, Options as ClientOptions};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt;
use runtime::{
    Store,
    watch::{self, Selection},
};

use crate::world::World;

/// Where estimators are, and how they are asked.
#[derive(Clone, Debug)]
pub struct Options {
    pub service_namespace: String,
    pub service_prefix: String,
    /// The port of the Services.
    pub port: u16,
    /// Whether clusters in pull mode have no estimator that can be reached.
    pub push_only: bool,
    pub client: ClientOptions,
}

/// Connects to the estimators of all clusters, from now on and in the background.
pub fn prepare(world: &Arc<World>, options: Options) -> Arc<Estimators> {
    let estimators = Estimators::new(options.client.clone());
    let finder = Arc::new(Finder {
        world: Arc::downgrade(world),
        services: Store::builder().build(),
        estimators: Arc::clone(&estimators),
        options,
    });
    let to = Arc::downgrade(&finder);
    world.clusters.subscribe(move |change| {
        if let Some(finder) = to.upgrade() {
            let cluster = change.object();
            if change.is_deletion() {
                finder.estimators.disconnect(&cluster.name_any());
            } else {
                finder.find(cluster);
            }
        }
    });
    let to = Arc::downgrade(&finder);
    finder.services.subscribe(move |change| {
        if let Some(finder) = to.upgrade() {
            finder.find_by_service(&change.object().name_any());
        }
    });
    let selection = Selection {
        fields: Some(format!(
            "metadata.namespace={}",
            finder.options.service_namespace
        )),
        ..Selection::default()
    };
    tokio::spawn(watch::typed(
        world.client(),
        Arc::clone(&finder.services),
        trim,
        selection,
        world.stop.clone(),
    ));
    let stop = world.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => return,
            () = finder.services.synced() => {}
        }
        finder.find_all();
        // The subscriptions above work as long as the finder lives.
        stop.cancelled().await;
    });
    estimators
}

fn trim(service: &mut Service) {
    service.metadata.managed_fields = None;
    service.metadata.annotations = None;
    service.status = None;
}

struct Finder {
    world: Weak<World>,
    services: Arc<Store<Service>>,
    estimators: Arc<Estimators>,
    options: Options,
}

impl Finder {
    fn find_all(&self) {
        if let Some(world) = self.world.upgrade() {
            for cluster in world.clusters.list() {
                self.find(&cluster);
            }
        }
    }

    fn find_by_service(&self, service: &str) {
        let cluster = service
            .strip_prefix(&self.options.service_prefix)
            .and_then(|rest| rest.strip_prefix('-'));
        if let (Some(cluster), Some(world)) = (cluster, self.world.upgrade())
            && let Some(cluster) = world
                .clusters
                .get(&crds::object::Key::cluster_scoped(cluster))
        {
            self.find(&cluster);
        }
    }

    fn find(&self, cluster: &Cluster) {
        // That there is no Service is known once all were listed.
        if !self.services.is_synced() {
            return;
        }
        let name = cluster.name_any();
        if self.options.push_only && cluster.spec.sync_mode == ClusterSyncMode::Pull {
            return self.estimators.disconnect(&name);
        }
        let service = format!("{}-{name}", self.options.service_prefix);
        let namespace = &self.options.service_namespace;
        let found = self
            .services
            .get(&crds::object::Key::new(namespace, &service));
        match addresses(found.as_deref(), namespace, &service, self.options.port) {
            Ok(addresses) => self.estimators.connect(&name, addresses),
            Err(cause) => {
                tracing::warn!(cluster = name, cause, "Estimator cannot be found");
                self.estimators.disconnect(&name);
            }
        }
    }
}

/// Where the estimator behind a Service listens, in the order in which addresses are tried.
fn addresses(
    found: Option<&Service>,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Vec<Address>, String> {
    let Some(service) = found else {
        let in_dns = |domain: &str| Address {
            host: format!("{name}.{namespace}.{domain}"),
            port,
        };
        return Ok(vec![in_dns("svc.cluster.local"), in_dns("svc")]);
    };
    let spec = service.spec.clone().unwrap_or_default();
    let type_ = spec.type_.as_deref().unwrap_or("ClusterIP");
    let host = spec.external_name.unwrap_or_default();
    if type_ != "ExternalName" || host.is_empty() {
        return Err(format!(
            "Service {namespace}/{name} is of type {type_}, it has to be of type ExternalName and name the estimator's host"
        ));
    }
    let mut ports = spec.ports.into_iter().flatten();
    let target = ports
        .find(|it| it.port == i32::from(port))
        .and_then(|it| it.target_port);
    match target {
        Some(IntOrString::Int(target)) if u16::try_from(target).is_ok_and(|it| it > 0) => {
            Ok(vec![Address {
                host,
                port: u16::try_from(target).unwrap_or_default(),
            }])
        }
        _ => Err(format!(
            "Service {namespace}/{name} has no port {port} with a number as targetPort"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "tables read better")]
    fn check(spec: Value, expected: Result<&[&str], &str>) {
        let service = (!spec.is_null())
            .then(|| serde_json::from_value::<Service>(json!({ "spec": spec })).unwrap());
        let found = addresses(service.as_ref(), "karmada-system", "estimator-m1", 10352);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                assert_eq!(found, expected);
            }
            (Err(cause), Err(expected)) => assert!(cause.contains(expected), "{cause}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_service_leads_to_an_estimator() {
        check(
            Value::Null,
            Ok(&[
                "estimator-m1.karmada-system.svc.cluster.local:10352",
                "estimator-m1.karmada-system.svc:10352",
            ]),
        );
        let ports = json!([{"port": 80}, {"port": 10352, "targetPort": 7000}]);
        check(
            json!({"type": "ExternalName", "externalName": "m1.example.com", "ports": ports}),
            Ok(&["m1.example.com:7000"]),
        );
        check(
            json!({"type": "ClusterIP", "ports": ports}),
            Err("ExternalName"),
        );
        check(
            json!({"type": "ExternalName", "externalName": "h", "ports": [{"port": 10352, "targetPort": "grpc"}]}),
            Err("targetPort"),
        );
        check(
            json!({"type": "ExternalName", "externalName": "h", "ports": [{"port": 10352, "targetPort": 70000}]}),
            Err("targetPort"),
        );
        check(
            json!({"type": "ExternalName", "externalName": "h"}),
            Err("no port 10352"),
        );
    }
}
