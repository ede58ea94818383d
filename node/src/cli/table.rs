//! Columns of text.

/// One row.
pub(super) type Row<const N: usize> = [&'static str; N];

/// Rows under their heads, each column as wide as it has to be, the last as it is.
pub(super) fn print<const N: usize>(
    heads: [String; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blanks_at_their_ends() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let text = print(row("A", "B"), [row("long", "é"), row("x", "")].into_iter());
        assert_eq!(text, "A     B\nlong  é\nx");
    }
}
