//! The documentation does what it says: its commands run, their quoted output is real, its tables are the program's.
//!
//! In `README.md` and `docs/*.md`, every block that begins with ```` ```console ```` is read as a session: `$ drainsim …`
//! and `$ cargo run --release -- …` are executed from the top of the repository (what is behind a `|` is not), other
//! commands are passed by. The lines below a command must occur in its output, in this order; a line `...` stands for
//! whatever was left out.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes generated tables anew, and the sessions after a comment such as
//! `<!-- keep: 1-4; The race+5 -->`: lines 1 to 4 of the output, and the first line with `The race` with 5 more. What the
//! text around them says about their numbers must then be read again by a person.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{env, fs};

use assert_cmd::Command;
use drainsim::analysis::lint::RULES;
use drainsim::scenario::library::{GROUPS, LIBRARY};
use serde_json::Value;

const FORMAT_PAGE: &str = "docs/scenario-format.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that there are, with their text; brought up to date before if that was asked for.
fn pages() -> Vec<(PathBuf, String)> {
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| {
        if env::var_os("UPDATE_DOCS").is_some() {
            for (path, text) in stored_pages() {
                fs::write(path, quoted_anew(&with_catalogue(&with_rules(&with_tables(&text))))).unwrap();
            }
        }
    });
    stored_pages()
}

fn format_page() -> String {
    let found = pages().into_iter().find(|(path, _)| path.ends_with(FORMAT_PAGE));
    found.unwrap_or_else(|| panic!("there is no {FORMAT_PAGE}")).1
}

fn stored_pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md")];
    if let Ok(entries) = fs::read_dir(root().join("docs")) {
        paths.extend(entries.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    paths.sort();
    paths.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect()
}

/// The fenced blocks of a language: the number of the first line inside, and the lines.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, Vec<&'a str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut inside = Vec::new();
        let mut first = 0;
        for (number, line) in lines.by_ref() {
            if line.starts_with("```") {
                break;
            }
            if inside.is_empty() {
                first = number + 1;
            }
            inside.push(line);
        }
        if info.trim() == language {
            blocks.push((first, inside));
        }
    }
    blocks
}

/// A command of a session, and what is quoted of its output.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    quoted: Vec<String>,
}

fn steps(first_line: usize, lines: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for (offset, line) in lines.iter().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: first_line + offset, command: command.to_string(), quoted: Vec::new() });
            continued = true;
        } else if let Some(step) = steps.last_mut() {
            match step.command.strip_suffix('\\') {
                Some(head) if continued => step.command = format!("{}{}", head, line.trim_start()),
                _ => {
                    continued = false;
                    step.quoted.push(line.trim_end().to_string());
                }
            }
        }
    }
    steps
}

/// The arguments for drainsim; `None` if it is another command.
fn arguments(command: &str) -> Option<Vec<String>> {
    let words = words(command);
    let strings: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = match strings[..] {
        ["drainsim", ref rest @ ..] | ["cargo", "run", "--release", "--", ref rest @ ..] => rest,
        _ => return None,
    };
    Some(rest.iter().map(|word| (*word).to_string()).collect())
}

/// As a shell splits a simple command; what is behind `|`, `>` or `#` is left out.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '#') if word.is_none() => return words,
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Exit code, and what was printed: stdout, then stderr.
fn drainsim(arguments: &[String]) -> (i32, String) {
    let mut command = Command::cargo_bin("drainsim").unwrap();
    let output = command.current_dir(root()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

/// The first quoted line that the output does not have at its place.
fn missing<'a>(quoted: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines().map(str::trim_end);
    quoted
        .iter()
        .filter(|line| !line.is_empty() && !matches!(line.trim(), "..." | "…"))
        .find(|wanted| !lines.any(|line| line == wanted.as_str()))
        .map(String::as_str)
}

/// The page with the sessions after `keep` comments quoted anew.
fn quoted_anew(page: &str) -> String {
    let mut fresh = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- keep: ") {
        let (what, after) = after.split_once(" -->\n```console\n").expect("a session after the comment");
        let (session, after) = after.split_once("\n```\n").expect("the end of the session");
        let lines: Vec<&str> = session.lines().collect();
        let [step] = &steps(0, &lines)[..] else { panic!("one command in a session to be quoted anew: {session}") };
        let commands = lines.len() - step.quoted.len();
        let (_, output) = drainsim(&arguments(&step.command).expect("a command for drainsim"));
        let session = lines[..commands].join("\n");
        let excerpt = excerpt(&output, what);
        write!(fresh, "{before}<!-- keep: {what} -->\n```console\n{session}\n{excerpt}```\n").unwrap();
        rest = after;
    }
    fresh + rest
}

