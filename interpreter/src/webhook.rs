//! Webhook hooks as pure functions: which webhook is asked, with what, and what its reply means.
//!
//! A call needs the network, so it is two functions with the call between them: [`Interpreter::call_for`] says whether a
//! question has to be asked, and gives the [`Call`]; the shell makes it, and hands the [`Reply`] back in [`Answers`].
//!
//! [`Interpreter::call_for`]: crate::Interpreter::call_for

mod address;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::config::{
    GroupVersionKind, InterpreterOperation, JSON_PATCH, ResourceInterpreterContext,
    ResourceInterpreterRequest, ResourceInterpreterResponse,
    ResourceInterpreterWebhookConfiguration, RuleWithOperations,
};
use crds::object;
use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use serde_json::Value;

use crate::error::Cause;
use crate::layer::{Answer, Context, Layer, LayerName, Question, Target};

pub use address::{Address, AddressError, address_of_service, address_of_url};

/// What a webhook without `timeoutSeconds` gets.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A webhook of some configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// `<configuration>/<webhook>`.
    pub id: String,
    pub client: WebhookClientConfig,
    /// For the whole call, retries included.
    pub timeout: Duration,
    versions: Vec<String>,
    rules: Vec<RuleWithOperations>,
}

/// All webhooks, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    webhooks: Vec<Webhook>,
}

impl Webhooks {
    pub fn new<'a>(
        configurations: impl IntoIterator<Item = &'a ResourceInterpreterWebhookConfiguration>,
    ) -> Self {
        let webhooks = configurations.into_iter().flat_map(|configuration| {
            let name = configuration.metadata.name.as_deref().unwrap_or_default();
            configuration.webhooks.iter().map(move |webhook| Webhook {
                id: format!("{name}/{}", webhook.name),
                client: webhook.client_config.clone(),
                timeout: webhook
                    .timeout_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or(DEFAULT_TIMEOUT, Duration::from_secs),
                versions: webhook.interpreter_context_versions.clone(),
                rules: webhook.rules.clone(),
            })
        });
        let mut webhooks: Vec<_> = webhooks.collect();
        webhooks.sort_by(|left, right| left.id.cmp(&right.id));
        Self { webhooks }
    }

    /// The webhook that is asked: of all that match, the one with the smallest id.
    pub fn matching(
        &self,
        target: Target<'_>,
        operation: InterpreterOperation,
    ) -> Option<&Webhook> {
        let covers = |rule: &RuleWithOperations| {
            rule.matches(operation, target.group, target.version, target.kind)
        };
        self.webhooks
            .iter()
            .find(|webhook| webhook.rules.iter().any(covers))
    }

    /// Whether some operation on this kind is asked elsewhere, or otherwise, than with `previous`.
    pub fn differ_for(&self, previous: &Self, target: Target<'_>) -> bool {
        InterpreterOperation::ALL.into_iter().any(|operation| {
            let (new, old) = (
                self.matching(target, operation),
                previous.matching(target, operation),
            );
            match (new, old) {
                (Some(new), Some(old)) => {
                    (&new.id, &new.client, &new.versions) != (&old.id, &old.client, &old.versions)
                }
                (None, None) => false,
                _ => true,
            }
        })
    }

    pub fn is_empty(&self) -> bool {
        self.webhooks.is_empty()
    }
}

/// What tells one question from another: the answer to it is looked up by this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    operation: &'static str,
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    replicas: i64,
}

impl Key {
    pub(crate) fn of(question: &Question<'_>) -> Self {
        let asked = question.object();
        Self {
            operation: question.operation().as_str(),
            api_version: object::api_version(asked).to_owned(),
            kind: object::kind(asked).to_owned(),
            namespace: object::namespace(asked).unwrap_or_default().to_owned(),
            name: object::name(asked).to_owned(),
            replicas: replicas_of(question),
        }
    }
}

fn replicas_of(question: &Question<'_>) -> i64 {
    match question {
        Question::ReviseReplica { replicas, .. } => *replicas,
        _ => 0,
    }
}

/// A question for the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub webhook: Webhook,
    /// The body to send.
    pub context: ResourceInterpreterContext,
    key: Key,
}

impl Call {
    /// The call that asks a webhook this question. `uid` is a fresh id.
    pub(crate) fn new(
        webhook: &Webhook,
        question: &Question<'_>,
        uid: String,
    ) -> Result<Self, Cause> {
        let known = ResourceInterpreterContext::VERSION;
        if !webhook.versions.iter().any(|version| version == known) {
            return Err(failed(
                &webhook.id,
                "the webhook knows no version of the context that we know",
            ));
        }
        let asked = question.object();
        let target = Target::of(asked);
        let (group, version, kind) = (
            target.group.to_owned(),
            target.version.to_owned(),
            target.kind.to_owned(),
        );
        let (observed_object, aggregated_status) = match question {
            Question::Retain { observed, .. } => (Some((*observed).clone()), Vec::new()),
            Question::AggregateStatus { items, .. } => (None, items.unwrap_or_default().to_vec()),
            _ => (None, Vec::new()),
        };
        let replicas = i32::try_from(replicas_of(question))
            .map_err(|_| failed(&webhook.id, "too many replicas"))?;
        let request = ResourceInterpreterRequest {
            uid,
            kind: GroupVersionKind {
                group,
                version,
                kind,
            },
            name: object::name(asked).to_owned(),
            namespace: object::namespace(asked).map(str::to_owned),
            operation: question.operation(),
            object: Some(asked.clone()),
            observed_object,
            replicas,
            aggregated_status,
        };
        Ok(Self {
            webhook: webhook.clone(),
            context: ResourceInterpreterContext::of_request(request),
            key: Key::of(question),
        })
    }

