//! Reading files: the only place of the scenario that does so, behind a trait with which tests use memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::{Document, unfold};
use crate::scenario::source::{SourceFile, Span};
use crate::scenario::suggest;
use crate::scenario::tree::{self, Node};

/// Where a scenario or manifests come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A file, or a directory of manifests.
    Path(PathBuf),
    /// What was piped in.
    Stdin(String),
    /// A text that the program brings along, or made itself.
    Builtin {
        /// The name to show for it.
        name: String,
        /// The text.
        text: String,
    },
}

/// No file may be larger; `kubectl get pods -A -o yaml` of 8,000 pods is about as large.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// No input may consist of more files.
const FILES_MAX: usize = 10_000;
/// No chain of files that name each other may be longer.
const CHAIN_MAX: usize = 16;

/// What is needed of a file system.
pub trait Files {
    /// The content of a file, up to `limit` bytes and one more.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Whether it is a directory.
    fn is_directory(&self, path: &Path) -> bool;

    /// What a directory contains, in order of names.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, limit + 1), &mut bytes)?;
        Ok(bytes)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
        entries.sort();
        Ok(entries)
    }
}

/// Files in memory, by path.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path, _limit: u64) -> io::Result<Vec<u8>> {
        self.0.get(&normal(path)).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn is_directory(&self, path: &Path) -> bool {
        let path = &normal(path);
        self.0.keys().any(|file| file != path && file.starts_with(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let directory = normal(path);
        let below = |file: &PathBuf| {
            let first = file.strip_prefix(&directory).ok()?.components().next()?;
            Some(path.join(first))
        };
        let mut entries: Vec<PathBuf> = self.0.keys().filter_map(below).collect();
        entries.dedup();
        Ok(entries)
    }
}

/// Reads all inputs, and the manifests that scenarios among them name.
pub fn read_documents(files: &dyn Files, inputs: &[Input], problems: &mut Diagnostics) -> Vec<Document> {
    let mut reader = Reader {
        files,
        problems,
        documents: Vec::new(),
        read: BTreeSet::new(),
        stack: Vec::new(),
        in_directory: false,
        count: 0,
    };
    for input in inputs {
        match input {
            Input::Path(path) => reader.path(path, None),
            Input::Stdin(text) => reader.text("standard input", text, None),
            Input::Builtin { name, text } => reader.text(name, text, None),
        }
    }
    reader.documents
}

/// All manifests of a directory and of those inside it, in order; logs and other files are passed by.
///
/// # Errors
/// A directory cannot be read, there are too many files, or none.
pub fn manifests_in(files: &dyn Files, path: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let mut waiting = vec![path.to_path_buf()];
    let mut found = Vec::new();
    while let Some(directory) = waiting.pop() {
        for entry in files.list(&directory).map_err(|error| Box::new(cannot_read(&directory, &error)))? {
            if files.is_directory(&entry) {
                waiting.push(entry);
            } else if is_manifest(&entry) {
                found.push(entry);
            }
        }
        if found.len() + waiting.len() > FILES_MAX {
            let message = format!("the directory `{}` contains more than {FILES_MAX} files", path.display());
            return Err(Box::new(Diagnostic::error(message)));
        }
    }
    if found.is_empty() {
        let message = format!("`{}` is a directory without manifests", path.display());
        return Err(Box::new(Diagnostic::error(message).help("manifests are files named *.yaml, *.yml or *.json")));
    }
    found.sort();
    Ok(found)
}

struct Reader<'a> {
    files: &'a dyn Files,
    problems: &'a mut Diagnostics,
    documents: Vec<Document>,
    /// Files that have been read, by their path without `.` and `..`.
    read: BTreeSet<PathBuf>,
    /// The files whose manifests are being read, outermost first.
    stack: Vec<PathBuf>,
    /// The file was found in a directory, not named.
    in_directory: bool,
    count: u32,
}

