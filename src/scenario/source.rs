//! Source files and places in them.

use std::fmt;
use std::sync::Arc;

/// A text that somebody wrote, with the name to show for it.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    /// What the person knows it by: the path as given, `standard input`, `--set`, the name of a built-in scenario.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Its place in the order of reading; diagnostics are sorted by it.
    pub order: u32,
}

impl fmt::Debug for SourceFile {
    /// The name only: a file may be 64 MiB long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl SourceFile {
    /// A file, the `order`-th that was read.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>, order: u32) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), order })
    }
}

/// A range of bytes of a file, always on character boundaries.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Span {
    /// `file:line:column`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.file.name)
    }
}

impl Span {
    /// The range `start..end`, moved to the nearest character boundaries inside the text if need be.
    #[must_use]
    pub fn new(file: &Arc<SourceFile>, start: usize, end: usize) -> Self {
        let boundary = |at: usize| {
            let mut at = at.min(file.text.len());
            while !file.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(start);
        Self { file: Arc::clone(file), start, end: boundary(end).max(start) }
    }

    /// The character at a line and column, both counted from 1; the end of the line or of the text if there is none.
    #[must_use]
    pub fn at(file: &Arc<SourceFile>, line: usize, column: usize) -> Self {
        let line_start: usize = file.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = &file.text[line_start..];
        let content = rest.split('\n').next().unwrap_or_default();
        let offset = content.char_indices().nth(column.saturating_sub(1)).map_or(content.len(), |(at, _)| at);
        let width = content[offset..].chars().next().map_or(0, char::len_utf8);
        Self::new(file, line_start + offset, line_start + offset + width)
    }

    /// Line and column of the first character, counted from 1; columns in characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.file.text[..self.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The text of the range.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.file.text[self.start..self.end]
    }
}

/// A value and the place where it was written.
#[derive(Clone, PartialEq, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The place.
    pub span: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let file = SourceFile::new("f", "é: 1\nname: ü\n", 0);
        let span = Span::new(&file, 12, 14);
        assert_eq!((span.text(), span.line_column()), ("ü", (2, 7)));
        assert_eq!(Span::at(&file, 2, 7), span);
        assert_eq!(Span::at(&file, 2, 99).start, 14, "the end of a shorter line");
        assert_eq!(Span::at(&file, 9, 1).start, file.text.len(), "the end of a shorter text");
        assert_eq!(Span::new(&file, 1, 99).start, 0, "never inside a character");
    }
}
