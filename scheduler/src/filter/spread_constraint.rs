use crate::plugins::{Filter, Verdict};
use crate::request::{Property, Request};
use crate::snapshot::Cluster;

/// Keeps resources off clusters that lack a property which they have to be spread by.
pub struct SpreadConstraint;

impl Filter for SpreadConstraint {
    fn name(&self) -> &'static str {
        "SpreadConstraint"
    }

    fn filter(&self, request: &Request<'_>, cluster: &Cluster) -> Verdict {
        if request.properties.is_empty() {
            return Verdict::Fits;
        }
        match request.missing_property(cluster) {
            None => Verdict::Fits,
            Some(Property::Provider) => Verdict::unfit("cluster(s) did not have provider property"),
            Some(Property::Region) => Verdict::unfit("cluster(s) did not have region property"),
            Some(Property::Zones) => Verdict::unfit("cluster(s) did not have zones property"),
            Some(Property::Label { reason, .. }) => Verdict::Unfit(reason.clone()),
        }
    }

    fn code(&self) -> &'static str {
        "SpreadPropertyMissing"
    }
}
