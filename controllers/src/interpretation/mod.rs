//! The interpreter as reconcilers use it: every layer, with the configuration as it is now, and with nobody held up by a slow rule.
//!
//! ```text
//! customizations, webhook configurations --load--> Interpreter (swapped whole)
//! question --> native, or a script known to be quick ----------------> answered here and now
//!          --> a script that is slow, or not known yet --aside-------> answered on a thread for such work
//!          --> a webhook ------------------------------aside-- call -> answered with its reply
//! ```
//!
//! Pure functions that ask the interpreter themselves get one that already knows the slow answer, see
//! [`Interpretation::revising`] and [`Interpretation::retaining`].

mod caller;
mod configuration;
mod lanes;
mod metrics;
mod question;
pub(crate) mod report;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    config::{DependentObjectReference, InterpreterOperation},
    object::{Gvk, Key},
    work::{AggregatedStatusItem, Binding, Component, ReplicaRequirements, ResourceHealth},
};
use interpreter::{
    Answer, Error, Interpreter, LayerName, Limits, Question, Runtime, Target, third_party,
    webhook::Answers,
};
use kube::Client;
use parking_lot::{Mutex, RwLock};
use runtime::{aside, dynamic::DynamicStores, metrics::Shared};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use trace::NoTrace;
use uuid::Uuid;

use self::{
    caller::Caller, configuration::Configuration, lanes::Lanes, metrics::Metrics, question::Owned,
};

pub(crate) use self::configuration::kinds_in_use;
pub use self::configuration::prepare;
use crate::world::{Bindings, World};
pub use interpreter::Options;

/// What a layer said, if one has a hook.
type Answered = Result<Option<(LayerName, Answer)>, Error>;

/// Hears of the kinds whose rules have changed.
type Hook = Box<dyn Fn(&[Gvk]) + Send + Sync>;

/// See the module documentation.
pub struct Interpretation {
    /// Swapped whole, so that one pass never sees half of a change.
    current: RwLock<Arc<Interpreter>>,
    configuration: Mutex<Configuration>,
    /// Says that a configuration object has changed.
    changed: Notify,
    loaded: watch::Sender<bool>,
    hooks: RwLock<Vec<Hook>>,
    /// The states in which scripts of customizations run.
    runtime: Runtime,
    lanes: Arc<Lanes>,
    caller: Caller,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Interpretation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpretation")
            .field("current", &self.current.read())
            .finish_non_exhaustive()
    }
}

impl Interpretation {
    /// Without any configuration yet, and therefore silent: whoever asks waits for [`Interpretation::load`].
    ///
    /// `templates` are where the Services of webhooks are looked up.
    pub fn new(control_plane: Client, templates: Arc<DynamicStores>, registry: &Shared) -> Self {
        let runtime = Runtime::new(Limits::default());
        let built_in = Runtime::new(Limits::default());
        let metrics = Arc::new(Metrics::default());
        registry.register(|registry| metrics.register(registry, [&runtime, &built_in]));
        let lanes = Arc::new(Lanes::new(Arc::clone(&metrics)));
        let base = Interpreter::native(Arc::new(SystemClock {
            started: Instant::now(),
        }))
        .with_layer(Arc::new(third_party(&built_in, false)))
        .with_observer(Arc::clone(&lanes) as Arc<dyn interpreter::Observer>);
        Self {
            current: RwLock::new(Arc::new(base.clone())),
            configuration: Mutex::new(Configuration::new(base)),
            changed: Notify::new(),
            loaded: watch::Sender::new(false),
            hooks: RwLock::default(),
            runtime,
            lanes,
            caller: Caller::new(control_plane, templates),
            metrics,
        }
    }

    /// Sets the options of rules, before anything is loaded.
    pub fn set_options(&self, options: Options) {
        self.configuration.lock().set_options(options);
    }

    /// Calls `hook` with the kinds whose rules have changed, after each change: objects of these are to be looked at again.
    pub fn on_change(&self, hook: impl Fn(&[Gvk]) + Send + Sync + 'static) {
        self.hooks.write().push(Box::new(hook));
    }

