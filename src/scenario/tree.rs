//! YAML and JSON as a tree of values, each with its place in the text.
//!
//! A file is read into this tree first, and the tree into types afterwards: so every problem of a file can be told at
//! once, `--set` can change any value, and what a scalar looked like in the file is still known (`1.30` is not 1.3).

mod json;

use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{MergeKeyPolicy, NonFiniteFloatPolicy};

use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::{SourceFile, Span};

/// A value with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands; of a list or map its first character. A value that came through an alias stands where the alias
    /// does.
    pub span: Span,
}

/// A value of YAML's JSON schema.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`, or another word that Kubernetes' YAML takes for one of them: `yes`, `on`, `n`, ….
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key, as a string whatever it was.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value under a key of a map, unless it is null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node).filter(|node| node.value != Value::Null)
    }

    /// The entry of this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }

    /// The value under a path of keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The elements of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, with its value if that is short: `the number 30`, `a list`.
    #[must_use]
    pub fn describe(&self) -> String {
        const SHOWN_MAX: usize = 40;
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(_) => format!("the boolean `{}`", self.span.text()),
            Value::Number(text) => format!("the number `{text}`"),
            Value::String(text) if text.len() <= SHOWN_MAX && !text.contains('\n') => format!("the string `{text}`"),
            Value::String(_) => "a string".into(),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }
}

/// How a message begins of a text that is no YAML.
const NOT_YAML: &str = "this is not valid YAML";

/// Limits on what one file may contain, far above any real cluster's dump and far below what hurts.
mod limits {
    /// Scalars, lists and maps; what an alias repeats counts again.
    pub const NODES: usize = 4_000_000;
    /// What all aliases together may repeat.
    pub const REPEATED_BY_ALIASES: usize = 100_000;
    /// Lists and maps inside each other.
    pub const DEPTH: usize = 64;
    /// Documents in one file.
    pub const DOCUMENTS: usize = 20_000;
}

/// Reads all documents of the range of `file` that starts at byte `base`; empty documents are passed over.
///
/// # Errors
/// The first place where the text is not YAML, or exceeds a limit. (Boxed: it is large, and rare.)
pub fn parse(file: &Arc<SourceFile>, base: usize) -> Result<Vec<Node>, Box<Diagnostic>> {
    if !json::looks_like_json(&file.text[base..]) {
        return parse_yaml(file, base);
    }
    match json::parse(file, base) {
        Ok(roots) => Ok(roots),
        // YAML knows that it would end too early as well, in other words
        Err(wrong) if wrong.cut_off => Err(Box::new(wrong.diagnostic(file))),
        Err(wrong) => parse_yaml(file, base).map_err(|problem| {
            let is_syntax = problem.message.starts_with(NOT_YAML);
            if is_syntax { Box::new(wrong.diagnostic(file)) } else { problem }
        }),
    }
}

fn parse_yaml(file: &Arc<SourceFile>, base: usize) -> Result<Vec<Node>, Box<Diagnostic>> {
    let text = &file.text[base..];
    let mut alias_limits = serde_saphyr::options::AliasLimits::default();
    alias_limits.max_total_replayed_events = limits::REPEATED_BY_ALIASES;
    let options = serde_saphyr::options! {
        with_snippet: false,
        merge_keys: MergeKeyPolicy::default(),
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        ignore_binary_tag_for_string: true,
        alias_limits: alias_limits,
        budget: serde_saphyr::budget! {
            max_events: 3 * limits::NODES,
            max_nodes: limits::NODES,
            max_depth: limits::DEPTH,
            max_documents: limits::DOCUMENTS,
        },
    };
    let raw = serde_saphyr::from_multiple_with_options::<serde_saphyr::Spanned<Raw>>(text, options)
        .map_err(|error| Box::new(syntax_error(file, base, &error)))?;
    Ok(raw.into_iter().map(|raw| convert(file, base, raw)).collect())
}

