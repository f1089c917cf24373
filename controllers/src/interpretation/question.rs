//! A question that outlives its asker, to be answered on another thread.

use crds::{config::InterpreterOperation, work::AggregatedStatusItem};
use interpreter::{Interpreter, Question};
use serde_json::Value;
use trace::NoTrace;

use super::Answered;

pub(super) struct Owned {
    operation: InterpreterOperation,
    object: Value,
    observed: Option<Value>,
    replicas: i64,
    items: Option<Vec<AggregatedStatusItem>>,
}

impl Owned {
    pub(super) fn of(question: Question<'_>) -> Self {
        let operation = question.operation();
        let of = |object| Self {
            operation,
            object,
            observed: None,
            replicas: 0,
            items: None,
        };
        match question {
            Question::Replicas { object }
            | Question::Components { object }
            | Question::Dependencies { object }
            | Question::Status { observed: object }
            | Question::Health { observed: object } => of(object.clone()),
            Question::ReviseReplica { object, replicas } => Self {
                replicas,
                ..of(object)
            },
            Question::Retain { desired, observed } => Self {
                observed: Some(observed.clone()),
                ..of(desired)
            },
            Question::AggregateStatus { object, items } => Self {
                items: items.map(<[_]>::to_vec),
                ..of(object)
            },
        }
    }

    pub(super) fn ask(self, interpreter: &Interpreter) -> Answered {
        let object = &self.object;
        let question = match self.operation {
            InterpreterOperation::InterpretReplica => Question::Replicas { object },
            InterpreterOperation::InterpretComponent => Question::Components { object },
            InterpreterOperation::InterpretDependency => Question::Dependencies { object },
            InterpreterOperation::InterpretStatus => Question::Status { observed: object },
            // No question has the operation `Prune`.
            InterpreterOperation::InterpretHealth | InterpreterOperation::Prune => {
                Question::Health { observed: object }
            }
            InterpreterOperation::ReviseReplica => Question::ReviseReplica {
                object: self.object,
                replicas: self.replicas,
            },
            InterpreterOperation::Retain => Question::Retain {
                desired: self.object,
                observed: self.observed.as_ref().unwrap_or(&Value::Null),
            },
            InterpreterOperation::AggregateStatus => Question::AggregateStatus {
                object: self.object,
                items: self.items.as_deref(),
            },
        };
        interpreter.answer(question, &mut NoTrace)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use interpreter::StoppedClock;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_question_is_the_same_on_another_thread() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "generation": 1, "labels": {"resourcetemplate.karmada.io/retain-replicas": "true"},
                "annotations": {"resourcetemplate.karmada.io/generation": "1"}},
            "spec": {"replicas": 3, "template": {"spec": {"volumes": [{"configMap": {"name": "settings"}}], "containers": []}}},
            "status": {"replicas": 3},
        });
        let mut observed = object.clone();
        observed["spec"]["replicas"] = json!(7);
        let items = [AggregatedStatusItem {
            cluster_name: "m1".into(),
            status: Some(json!({"replicas": 2})),
            ..AggregatedStatusItem::default()
        }];
        let interpreter = Interpreter::native(Arc::new(StoppedClock(0)));
        for question in [
            Question::Replicas { object: &object },
            Question::Components { object: &object },
            Question::Dependencies { object: &object },
            Question::Status { observed: &object },
            Question::Health { observed: &object },
            Question::ReviseReplica {
                object: object.clone(),
                replicas: 5,
            },
            Question::Retain {
                desired: object.clone(),
                observed: &observed,
            },
            Question::AggregateStatus {
                object: object.clone(),
                items: Some(&items),
            },
            Question::AggregateStatus {
                object: object.clone(),
                items: None,
            },
        ] {
            let expected = interpreter.answer(question.clone(), &mut NoTrace);
            assert_eq!(
                Owned::of(question.clone()).ask(&interpreter),
                expected,
                "{question:?}"
            );
        }
    }
}
