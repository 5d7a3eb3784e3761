//! Tables as kubectl prints them: aligned columns, no frames. Styles do not count for widths.

use std::fmt::Write as _;

use anstyle::Style;

use super::style::{BOLD, PLAIN, paint};

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// One cell.
#[derive(Clone)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: PLAIN }
    }
}

/// A table that is filled row by row.
pub(super) struct Table {
    columns: Vec<(Align, Vec<&'static str>)>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
    gap: usize,
}

impl Table {
    /// Columns with their headers, whose lines are separated by `\n`; headers are bold, and left out if all are empty.
    pub(super) fn new(indent: usize, gap: usize, columns: &[(Align, &'static str)]) -> Self {
        let columns = columns.iter().map(|(align, header)| (*align, header.split('\n').collect())).collect();
        Self { columns, rows: Vec::new(), indent, gap }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each with its end.
    pub(super) fn render(&self) -> String {
        let header_lines = self.columns.iter().map(|(_, header)| header.len()).max().unwrap_or(0);
        let bare = self.columns.iter().all(|(_, header)| header.iter().all(|line| line.is_empty()));
        let mut lines: Vec<Vec<Cell>> = Vec::new();
        for line in 0..if bare { 0 } else { header_lines } {
            // Headers sink to the row below them.
            let text =
                |header: &Vec<&'static str>| (line + header.len()).checked_sub(header_lines).map_or("", |l| header[l]);
            lines.push(self.columns.iter().map(|(_, header)| Cell::styled(BOLD, text(header))).collect());
        }
        lines.extend(self.rows.iter().cloned());
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| lines.iter().filter_map(|l| l.get(at)).map(|c| c.text.chars().count()).max().unwrap_or(0))
            .collect();
        lines.iter().fold(String::new(), |mut out, cells| {
            let mut blank = self.indent;
            for ((cell, width), (align, _)) in cells.iter().zip(&widths).zip(&self.columns) {
                let pad = width - cell.text.chars().count();
                let (before, after) = if *align == Align::Left { (0, pad) } else { (pad, 0) };
                if cell.text.is_empty() {
                    blank += width + self.gap;
                    continue;
                }
                let _ = write!(out, "{:1$}{2}", "", blank + before, paint(cell.style, &cell.text));
                blank = after + self.gap;
            }
            out.push('\n');
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::style::BAD;
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_style_and_lines_have_no_trailing_space() {
        let mut table = Table::new(2, 2, &[(Align::Left, "NAME"), (Align::Right, "LOST\nSECONDS"), (Align::Left, "")]);
        table.row(["a".into(), Cell::styled(BAD, "-1.5"), "x".into()]);
        table.row(["long name".into(), "12.25".into(), "".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(
            plain,
            "                LOST\n  NAME       SECONDS\n  a             -1.5  x\n  long name    12.25\n"
        );
    }

    #[test]
    fn a_table_without_headers_has_none() {
        let mut table = Table::new(0, 1, &[(Align::Left, ""), (Align::Right, "")]);
        assert!(table.is_empty());
        table.row(["a".into(), "b".into()]);
        assert_eq!(table.render(), "a b\n");
    }
}