impl Reader<'_> {
    /// A file or directory; `named_at` is where a scenario names it.
    fn path(&mut self, path: &Path, named_at: Option<&Span>) {
        if self.files.is_directory(path) {
            self.directory(path, named_at);
        } else {
            self.file(path, named_at);
        }
    }

    /// All manifests of a directory.
    fn directory(&mut self, path: &Path, named_at: Option<&Span>) {
        match manifests_in(self.files, path) {
            Ok(mut found) => {
                // A directory that contains the file that names it is no cycle: that file has been read.
                found.retain(|file| !self.stack.contains(&normal(file)));
                let before = (self.documents.len(), self.problems.list.len());
                let seen = self.read.len();
                let outer = std::mem::replace(&mut self.in_directory, true);
                for file in &found {
                    self.file(file, named_at);
                }
                self.in_directory = outer;
                let silent = before == (self.documents.len(), self.problems.list.len());
                if silent && self.read.len() == seen + found.len() {
                    let message = format!("no file of `{}` has an object in it", path.display());
                    self.told(named_at, Diagnostic::error(message));
                }
            }
            Err(problem) => self.told(named_at, *problem),
        }
    }

    fn file(&mut self, path: &Path, named_at: Option<&Span>) {
        let key = normal(path);
        if let Some(at) = self.stack.iter().position(|file| *file == key) {
            let mut chain: Vec<String> = self.stack[at..].iter().map(|p| p.display().to_string()).collect();
            chain.push(key.display().to_string());
            let message = format!("`{}` includes itself", path.display());
            self.told(named_at, Diagnostic::error(message).note(format!("the way round: {}", chain.join(" -> "))));
            return;
        }
        if !self.read.insert(key.clone()) {
            return;
        }
        if self.read.len() > FILES_MAX || self.stack.len() > CHAIN_MAX {
            let message = format!("more than {FILES_MAX} files, or {CHAIN_MAX} that name each other in a chain");
            return self.told(named_at, Diagnostic::error(message));
        }
        let bytes = match self.files.read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let mut problem = cannot_read(path, &error);
                if error.kind() == io::ErrorKind::NotFound {
                    problem = self.with_similar_file(problem, path);
                }
                return self.told(named_at, problem);
            }
        };
        let name = path.display().to_string();
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let message = format!("`{name}` is larger than {} MiB", FILE_BYTES_MAX >> 20);
            let help = "leave out what a simulation does not need, such as Secrets, ConfigMaps and Events";
            return self.told(named_at, Diagnostic::error(message).help(help));
        }
        match decode(bytes) {
            Ok(text) => {
                self.stack.push(key);
                self.text(&name, &text, Some(path));
                self.stack.pop();
            }
            Err(why) => self.told(named_at, Diagnostic::error(format!("`{name}` is no text file: {why}"))),
        }
    }

    fn text(&mut self, name: &str, text: &str, path: Option<&Path>) {
        let file = SourceFile::new(name, text, self.count);
        self.count += 1;
        let roots = match tree::parse(&file, 0) {
            Ok(roots) => roots,
            Err(problem) => return self.problems.push(*problem),
        };
        // Templates that came out empty lie among the others in a directory, as kubectl takes it.
        if roots.is_empty() && self.in_directory {
            return;
        }
        if roots.is_empty() {
            let what = if text.trim().is_empty() { "is empty" } else { "contains only comments" };
            self.problems.push(Diagnostic::error(format!("`{name}` {what}")));
            return;
        }
        let first = self.documents.len();
        for root in roots {
            unfold(root, &mut self.documents, self.problems);
        }
        let outer = std::mem::replace(&mut self.in_directory, false);
        for (manifest, span) in named_manifests(&self.documents[first..]) {
            match path {
                Some(path) => {
                    let manifest = path.parent().unwrap_or_else(|| Path::new("")).join(manifest);
                    self.path(&normal(&manifest), Some(&span));
                }
                None => self.path(Path::new(&manifest), Some(&span)),
            }
        }
        self.in_directory = outer;
    }

    fn told(&mut self, named_at: Option<&Span>, problem: Diagnostic) {
        self.problems.push(match named_at {
            Some(span) => problem.at(span, "named here"),
            None => problem,
        });
    }

    fn with_similar_file(&self, problem: Diagnostic, path: &Path) -> Diagnostic {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let names: Vec<String> = self
            .files
            .list(parent)
            .unwrap_or_default()
            .iter()
            .filter_map(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
            .collect();
        let wanted = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match suggest::nearest(&wanted, names.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        }
    }
}

