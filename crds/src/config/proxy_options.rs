//! Options of the subresource `clusters/proxy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `cluster.karmada.io/v1alpha1` `ClusterProxyOptions`: what a request to `clusters/<name>/proxy/<path>` asks for. Decoded from
/// the URL, never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProxyOptions {
    /// The rest of the URL's path, which goes to the API server of the cluster, such as `api/v1/nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
