//! Imports go downward only: the floors of `docs/architecture.md`, in that order.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// From the ground up.
const FLOORS: [&str; 7] = ["engine", "api", "simulation", "scenario", "analysis", "report", "cli"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The floors that a line of code names, as in `use crate::api::Pod;`.
fn named(line: &str) -> impl Iterator<Item = usize> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        FLOORS.iter().position(|floor| *floor == &rest[..end])
    })
}

#[test]
fn imports_go_downward() {
    let mut wrong = Vec::new();
    for (number, floor) in FLOORS.iter().enumerate() {
        let mut files = Vec::new();
        rust_files(&source().join(floor), &mut files);
        assert!(!files.is_empty(), "there is no {floor}");
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let up = text.lines().enumerate().filter(|(_, line)| named(line).any(|other| other > number));
            wrong.extend(up.map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim())));
        }
    }
    assert!(wrong.is_empty(), "imports from a higher floor:\n{}", wrong.join("\n"));
}

#[test]
fn floors_are_found_in_lines() {
    let names = |line: &str| named(line).map(|floor| FLOORS[floor]).collect::<Vec<_>>();
    assert_eq!(names("    use crate::report::fixture; // crate::cli"), ["report"]);
    assert_eq!(names("let x = crate::cli::find(crate::api_version());"), ["cli"]);
    assert!(names("macro_crate::nothing()").is_empty());
}