/// The entries of `spec.manifests` of the scenarios among these documents. What is no list of strings is told of later,
/// when the whole scenario is read.
fn named_manifests(documents: &[Document]) -> Vec<(String, Span)> {
    let entries = documents.iter().filter(|d| d.is_scenario()).filter_map(|d| d.node.at(&["spec", "manifests"]));
    entries.flat_map(Node::items).filter_map(|n| n.as_str().map(|text| (text.to_string(), n.span.clone()))).collect()
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    matches!(extension.to_ascii_lowercase().as_str(), "yaml" | "yml" | "json")
}

/// The path without `.` and, where that is possible, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

fn cannot_read(path: &Path, error: &io::Error) -> Diagnostic {
    let name = path.display();
    Diagnostic::error(match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{name}`"),
        io::ErrorKind::PermissionDenied => format!("`{name}` may not be read: permission denied"),
        _ => format!("`{name}` cannot be read: {error}"),
    })
}

/// UTF-8, with or without a byte order mark.
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("it is UTF-16; save it as UTF-8".into());
    }
    if bytes.contains(&0) {
        return Err("it contains NUL bytes".into());
    }
    let text =
        String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nspec: {manifests: [MANIFESTS]}\n";
    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";

    fn read(files: &[(&str, &str)], input: &str) -> (Vec<String>, Vec<String>) {
        let memory =
            Memory(files.iter().map(|(p, t)| (PathBuf::from(p), t.as_bytes().to_vec())).collect::<BTreeMap<_, _>>());
        let mut problems = Diagnostics::default();
        let documents = read_documents(&memory, &[Input::Path(input.into())], &mut problems);
        (
            documents.iter().map(|d| format!("{} {}", d.kind, d.kind_span.file.name)).collect(),
            problems.list.iter().map(|d| d.message.clone()).collect(),
        )
    }

    #[test]
    fn manifests_are_found_beside_the_scenario_and_read_once() {
        let scenario = SCENARIO.replace("MANIFESTS", "web.yaml, ../b/x.json, web.yaml, dir");
        let files = [
            ("a/s.yaml", scenario.as_str()),
            ("a/web.yaml", SERVICE),
            ("b/x.json", SERVICE),
            ("a/dir/default/pods.json", SERVICE),
            ("a/dir/default/pod/logs.txt", "Not: [YAML"),
        ];
        let (documents, problems) = read(&files, "a/s.yaml");
        assert_eq!(problems, [] as [&str; 0]);
        assert_eq!(
            documents,
            ["Scenario a/s.yaml", "Service a/web.yaml", "Service b/x.json", "Service a/dir/default/pods.json"]
        );
    }

    #[test]
    fn a_directory_may_contain_the_scenario_that_names_it() {
        let scenario = SCENARIO.replace("MANIFESTS", ".");
        let (documents, problems) = read(&[("a/s.yaml", &scenario), ("a/web.yaml", SERVICE)], "a/s.yaml");
        assert_eq!((documents.len(), problems.len()), (2, 0));
    }

    #[test]
    fn a_cycle_is_told_and_ends() {
        let (one, two) = (SCENARIO.replace("MANIFESTS", "b.yaml"), SCENARIO.replace("MANIFESTS", "./a.yaml"));
        let (_, problems) = read(&[("a.yaml", &one), ("b.yaml", &two)], "a.yaml");
        assert_eq!(problems, ["`a.yaml` includes itself"]);
    }

    #[test]
    fn only_text_is_read() {
        assert_eq!(decode(b"\xEF\xBB\xBFa: 1".to_vec()), Ok("a: 1".into()));
        assert!(decode(b"\xFF\xFEa\0".to_vec()).is_err());
        assert!(decode(b"\x7FELF\0\0".to_vec()).is_err());
        assert!(decode(b"caf\xE9".to_vec()).is_err());
    }
}
