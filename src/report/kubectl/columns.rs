//! Aligned columns, as kubectl's tab writer makes them.
//!
//! Source: `k8s.io/cli-runtime/pkg/printers/tabwriter.go` GetNewTabWriter (v1.36): at least 6 wide, 3 spaces between
//! columns, the last column is not padded, and in a watch a column never becomes narrower again.

const MIN_WIDTH: usize = 6;
const PADDING: usize = 3;

/// Writes rows in blocks; remembers how wide its columns have been.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// The lines of a block of rows.
    pub(super) fn block(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            for (at, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
                if self.widths.len() <= at {
                    self.widths.push(MIN_WIDTH);
                }
                self.widths[at] = self.widths[at].max(cell.chars().count() + PADDING);
            }
        }
        let mut out = String::new();
        for row in rows {
            for (at, cell) in row.iter().enumerate() {
                out.push_str(cell);
                if at + 1 < row.len() {
                    out.extend(std::iter::repeat_n(' ', self.widths[at].saturating_sub(cell.chars().count())));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_string()).collect()).collect()
    }

    #[test]
    fn columns_line_up_and_never_shrink() {
        let mut columns = Columns::default();
        let first = columns.block(&rows(&[&["NAME", "AGE", "X"], &["a-long-name", "5s", "y"]]));
        assert_eq!(first, "NAME          AGE   X\na-long-name   5s    y\n");
        assert_eq!(columns.block(&rows(&[&["b", "6s", "y"]])), "b             6s    y\n");
        assert_eq!(columns.block(&rows(&[&["a-longer-name", "6s", "y"]])), "a-longer-name   6s    y\n");
    }
}