    /// The interpreter with the configuration as it is now; waits until there is one, because a missing rule is no decision.
    pub(crate) async fn current(&self) -> Arc<Interpreter> {
        if !*self.loaded.borrow() {
            // The sender lives as long as `self`, so the wait ends only by the value turning true.
            let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
        }
        Arc::clone(&self.current.read())
    }

    /// Whether some layer has a hook.
    pub async fn hook_enabled(
        &self,
        target: impl Into<Target<'_>>,
        operation: InterpreterOperation,
    ) -> bool {
        let target = target.into();
        self.current().await.hook_enabled(target, operation)
    }

    /// See [`Interpreter::replicas`].
    pub async fn replicas(
        &self,
        template: &Value,
    ) -> Result<Option<(i64, Option<ReplicaRequirements>)>, Error> {
        let answer = self.ask(Question::Replicas { object: template }).await?;
        Ok(answer.and_then(|answer| match answer {
            Answer::Replicas(replicas, requirements) => Some((replicas, requirements)),
            _ => None,
        }))
    }

    /// See [`Interpreter::components`].
    pub async fn components(&self, template: &Value) -> Result<Option<Vec<Component>>, Error> {
        let answer = self.ask(Question::Components { object: template }).await?;
        Ok(answer.and_then(|answer| match answer {
            Answer::Components(components) => Some(components),
            _ => None,
        }))
    }

    /// See [`Interpreter::dependencies`].
    pub async fn dependencies(
        &self,
        template: &Value,
    ) -> Result<Vec<DependentObjectReference>, Error> {
        let answer = self
            .ask(Question::Dependencies { object: template })
            .await?;
        Ok(match answer {
            Some(Answer::Dependencies(references)) => references,
            _ => Vec::new(),
        })
    }

    /// See [`Interpreter::reflect_status`].
    pub async fn reflect_status(&self, observed: &Value) -> Result<Option<Value>, Error> {
        let answer = self.ask(Question::Status { observed }).await?;
        Ok(match answer {
            Some(Answer::Status(status)) => status,
            _ => None,
        })
    }

    /// See [`Interpreter::health`].
    pub async fn health(&self, observed: &Value) -> Result<Option<ResourceHealth>, Error> {
        let answer = self.ask(Question::Health { observed }).await?;
        Ok(match answer {
            Some(Answer::Health(true)) => Some(ResourceHealth::Healthy),
            Some(Answer::Health(false)) => Some(ResourceHealth::Unhealthy),
            _ => None,
        })
    }

    /// See [`Interpreter::aggregate_status`].
    pub async fn aggregate_status(
        &self,
        template: Value,
        items: &[AggregatedStatusItem],
    ) -> Result<Option<Value>, Error> {
        let answer = self
            .ask(Question::AggregateStatus {
                object: template,
                items: Some(items),
            })
            .await?;
        Ok(match answer {
            Some(Answer::Object(object)) => Some(object),
            _ => None,
        })
    }

    /// An interpreter that revises this template to so many replicas without delay.
    pub async fn revising(&self, template: &Value, replicas: i64) -> Arc<Interpreter> {
        let interpreter = self.current().await;
        let target = Target::of(template);
        if self.is_immediate(&interpreter, target, InterpreterOperation::ReviseReplica) {
            return interpreter;
        }
        let question = Question::ReviseReplica {
            object: template.clone(),
            replicas,
        };
        self.knowing(&interpreter, question).await
    }

    /// An interpreter that retains without delay. `objects` are the desired and the observed one, made only if needed; None when
    /// nothing will be asked.
    pub async fn retaining(
        &self,
        target: Target<'_>,
        objects: impl FnOnce() -> Option<(Value, Value)>,
    ) -> Arc<Interpreter> {
        let interpreter = self.current().await;
        if self.is_immediate(&interpreter, target, InterpreterOperation::Retain) {
            return interpreter;
        }
        match objects() {
            Some((desired, observed)) => {
                let question = Question::Retain {
                    desired,
                    observed: &observed,
                };
                self.knowing(&interpreter, question).await
            }
            None => interpreter,
        }
    }

    /// Whether nothing but the two objects, their status aside, decides what is retained: no script and no webhook is asked.
    pub async fn retains_by_itself(&self, target: Target<'_>) -> bool {
        let layer = self
            .current()
            .await
            .deciding_layer(target, InterpreterOperation::Retain);
        matches!(layer, None | Some(LayerName::Native))
    }