/// The lines that `what` asks for, with `...` for the others.
fn excerpt(output: &str, what: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().map(str::trim_end).collect();
    let mut keep = vec![what == "all"; lines.len()];
    for part in what.split(';').map(str::trim).filter(|part| *part != "all") {
        let range = part.split_once('-').and_then(|(a, b)| Some((a.parse::<usize>().ok()?, b.parse::<usize>().ok()?)));
        let (first, count) = if let Some((first, last)) = range {
            (first - 1, last + 1 - first)
        } else {
            let (text, more) = part.rsplit_once('+').unwrap_or((part, "0"));
            let at = lines.iter().position(|line| line.contains(text));
            (at.unwrap_or_else(|| panic!("no line with `{text}` in\n{output}")), more.parse::<usize>().unwrap() + 1)
        };
        keep.iter_mut().skip(first).take(count).for_each(|keep| *keep = true);
    }
    let mut out = String::new();
    for (line, keep) in lines.iter().zip(keep) {
        if keep {
            writeln!(out, "{line}").unwrap();
        } else if !out.ends_with("...\n") {
            // An empty line before it says nothing more.
            out.truncate(out.trim_end_matches('\n').len() + usize::from(!out.is_empty()));
            out.push_str("...\n");
        }
    }
    out
}

#[test]
fn every_command_runs_and_prints_what_is_quoted() {
    let mut wrong = String::new();
    let mut count = 0;
    for (path, text) in pages() {
        for (first, lines) in blocks(&text, "console") {
            for step in steps(first, &lines) {
                let Some(arguments) = arguments(&step.command) else { continue };
                count += 1;
                let place = format!("{}:{}: $ {}", path.display(), step.line, step.command);
                let (code, output) = drainsim(&arguments);
                // 1: an expectation failed, as it should when a page takes the cure away. 2 must be what is shown.
                let told = step.quoted.iter().any(|line| line.starts_with("error:"));
                if code != 0 && code != 1 && !(code == 2 && told) {
                    writeln!(wrong, "{place}\n  ended with {code}:\n{output}").unwrap();
                } else if let Some(line) = missing(&step.quoted, &output) {
                    writeln!(wrong, "{place}\n  does not print (at this place)\n{line}\n  but\n{output}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 0 || pages().is_empty(), "no page shows a command");
}

/// In the page of the format, what `drainsim schema` prints as text is quoted whole.
#[test]
fn the_printed_references_are_quoted_whole() {
    let page = format_page();
    let quoted: Vec<Step> = blocks(&page, "console").iter().flat_map(|(line, lines)| steps(*line, lines)).collect();
    for what in ["expectations", "latencies", "profiles"] {
        let command = format!("drainsim schema {what}");
        let step = quoted.iter().find(|step| step.command == command).unwrap_or_else(|| panic!("no `{command}`"));
        let (_, output) = drainsim(&["schema".to_string(), what.to_string()]);
        assert_eq!(step.quoted.join("\n"), output.trim_end(), "{command}: run it and paste its output");
    }
}

/// Every type of the schema that has fields, and every field of it, is in a table between markers.
#[test]
fn the_tables_of_fields_are_those_of_the_schema() {
    let page = format_page();
    assert!(page == with_tables(&page), "{FORMAT_PAGE} is out of date: UPDATE_DOCS=1 cargo test --test docs");
    let schema = schema();
    let types = schema["$defs"].as_object().unwrap();
    for (name, _) in types.iter().filter(|(_, of)| of.get("properties").is_some()) {
        let marker = format!("<!-- fields: {name} -->");
        assert!(page.contains(&marker), "{FORMAT_PAGE} has no table of the fields of {name}");
    }
}

/// The page with its tables of fields written anew.
fn with_tables(page: &str) -> String {
    let schema = schema();
    let mut fresh = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- fields: ") {
        let (name, after) = after.split_once(" -->\n").expect("a closed marker");
        let (_, after) = after.split_once("<!-- end -->").expect("an end of the table");
        write!(fresh, "{before}<!-- fields: {name} -->\n{}<!-- end -->", table(&schema, name)).unwrap();
        rest = after;
    }
    fresh + rest
}

/// Every rule of `drainsim lint` has its section, with what it says itself.
#[test]
fn the_sections_of_rules_are_those_of_the_program() {
    let (path, page) = pages().into_iter().find(|(path, _)| path.ends_with("docs/lint.md")).expect("the page of lint");
    assert!(page == with_rules(&page), "{} is out of date: UPDATE_DOCS=1 cargo test --test docs", path.display());
    for rule in RULES {
        assert!(page.contains(&format!("\n### {}\n", rule.id)), "{rule:?}: {} leads nowhere", rule.page());
    }
}

/// The page with its sections of rules written anew.
fn with_rules(page: &str) -> String {
    const BEGIN: &str = "<!-- rules -->\n";
    const END: &str = "<!-- end rules -->";
    let Some((before, after)) = page.split_once(BEGIN) else { return page.to_string() };
    let (_, after) = after.split_once(END).expect("an end of the rules");
    let mut rules = String::new();
    for rule in RULES {
        let pair = format!("tests/lint/{}", rule.id);
        let shown = if root().join(&pair).is_dir() { format!("[{pair}](../{pair})") } else { "no pair of runs".into() };
        let severity = drainsim::report::lint::severity(rule.severity);
        write!(
            rules,
            "\n### {}\n\n*{severity}*: {}.\n\n{}\n\n```yaml\n{}\n```\n\nSource: {}. Shown by: {shown}.\n",
            rule.id, rule.summary, rule.why, rule.fix, rule.source
        )
        .unwrap();
    }
    format!("{before}{BEGIN}{rules}\n{END}{after}")
}

fn schema() -> Value {
    serde_json::from_str(&drainsim(&["schema".to_string()]).1).unwrap()
}

fn table(schema: &Value, name: &str) -> String {
    let of = &schema["$defs"][name];
    let required: Vec<&str> = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = of["properties"].as_object().unwrap_or_else(|| panic!("{name} is no type with fields"));
    let mut out = String::from("\n| field | type | |\n|---|---|---|\n");
    // What must be there comes first.
    let (must, may): (Vec<_>, Vec<_>) = fields.iter().partition(|(field, _)| required.contains(&field.as_str()));
    for (field, of) in must.iter().chain(&may) {
        let need = if required.contains(&field.as_str()) { " **Required.**" } else { "" };
        let text = of["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        writeln!(out, "| `{field}` | {} | {text}{need} |", type_name(of)).unwrap();
    }
    out.push('\n');
    out
}

/// Every scenario stands in the catalogue, with what its file says of itself.
#[test]
fn the_catalogue_is_that_of_the_files() {
    let (path, page) = pages().into_iter().find(|(path, _)| path.ends_with("docs/scenarios.md")).unwrap();
    assert!(page == with_catalogue(&page), "{} is out of date: UPDATE_DOCS=1 cargo test --test docs", path.display());
}

/// The page with its tables of scenarios written anew.
fn with_catalogue(page: &str) -> String {
    const START: &str = "<!-- scenarios -->\n";
    let Some((before, (_, after))) =
        page.split_once(START).and_then(|(before, rest)| Some((before, rest.split_once("<!-- end -->")?)))
    else {
        return page.to_string();
    };
    let mut catalogue = String::new();
    for group in GROUPS {
        let mut rows = Vec::new();
        for builtin in LIBRARY.iter().filter(|builtin| builtin.group() == group) {
            let header = builtin.text.split("\n---").next().unwrap();
            let header: Value = serde_saphyr::from_str(header).unwrap_or_else(|e| panic!("{}: {e}", builtin.name));
            let of = |value: &Value| value.as_str().unwrap_or_default().trim().replace('|', "\\|");
            let description = of(&header["metadata"]["description"]);
            assert!(!description.is_empty(), "{} has no description", builtin.name);
            rows.push((of(&header["metadata"]["labels"]["row"]), builtin.name, description));
        }
        // most groups have no numbers
        let numbered = rows.iter().any(|(row, ..)| !row.is_empty());
        let head =
            if numbered { "| row | scenario | what it shows |\n|---|" } else { "| scenario | what it shows |\n|" };
        write!(catalogue, "\n## {}\n\n{head}---|---|\n", group.title).unwrap();
        for (row, name, description) in rows {
            let row = if numbered { format!("| {row} ") } else { String::new() };
            writeln!(catalogue, "{row}| [{name}](../scenarios/{name}.yaml) | {description} |").unwrap();
        }
    }
    format!("{before}{START}{catalogue}\n<!-- end -->{after}")
}

/// `string`, `Latency`, `list of Taint`, `map of string`.
fn type_name(of: &Value) -> String {
    if let Some(reference) = of["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap().to_string();
    }
    if let Some(options) = of["anyOf"].as_array() {
        let names: Vec<String> = options.iter().map(type_name).filter(|name| name != "null").collect();
        return names.join(" or ");
    }
    if let Some(constant) = of["const"].as_str() {
        return format!("`{constant}`");
    }
    let plain = match &of["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default(),
        name => name.as_str().unwrap_or_default(),
    };
    match plain {
        "array" => format!("list of {}", type_name(&of["items"])),
        "object" if of["properties"]["watch"].is_object() => "map of Latency".to_string(),
        "object" => format!("map of {}", type_name(&of["additionalProperties"])),
        name => name.to_string(),
    }
}

/// Blocks with a whole scenario are run; the others are parts of one, of the type that a comment before them names.
#[test]
fn every_example_of_the_format_is_one() {
    let page = format_page();
    let schema = schema();
    let marks: Vec<(usize, &str)> = page
        .lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number, line.strip_prefix("<!-- example: ")?.strip_suffix(" -->")?)))
        .collect();
    let mut whole = 0;
    for (first, lines) in blocks(&page, "yaml") {
        let text = lines.join("\n");
        if text.starts_with("apiVersion: drainsim") {
            whole += 1;
            let output = Command::cargo_bin("drainsim").unwrap().args(["run", "-"]).write_stdin(text).output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).to_string();
            assert_eq!(output.status.code(), Some(0), "line {first}: {error}");
            continue;
        }
        // The fence is between the mark and the first line, which counts from 1.
        let Some((_, name)) = marks.iter().find(|(number, _)| number + 3 == first) else { continue };
        let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("line {first}: {e}"));
        let of = serde_json::json!({"$ref": format!("#/$defs/{name}"), "$defs": schema["$defs"]});
        let validator = jsonschema::validator_for(&of).unwrap();
        // A list of examples is that of its elements.
        for value in value.as_array().map_or(vec![value.clone()], Clone::clone) {
            let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "line {first}: {value} is no {name}: {errors:?}");
        }
    }
    assert!(whole > 0, "{FORMAT_PAGE} shows no whole scenario");
}

#[test]
fn sessions_are_read_as_they_are_meant() {
    let text =
        "a\n```console\n$ drainsim run 'a b' --set \"x=[1, 2]\" \\\n    --seed 2 | head\nline\n...\nend\n$ ls\n```\n";
    let (first, lines) = blocks(text, "console").remove(0);
    let steps = steps(first, &lines);
    assert_eq!(steps.len(), 2);
    let arguments = arguments(&steps[0].command).unwrap();
    assert_eq!(arguments, ["run", "a b", "--set", "x=[1, 2]", "--seed", "2"]);
    assert_eq!(steps[0].quoted, ["line", "...", "end"]);
    assert_eq!(missing(&steps[0].quoted, "line\nmore\nend\n"), None);
    assert_eq!(missing(&steps[0].quoted, "end\nline\n"), Some("end"));
    assert!(self::arguments(&steps[1].command).is_none());
}
