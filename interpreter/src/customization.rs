//! The layers of scripts: those of `ResourceInterpreterCustomization` objects, and the built-in ones for third-party kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::config::{InterpreterOperation, ResourceInterpreterCustomization};
use crds::object::Gvk;

use crate::error::Cause;
use crate::layer::{Answer, Context, Layer, LayerName, Question, Target};
use crate::lua::{Runtime, Script, ScriptError, function_name};
use crate::reference;
use crate::schema;
use crate::value::set;

/// Scripts by kind and operation, merged from customizations in the order of their names.
///
/// For every operation but `InterpretDependency` the first script in that order is the rule; of that one all scripts are
/// run, and their answers united.
#[derive(Debug, Clone)]
pub struct Customizations {
    name: LayerName,
    runtime: Runtime,
    /// Sorted by kind.
    kinds: Vec<(Gvk, BTreeMap<InterpreterOperation, Vec<Rule>>)>,
    /// Scripts by their source, so that a script which many objects share, or which was there before, is parsed once.
    scripts: BTreeMap<String, Parsed>,
    notes: Vec<Note>,
}

type Parsed = Result<Arc<Script>, ScriptError>;

#[derive(Debug, Clone)]
struct Rule {
    customization: String,
    script: Parsed,
}

/// Something about a customization that its author should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Note {
    /// The script does not parse. The operation fails for the kind, as no lower layer is asked.
    #[error("customization {customization}: {}: {}{message}", operation.as_str(), place(*line))]
    Broken {
        customization: String,
        operation: InterpreterOperation,
        line: Option<u32>,
        message: String,
    },
    /// The script does not define the function of its operation, unless from within another function.
    #[error("customization {customization}: {}: the script does not define the function {function}", operation.as_str())]
    NoFunction {
        customization: String,
        operation: InterpreterOperation,
        function: &'static str,
    },
    /// Another customization for the kind comes first, so this script is never run.
    #[error("customization {customization}: {} is shadowed by customization {by}", operation.as_str())]
    Shadowed {
        customization: String,
        operation: InterpreterOperation,
        by: String,
    },
}

fn place(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

/// A script with what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source<'a> {
    pub(crate) customization: &'a str,
    pub(crate) target: Gvk,
    pub(crate) operation: InterpreterOperation,
    pub(crate) script: &'a str,
    /// The script, when it has been parsed already.
    pub(crate) parsed: Option<Arc<Script>>,
}

