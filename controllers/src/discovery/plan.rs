//! Which kinds get a store of templates, and which lose theirs.

use std::collections::BTreeMap;

use crds::object::Gvk;
use kube::api::ApiResource;
use propagation::skip::SkippedApis;
use runtime::discovery::Resource;

/// Looks in a row, all of them complete, that have to miss a kind before it counts as gone.
const MISSES: u32 = 2;

/// The kinds whose objects may be propagated.
pub(super) fn propagatable<'a>(
    preferred: impl Iterator<Item = &'a Resource>,
    skipped: &SkippedApis,
) -> BTreeMap<Gvk, ApiResource> {
    preferred
        .filter(|resource| {
            ["delete", "list", "watch"]
                .iter()
                .all(|verb| resource.supports(verb))
        })
        .filter(|resource| {
            let api = &resource.api;
            !skipped.contains(&api.group, &api.version, &api.kind)
        })
        .map(|resource| (resource.gvk(), resource.api.clone()))
        .collect()
}

/// Counts the misses of the watched kinds that are not wanted and returns those to let go: kinds that are missing for good, and
/// versions that another one has replaced.
pub(super) fn vanished(
    watched: &mut BTreeMap<Gvk, u32>,
    wanted: &BTreeMap<Gvk, ApiResource>,
    complete: bool,
) -> Vec<Gvk> {
    let mut gone = Vec::new();
    for (gvk, misses) in watched {
        if wanted.contains_key(gvk) {
            *misses = 0;
            continue;
        }
        let replaced = wanted.keys().any(|other| other.is(&gvk.group, &gvk.kind));
        *misses += u32::from(complete);
        if replaced || *misses >= MISSES {
            gone.push(gvk.clone());
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(api_version: &str, kind: &str, verbs: &str) -> Resource {
        let gvk = Gvk::parse(api_version, kind);
        Resource {
            api: ApiResource {
                group: gvk.group,
                version: gvk.version,
                api_version: api_version.into(),
                kind: kind.into(),
                plural: format!("{}s", kind.to_lowercase()),
            },
            namespaced: true,
            verbs: verbs.split(' ').map(Into::into).collect(),
        }
    }

    fn wanted(kinds: &[(&str, &str)]) -> BTreeMap<Gvk, ApiResource> {
        let resources: Vec<_> = kinds
            .iter()
            .map(|(api_version, kind)| resource(api_version, kind, "delete list watch"))
            .collect();
        propagatable(resources.iter(), &SkippedApis::default())
    }

    #[test]
    fn only_what_can_be_watched_and_is_not_skipped() {
        let resources = [
            resource("apps/v1", "Deployment", "create delete get list watch"),
            resource("authorization.k8s.io/v1", "SubjectAccessReview", "create"),
            resource("v1", "Event", "delete list watch"),
            resource("work.karmada.io/v1alpha1", "Work", "delete list watch"),
        ];
        let found = propagatable(resources.iter(), &SkippedApis::default());
        let kinds: Vec<_> = found.keys().map(|gvk| &*gvk.kind).collect();
        assert_eq!(kinds, ["Deployment"]);
    }

    #[test]
    fn kinds_go_after_two_complete_looks_and_versions_at_once() {
        let none = BTreeMap::new();
        let widget = Gvk::parse("example.com/v1beta1", "Widget");
        for (name, looks, gone_at) in [
            (
                "two complete looks",
                vec![(&none, true), (&none, true)],
                Some(1),
            ),
            (
                "partial looks prove nothing",
                vec![(&none, false), (&none, false), (&none, true)],
                None,
            ),
            (
                "a look that finds it starts over",
                vec![
                    (&none, true),
                    (&wanted(&[("example.com/v1beta1", "Widget")]), true),
                    (&none, true),
                ],
                None,
            ),
            (
                "another version takes over",
                vec![(&wanted(&[("example.com/v1", "Widget")]), false)],
                Some(0),
            ),
            (
                "a namesake in another group does not",
                vec![(&wanted(&[("example.org/v1", "Widget")]), true)],
                None,
            ),
        ] {
            let mut watched = BTreeMap::from([(widget.clone(), 0)]);
            let gone = looks
                .iter()
                .position(|(found, complete)| !vanished(&mut watched, found, *complete).is_empty());
            assert_eq!(gone, gone_at, "{name}");
        }
    }
}
