//! Compiled rules for Kubernetes' own kinds.

mod aggregate;
mod dependencies;
mod health;
mod pod_references;
mod replicas;
pub(crate) mod requirements;
mod retain;
mod status;

use crds::config::InterpreterOperation as Operation;
use serde_json::Value;

use crate::error::Cause;
use crate::layer::{Answer, Context, Layer, LayerName, Options, Question, Target};
use crate::schema::{self, TypeName};

pub(crate) use pod_references::PodReferences;

/// The kinds with native rules, as API version and kind.
pub const NATIVE_KINDS: [(&str, &str); 16] = [
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport"),
    ("networking.k8s.io/v1", "Ingress"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
];

/// A kind with native rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    CronJob,
    DaemonSet,
    Deployment,
    HorizontalPodAutoscaler,
    Ingress,
    Job,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    Secret,
    Service,
    ServiceAccount,
    ServiceImport,
    StatefulSet,
}

impl Kind {
    fn of(target: Target<'_>) -> Option<Self> {
        let kind = match (target.group, target.version, target.kind) {
            ("apps", "v1", "Deployment") => Self::Deployment,
            ("apps", "v1", "ReplicaSet") => Self::ReplicaSet,
            ("apps", "v1", "StatefulSet") => Self::StatefulSet,
            ("apps", "v1", "DaemonSet") => Self::DaemonSet,
            ("batch", "v1", "Job") => Self::Job,
            ("batch", "v1", "CronJob") => Self::CronJob,
            ("", "v1", "Pod") => Self::Pod,
            ("", "v1", "Service") => Self::Service,
            ("networking.k8s.io", "v1", "Ingress") => Self::Ingress,
            ("", "v1", "ServiceAccount") => Self::ServiceAccount,
            ("", "v1", "Secret") => Self::Secret,
            ("", "v1", "PersistentVolume") => Self::PersistentVolume,
            ("", "v1", "PersistentVolumeClaim") => Self::PersistentVolumeClaim,
            ("policy", "v1", "PodDisruptionBudget") => Self::PodDisruptionBudget,
            ("autoscaling", "v2", "HorizontalPodAutoscaler") => Self::HorizontalPodAutoscaler,
            ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport") => Self::ServiceImport,
            _ => return None,
        };
        Some(kind)
    }

    #[rustfmt::skip] // One line an operation.
    fn has_rule(self, operation: Operation, Native { job_health, compat }: Native) -> bool {
        use Kind::{
            CronJob, DaemonSet, Deployment, Ingress, Job, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget,
            ReplicaSet, Secret, Service, ServiceAccount, ServiceImport, StatefulSet,
        };
        match operation {
            Operation::InterpretReplica => matches!(self, Deployment | ReplicaSet | StatefulSet | Job | Pod),
            Operation::ReviseReplica => matches!(self, Deployment | ReplicaSet | StatefulSet | Job),
            Operation::Retain => matches!(self,
                Deployment | Job | Pod | Service | ServiceAccount | Secret | PersistentVolume | PersistentVolumeClaim)
                || (!compat && matches!(self, ReplicaSet | StatefulSet)),
            Operation::InterpretStatus => true,
            Operation::AggregateStatus => !matches!(self, ServiceAccount | Secret | ServiceImport),
            Operation::InterpretHealth => matches!(self,
                Deployment | ReplicaSet | StatefulSet | DaemonSet | Pod | Service | Ingress | PersistentVolumeClaim
                | PodDisruptionBudget) || (job_health && self == Job),
            Operation::InterpretDependency => matches!(self,
                Deployment | ReplicaSet | StatefulSet | DaemonSet | Job | CronJob | Pod | Ingress | ServiceImport),
            Operation::InterpretComponent | Operation::Prune => false,
        }
    }

    /// The Kubernetes type that an object is checked against; none for kinds whose fields no rule decodes.
    fn type_name(self) -> Option<TypeName> {
        match self {
            Self::CronJob => Some(TypeName::CronJob),
            Self::DaemonSet => Some(TypeName::DaemonSet),
            Self::Deployment => Some(TypeName::Deployment),
            Self::HorizontalPodAutoscaler => Some(TypeName::HorizontalPodAutoscaler),
            Self::Ingress => Some(TypeName::Ingress),
            Self::Job => Some(TypeName::Job),
            Self::PersistentVolume => Some(TypeName::PersistentVolume),
            Self::PersistentVolumeClaim => Some(TypeName::PersistentVolumeClaim),
            Self::Pod => Some(TypeName::Pod),
            Self::PodDisruptionBudget => Some(TypeName::PodDisruptionBudget),
            Self::ReplicaSet => Some(TypeName::ReplicaSet),
            Self::Service => Some(TypeName::Service),
            Self::ServiceImport => Some(TypeName::ServiceImport),
            Self::StatefulSet => Some(TypeName::StatefulSet),
            Self::Secret | Self::ServiceAccount => None,
        }
    }

    /// Fails if the object does not fit its type.
    fn decode(self, object: &Value) -> Result<(), Cause> {
        self.type_name()
            .map_or(Ok(()), |name| schema::check(name, object))
            .map_err(Cause::from)
    }
}

/// The native layer. It has a rule for the status of every kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Native {
    job_health: bool,
    compat: bool,
}

impl Native {
    /// The layer with these options.
    pub(crate) fn of(options: Options) -> &'static Self {
        const fn native(job_health: bool, compat: bool) -> Native {
            Native { job_health, compat }
        }
        const ALL: [[Native; 2]; 2] = [
            [native(false, false), native(false, true)],
            [native(true, false), native(true, true)],
        ];
        &ALL[usize::from(options.job_health)][usize::from(options.compat)]
    }
}

impl Layer for Native {
    fn name(&self) -> LayerName {
        LayerName::Native
    }

    fn has_hook(&self, target: Target<'_>, operation: Operation) -> bool {
        operation == Operation::InterpretStatus
            || Kind::of(target).is_some_and(|kind| kind.has_rule(operation, *self))
    }

    fn answer(
        &self,
        target: Target<'_>,
        question: Question<'_>,
        context: &Context<'_>,
    ) -> Result<Answer, Cause> {
        let kind = Kind::of(target);
        if let Question::Status { observed } = question {
            return status::reflect(kind, observed, context.options).map(Answer::Status);
        }
        let kind = kind
            .filter(|kind| kind.has_rule(question.operation(), *self))
            .ok_or(Cause::NoHook)?;
        match question {
            Question::Replicas { object } => {
                kind.decode(object)?;
                let (replicas, requirements) = replicas::interpret(kind, object, context.options);
                Ok(Answer::Replicas(replicas, requirements))
            }
            Question::ReviseReplica { object, replicas } => {
                replicas::revise(kind, object, replicas).map(Answer::Object)
            }
            Question::Retain { desired, observed } => {
                retain::retain(kind, desired, observed, context.options).map(Answer::Object)
            }
            Question::AggregateStatus { object, items } => {
                kind.decode(&object)?;
                aggregate::aggregate(kind, object, items, context).map(Answer::Object)
            }
            Question::Dependencies { object } => {
                kind.decode(object)?;
                Ok(Answer::Dependencies(dependencies::of(
                    kind,
                    object,
                    context.options,
                )))
            }
            Question::Health { observed } => {
                kind.decode(observed)?;
                Ok(Answer::Health(health::is_healthy(kind, observed)))
            }
            Question::Components { .. } | Question::Status { .. } => Err(Cause::NoHook),
        }
    }
}

#[cfg(test)]
mod tests;