impl Customizations {
    /// Merges customizations. Scripts that `previous` has parsed are taken over from it.
    ///
    /// A script that does not parse fails its own operation alone; [`notes`](Self::notes) says which ones there are.
    pub fn new<'a>(
        customizations: impl IntoIterator<Item = &'a ResourceInterpreterCustomization>,
        runtime: &Runtime,
        previous: Option<&Self>,
    ) -> Self {
        let mut sorted: Vec<_> = customizations.into_iter().collect();
        sorted.sort_by_key(|customization| {
            customization.metadata.name.as_deref().unwrap_or_default()
        });
        let sources = sorted.iter().flat_map(|customization| {
            let spec = &customization.spec;
            let target = Target::new(&spec.target.api_version, &spec.target.kind);
            InterpreterOperation::ALL
                .into_iter()
                .filter_map(move |operation| {
                    Some(Source {
                        customization: customization.metadata.name.as_deref().unwrap_or_default(),
                        target: Gvk::new(target.group, target.version, target.kind),
                        operation,
                        script: spec.customizations.script(operation)?,
                        parsed: None,
                    })
                })
        });
        Self::merge(LayerName::Customization, sources, runtime, previous)
    }

    pub(crate) fn merge<'a>(
        name: LayerName,
        sources: impl Iterator<Item = Source<'a>>,
        runtime: &Runtime,
        previous: Option<&Self>,
    ) -> Self {
        let mut kinds: BTreeMap<Gvk, BTreeMap<InterpreterOperation, Vec<Rule>>> = BTreeMap::new();
        let mut scripts: BTreeMap<String, Parsed> = BTreeMap::new();
        let mut notes = Vec::new();
        for source in sources {
            let Source {
                customization,
                target,
                operation,
                script,
                parsed,
            } = source;
            let known = || {
                scripts
                    .get(script)
                    .or_else(|| previous?.scripts.get(script))
            };
            let parsed = match parsed {
                Some(parsed) => Ok(parsed),
                None => known()
                    .cloned()
                    .unwrap_or_else(|| Script::parse(script).map(Arc::new)),
            };
            scripts.insert(script.to_owned(), parsed.clone());
            notes.extend(note_on(customization, operation, &parsed));
            let rules = kinds
                .entry(target)
                .or_default()
                .entry(operation)
                .or_default();
            match rules.first() {
                Some(first) if operation != InterpreterOperation::InterpretDependency => notes
                    .push(Note::Shadowed {
                        customization: customization.to_owned(),
                        operation,
                        by: first.customization.clone(),
                    }),
                _ => rules.push(Rule {
                    customization: customization.to_owned(),
                    script: parsed,
                }),
            }
        }
        notes.sort();
        Self {
            name,
            runtime: runtime.clone(),
            kinds: kinds.into_iter().collect(),
            scripts,
            notes,
        }
    }

    /// What authors of customizations should know, sorted.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The kinds whose rules differ between two sets: objects of these are to be interpreted again.
    pub fn changed_kinds(&self, previous: &Self) -> Vec<Gvk> {
        let rules_of = |all: &Self, kind: &Gvk| {
            all.kinds
                .binary_search_by(|it| it.0.cmp(kind))
                .ok()
                .map(|at| all.kinds[at].1.clone())
        };
        let mut kinds: Vec<_> = self
            .kinds
            .iter()
            .chain(&previous.kinds)
            .map(|(kind, _)| kind.clone())
            .collect();
        kinds.sort();
        kinds.dedup();
        kinds.retain(
            |kind| match (rules_of(self, kind), rules_of(previous, kind)) {
                (Some(new), Some(old)) => !same_rules(&new, &old),
                _ => true,
            },
        );
        kinds
    }

    fn rules(&self, target: Target<'_>, operation: InterpreterOperation) -> &[Rule] {
        let found = self
            .kinds
            .binary_search_by(|(kind, _)| Target::from(kind).cmp(&target));
        let rules = found.ok().and_then(|at| self.kinds[at].1.get(&operation));
        rules.map_or(&[], Vec::as_slice)
    }

    fn run(
        &self,
        rule: &Rule,
        question: &Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause> {
        let context = Context {
            customization: &rule.customization,
            ..*context
        };
        let answer = rule
            .script
            .as_ref()
            .map_err(ScriptError::clone)
            .and_then(|script| self.runtime.ask(script, question, &context));
        answer.map_err(|error| Cause::Script {
            customization: rule.customization.clone(),
            error,
        })
    }

    /// Every script answers.
    fn unite(
        &self,
        rules: &[Rule],
        question: &Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause> {
        let mut united = Vec::new();
        for rule in rules {
            if let Answer::Dependencies(references) = self.run(rule, question, context)? {
                united.extend(references);
            }
        }
        if context.options.compat {
            reference::sort(&mut united);
            // The reference takes equal selectors for different ones.
            united.dedup_by(|left, right| left == right && left.label_selector.is_none());
        } else {
            reference::sort_and_unite(&mut united);
        }
        Ok(Answer::Dependencies(united))
    }
}

fn note_on(customization: &str, operation: InterpreterOperation, parsed: &Parsed) -> Option<Note> {
    let customization = customization.to_owned();
    let function = function_name(operation);
    match parsed {
        Err(ScriptError { line, message, .. }) => Some(Note::Broken {
            customization,
            operation,
            line: *line,
            message: message.clone(),
        }),
        Ok(script) if !script.defines(function) => Some(Note::NoFunction {
            customization,
            operation,
            function,
        }),
        Ok(_) => None,
    }
}

fn same_rules(
    left: &BTreeMap<InterpreterOperation, Vec<Rule>>,
    right: &BTreeMap<InterpreterOperation, Vec<Rule>>,
) -> bool {
    let same = |left: &Vec<Rule>, right: &Vec<Rule>| {
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|(left, right)| left.script == right.script)
    };
    left.len() == right.len()
        && left.iter().all(|(operation, rules)| {
            right
                .get(operation)
                .is_some_and(|others| same(rules, others))
        })
}

impl Layer for Customizations {
    fn name(&self) -> LayerName {
        self.name
    }

    fn has_hook(&self, target: Target<'_>, operation: InterpreterOperation) -> bool {
        !self.rules(target, operation).is_empty()
    }

    fn answer(
        &self,
        target: Target<'_>,
        question: Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause> {
        // To these rules a list is an empty object, and a string one without members; the reference answers so.
        if self.name == LayerName::ThirdParty
            && !context.options.compat
            && let Some(spec) = set(question.object(), &["spec"])
            && !spec.is_object()
        {
            let problem = format!("is {}, not an object", schema::kind_of(spec));
            return Err(Cause::field(&["spec"], problem));
        }
        match self.rules(target, question.operation()) {
            [] => Err(Cause::NoHook),
            rules if question.operation() == InterpreterOperation::InterpretDependency => {
                self.unite(rules, &question, context)
            }
            [rule, ..] => self.run(rule, &question, context),
        }
    }
}

#[cfg(test)]
mod tests;
