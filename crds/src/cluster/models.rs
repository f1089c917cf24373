use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{ResourceModel, ResourceModelRange};

/// The end of the last range: the largest 64-bit integer, which stands for "no end".
const NO_END: &str = "9223372036854775807";

/// The bounds between the built-in sizes.
const BOUNDS: [(&str, &str); 10] = [
    ("0", "0"),
    ("1", "4Gi"),
    ("2", "16Gi"),
    ("4", "32Gi"),
    ("8", "64Gi"),
    ("16", "128Gi"),
    ("32", "256Gi"),
    ("64", "512Gi"),
    ("128", "1Ti"),
    (NO_END, NO_END),
];

/// The sizes of nodes that a cluster gets which names none: nine, from below one CPU to 128 and more.
pub fn default_resource_models() -> Vec<ResourceModel> {
    let range = |name: &str, min: &str, max: &str| ResourceModelRange {
        name: name.to_owned(),
        min: Quantity(min.to_owned()),
        max: Quantity(max.to_owned()),
    };
    (0..)
        .zip(BOUNDS.windows(2))
        .map(|(grade, bounds)| ResourceModel {
            grade,
            ranges: vec![
                range("cpu", bounds[0].0, bounds[1].0),
                range("memory", bounds[0].1, bounds[1].1),
            ],
        })
        .collect()
}

/// Puts sizes into the order of their grades and opens the first one below and the last one above.
pub fn standardise_resource_models(models: &mut [ResourceModel]) {
    models.sort_by_key(|model| model.grade);
    for range in models.first_mut().into_iter().flat_map(|it| &mut it.ranges) {
        range.min = Quantity("0".to_owned());
    }
    for range in models.last_mut().into_iter().flat_map(|it| &mut it.ranges) {
        range.max = Quantity(NO_END.to_owned());
    }
}
