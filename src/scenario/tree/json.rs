//! JSON, as `kubectl -o json` writes it. YAML's reader takes it as well, but needs many times as long, which is felt with the
//! export of a large cluster; and its words about a file that was cut off are not those of JSON.
//!
//! What is not JSON to the letter (a comment, a key without quotes) is left to YAML's reader.

use std::sync::Arc;

use super::{Entry, Node, Value, limits};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::{SourceFile, Span};

/// Why a text is no JSON that can be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NotJson {
    /// The byte where the reader stopped.
    pub at: usize,
    /// What is wrong there, in words.
    pub message: &'static str,
    /// The text ends too early.
    pub cut_off: bool,
}

impl NotJson {
    /// For the person who wrote or exported the file.
    pub fn diagnostic(&self, file: &Arc<SourceFile>) -> Diagnostic {
        let place = Span::new(file, self.at, self.at + usize::from(!self.cut_off));
        let problem = Diagnostic::error(format!("this is not valid JSON: {}", self.message));
        if self.cut_off {
            problem.at(&place, "it ends here").help("it may have been cut off: write it again")
        } else {
            problem.at(&place, "the reader stopped here")
        }
    }
}

/// Whether a text means to be JSON: an object with a key in quotes, an empty one, or a list of objects.
pub(super) fn looks_like_json(text: &str) -> bool {
    let mut letters = text.chars().filter(|c| !c.is_ascii_whitespace());
    matches!((letters.next(), letters.next()), (Some('{'), Some('"' | '}')) | (Some('['), Some('{')))
}

/// Reads all values of the range of `file` that starts at byte `base`, one after the other.
///
/// The logs of containers between them, as in what `kubectl cluster-info dump` prints, are passed over.
///
/// # Errors
/// The first place that is not JSON, repeats a key, or exceeds a limit.
pub(super) fn parse(file: &Arc<SourceFile>, base: usize) -> Result<Vec<Node>, NotJson> {
    let mut reader = Reader { file, text: file.text.as_bytes(), at: base, depth: 0, nodes: 0 };
    let mut documents = Vec::new();
    loop {
        reader.space();
        if reader.at == reader.text.len() {
            return Ok(documents);
        }
        if !documents.is_empty() && reader.logs() {
            continue;
        }
        if documents.len() == limits::DOCUMENTS {
            return Err(reader.wrong("there are too many documents"));
        }
        documents.push(reader.value()?);
    }
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    text: &'a [u8],
    at: usize,
    depth: usize,
    nodes: usize,
}