    /// The query that tells the webhook how long it has: `timeout=10s`, in whole seconds, rounded up.
    pub fn query(&self) -> String {
        let seconds =
            self.webhook.timeout.as_secs() + u64::from(self.webhook.timeout.subsec_nanos() > 0);
        format!("timeout={seconds}s")
    }

    fn uid(&self) -> &str {
        self.context
            .request
            .as_ref()
            .map_or("", |request| &request.uid)
    }
}

/// What came back from the network: status code and body, or why nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Http { status: u16, body: Vec<u8> },
    Failed(String),
}

/// Replies to the calls that were made for one piece of work.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    replies: BTreeMap<Key, (String, Reply)>,
}

impl Answers {
    pub fn insert(&mut self, call: &Call, reply: Reply) {
        self.replies
            .insert(call.key.clone(), (call.uid().to_owned(), reply));
    }
}

/// The layer of webhooks with the answers that are there.
#[derive(Debug, Clone)]
pub(crate) struct WebhookLayer {
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) answers: Arc<Answers>,
}

impl Layer for WebhookLayer {
    fn name(&self) -> LayerName {
        LayerName::Webhook
    }

    fn has_hook(&self, target: Target<'_>, operation: InterpreterOperation) -> bool {
        self.webhooks.matching(target, operation).is_some()
    }

    fn answer(
        &self,
        target: Target<'_>,
        question: Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause> {
        let webhook = self
            .webhooks
            .matching(target, question.operation())
            .ok_or(Cause::NoHook)?;
        match self.answers.replies.get(&Key::of(&question)) {
            Some((uid, reply)) => read(question, uid, reply)
                .and_then(|answer| sound(answer, context.options.compat))
                .map_err(|problem| failed(&webhook.id, problem)),
            None => Err(failed(&webhook.id, "the webhook has not been asked")),
        }
    }
}

fn failed(webhook: &str, problem: impl Into<String>) -> Cause {
    Cause::Webhook {
        webhook: webhook.to_owned(),
        problem: problem.into(),
    }
}

/// The answer, when it names objects, components and numbers that there can be.
fn sound(answer: Answer, compat: bool) -> Result<Answer, String> {
    let checked = match &answer {
        Answer::Dependencies(references) => crate::reference::check(references),
        Answer::Components(components) if !compat => crate::component::check(components),
        Answer::Replicas(replicas, _) if *replicas < 0 && !compat => {
            return Err(format!(
                "{replicas} is no number of replicas: it has to be 0 or more"
            ));
        }
        _ => Ok(()),
    };
    checked.map(|()| answer).map_err(|cause| cause.to_string())
}

/// What a reply says to a question.
fn read(question: Question<'_>, uid: &str, reply: &Reply) -> Result<Answer, String> {
    let body = match reply {
        Reply::Failed(problem) => return Err(format!("the call failed: {problem}")),
        Reply::Http {
            status: 200..=299,
            body,
        } => body,
        Reply::Http { status, .. } => {
            return Err(format!("the webhook answered with HTTP status {status}"));
        }
    };
    let context: ResourceInterpreterContext = serde_json::from_slice(body)
        .map_err(|error| format!("the reply cannot be read: {error}"))?;
    let response = context.response.ok_or("the reply has no response")?;
    if response.uid != uid {
        return Err(format!(
            "the response is to {:?}, not to {uid:?}",
            response.uid
        ));
    }
    if !response.successful {
        let status = response
            .status
            .ok_or("the response is unsuccessful and has no status")?;
        let (code, message) = (
            status.code.unwrap_or_default(),
            status.message.unwrap_or_default(),
        );
        return Err(format!(
            "webhook call failed, get status code: {code}, msg: {message}"
        ));
    }
    answer(question, response)
}

fn answer(question: Question<'_>, response: ResourceInterpreterResponse) -> Result<Answer, String> {
    Ok(match question {
        Question::Replicas { .. } => {
            let replicas = response.replicas.ok_or("the response has no replicas")?;
            Answer::Replicas(replicas.into(), response.replica_requirements)
        }
        Question::Components { .. } => Answer::Components(response.components),
        Question::Dependencies { .. } => {
            let mut references = response.dependencies;
            crate::reference::sort_and_unite(&mut references);
            Answer::Dependencies(references)
        }
        Question::ReviseReplica { object, .. } | Question::AggregateStatus { object, .. } => {
            patched(object, &response)?
        }
        Question::Retain { desired, .. } => patched(desired, &response)?,
        Question::Status { .. } => Answer::Status(Some(
            response.raw_status.ok_or("the response has no rawStatus")?,
        )),
        Question::Health { .. } => {
            Answer::Health(response.healthy.ok_or("the response has no healthy")?)
        }
    })
}

fn patched(mut object: Value, response: &ResourceInterpreterResponse) -> Result<Answer, String> {
    match (&response.patch, response.patch_type.as_deref()) {
        (None, None) => {}
        (Some(patch), Some(JSON_PATCH)) => {
            let patch: json_patch::Patch = serde_json::from_slice(&patch.0)
                .map_err(|error| format!("the patch cannot be read: {error}"))?;
            json_patch::patch(&mut object, &patch)
                .map_err(|error| format!("the patch does not apply: {error}"))?;
        }
        (Some(_), Some(other)) => {
            return Err(format!("the patch is of type {other:?}, not {JSON_PATCH}"));
        }
        (Some(_), None) => return Err("the response has a patch without a patchType".to_owned()),
        (None, Some(_)) => return Err("the response has a patchType without a patch".to_owned()),
    }
    Ok(Answer::Object(object))
}

#[cfg(test)]
mod tests;
