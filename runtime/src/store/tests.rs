//! The store against what watches and replies do to it.

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use parking_lot::Mutex;

use super::*;

fn config_map(name: &str, version: u64) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("default".into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn key(name: &str) -> Key {
    Key {
        namespace: Some("default".into()),
        name: name.into(),
    }
}

fn recorded() -> (Arc<Store<ConfigMap>>, Arc<Mutex<Vec<String>>>) {
    let store = Store::<ConfigMap>::builder().build();
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&log);
    store.subscribe(move |change| {
        let name = change.object().name_any();
        sink.lock().push(match change {
            Change::Added { initial, .. } => format!("added {name} {initial}"),
            Change::Updated { .. } => format!("updated {name}"),
            Change::Deleted { .. } => format!("deleted {name}"),
        });
    });
    (store, log)
}

fn delete(store: &Store<ConfigMap>, object: &ConfigMap) {
    store.delete(&key_of(object), version_of(object));
}

#[test]
fn reply_is_visible_at_once_and_not_reported_again_by_the_watch() {
    let (store, log) = recorded();
    store.observe_reply(config_map("a", 5));
    store.apply(config_map("a", 5), false);
    assert_eq!(*log.lock(), ["added a false"]);
}

#[test]
fn late_reply_does_not_bring_back_a_deleted_object() {
    let (store, log) = recorded();
    store.apply(config_map("a", 5), false);
    delete(&store, &config_map("a", 7));
    store.observe_reply(config_map("a", 6));
    assert_eq!(store.get(&key("a")), None);
    assert_eq!(*log.lock(), ["added a false", "deleted a"]);
}

#[test]
fn stale_watch_event_does_not_undo_a_reply() {
    let (store, _) = recorded();
    store.apply(config_map("a", 5), false);
    store.observe_reply(config_map("a", 9));
    store.apply(config_map("a", 7), false);
    let version = store
        .get(&key("a"))
        .and_then(|found| found.metadata.resource_version.clone());
    assert_eq!(version.as_deref(), Some("9"));
}

#[test]
fn relist_removes_what_is_gone_but_not_a_newer_write_of_ours() {
    let (store, log) = recorded();
    store.apply(config_map("gone", 5), true);
    store.apply(config_map("stays", 6), true);
    store.observe_reply(config_map("ours", 9));
    store.finish_list(&BTreeSet::from([key("stays")]));
    assert!(store.is_synced());
    assert!(store.get(&key("gone")).is_none());
    assert!(store.get(&key("ours")).is_some());
    assert_eq!(
        *log.lock(),
        [
            "added gone true",
            "added stays true",
            "added ours false",
            "deleted gone"
        ]
    );
}

#[test]
fn index_follows_updates_and_deletions() {
    let mut builder = Store::<ConfigMap>::builder();
    let by_label =
        builder.index(|object| object.labels().get("app").cloned().into_iter().collect());
    let store = builder.build();
    let labelled = |version, app: &str| {
        let mut object = config_map("a", version);
        object.labels_mut().insert("app".into(), app.into());
        object
    };
    store.apply(labelled(1, "x"), false);
    assert_eq!(store.by_index(by_label, "x").len(), 1);
    assert_eq!(store.count_by_index(by_label, "x"), 1);
    assert_eq!(store.keys_matching(by_label, |it| it == "x"), [key("a")]);
    assert!(store.keys_matching(by_label, |it| it == "y").is_empty());
    assert_eq!(store.values_of(by_label, &store.keys()[0]), ["x".into()]);
    store.apply(labelled(2, "y"), false);
    assert!(store.by_index(by_label, "x").is_empty());
    assert_eq!(store.by_index(by_label, "y").len(), 1);
    delete(&store, &labelled(3, "y"));
    assert!(store.by_index(by_label, "y").is_empty());
}

#[test]
fn late_subscriber_hears_of_what_is_there() {
    let store = Store::<ConfigMap>::builder().build();
    store.apply(config_map("a", 1), false);
    let seen = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&seen);
    store.subscribe(move |_| *counter.lock() += 1);
    assert_eq!(*seen.lock(), 1);
}

/// As many objects as it takes to have a dictionary, and to have the first ones packed.
fn packing(count: usize) -> Arc<Store<ConfigMap>> {
    let mut builder = Store::<ConfigMap>::builder();
    builder.packed(Codec::json());
    let store = builder.build();
    for index in 0..count {
        store.apply(filled(&format!("app-{index}"), 1, "first"), true);
    }
    store
}

fn filled(name: &str, version: u64, value: &str) -> ConfigMap {
    let mut object = config_map(name, version);
    object.data = Some(
        (0..20)
            .map(|line| (format!("key-{line}"), format!("{value} {line}")))
            .collect(),
    );
    object
}

