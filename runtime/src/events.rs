//! Events on the objects that users look at.
//!
//! An event says that something happened, once. The same thing said again is not written again for a while; so a reconcile may
//! report a failure every time. Good news can wait for a moment: what one component says about one object for one reason within
//! that time, of each of its clusters for example, becomes one event.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

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
/// How long good news are gathered.
const GATHER: Duration = Duration::from_secs(1);
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
    /// Good news that are worth a line only if it was told before that something is wrong.
    Recovery,
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

/// An event that was written. It is remembered by a fingerprint: texts of thousands of events would be most of our memory.
struct Written {
    at: Instant,
    /// Where a warning is, so that a repetition is counted on it. Good news that come again after a while are an event of their
    /// own: there are too many of them for such a note.
    warning: Option<Warning>,
}

#[derive(Debug, Clone, PartialEq)]
struct Warning {
    name: String,
    namespace: String,
    count: i32,
}

/// What is written of a report.
#[derive(Debug, PartialEq)]
enum Step {
    Create,
    /// Counts it on the event that is there.
    Repeat(Warning),
    Nothing,
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

    /// Reports that something went well. It is written only if `source` has warned about the object since it last did.
    pub fn recovery(
        &self,
        source: &'static str,
        about: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.report(source, about, EventType::Recovery, reason, message.into());
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
    let mut ledger = Ledger::default();
    let mut gathered = Gathered::default();
    loop {
        let due = gathered.next_due();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => match report.kind {
                    EventType::Normal => gathered.add(report),
                    EventType::Warning => ledger.write(&client, &report).await,
                    EventType::Recovery => ledger.recovered(&client, &report).await,
                },
                None => return,
            },
            () = timer => {
                while let Some(report) = gathered.take_due() {
                    ledger.write(&client, &report).await;
                }
            }
        }
    }
}

/// What was written, so that it is not written again.
#[derive(Default)]
struct Ledger {
    written: HashMap<u64, Written>,
    /// Fingerprints of objects, and of who has warned about them.
    warned: HashSet<u64>,
    hasher: RandomState,
}

impl Ledger {
    async fn write(&mut self, client: &Client, report: &Report) {
        self.make_room();
        let fingerprint = self.hasher.hash_one(&report.identity);
        let step = self.step(fingerprint);
        // Good news answer a warning that was told, not one that was kept back.
        if report.kind == EventType::Warning && step != Step::Nothing {
            self.warned.insert(self.about(report));
        }
        let outcome = match step {
            Step::Nothing => return,
            Step::Repeat(warning) => repeat(client, &warning).await,
            Step::Create => create(client, report).await.map(|warning| {
                let warning = (report.kind == EventType::Warning).then_some(warning);
                let at = Instant::now();
                self.written.insert(fingerprint, Written { at, warning });
            }),
        };
        if let Err(error) = outcome {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "Event not written"
            );
        }
    }

    /// What becomes of a report, given when the same was written last.
    fn step(&mut self, fingerprint: u64) -> Step {
        let Some(written) = self.written.get_mut(&fingerprint) else {
            return Step::Create;
        };
        if let Some(warning) = &mut written.warning {
            warning.count = warning.count.saturating_add(1);
        }
        if written.at.elapsed() < SILENCE {
            return Step::Nothing;
        }
        match &written.warning {
            Some(warning) => {
                written.at = Instant::now();
                Step::Repeat(warning.clone())
            }
            None => Step::Create,
        }
    }

    async fn recovered(&mut self, client: &Client, report: &Report) {
        let about = self.about(report);
        if self.warned.remove(&about)
            && let Err(error) = create(client, report).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "Event not written"
            );
        }
    }

    fn about(&self, report: &Report) -> u64 {
        let identity = &report.identity;
        self.hasher.hash_one((&identity.uid, identity.source))
    }

    fn make_room(&mut self) {
        if self.warned.len() >= REMEMBERED {
            self.warned.clear();
        }
        if self.written.len() < REMEMBERED {
            return;
        }
        self.written.retain(|_, event| event.at.elapsed() < SILENCE);
        if self.written.len() >= REMEMBERED {
            self.written.clear();
        }
    }
}

