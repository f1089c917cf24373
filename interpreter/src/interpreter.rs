//! The façade: eight operations over layers of hooks.

use std::cell::RefCell;
use std::sync::Arc;

use ::trace::{NoTrace, Sink};
use crds::config::{DependentObjectReference, InterpreterOperation};
use crds::work::{AggregatedStatusItem, Component, ReplicaRequirements, ResourceHealth};
use serde_json::Value;

use crate::error::{Cause, Error};
use crate::layer::{
    Answer, Answered, Clock, Context, Layer, LayerName, Observer, Options, Printed, Question,
    Target,
};
use crate::native::Native;
use crate::trace::Item;
use crate::webhook::{Answers, Call, Key, WebhookLayer, Webhooks};

/// Knows what every kind means, by asking its layers in order. Cheap to clone.
///
/// Every operation returns `Ok(None)` when no layer has a hook for it, so that callers need not ask before. An error of
/// the layer that has the hook is final: no lower layer is asked.
#[derive(Clone)]
pub struct Interpreter {
    /// In order of precedence; the native layer is last and not among them.
    layers: Vec<Arc<dyn Layer>>,
    clock: Arc<dyn Clock>,
    options: Options,
    webhooks: Option<Arc<Webhooks>>,
    observer: Option<Arc<dyn Observer>>,
    known: Option<Arc<(Key, Known)>>,
}