/// The tree as serde-saphyr gives it: without the text of scalars.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    List(Vec<serde_saphyr::Spanned<Raw>>),
    Map(Vec<(serde_saphyr::Spanned<Raw>, serde_saphyr::Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::String(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<serde_saphyr::Spanned<Raw>>()? {
            // Long, and of no use here.
            if matches!(&key.value, Raw::String(key) if key == "managedFields") {
                access.next_value::<de::IgnoredAny>()?;
                continue;
            }
            entries.push((key, access.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}

fn convert(file: &Arc<SourceFile>, base: usize, raw: serde_saphyr::Spanned<Raw>) -> Node {
    let span = place(file, base, &raw.referenced);
    let written = || place(file, base, &raw.defined).text().to_string();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Number(value) => {
            let text = written();
            Value::Number(if text.is_empty() { value } else { text })
        }
        Raw::String(value) => Value::String(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| convert(file, base, item)).collect()),
        Raw::Map(entries) => {
            let entries: Vec<Entry> = entries
                .into_iter()
                .map(|(key, value)| {
                    let key = convert(file, base, key);
                    let text = match key.value {
                        Value::String(text) | Value::Number(text) => text,
                        _ => key.span.text().to_string(),
                    };
                    Entry { key: text, key_span: key.span, node: convert(file, base, value) }
                })
                .collect();
            Value::Map(entries)
        }
    };
    let span = shown_span(&value, span);
    Node { value, span }
}

/// The place to show for a list or map. The parser gives its first character, or an empty range before the first key.
fn shown_span(value: &Value, span: Span) -> Span {
    let last = match value {
        Value::Map(entries) => entries.last().map(|e| &e.node.span),
        Value::List(items) => items.last().map(|item| &item.span),
        _ => return span,
    };
    let closing = match span.text() {
        "[" => ']',
        "{" => '}',
        "" => match value {
            Value::Map(entries) => return entries.first().map_or(span, |e| e.key_span.clone()),
            _ => return span,
        },
        _ => return span,
    };
    // On one line the whole of `[…]` or `{…}` shows better than its bracket.
    let from = last.map_or(span.end, |last| last.end.max(span.end));
    let rest = &span.file.text[from..];
    match rest.find([closing, '\n']) {
        Some(at) if rest[at..].starts_with(closing) && !span.file.text[span.start..from].contains('\n') => {
            Span::new(&span.file, span.start, from + at + 1)
        }
        _ => span,
    }
}

fn place(file: &Arc<SourceFile>, base: usize, location: &serde_saphyr::Location) -> Span {
    let span = location.span();
    match (span.byte_offset(), span.byte_len()) {
        (Some(offset), Some(len)) => {
            let start = base + usize::try_from(offset).unwrap_or(usize::MAX);
            Span::new(file, start, start.saturating_add(usize::try_from(len).unwrap_or(0)))
        }
        _ => by_line(file, base, location),
    }
}

fn by_line(file: &Arc<SourceFile>, base: usize, location: &serde_saphyr::Location) -> Span {
    let coordinate = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let inner = SourceFile::new("", &file.text[base..], 0);
    let span = Span::at(&inner, coordinate(location.line()), coordinate(location.column()));
    Span::new(file, base + span.start, base + span.end)
}

/// The parser's words, made readable where they need it.
fn syntax_error(file: &Arc<SourceFile>, base: usize, error: &serde_saphyr::Error) -> Diagnostic {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let span = error.location().map(|location| place(file, base, &location));
    let at = |diagnostic: Diagnostic, label: &str| match &span {
        Some(span) => diagnostic.at(span, label),
        None => diagnostic.note(format!("in {}", file.name)),
    };
    let inner = match error {
        Error::AliasError { error, .. } => error.without_snippet(),
        other => other,
    };
    let too_large =
        |label: &str| at(Diagnostic::error("the document is too large when its aliases are unfolded"), label);
    match inner {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            at(Diagnostic::error(format!("the key `{key}` is given twice in one map")), "the second time")
                .help("keep one of the two; YAML has no rule for which one would count")
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => too_large("this alias repeats what contains aliases itself")
            .note(format!("all aliases of a file together may repeat {} values", limits::REPEATED_BY_ALIASES)),
        Error::Budget { breach, .. } => {
            use serde_saphyr::budget::BudgetBreach;
            match breach {
                BudgetBreach::Depth { .. } => too_deep(at),
                _ => at(Diagnostic::error("the file is larger than a scenario can be"), "the limit is reached here")
                    .note(format!("limits: {} values, {} documents", limits::NODES, limits::DOCUMENTS)),
            }
        }
        Error::UnknownAnchor { .. } => at(Diagnostic::error("unknown anchor"), "no `&` of this name comes before"),
        other => {
            let text = other.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            if text.contains("recursion limit") || text.contains("nesting") {
                return too_deep(at);
            }
            let diagnostic = at(Diagnostic::error(format!("{NOT_YAML}: {text}")), "the reader stopped here");
            match text {
                t if t.contains("tabs disallowed") => diagnostic.help("indent with spaces: YAML forbids tabs there"),
                t if t.contains("did not find expected key") => diagnostic.help(
                    "the indentation fits neither the lines above nor the map around them: align it with its siblings",
                ),
                t if t.contains("mapping values are not allowed") => {
                    diagnostic.help("put a value that contains `: ` in quotes, or check the indentation")
                }
                t if t.contains("illegal placement of ':'") || t.contains("flow") => {
                    diagnostic.help("a `[` or `{` above may lack its closing bracket")
                }
                t if t.contains("quoted scalar") => diagnostic.help("a string above may lack its closing quote"),
                _ => diagnostic,
            }
        }
    }
}

fn too_deep(at: impl Fn(Diagnostic, &str) -> Diagnostic) -> Diagnostic {
    at(Diagnostic::error("lists and maps are nested too deeply"), "deeper than the limit")
        .note(format!("the limit is {} levels", limits::DEPTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(&SourceFile::new("t", text, 0), 0).unwrap().remove(0)
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let node = one("version: 1.30\nflag: on\nnone: null\nempty:\nquoted: \"1.30\"\nbig: 123456789012345678901\n");
        assert_eq!(node.entry("version").unwrap().node.value, Value::Number("1.30".into()));
        assert_eq!(node.entry("flag").unwrap().node.value, Value::Bool(true));
        assert_eq!(node.get("none"), None);
        assert_eq!(node.get("empty"), None);
        assert_eq!(node.get("quoted").unwrap().value, Value::String("1.30".into()));
        assert_eq!(node.get("version").unwrap().span.to_string(), "t:1:10");
        assert!(matches!(&node.get("big").unwrap().value, Value::Number(n) if n == "123456789012345678901"));
    }

    #[test]
    fn keys_that_yaml_takes_for_booleans_are_keys_here() {
        assert!(one("y: 1\non: 2\n").get("on").is_some());
    }

    #[test]
    fn anchors_and_merge_keys_are_unfolded_and_managed_fields_dropped() {
        let node = one("base: &b {x: 1}\nuse: *b\nmerged: {<<: *b, y: 2}\nmanagedFields: [{a: 1}]\n");
        assert_eq!(node.at(&["use", "x"]).unwrap().value, Value::Number("1".into()));
        assert_eq!(node.get("use").unwrap().span.text(), "*b");
        assert_eq!(node.at(&["merged", "x"]).unwrap().value, Value::Number("1".into()));
        assert_eq!(node.get("managedFields"), None);
    }

    #[test]
    fn json_is_yaml_even_when_it_is_indented_with_tabs() {
        let node = one("{\n\t\"a\": [1,\n\t\t{\"b\": \"c\\u00e9\"}]\n}\n");
        assert_eq!(node.get("a").unwrap().items()[1].get("b").unwrap().as_str(), Some("cé"));
    }

    #[test]
    fn a_part_of_a_text_keeps_its_places_in_the_whole() {
        let file = SourceFile::new("--set", "spec.duration=2m", 0);
        let node = parse(&file, 14).unwrap().remove(0);
        assert_eq!((node.as_str(), node.span.start), (Some("2m"), 14));
    }
}
