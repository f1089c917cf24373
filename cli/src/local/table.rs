//! Aligned text.

use std::fmt::Write as _;

/// Rows with every cell but the last padded to the width of its column, three spaces apart.
pub(super) fn align(rows: &[Vec<String>], indent: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|it| it.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `header` in capitals, then the rows.
pub(super) fn with_header(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![header.iter().map(ToString::to_string).collect()];
    all.extend(rows);
    align(&all, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_and_lines_have_no_trailing_spaces() {
        let rows = [
            vec!["control plane".to_owned(), String::new()],
            vec!["m1".to_owned(), "push".to_owned()],
        ];
        assert_eq!(
            align(&rows, "  "),
            "  control plane\n  m1              push\n"
        );
        assert_eq!(
            with_header(&["NAME", "MODE"], vec![rows[1].clone()]),
            "NAME   MODE\nm1     push\n"
        );
    }
}