/// The answer to a question that was asked before.
type Known = Result<Option<(LayerName, Answer)>, Error>;

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers: Vec<_> = self.layers.iter().map(|layer| layer.name()).collect();
        f.debug_struct("Interpreter")
            .field("layers", &layers)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Interpreter {
    /// An interpreter with the native rules alone.
    pub fn native(clock: Arc<dyn Clock>) -> Self {
        Self {
            layers: Vec::new(),
            clock,
            options: Options::default(),
            webhooks: None,
            observer: None,
            known: None,
        }
    }

    /// The same with another layer, at the place that its name has in the order of precedence. It replaces a layer of the
    /// same name.
    #[must_use]
    pub fn with_layer(mut self, layer: Arc<dyn Layer>) -> Self {
        self.layers.retain(|other| other.name() != layer.name());
        self.layers.push(layer);
        self.layers.sort_by_key(|layer| layer.name());
        self
    }

    /// The same with these webhooks. Without their answers they fail what they are asked; see [`Self::call_for`].
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Arc<Webhooks>) -> Self {
        self.webhooks = Some(Arc::clone(&webhooks));
        self.with_layer(Arc::new(WebhookLayer {
            webhooks,
            answers: Arc::default(),
        }))
    }

    /// The same for one piece of work whose calls have been made.
    #[must_use]
    pub fn with_webhook_answers(self, answers: Answers) -> Self {
        match self.webhooks.clone() {
            Some(webhooks) => self.with_layer(Arc::new(WebhookLayer {
                webhooks,
                answers: Arc::new(answers),
            })),
            None => self,
        }
    }

    /// The call that has to be made before this question can be answered; None when no webhook decides it. `uid` is a fresh
    /// id, which the reply has to repeat.
    pub fn call_for(&self, question: &Question<'_>, uid: String) -> Result<Option<Call>, Error> {
        let (target, operation) = (Target::of(question.object()), question.operation());
        if self.deciding_layer(target, operation) != Some(LayerName::Webhook) {
            return Ok(None);
        }
        let webhook = self
            .webhooks
            .as_ref()
            .and_then(|webhooks| webhooks.matching(target, operation));
        let call = webhook
            .map(|webhook| Call::new(webhook, question, uid))
            .transpose();
        call.map_err(|cause| Error {
            operation,
            kind: target.to_string(),
            layer: LayerName::Webhook,
            cause,
        })
    }

    /// The same with somebody who hears of every answer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same for one piece of work whose one slow question has been asked already: when it is asked again, this is the answer.
    ///
    /// Questions are the same when operation, kind, name and replicas are, as within one pass over one object they are.
    #[must_use]
    pub fn with_answer(mut self, question: &Question<'_>, answer: Known) -> Self {
        self.known = Some(Arc::new((Key::of(question), answer)));
        self
    }

    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub fn options(&self) -> Options {
        self.options
    }

    /// Whether some layer has a hook. Always true for `InterpretStatus`.
    pub fn hook_enabled<'a>(
        &self,
        target: impl Into<Target<'a>>,
        operation: InterpreterOperation,
    ) -> bool {
        self.deciding_layer(target, operation).is_some()
    }

    /// The layer that decides this operation for this kind.
    pub fn deciding_layer<'a>(
        &self,
        target: impl Into<Target<'a>>,
        operation: InterpreterOperation,
    ) -> Option<LayerName> {
        self.decider(target.into(), operation).map(Layer::name)
    }

    fn decider(&self, target: Target<'_>, operation: InterpreterOperation) -> Option<&dyn Layer> {
        let native: &dyn Layer = Native::of(self.options);
        let layers = self.layers.iter().map(|layer| &**layer as &dyn Layer);
        layers
            .chain([native])
            .find(|layer| layer.has_hook(target, operation))
    }

    /// Replicas that a template asks for, and what each needs.
    pub fn replicas(
        &self,
        template: &Value,
    ) -> Result<Option<(i64, Option<ReplicaRequirements>)>, Error> {
        self.ask(
            Question::Replicas { object: template },
            |answer| match answer {
                Answer::Replicas(replicas, requirements) => Some((replicas, requirements)),
                _ => None,
            },
        )
    }

    /// Parts of a template, each with replicas of its own. No native rule knows any.
    pub fn components(&self, template: &Value) -> Result<Option<Vec<Component>>, Error> {
        self.ask(
            Question::Components { object: template },
            |answer| match answer {
                Answer::Components(components) => Some(components),
                _ => None,
            },
        )
    }

    /// The object with that many replicas; unchanged when no layer has a hook.
    pub fn revise_replica(&self, object: Value, replicas: i64) -> Result<Value, Error> {
        if !self.hook_enabled(Target::of(&object), InterpreterOperation::ReviseReplica) {
            return Ok(object);
        }
        self.ask(Question::ReviseReplica { object, replicas }, object_of)
            .map(Option::unwrap_or_default)
    }

    /// The desired object with what is to stay of the observed one; unchanged when no layer has a hook.
    pub fn retain(&self, desired: Value, observed: &Value) -> Result<Value, Error> {
        if !self.hook_enabled(Target::of(&desired), InterpreterOperation::Retain) {
            return Ok(desired);
        }
        self.ask(Question::Retain { desired, observed }, object_of)
            .map(Option::unwrap_or_default)
    }

    /// The part of a member object's status to collect; None when there is none. Every kind has a rule.
    pub fn reflect_status(&self, observed: &Value) -> Result<Option<Value>, Error> {
        let status = self.ask(Question::Status { observed }, |answer| match answer {
            Answer::Status(status) => Some(status),
            _ => None,
        })?;
        Ok(status.flatten())
    }

    /// The template with the status that follows from those in the clusters. Only its `.status` matters; a script may return
    /// a template without the rest.
    pub fn aggregate_status(
        &self,
        template: Value,
        items: &[AggregatedStatusItem],
    ) -> Result<Option<Value>, Error> {
        self.ask(
            Question::AggregateStatus {
                object: template,
                items: Some(items),
            },
            object_of,
        )
    }

    /// Whether a member object does what it is for. None: the kind has no rule and counts as healthy.
    pub fn health(&self, observed: &Value) -> Result<Option<ResourceHealth>, Error> {
        self.ask(Question::Health { observed }, |answer| match answer {
            Answer::Health(true) => Some(ResourceHealth::Healthy),
            Answer::Health(false) => Some(ResourceHealth::Unhealthy),
            _ => None,
        })
    }

    /// Objects that a template needs, checked and in a stable order; none when no layer has a hook.
    pub fn dependencies(&self, template: &Value) -> Result<Vec<DependentObjectReference>, Error> {
        let references =
            self.ask(
                Question::Dependencies { object: template },
                |answer| match answer {
                    Answer::Dependencies(references) => Some(references),
                    _ => None,
                },
            )?;
        Ok(references.unwrap_or_default())
    }

    fn ask<T>(
        &self,
        question: Question<'_>,
        expect: impl Fn(Answer) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let answered = self.answer(question, &mut NoTrace)?;
        Ok(answered.and_then(|(_, answer)| expect(answer)))
    }

    /// Answers any question, and says which layer did. None: no layer has a hook.
    pub fn answer(
        &self,
        question: Question<'_>,
        sink: &mut impl Sink<Item>,
    ) -> Result<Option<(LayerName, Answer)>, Error> {
        let operation = question.operation();
        if let Some(known) = &self.known
            && known.0 == Key::of(&question)
        {
            return known.1.clone();
        }
        // The question is consumed below, and the target is borrowed from its object.
        let own = OwnedTarget::of(Target::of(question.object()));
        let target = own.borrowed();
        let Some(layer) = self.decider(target, operation) else {
            sink.record(|| Item::NoHook {
                operation,
                kind: target.to_string(),
            });
            return Ok(None);
        };
        let name = layer.name();
        sink.record(|| Item::Answers {
            operation,
            kind: target.to_string(),
            layer: name,
        });
        let printed = RefCell::new(Vec::new());
        let print = |line| printed.borrow_mut().push(line);
        let context = Context {
            options: self.options,
            clock: &self.clock,
            print: (sink.is_recording() || self.observer.is_some())
                .then_some(&print as &dyn Fn(Printed)),
            customization: "",
        };
        let begun = self.observer.as_ref().map(|_| self.clock.monotonic());
        let answer = layer.answer(target, question, &context).and_then(|answer| {
            if let Answer::Dependencies(references) = &answer {
                crate::reference::check(references)?;
            }
            if let Answer::Components(components) = &answer
                && !self.options.compat
            {
                crate::component::check(components)?;
            }
            Ok(answer)
        });
        let printed = printed.take();
        if let (Some(observer), Some(begun)) = (&self.observer, begun) {
            observer.answered(Answered {
                target,
                operation,
                layer: name,
                took: self.clock.monotonic().saturating_sub(begun),
                failed: answer.is_err(),
                printed: &printed,
            });
        }
        for Printed { line, .. } in printed {
            sink.record(|| Item::Printed { line });
        }
        answer
            .map(|answer| Some((name, answer)))
            .map_err(|cause: Cause| {
                sink.record(|| Item::Failed {
                    operation,
                    kind: target.to_string(),
                    layer: name,
                    cause: cause.to_string(),
                });
                Error {
                    operation,
                    kind: target.to_string(),
                    layer: name,
                    cause,
                }
            })
    }
}

fn object_of(answer: Answer) -> Option<Value> {
    match answer {
        Answer::Object(object) => Some(object),
        _ => None,
    }
}

/// Group, version and kind in one allocation.
struct OwnedTarget {
    text: String,
    group: usize,
    version: usize,
}

impl OwnedTarget {
    fn of(target: Target<'_>) -> Self {
        let mut text =
            String::with_capacity(target.group.len() + target.version.len() + target.kind.len());
        text.push_str(target.group);
        text.push_str(target.version);
        let version = text.len();
        text.push_str(target.kind);
        Self {
            text,
            group: target.group.len(),
            version,
        }
    }

    fn borrowed(&self) -> Target<'_> {
        Target {
            group: &self.text[..self.group],
            version: &self.text[self.group..self.version],
            kind: &self.text[self.version..],
        }
    }
}
