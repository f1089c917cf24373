//! What the engine under the reconcilers holds and does at the moment, for whoever asks why a process is large or slow.

use std::collections::BTreeMap;

use crds::object::Gvk;
use kube::Resource;
use runtime::{
    Store,
    dynamic::DynamicStores,
    metrics::{Slow, queues::QueueDepth},
    store::Size,
};
use serde::Serialize;

use crate::World;

/// The page, as JSON:
///
/// ```json
/// {"residentBytes": 63000000,
///  "controlPlane": [{"kind": "Work.v1alpha1.work.karmada.io", "synced": true, "objects": 900, "open": 128, "packedBytes": 210000}],
///  "members": {"member1": [{"kind": "Deployment.v1.apps", "synced": true, "objects": 300, "open": 128, "packedBytes": 60000}]},
///  "queues": [{"name": "binding-controller", "controller": "binding-controller", "ready": 0, "waiting": 1, "backingOff": 0, "working": 0}],
///  "slowest": [{"controller": "execution-controller", "key": "karmada-es-member1/web-687f7fb96f", "seconds": 0.31, "secondsAgo": 12}]}
/// ```
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Memory of the process that is in RAM; 0 where the system does not tell.
    resident_bytes: u64,
    control_plane: Vec<Held>,
    members: BTreeMap<String, Vec<Held>>,
    queues: Vec<QueueDepth>,
    /// The passes of the last ten minutes that took longest.
    slowest: Vec<Slow>,
}

#[derive(Debug, Serialize)]
struct Held {
    kind: String,
    synced: bool,
    /// Objects, how many of them are held as they are used, and the bytes of the others.
    #[serde(flatten)]
    size: Size,
}

/// Looks at everything now.
pub fn page(world: &World) -> Page {
    let mut control_plane = vec![
        held(&world.clusters),
        held(&world.policies),
        held(&world.cluster_policies),
        held(&world.overrides),
        held(&world.cluster_overrides),
        held(&world.quotas),
        held(&world.bindings),
        held(&world.cluster_bindings),
        held(&world.works),
        held(&world.rebalancers),
        held(&world.credentials),
        held(&world.customizations),
        held(&world.webhook_configurations),
    ];
    control_plane.extend(held_of_any(&world.templates));
    let members = world.members.names().into_iter().filter_map(|name| {
        let member = world.members.member(&name)?;
        Some((name, held_of_any(member.stores())))
    });
    Page {
        resident_bytes: resident_bytes(),
        control_plane,
        members: members.collect(),
        queues: world.reconciles.depths(),
        slowest: world.reconciles.slowest(),
    }
}

fn held<K>(store: &Store<K>) -> Held
where
    K: Resource<DynamicType = ()> + 'static,
{
    let (group, version, kind) = (K::group(&()), K::version(&()), K::kind(&()));
    Held {
        kind: name(&group, &version, &kind),
        synced: store.is_synced(),
        size: store.size(),
    }
}

fn held_of_any(stores: &DynamicStores) -> Vec<Held> {
    let mut kinds = stores.kinds();
    kinds.sort();
    let held = kinds.into_iter().filter_map(|gvk| {
        let store = stores.store(&gvk)?;
        let Gvk {
            group,
            version,
            kind,
        } = &gvk;
        Some(Held {
            kind: name(group, version, kind),
            synced: store.is_synced(),
            size: store.size(),
        })
    });
    held.collect()
}

/// As kubectl takes it: `Deployment.v1.apps`.
fn name(group: &str, version: &str, kind: &str) -> String {
    format!("{kind}.{version}.{group}")
        .trim_end_matches('.')
        .to_owned()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        let value = line.strip_prefix("VmRSS:")?;
        value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    kib.unwrap_or_default() * 1024
}