/// Good news that wait for more of their sort.
#[derive(Default)]
struct Gathered {
    waiting: HashMap<Sort, Report>,
    order: VecDeque<(Instant, Sort)>,
}

/// Who says what about which object.
type Sort = (String, &'static str, &'static str);

impl Gathered {
    fn add(&mut self, report: Report) {
        let identity = &report.identity;
        let sort = (identity.uid.clone(), identity.source, identity.reason);
        let Some(waiting) = self.waiting.get_mut(&sort) else {
            self.order
                .push_back((Instant::now() + GATHER, sort.clone()));
            self.waiting.insert(sort, report);
            return;
        };
        let message = &mut waiting.identity.message;
        if !message.split("; ").any(|part| part == identity.message) {
            let joined = format!("{message}; {}", identity.message);
            *message = shorten(joined);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.order.front().map(|(due, _)| *due)
    }

    fn take_due(&mut self) -> Option<Report> {
        if self.next_due()? > Instant::now() {
            return None;
        }
        let (_, sort) = self.order.pop_front()?;
        self.waiting.remove(&sort)
    }
}

async fn create(client: &Client, report: &Report) -> Result<Warning, ApiError> {
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
            EventType::Normal | EventType::Recovery => "Normal".into(),
            EventType::Warning => "Warning".into(),
        }),
        reporting_component: Some(report.identity.source.into()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    call(api.create(&PostParams::default(), &event)).await?;
    Ok(Warning {
        name,
        namespace,
        count: 1,
    })
}

async fn repeat(client: &Client, event: &Warning) -> Result<(), ApiError> {
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

    /// See [`Recorder::recovery`].
    pub fn recovery(
        &self,
        about: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.recorder
            .recovery(self.component, about, reason, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(uid: &str, message: &str) -> Report {
        Report {
            about: ObjectReference::default(),
            kind: EventType::Normal,
            identity: Identity {
                uid: uid.into(),
                source: "execution-controller",
                reason: "SyncSucceed",
                message: message.into(),
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn good_news_of_one_sort_become_one_event() {
        let mut gathered = Gathered::default();
        for (uid, message) in [
            ("a", "to m1"),
            ("b", "to m1"),
            ("a", "to m2"),
            ("a", "to m1"),
        ] {
            gathered.add(report(uid, message));
        }
        assert!(gathered.take_due().is_none(), "it waits for more");
        tokio::time::advance(GATHER).await;
        let texts: Vec<String> = std::iter::from_fn(|| gathered.take_due())
            .map(|report| report.identity.message)
            .collect();
        assert_eq!(texts, ["to m1; to m2", "to m1"]);
        assert_eq!(gathered.next_due(), None);
        gathered.add(report("a", "to m3"));
        tokio::time::advance(GATHER).await;
        let later = gathered.take_due().map(|report| report.identity.message);
        assert_eq!(later.as_deref(), Some("to m3"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_again_after_a_while_is_told_again() {
        let warning = Warning {
            name: "web.1".into(),
            namespace: "demo".into(),
            count: 1,
        };
        for (name, warning, later) in [
            ("good news", None, Step::Create),
            (
                "warning",
                Some(warning.clone()),
                Step::Repeat(Warning {
                    count: 3,
                    ..warning
                }),
            ),
        ] {
            let mut ledger = Ledger::default();
            assert_eq!(ledger.step(1), Step::Create, "{name}, first");
            let at = Instant::now();
            ledger.written.insert(1, Written { at, warning });
            assert_eq!(ledger.step(1), Step::Nothing, "{name}, at once");
            tokio::time::advance(SILENCE).await;
            assert_eq!(ledger.step(1), later, "{name}, later");
        }
    }

    #[test]
    fn long_messages_end_at_a_character() {
        let message = shorten("ä".repeat(600));
        assert!(message.len() <= MESSAGE_LIMIT && message.ends_with("ä..."));
        assert_eq!(shorten("short".into()), "short");
    }
}