    async fn knowing(
        &self,
        interpreter: &Arc<Interpreter>,
        question: Question<'_>,
    ) -> Arc<Interpreter> {
        let answer = self.ask_of(interpreter, question.clone()).await;
        let knowing = Interpreter::clone(interpreter).with_answer(&question, answer);
        Arc::new(knowing)
    }

    /// Whether the answer costs microseconds.
    fn is_immediate(
        &self,
        interpreter: &Interpreter,
        target: Target<'_>,
        operation: InterpreterOperation,
    ) -> bool {
        match interpreter.deciding_layer(target, operation) {
            None | Some(LayerName::Native) => true,
            Some(LayerName::Webhook) => false,
            Some(LayerName::Customization | LayerName::ThirdParty) => {
                self.lanes.is_quick(target, operation)
            }
        }
    }

    async fn ask(&self, question: Question<'_>) -> Result<Option<Answer>, Error> {
        let interpreter = self.current().await;
        let answered = self.ask_of(&interpreter, question).await?;
        Ok(answered.map(|(_, answer)| answer))
    }

    async fn ask_of(&self, interpreter: &Arc<Interpreter>, question: Question<'_>) -> Answered {
        let operation = question.operation();
        let target = Target::of(question.object());
        let layer = interpreter.deciding_layer(target, operation);
        if layer == Some(LayerName::Webhook) {
            return self.ask_webhook(interpreter, question).await;
        }
        if self.is_immediate(interpreter, target, operation) {
            return interpreter.answer(question, &mut NoTrace);
        }
        let gvk = Gvk::new(target.group, target.version, target.kind);
        let owned = Owned::of(question);
        let interpreter = Arc::clone(interpreter);
        aside(
            self.lanes
                .run(gvk, operation, move || owned.ask(&interpreter)),
        )
        .await
    }

    async fn ask_webhook(
        &self,
        interpreter: &Arc<Interpreter>,
        question: Question<'_>,
    ) -> Answered {
        let gvk = Gvk::of(question.object());
        let operation = question.operation();
        let uid = Uuid::new_v4().to_string();
        let begun = Instant::now();
        let (answered, webhook) = match interpreter.call_for(&question, uid.clone()) {
            Ok(Some(call)) => {
                let reply = aside(self.caller.call(&call)).await;
                let mut answers = Answers::default();
                answers.insert(&call, reply);
                let answered = Interpreter::clone(interpreter)
                    .with_webhook_answers(answers)
                    .answer(question, &mut NoTrace);
                (answered, call.webhook.id.clone())
            }
            Ok(None) => return interpreter.answer(question, &mut NoTrace),
            // The question cannot be put to the webhook.
            Err(error) => (Err(error), String::new()),
        };
        let took = begun.elapsed();
        self.metrics
            .answered(LayerName::Webhook, operation, &gvk, took, answered.is_err());
        if let Err(error) = &answered {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                uid,
                "Interpreter webhook failed"
            );
        } else if took > SLOW_CALL {
            tracing::info!(
                webhook,
                kind = %Target::from(&gvk),
                operation = operation.as_str(),
                uid,
                took_ms = took.as_millis(),
                "Interpreter webhook was slow"
            );
        }
        answered
    }
}

/// The bindings of templates of these kinds.
pub(crate) fn bindings_of<B: Bindings>(world: &World, kinds: &[Gvk]) -> Vec<Key> {
    let mut bindings = B::store(world).list();
    bindings.retain(|binding| {
        let resource = &binding.spec().resource;
        kinds.contains(&Gvk::parse(&resource.api_version, &resource.kind))
    });
    bindings
        .iter()
        .map(|binding| Binding::key(&**binding))
        .collect()
}

/// Calls that take longer are told in the log.
const SLOW_CALL: Duration = Duration::from_millis(500);

/// The clocks of the process, for rules that stamp times and scripts that have a deadline.
#[derive(Debug)]
struct SystemClock {
    started: Instant,
}

impl interpreter::Clock for SystemClock {
    fn unix_seconds(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