#[test]
fn packed_objects_are_as_they_were() {
    let store = packing(2000);
    let size = store.size();
    assert_eq!(size.objects, 2000);
    assert!(size.open < 200, "{size:?}");
    assert!(size.packed_bytes > 0);
    for name in ["app-0", "app-500", "app-1999"] {
        assert_eq!(
            store.get(&key(name)).as_deref(),
            Some(&filled(name, 1, "first"))
        );
    }
    assert_eq!(store.list().len(), 2000);
}

#[test]
fn packed_objects_take_a_fraction() {
    let store = packing(2000);
    let size = store.size();
    let json = serde_json::to_vec(&filled("app-1", 1, "first"))
        .unwrap()
        .len();
    let each = size.packed_bytes / (size.objects - size.open);
    assert!(each * 4 < json, "{each} bytes instead of {json}");
}

#[test]
fn changes_of_packed_objects_are_told_with_what_was_before() {
    let store = packing(2000);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    store.subscribe(move |change| {
        if let Change::Added { initial: true, .. } = change {
            return;
        }
        let value = |object: &ConfigMap| object.data.as_ref().unwrap()["key-0"].clone();
        sink.lock().push((
            change.old().map(|old| value(old)),
            value(change.object()),
            change.is_deletion(),
        ));
    });
    store.apply(filled("app-3", 2, "second"), false);
    delete(&store, &filled("app-4", 3, "first"));
    let first = || Some("first 0".to_owned());
    assert_eq!(
        *seen.lock(),
        [
            (first(), "second 0".to_owned(), false),
            (first(), "first 0".to_owned(), true)
        ]
    );
    assert!(!store.contains(&key("app-4")));
}

#[test]
fn bytes_are_given_back() {
    let store = packing(2000);
    for index in 0..2000 {
        delete(&store, &filled(&format!("app-{index}"), 5, "first"));
    }
    assert_eq!(store.size(), Size::default());
}

#[test]
fn late_subscribers_hear_of_packed_objects() {
    let store = packing(500);
    let seen = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&seen);
    store.subscribe(move |_| *counter.lock() += 1);
    assert_eq!(*seen.lock(), 500);
}

#[test]
fn events_that_come_late_or_twice_change_nothing() {
    let (store, log) = recorded();
    let deliver = |object: ConfigMap| {
        if store.awaits(&key_of(&object), version_of(&object), false) {
            store.apply(object, false);
        }
    };
    deliver(config_map("a", 5));
    deliver(config_map("a", 6));
    deliver(config_map("a", 5));
    delete(&store, &config_map("a", 7));
    deliver(config_map("a", 6));
    assert!(store.is_empty());
    deliver(config_map("a", 9));
    delete(&store, &config_map("a", 7));
    assert_eq!(store.len(), 1, "made anew since");
    delete(&store, &config_map("a", 10));
    delete(&store, &config_map("a", 10));
    assert_eq!(
        *log.lock(),
        [
            "added a false",
            "updated a",
            "deleted a",
            "added a false",
            "deleted a"
        ]
    );
}

#[test]
fn large_objects_are_packed_at_once_and_samples_later() {
    let mut builder = Store::<ConfigMap>::builder();
    builder.packed(Codec::json());
    let store = builder.build();
    let large = filled("large", 1, &"x".repeat(packing::LARGE / 10));
    let bytes = serde_json::to_vec(&large).unwrap().len();
    store.apply_sized(large.clone(), true, bytes);
    let size = store.size();
    assert_eq!((size.objects, size.open), (1, 0));
    assert!(size.packed_bytes < bytes / 4, "{size:?}");
    assert_eq!(store.get(&key("large")).as_deref(), Some(&large));

    let store = packing(2000);
    let before = store.size().open;
    store.pack_rested();
    let open = store.size().open;
    assert!(open < before && open <= OPEN, "{open} of {before}");
    assert!(store.get(&key("app-0")).is_some());
}

#[test]
fn what_does_not_decode_is_remembered_until_it_does_or_is_gone() {
    let (store, _) = recorded();
    let malformed = |name: &str, version: &str| Malformed {
        key: key(name),
        uid: Some(format!("uid-{name}")),
        resource_version: Some(version.to_owned()),
        error: "missing field".to_owned(),
    };
    let news = store.malformed();
    store.note_malformed(malformed("a", "1"));
    store.note_malformed(malformed("a", "2"));
    store.note_malformed(malformed("b", "3"));
    assert!(news.has_changed().unwrap());
    let versions = || {
        let all = news.borrow();
        let version = |it: &Malformed| it.resource_version.clone().unwrap_or_default();
        all.values().map(version).collect::<Vec<_>>()
    };
    assert_eq!(versions(), ["2", "3"]);
    store.forget_malformed(|it| *it == key("a"));
    assert_eq!(versions(), ["3"]);
    store.forget_malformed(|it| *it == key("a"));
    assert_eq!(versions(), ["3"]);
}
