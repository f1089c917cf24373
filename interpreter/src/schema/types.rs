//! The types that are checked, by their names in the table.

/// A type of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeName {
    CronJob,
    DaemonSet,
    DaemonSetStatus,
    CronJobStatus,
    Deployment,
    DeploymentStatus,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    Ingress,
    IngressStatus,
    Job,
    JobStatus,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
    PersistentVolumeStatus,
    Pod,
    PodDisruptionBudget,
    PodDisruptionBudgetStatus,
    PodStatus,
    PodTemplateSpec,
    ReplicaSet,
    ReplicaSetStatus,
    Service,
    ServiceImport,
    ServiceStatus,
    StatefulSet,
    StatefulSetStatus,
}

impl TypeName {
    #[cfg(test)]
    pub(super) const ALL: &'static [Self] = &[
        Self::CronJob,
        Self::DaemonSet,
        Self::DaemonSetStatus,
        Self::CronJobStatus,
        Self::Deployment,
        Self::DeploymentStatus,
        Self::HorizontalPodAutoscaler,
        Self::HorizontalPodAutoscalerStatus,
        Self::Ingress,
        Self::IngressStatus,
        Self::Job,
        Self::JobStatus,
        Self::PersistentVolume,
        Self::PersistentVolumeClaim,
        Self::PersistentVolumeClaimStatus,
        Self::PersistentVolumeStatus,
        Self::Pod,
        Self::PodDisruptionBudget,
        Self::PodDisruptionBudgetStatus,
        Self::PodStatus,
        Self::PodTemplateSpec,
        Self::ReplicaSet,
        Self::ReplicaSetStatus,
        Self::Service,
        Self::ServiceImport,
        Self::ServiceStatus,
        Self::StatefulSet,
        Self::StatefulSetStatus,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CronJob => "api.batch.v1.CronJob",
            Self::CronJobStatus => "api.batch.v1.CronJobStatus",
            Self::DaemonSet => "api.apps.v1.DaemonSet",
            Self::DaemonSetStatus => "api.apps.v1.DaemonSetStatus",
            Self::Deployment => "api.apps.v1.Deployment",
            Self::DeploymentStatus => "api.apps.v1.DeploymentStatus",
            Self::HorizontalPodAutoscaler => "api.autoscaling.v2.HorizontalPodAutoscaler",
            Self::HorizontalPodAutoscalerStatus => {
                "api.autoscaling.v2.HorizontalPodAutoscalerStatus"
            }
            Self::Ingress => "api.networking.v1.Ingress",
            Self::IngressStatus => "api.networking.v1.IngressStatus",
            Self::Job => "api.batch.v1.Job",
            Self::JobStatus => "api.batch.v1.JobStatus",
            Self::PersistentVolume => "api.core.v1.PersistentVolume",
            Self::PersistentVolumeClaim => "api.core.v1.PersistentVolumeClaim",
            Self::PersistentVolumeClaimStatus => "api.core.v1.PersistentVolumeClaimStatus",
            Self::PersistentVolumeStatus => "api.core.v1.PersistentVolumeStatus",
            Self::Pod => "api.core.v1.Pod",
            Self::PodDisruptionBudget => "api.policy.v1.PodDisruptionBudget",
            Self::PodDisruptionBudgetStatus => "api.policy.v1.PodDisruptionBudgetStatus",
            Self::PodStatus => "api.core.v1.PodStatus",
            Self::PodTemplateSpec => "api.core.v1.PodTemplateSpec",
            Self::ReplicaSet => "api.apps.v1.ReplicaSet",
            Self::ReplicaSetStatus => "api.apps.v1.ReplicaSetStatus",
            Self::Service => "api.core.v1.Service",
            Self::ServiceImport => "multicluster.v1alpha1.ServiceImport",
            Self::ServiceStatus => "api.core.v1.ServiceStatus",
            Self::StatefulSet => "api.apps.v1.StatefulSet",
            Self::StatefulSetStatus => "api.apps.v1.StatefulSetStatus",
        }
    }
}
