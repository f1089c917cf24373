//! Events on the objects that users look at.
//!
//! An event says that something happened, once. The same thing said again is not written again, unless it is a warning that
//! has not been repeated for a while; so a reconcile may report its outcome every time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use crate::error::{ApiError, call};

/// How long the same event is not written again.
const SILENCE: Duration = Duration::from_mins(10);
/// Events that wait to be written; more than that are dropped, because events must not hold up the work they tell of.
const BACKLOG: usize = 4096;
/// Identities remembered for merging repetitions.
const REMEMBERED: usize = 16_384;
/// Kubernetes refuses longer messages.
const MESSAGE_LIMIT: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    uid: String,
    source: &'static str,
    reason: &'static str,
    message: String,
}

#[derive(Debug)]
struct Report {
    about: ObjectReference,
    kind: EventType,
    identity: Identity,
}

struct Written {
    name: String,
    namespace: String,
    count: i32,
    at: Instant,
}

/// Takes events from anywhere and writes them in the background.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Report>,
}

impl Recorder {
    /// Starts the writer; it ends when the last clone of the recorder is gone.
    pub fn start(control_plane: Client) -> Self {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(write_all(control_plane, receiver));
        Self { sender }
    }

    /// Reports a normal event. `source` is the component that reports.
    pub fn normal(
        &self,
        source: &'static str,
        about: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.report(source, about, EventType::Normal, reason, message.into());
    }

    /// Reports a warning.
    pub fn warning(
        &self,
        source: &'static str,
        about: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.report(source, about, EventType::Warning, reason, message.into());
    }

    fn report(
        &self,
        source: &'static str,
        about: ObjectReference,
        kind: EventType,
        reason: &'static str,
        message: String,
    ) {
        // An object without a uid cannot be told from its namesakes of other times, and kubectl would not find the event.
        let Some(uid) = about.uid.clone().filter(|uid| !uid.is_empty()) else {
            return;
        };
        let message = shorten(message);
        let report = Report {
            about,
            kind,
            identity: Identity {
                uid,
                source,
                reason,
                message,
            },
        };
        if self.sender.try_send(report).is_err() {
            tracing::debug!(reason, "Event dropped, too many are waiting");
        }
    }
}

fn shorten(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        let end = message.floor_char_boundary(MESSAGE_LIMIT - 3);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

async fn write_all(client: Client, mut reports: mpsc::Receiver<Report>) {
    let mut written: HashMap<Identity, Written> = HashMap::new();
    while let Some(report) = reports.recv().await {
        if written.len() >= REMEMBERED {
            let now = Instant::now();
            written.retain(|_, event| now.duration_since(event.at) < SILENCE);
            if written.len() >= REMEMBERED {
                written.clear();
            }
        }
        let outcome = match written.get_mut(&report.identity) {
            Some(event) if report.kind == EventType::Normal || event.at.elapsed() < SILENCE => {
                event.count = event.count.saturating_add(1);
                continue;
            }
            Some(event) => repeat(&client, event).await,
            None => create(&client, &report).await.map(|event| {
                written.insert(report.identity, event);
            }),
        };
        if let Err(error) = outcome {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "Event not written"
            );
        }
    }
}

async fn create(client: &Client, report: &Report) -> Result<Written, ApiError> {
    let now = Timestamp::now();
    // Events of cluster-scoped objects live in `default`, as everywhere in Kubernetes.
    let namespace = report
        .about
        .namespace
        .clone()
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or_else(|| "default".into());
    let object = report.about.name.clone().unwrap_or_default();
    // Names have 253 characters, and what makes this one unique takes up to 25.
    let stem = &object[..object.floor_char_boundary(220)];
    let name = format!(
        "{stem}.{:x}{:08x}",
        now.as_microsecond(),
        rand::random::<u32>()
    );
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: report.about.clone(),
        reason: Some(report.identity.reason.into()),
        message: Some(report.identity.message.clone()),
        source: Some(EventSource {
            component: Some(report.identity.source.into()),
            host: None,
        }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        type_: Some(match report.kind {
            EventType::Normal => "Normal".into(),
            EventType::Warning => "Warning".into(),
        }),
        reporting_component: Some(report.identity.source.into()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    call(api.create(&PostParams::default(), &event)).await?;
    Ok(Written {
        name,
        namespace,
        count: 1,
        at: Instant::now(),
    })
}

async fn repeat(client: &Client, event: &mut Written) -> Result<(), ApiError> {
    event.count = event.count.saturating_add(1);
    event.at = Instant::now();
    let patch = json!({"count": event.count, "lastTimestamp": Time(Timestamp::now())});
    let api: Api<Event> = Api::namespaced(client.clone(), &event.namespace);
    call(api.patch(&event.name, &PatchParams::default(), &Patch::Merge(&patch)))
        .await
        .map(drop)
}

/// A reference to any object, as events need it.
pub fn reference_to(object: &DynamicObject) -> ObjectReference {
    let types = object.types.clone().unwrap_or_default();
    ObjectReference {
        api_version: Some(types.api_version),
        kind: Some(types.kind),
        name: object.metadata.name.clone(),
        namespace: object.metadata.namespace.clone(),
        uid: object.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Shares a recorder and names the component once.
#[derive(Debug, Clone)]
pub struct Source {
    pub recorder: Recorder,
    pub component: &'static str,
}

impl Source {
    pub fn new(recorder: &Recorder, component: &'static str) -> Arc<Self> {
        Arc::new(Self {
            recorder: recorder.clone(),
            component,
        })
    }

    pub fn normal(&self, about: ObjectReference, reason: &'static str, message: impl Into<String>) {
        self.recorder.normal(self.component, about, reason, message);
    }

    pub fn warning(
        &self,
        about: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.recorder
            .warning(self.component, about, reason, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_end_at_a_character() {
        let message = shorten("ä".repeat(600));
        assert!(message.len() <= MESSAGE_LIMIT && message.ends_with("ä..."));
        assert_eq!(shorten("short".into()), "short");
    }
}
