//! From the tree to types: every problem is told, none stops the reading of what is beside it.

use std::str::FromStr;

use crate::api::Version;
use crate::engine::{Duration, ParseDurationError};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest;
use crate::scenario::tree::{Entry, Node, Value};

/// A type that can be read from a node of the tree.
pub trait Read: Sized {
    /// Reads it; `None` if that is impossible, and then `problems` says why.
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self>;

    /// What it is if the key is not there; `None` if it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// Says that something else was expected here.
pub fn expected<T>(node: &Node, what: &str, problems: &mut Diagnostics) -> Option<T> {
    problems.push(wrong_type(node, what));
    None
}

/// "expected …, found …", at the node.
pub fn wrong_type(node: &Node, what: &str) -> Diagnostic {
    Diagnostic::error(format!("expected {what}, found {}", node.describe())).at(&node.span, format!("expected {what}"))
}

impl<T: Read> Read for Option<T> {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Null => Some(None),
            _ => T::read(node, problems).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::Null => Some(Vec::new()),
            Value::List(items) => {
                let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, problems)).collect();
                read.into_iter().collect()
            }
            _ => {
                problems.push(wrong_type(node, "a list").help("write each element on a line of its own, after `- `"));
                None
            }
        }
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<T: Read> Read for Spanned<T> {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        T::read(node, problems).map(|value| Spanned { value, span: node.span.clone() })
    }
}

/// A map from names to values, in the order of the file.
#[derive(Clone, PartialEq, Debug)]
pub struct MapOf<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for MapOf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Read> Read for MapOf<T> {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::Null => Some(Self::default()),
            Value::Map(entries) => {
                let read: Vec<_> = entries
                    .iter()
                    .map(|Entry { key, key_span, node }| {
                        let key = Spanned { value: key.clone(), span: key_span.clone() };
                        T::read(node, problems).map(|value| (key, value))
                    })
                    .collect();
                read.into_iter().collect::<Option<_>>().map(Self)
            }
            _ => expected(node, "a map", problems),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl Read for String {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => {
                let quoted = format!("put it in quotes: \"{}\"", node.span.text());
                problems.push(wrong_type(node, "a string").help(quoted));
                None
            }
            _ => expected(node, "a string", problems),
        }
    }
}

impl Read for bool {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => expected(node, "true or false", problems),
        }
    }
}

macro_rules! read_number {
    ($($type:ty, $what:literal;)*) => {$(
        impl Read for $type {
            fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
                match &node.value {
                    Value::Number(text) => match text.parse() {
                        Ok(number) => Some(number),
                        Err(_) => expected(node, $what, problems),
                    },
                    Value::String(text) if text.parse::<Self>().is_ok() => {
                        problems.push(wrong_type(node, $what).help("write it without quotes"));
                        None
                    }
                    _ => expected(node, $what, problems),
                }
            }
        }
    )*};
}

read_number! {
    u8, "a whole number from 0 to 255";
    i32, "a whole number";
    u16, "a whole number from 0 to 65535";
    u32, "a whole number of zero or more";
    u64, "a whole number of zero or more";
    i64, "a whole number";
}

impl Read for f64 {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::Number(text) => match text.parse::<Self>() {
                Ok(number) if number.is_finite() => Some(number),
                _ => expected(node, "a number", problems),
            },
            _ => expected(node, "a number", problems),
        }
    }
}

impl Read for Duration {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        const WHAT: &str = "a duration such as `30s`, `1m30s` or `500ms`";
        let text = match &node.value {
            Value::String(text) => text,
            Value::Number(text) if text == "0" => return Some(Self::ZERO),
            Value::Number(text) if text.starts_with('-') => {
                problems.push(
                    Diagnostic::error(format!("`{text}` is no duration: it is negative, and lacks a unit"))
                        .at(&node.span, format!("expected {WHAT}")),
                );
                return None;
            }
            Value::Number(text) => {
                problems.push(
                    Diagnostic::error(format!("the duration `{text}` lacks a unit"))
                        .at(&node.span, format!("expected {WHAT}"))
                        .help(format!("write `{text}s` for seconds, or one of the units ns, us, ms, s, m, h")),
                );
                return None;
            }
            _ => return expected(node, WHAT, problems),
        };
        match Self::from_str(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let message = error.to_string();
                let (head, tail) = message.split_once(": ").unwrap_or((&message, ""));
                let head = match &error {
                    ParseDurationError::UnknownUnit { unit, .. } => {
                        format!("`{text}` is no duration: `{}` is no unit", unit.trim())
                    }
                    _ => head.to_string(),
                };
                let diagnostic = Diagnostic::error(head).at(&node.span, tail);
                problems.push(match duration_help(text, &error) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
                None
            }
        }
    }
}

/// What was meant, where that is clear.
fn duration_help(text: &str, error: &ParseDurationError) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
    match error {
        ParseDurationError::MissingUnit { number, .. } => Some(format!("write `{number}s` for seconds")),
        ParseDurationError::UnknownUnit { unit, .. } => match unit.trim() {
            "sec" | "secs" | "second" | "seconds" | "S" => Some(format!("write `{number}s`")),
            "min" | "mins" | "minute" | "minutes" | "M" => Some(format!("write `{number}m`")),
            "hour" | "hours" | "hr" | "hrs" | "H" => Some(format!("write `{number}h`")),
            "msec" | "millis" | "MS" => Some(format!("write `{number}ms`")),
            "d" | "day" | "days" => Some("there is no unit for days: write hours, as in `24h`".into()),
            _ => None,
        },
        _ => None,
    }
}

