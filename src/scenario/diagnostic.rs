//! What is wrong with an input, told to the person who wrote it: the place, the one thing that is wrong, what was
//! expected, and what to write instead. All problems of all files at once.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

use crate::scenario::source::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The scenario cannot be run.
    Error,
    /// It can, but perhaps not as it was meant.
    Warning,
    /// Good to know.
    Info,
}

/// One problem.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the rule that found it, where there is one.
    pub code: Option<&'static str>,
    /// What is wrong, in one line.
    pub message: String,
    /// The place, with a word about it. None for what has no place, such as a file that is not there.
    pub place: Option<(Span, String)>,
    /// Other places that have to do with it.
    pub related: Vec<(Span, String)>,
    /// What one should know to understand it.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A warning.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    /// Of any severity.
    #[must_use]
    pub fn new(severity: Severity, message: String) -> Self {
        Self { severity, code: None, message, place: None, related: Vec::new(), notes: Vec::new(), help: None }
    }

    /// The place, with a word about it (may be empty).
    #[must_use]
    pub fn at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.place = Some((span.clone(), label.into()));
        self
    }

    /// Another place that has to do with it.
    #[must_use]
    pub fn and_at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// Something that one should know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The message with its place, on one line: for the warnings of a report.
    #[must_use]
    pub fn one_line(&self) -> String {
        match &self.place {
            Some((span, _)) => {
                let (line, column) = span.line_column();
                format!("{}:{line}:{column}: {}", span.file.name, self.message)
            }
            None => self.message.clone(),
        }
    }

    /// The message with its source lines, as rustc prints it; `colour` adds ANSI escapes. Ends without a newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Info => Level::INFO,
        };
        let excerpts = self.excerpts();
        let mut title = level.primary_title(self.message.as_str());
        if let Some(code) = self.code {
            title = title.id(code);
        }
        let mut group = Group::with_title(title);
        for excerpt in &excerpts {
            group = group.element(excerpt.snippet());
        }
        let quoted = |text: &str| annotate_snippets::normalize_untrusted_str(text);
        let notes = self.notes.iter().map(|note| Element::from(Level::NOTE.message(quoted(note))));
        let help = self.help.iter().map(|help| Element::from(Level::HELP.message(quoted(help))));
        renderer.render(&[group.elements(notes.chain(help).collect::<Vec<_>>())])
    }

    /// The excerpts to show: labels of one file that are near each other share one.
    fn excerpts(&self) -> Vec<Excerpt<'_>> {
        const NEAR_BYTES: usize = 8 << 10;
        let mut excerpts: Vec<Excerpt<'_>> = Vec::new();
        let labels = self.place.iter().map(|(span, label)| (AnnotationKind::Primary, span, label));
        let related = self.related.iter().map(|(span, label)| (AnnotationKind::Context, span, label));
        for (kind, span, label) in labels.chain(related) {
            let near = excerpts.iter_mut().find(|e| {
                e.span.file.order == span.file.order
                    && e.span.file.name == span.file.name
                    && e.span.start.abs_diff(span.start) < NEAR_BYTES
            });
            if let Some(excerpt) = near {
                excerpt.span.start = excerpt.span.start.min(span.start);
                excerpt.span.end = excerpt.span.end.max(span.end);
                excerpt.labels.push((kind, span, label));
            } else {
                excerpts.push(Excerpt { span: span.clone(), labels: vec![(kind, span, label)] });
            }
        }
        excerpts
    }
}

/// Some lines of one file with labels on them. Only these lines are given to the renderer: a file may be long.
struct Excerpt<'a> {
    span: Span,
    labels: Vec<(AnnotationKind, &'a Span, &'a String)>,
}

impl Excerpt<'_> {
    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let text = &self.span.file.text;
        let start = text[..self.span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[self.span.end..].find('\n').map_or(text.len(), |at| self.span.end + at);
        let first_line = text[..start].matches('\n').count() + 1;
        let within = |span: &Span| -> Range<usize> { span.start - start..span.end - start };
        Snippet::source(&text[start..end]).line_start(first_line).path(self.span.file.name.as_str()).annotations(
            self.labels.iter().map(|(kind, span, label)| {
                let label = (!label.is_empty()).then_some(label.as_str());
                kind.span(within(span)).label(label)
            }),
        )
    }
}

/// All problems of an input, in the order of its files and lines. At least one of them is an error when loading fails.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Diagnostics {
    /// The problems.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Whether there is an error among them.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Sorts them by file and place; those without a place come first. Drops what is said twice of one place.
    pub(crate) fn sort(&mut self) {
        let key = |d: &Diagnostic| d.place.as_ref().map(|(span, _)| (span.file.order, span.start));
        self.list.sort_by_key(key);
        self.list.dedup();
    }

    /// All of them, one after the other, and how many there are.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(&diagnostic.render(colour));
            text.push_str("\n\n");
        }
        let count = |severity, name: &str| match self.list.iter().filter(|d| d.severity == severity).count() {
            0 => None,
            1 => Some(format!("1 {name}")),
            n => Some(format!("{n} {name}s")),
        };
        let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
        text + &counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
