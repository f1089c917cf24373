//! `config.karmada.io`: how the control plane learns what kinds mean that it does not know.

mod context;
mod customization;
mod proxy_options;
mod webhooks;

pub use context::{
    DependentObjectReference, GroupVersionKind, InterpreterOperation, JSON_PATCH, RequestStatus,
    ResourceInterpreterContext, ResourceInterpreterRequest, ResourceInterpreterResponse,
};
pub use customization::{
    CustomizationRules, CustomizationTarget, LuaScript, ResourceInterpreterCustomization,
    ResourceInterpreterCustomizationSpec,
};
pub use proxy_options::ClusterProxyOptions;
pub use webhooks::{
    ResourceInterpreterWebhook, ResourceInterpreterWebhookConfiguration, RuleWithOperations,
};