impl Read for Version {
    fn read(node: &Node, problems: &mut Diagnostics) -> Option<Self> {
        // Unquoted, 1.30 is a number to YAML; the text is still there, so nothing is lost.
        let (Value::String(text) | Value::Number(text)) = &node.value else {
            return expected(node, "a Kubernetes version such as \"1.33\"", problems);
        };
        match text.parse() {
            Ok(version) => Some(version),
            Err(error) => {
                let problem = Diagnostic::error(error.to_string().split("; ").next().unwrap_or_default());
                let problem = problem.at(
                    &node.span,
                    format!("expected a version from \"{}\" to \"{}\"", Version::OLDEST, Version::NEWEST),
                );
                // 1.3 may be what some tool made of 1.30.
                let with_zero = format!("{text}0");
                problems.push(match with_zero.parse::<Version>() {
                    Ok(_) => problem.help(format!("write \"{with_zero}\" if that is meant, in quotes")),
                    Err(_) => problem,
                });
                None
            }
        }
    }
}

/// A map that is read field by field, as the types of `record!` are.
pub struct Record<'a> {
    node: &'a Node,
    what: &'static str,
    /// Fields that unknown keys were probably meant to be.
    misspelt: Vec<String>,
}

impl<'a> Record<'a> {
    /// Takes a node for a record with these fields (in snake case), and says which of its keys are none of them.
    pub fn open(
        node: &'a Node,
        what: &'static str,
        fields: &[&'static str],
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let names: Vec<String> = fields.iter().map(|f| camel(f)).collect();
            problems.push(wrong_type(node, "a map").note(format!("the fields of {what} are: {}", names.join(", "))));
            return None;
        };
        let names: Vec<String> = fields.iter().map(|f| camel(f)).collect();
        let mut misspelt = Vec::new();
        for entry in entries.iter().filter(|e| !names.contains(&e.key)) {
            misspelt.extend(suggest::nearest(&entry.key, names.iter().map(String::as_str)).map(str::to_string));
            problems.push(unknown_field(entry, what, names.iter().map(String::as_str)));
        }
        Some(Self { node, what, misspelt })
    }

    /// Reads one field.
    pub fn field<T: Read>(&self, field: &str, problems: &mut Diagnostics) -> Option<T> {
        let name = camel(field);
        match self.node.entry(&name) {
            Some(entry) => T::read(&entry.node, problems),
            None => T::absent().or_else(|| {
                if !self.misspelt.contains(&name) {
                    problems.push(missing_field(&self.node.span, self.what, &name));
                }
                None
            }),
        }
    }
}

/// A field that must be there is not.
pub fn missing_field(span: &Span, what: &str, name: &str) -> Diagnostic {
    Diagnostic::error(format!("{what} lacks the field `{name}`")).at(span, format!("`{name}` is required here"))
}

/// A key that is no field.
pub fn unknown_field<'n>(entry: &Entry, what: &str, names: impl IntoIterator<Item = &'n str>) -> Diagnostic {
    Diagnostic::error(format!("unknown field `{}` in {what}", entry.key))
        .at(&entry.key_span, "unknown field")
        .help(suggest::help(&entry.key, "fields", names))
}

/// `service_time` as `serviceTime`.
pub fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let mut name = words.next().unwrap_or_default().to_string();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// A struct of the scenario file: the fields, their documentation (which becomes the JSON Schema's), and how they are
/// read, in one place.
///
/// The string after the name says what it is, for messages. Keys are the fields' names in camel case; a key that is
/// none of them is an error. Fields of type `Option`, `Vec` and `MapOf` may be left out. What fields must be there
/// together or not can be checked by a function of the node, which tells the problem and returns false.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident is $what:literal $(, checked by $check:ident)? {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
    }) => {
        #[derive(Clone, PartialEq, Debug, schemars::JsonSchema)]
        #[schemars(rename_all = "camelCase", deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::scenario::read::Read for $name {
            fn read(
                node: &$crate::scenario::tree::Node,
                problems: &mut $crate::scenario::diagnostic::Diagnostics,
            ) -> Option<Self> {
                let record = $crate::scenario::read::Record::open(node, $what, &[$(stringify!($field)),*], problems)?;
                $(let $field = record.field(stringify!($field), problems);)*
                $(if !$check(node, problems) {
                    return None;
                })?
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

pub(crate) use record;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::SourceFile;
    use crate::scenario::tree::parse;

    fn read<T: Read>(text: &str) -> Result<T, Vec<String>> {
        let node = parse(&SourceFile::new("t", text, 0), 0).unwrap().remove(0);
        let mut problems = Diagnostics::default();
        T::read(&node, &mut problems).ok_or_else(|| problems.list.into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn fields_are_written_in_camel_case() {
        assert_eq!(camel("kubernetes"), "kubernetes");
        assert_eq!(camel("skip_wait_for_delete_timeout"), "skipWaitForDeleteTimeout");
    }

    #[test]
    fn durations_need_units() {
        assert_eq!(read::<Duration>("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read::<Duration>("0"), Ok(Duration::ZERO));
        for text in ["30", "-3s", "-3", "3 parsecs", "[]", "true", "1h30"] {
            assert_eq!(read::<Duration>(text).unwrap_err().len(), 1, "{text}");
        }
    }

    #[test]
    fn versions_need_no_quotes() {
        assert_eq!(read::<Version>("1.30"), Ok(Version::minor(30)));
        assert_eq!(read::<Version>("\"1.30\""), Ok(Version::minor(30)));
        assert!(read::<Version>("1.3").is_err(), "1.3 is no other way to write 1.30");
    }

    #[test]
    fn all_elements_of_a_list_are_told_of() {
        assert_eq!(read::<Vec<u32>>("[1, x, 3, -4]").unwrap_err().len(), 2);
    }
}
