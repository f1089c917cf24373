use crds::conditions::binding as reasons;
use crds::policy::FederatedResourceQuota;
use crds::work::Binding;

use super::scheduled_is_false;
use crate::quantity::Amount;

/// Whether a quota refused the result of a binding, so that room in the quotas of its namespace may help.
pub fn is_refused_by_quota<B: Binding>(binding: &B) -> bool {
    scheduled_is_false(binding, &[reasons::QUOTA_EXCEEDED])
}

/// Whether a quota lets more through than before: a limit went, was raised, or less of it is used.
pub fn has_more_room(before: &FederatedResourceQuota, after: &FederatedResourceQuota) -> bool {
    before.spec.overall.keys().any(|resource| {
        match (room(before, resource), room(after, resource)) {
            (Some(before), Some(after)) => after > before,
            (before, after) => before.is_some() && after.is_none(),
        }
    })
}

/// What is left of a resource, in billionths; `None` without a limit.
fn room(quota: &FederatedResourceQuota, resource: &str) -> Option<i128> {
    let limit = Amount::of(quota.spec.overall.get(resource)?)?;
    let used = quota
        .status
        .as_ref()
        .and_then(|status| status.overall_used.get(resource))
        .and_then(Amount::of)
        .unwrap_or_default();
    Some(limit.nanos - used.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::conditions;
    use crds::policy::{FederatedResourceQuotaSpec, FederatedResourceQuotaStatus};
    use crds::work::ResourceBinding;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn quota(limits: &[(&str, &str)], used: &[(&str, &str)]) -> FederatedResourceQuota {
        let list = |of: &[(&str, &str)]| {
            of.iter()
                .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
                .collect()
        };
        let mut quota = FederatedResourceQuota::new(
            "team",
            FederatedResourceQuotaSpec {
                overall: list(limits),
                ..FederatedResourceQuotaSpec::default()
            },
        );
        quota.status = Some(FederatedResourceQuotaStatus {
            overall_used: list(used),
            ..FederatedResourceQuotaStatus::default()
        });
        quota
    }

    #[test]
    fn room_grows_with_the_limit_and_with_what_is_given_back() {
        let before = quota(&[("cpu", "10"), ("memory", "4Gi")], &[("cpu", "6")]);
        for (after, more) in [
            (before.clone(), false),
            (
                quota(&[("cpu", "10"), ("memory", "4Gi")], &[("cpu", "7")]),
                false,
            ),
            (
                quota(&[("cpu", "9"), ("memory", "4Gi")], &[("cpu", "6")]),
                false,
            ),
            (
                quota(&[("cpu", "11"), ("memory", "4Gi")], &[("cpu", "7")]),
                false,
            ),
            (
                quota(&[("cpu", "10"), ("memory", "4Gi")], &[("cpu", "5500m")]),
                true,
            ),
            (
                quota(&[("cpu", "12"), ("memory", "4Gi")], &[("cpu", "7")]),
                true,
            ),
            (
                quota(&[("cpu", "8"), ("memory", "5Gi")], &[("cpu", "6")]),
                true,
            ),
            (quota(&[("cpu", "10")], &[("cpu", "6")]), true),
            (
                quota(
                    &[("cpu", "10"), ("memory", "4Gi"), ("pods", "1")],
                    &[("cpu", "6")],
                ),
                false,
            ),
        ] {
            assert_eq!(has_more_room(&before, &after), more, "{after:?}");
        }
    }

    #[test]
    fn bindings_wait_for_quotas_while_they_say_so() {
        let mut binding = ResourceBinding::default();
        for (reason, refused) in [("QuotaExceeded", true), ("NoClusterFit", false)] {
            let condition = conditions::condition(reasons::SCHEDULED, "False", reason, "");
            binding.status.get_or_insert_default().conditions = vec![condition];
            assert_eq!(is_refused_by_quota(&binding), refused);
        }
    }
}
