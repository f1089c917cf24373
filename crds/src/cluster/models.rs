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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(models: &[ResourceModel]) -> Vec<String> {
        models
            .iter()
            .map(|model| {
                let ranges: Vec<_> = model
                    .ranges
                    .iter()
                    .map(|it| format!("{} {}-{}", it.name, it.min.0, it.max.0))
                    .collect();
                format!("{}: {}", model.grade, ranges.join(", "))
            })
            .collect()
    }

    #[test]
    fn nine_sizes_by_default() {
        assert_eq!(
            text(&default_resource_models()),
            [
                "0: cpu 0-1, memory 0-4Gi",
                "1: cpu 1-2, memory 4Gi-16Gi",
                "2: cpu 2-4, memory 16Gi-32Gi",
                "3: cpu 4-8, memory 32Gi-64Gi",
                "4: cpu 8-16, memory 64Gi-128Gi",
                "5: cpu 16-32, memory 128Gi-256Gi",
                "6: cpu 32-64, memory 256Gi-512Gi",
                "7: cpu 64-128, memory 512Gi-1Ti",
                "8: cpu 128-9223372036854775807, memory 1Ti-9223372036854775807",
            ]
        );
    }

    #[test]
    fn standard_models_are_sorted_and_open_at_both_ends() {
        let model = |grade, min: &str, max: &str| ResourceModel {
            grade,
            ranges: vec![ResourceModelRange {
                name: "cpu".to_owned(),
                min: Quantity(min.to_owned()),
                max: Quantity(max.to_owned()),
            }],
        };
        let mut models = [model(7, "4", "8"), model(2, "1", "4")];
        standardise_resource_models(&mut models);
        assert_eq!(
            text(&models),
            ["2: cpu 0-4", "7: cpu 4-9223372036854775807"]
        );
        standardise_resource_models(&mut []);
    }
}
