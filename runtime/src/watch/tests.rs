//! What subscribers hear of the lists of a watch.

use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::store::Change;

fn config_map(name: &str, version: u64) -> Unread {
    let text = json!({"metadata": {
        "name": name, "namespace": "default", "resourceVersion": version.to_string(),
    }});
    serde_json::from_str(&text.to_string()).unwrap()
}

#[test]
fn what_a_later_list_brings_is_news() {
    let store = Store::<ConfigMap>::builder().build();
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&log);
    store.subscribe(move |change| {
        let name = change.object().name_any();
        sink.lock().push(match change {
            Change::Added { initial: true, .. } => format!("{name} was there"),
            Change::Added { initial: false, .. } => format!("{name} came"),
            Change::Updated { .. } => format!("{name} changed"),
            Change::Deleted { .. } => format!("{name} went"),
        });
    });
    let mut filling = Filling {
        store: &store,
        trim: drop_managed_fields,
        read: unread::typed::<ConfigMap>,
        what: "v1/ConfigMap",
        cluster: None,
        listed: BTreeSet::new(),
    };
    // The watch broke after its first list; meanwhile `a` went, `b` changed and `c` came.
    for event in [
        Event::Init,
        Event::InitApply(config_map("a", 1)),
        Event::InitApply(config_map("b", 2)),
        Event::InitDone,
        Event::Init,
        Event::InitApply(config_map("b", 4)),
        Event::InitApply(config_map("c", 5)),
        Event::InitDone,
    ] {
        filling.take(event);
    }
    let heard = [
        "a was there",
        "b was there",
        "b changed",
        "c came",
        "a went",
    ];
    assert_eq!(*log.lock(), heard);
}
