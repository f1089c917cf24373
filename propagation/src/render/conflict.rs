//! What happens to an object that exists in the member already.

use crds::policy::ConflictResolution;
use crds::{keys, object};
use serde_json::Value;
use trace::Sink;

use crate::trace::Item;

/// The value of the conflict resolution annotation: what the object itself says, else what the binding says. With it comes what the
/// object says if that is no such value.
pub fn conflict_resolution(
    manifest: &Value,
    of_binding: Option<ConflictResolution>,
    cluster: &str,
    sink: &mut impl Sink<Item>,
) -> (&'static str, Option<String>) {
    let annotation = object::annotation(manifest, keys::CONFLICT_RESOLUTION).unwrap_or_default();
    let (value, ignored) = match annotation {
        "overwrite" => (keys::CONFLICT_OVERWRITE, None),
        "abort" => (keys::CONFLICT_ABORT, None),
        other => {
            let value = match of_binding {
                Some(ConflictResolution::Overwrite) => keys::CONFLICT_OVERWRITE,
                _ => keys::CONFLICT_ABORT,
            };
            (value, Some(other).filter(|other| !other.is_empty()))
        }
    };
    sink.record(|| Item::ConflictResolution {
        cluster: cluster.to_owned(),
        value: value.to_owned(),
        from_annotation: !annotation.is_empty() && ignored.is_none(),
        ignored: ignored.map(ToOwned::to_owned),
    });
    (value, ignored.map(ToOwned::to_owned))
}