impl Reader<'_> {
    fn wrong(&self, message: &'static str) -> NotJson {
        match self.text.get(self.at) {
            Some(_) => NotJson { at: self.at, message, cut_off: false },
            None => NotJson { at: self.at, message: "it ends too early", cut_off: true },
        }
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Passes a byte if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let is = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    /// Passes the log of a container.
    fn logs(&mut self) -> bool {
        let rest = &self.file.text[self.at..];
        if !rest.starts_with("==== START logs for container") {
            return false;
        }
        let end = rest.find("\n==== END logs for container").map_or(rest.len(), |at| at + 1);
        self.at += end + rest[end..].find('\n').unwrap_or(rest.len() - end);
        true
    }

    fn value(&mut self) -> Result<Node, NotJson> {
        self.nodes += 1;
        if self.nodes > limits::NODES {
            return Err(self.wrong("it has more values than can be read"));
        }
        let start = self.at;
        let value = match self.text.get(self.at) {
            Some(b'{') => self.nested(Self::map)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.wrong("a value was expected")),
        };
        let is_long = matches!(value, Value::Map(_) | Value::List(_)) && self.text[start..self.at].contains(&b'\n');
        let end = if is_long { start + 1 } else { self.at };
        Ok(Node { value, span: Span { file: self.file.clone(), start, end } })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, NotJson>) -> Result<Value, NotJson> {
        self.depth += 1;
        if self.depth > limits::DEPTH {
            return Err(self.wrong("lists and maps are nested too deeply"));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            items.push(self.value()?);
            self.space();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]` was expected"));
            }
        }
    }

    fn map(&mut self) -> Result<Value, NotJson> {
        let mut entries: Vec<Entry> = Vec::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            self.space();
            let start = self.at;
            if self.text.get(start) != Some(&b'"') {
                return Err(self.wrong("a key in double quotes was expected"));
            }
            let key = self.string()?;
            let key_span = Span { file: self.file.clone(), start, end: self.at };
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("`:` was expected"));
            }
            self.space();
            // Long, and of no use here.
            if key == "managedFields" {
                self.pass()?;
            } else {
                let node = self.value()?;
                entries.push(Entry { key, key_span, node });
            }
            self.space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}` was expected"));
            }
        }
        let mut keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(NotJson { at: self.at - 1, message: "a key is given twice in this map", cut_off: false });
        }
        Ok(Value::Map(entries))
    }

    /// Passes a value, with no more than a look at its brackets and strings.
    fn pass(&mut self) -> Result<(), NotJson> {
        let mut open = 0_usize;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong("")),
                Some(b'"') => {
                    self.at += 1;
                    while !self.take(b'"') {
                        match self.text.get(self.at) {
                            None => return Err(self.wrong("")),
                            Some(b'\\') => self.at = (self.at + 2).min(self.text.len()),
                            Some(_) => self.at += 1,
                        }
                    }
                    continue;
                }
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') if open == 0 => return Ok(()),
                Some(b'}' | b']') => open -= 1,
                Some(b',') if open == 0 => return Ok(()),
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, NotJson> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("a value was expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// A number, as it is written.
    fn number(&mut self) -> Result<Value, NotJson> {
        let start = self.at;
        while matches!(self.text.get(self.at), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let text = &self.file.text[start..self.at];
        if serde_json::from_str::<serde_json::value::Number>(text).is_err() {
            return Err(NotJson { at: start, message: "this is no number", cut_off: false });
        }
        Ok(Value::Number(text.to_string()))
    }

    fn string(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong("")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at = (self.at + 2).min(self.text.len());
                }
                Some(0..=0x1f) => return Err(self.wrong("a string lacks its closing quote")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        if !escaped {
            return Ok(self.file.text[start + 1..self.at - 1].to_string());
        }
        let wrong =
            NotJson { at: start, message: "a `\\` in this string is followed by nothing known", cut_off: false };
        serde_json::from_str(&self.file.text[start..self.at]).map_err(|_| wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Node>, NotJson> {
        parse(&SourceFile::new("t.json", text, 0), 0)
    }

    #[test]
    fn the_tree_is_that_of_yaml() {
        let text =
            "{\n  \"a\": [1, -2.50, {\"b\": \"c\\u00e9\\n\"}], \"n\": null,\n \"t\": true, \"e\": {}, \"l\": []\n}\n";
        let file = SourceFile::new("t.json", text, 0);
        let (json, yaml) = (parse(&file, 0).unwrap(), super::super::parse_yaml(&file, 0).unwrap());
        assert_eq!(format!("{json:?}"), format!("{yaml:?}"), "with all places");
        assert_eq!(json[0].get("a").unwrap().span.text(), "[1, -2.50, {\"b\": \"c\\u00e9\\n\"}]");
    }

    #[test]
    fn managed_fields_are_passed_over() {
        let node = &read(r#"{"managedFields": [{"f:\"}": {"k": "]"}}], "x": 1, "managedFields": 2}"#).unwrap()[0];
        assert_eq!(node.entries().len(), 1);
    }

    #[test]
    fn what_cluster_info_dump_prints_is_read_without_the_logs() {
        let text = "{\"a\": 1}\n==== START logs for container c of pod p ====\n{ not json\n==== END logs for container c of pod p ====\n{\"b\": 2}";
        assert_eq!(read(text).unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is() {
        for (text, at, cut_off) in [
            ("{\"a\": \"b", 8, true),
            ("{\"a\": [1,", 9, true),
            ("{\"managedFields\": [{\"a", 22, true),
            ("{\"a\": 1 \"b\": 2}", 8, false),
            ("{\"a\": 01}", 6, false),
            ("{\"a\": tru", 6, false),
            ("{\"a\": \"\\x\"}", 6, false),
            ("{\"a\": 1, \"a\": 2}", 15, false),
            ("{\"a\": 1} x", 9, false),
            ("{\"a\": \"\\", 8, true),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.at, wrong.cut_off), (at, cut_off), "{text}: {}", wrong.message);
        }
        assert!(read(&"[".repeat(100)).unwrap_err().message.contains("nested"));
    }

    #[test]
    fn no_cut_or_changed_text_makes_it_panic() {
        let text =
            r#"{"kind": "List", "items": [{"managedFields": [1, "\""], "é": "\u00e9", "n": [1.5e3, null, false]}]}"#;
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = read(&text[..end]);
            for other in ["\"", "\\", "{", "]", ",", "é"] {
                let _ = read(&format!("{}{other}{}", &text[..end], &text[end..]));
            }
        }
    }
}
