use crate::plugins::{Filter, Verdict};
use crate::request::Request;
use crate::snapshot::Cluster;

/// Keeps resources off clusters that do not serve their API.
///
/// An API list that is only partial is taken at its word for new clusters. A cluster that already has the resource passes: an API
/// that vanished from the list removes nothing by itself.
pub struct ApiEnablement;

impl Filter for ApiEnablement {
    fn name(&self) -> &'static str {
        "APIEnablement"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if request.serves_api(cluster) || request.is_target(cluster) {
            Verdict::Fits
        } else {
            Verdict::unfit("cluster(s) did not have the API resource")
        }
    }

    fn code(&self) -> &'static str {
        "ApiMissing"
    }

    fn explain(&self, request: &Request<'_>, cluster: &Cluster) -> Option<String> {
        let resource = &request.spec().resource;
        let object = cluster.object();
        let list = match object.api_enablement(&resource.api_version, &resource.kind) {
            crds::cluster::ApiEnablement::Unknown => {
                "the cluster's API list is incomplete and lacks"
            }
            _ => "the cluster's API list lacks",
        };
        Some(format!("{list} {} {}", resource.api_version, resource.kind))
    }
}
