//! What a person sees who has made a mistake: one file a mistake under `tests/bad/`, and beside it the message.
//!
//! A first line `# set: PATH=VALUE` is a `--set` of the command line.

use std::path::{Path, PathBuf};

use drainsim::scenario::{Files, Input, Memory, Scenario};

/// The errors, or the warnings of what loads all the same.
fn told(inputs: &[Input], sets: &[String]) -> String {
    match Scenario::load(inputs, sets) {
        Err(problems) => problems.render(false),
        Ok(scenario) => {
            assert!(!scenario.warnings.is_empty(), "there is something wrong with {inputs:?}, and nothing is told");
            scenario.warnings.iter().map(|w| w.render(false)).collect::<Vec<_>>().join("\n\n") + "\n\nit loads"
        }
    }
}

fn check(name: &str, message: String) {
    insta::with_settings!({snapshot_path => "bad", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, message);
    });
}

#[test]
fn every_mistake_is_told_well() {
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/bad").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() > 60, "the files are found");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let set = text.lines().next().and_then(|line| line.strip_prefix("# set: "));
        let sets: Vec<String> = set.into_iter().map(str::to_string).collect();
        let name = file.file_stem().unwrap().to_str().unwrap();
        check(name, told(&[Input::Path(file.clone())], &sets));
    }
}

#[test]
fn files_that_are_no_scenarios_are_told_well() {
    let files = [
        ("binary.yaml", b"\x7FELF\x02\x01\x01\0\0\0".to_vec()),
        ("latin1.yaml", b"# caf\xE9\nkind: Scenario\n".to_vec()),
        ("utf16.yaml", b"\xFF\xFEk\0i\0n\0d\0".to_vec()),
        ("huge.yaml", vec![b'#'; (64 << 20) + 1]),
        ("logs/container.txt", b"nothing\n".to_vec()),
    ];
    let files = Memory(files.into_iter().map(|(path, bytes)| (PathBuf::from(path), bytes)).collect());
    let paths = ["binary.yaml", "latin1.yaml", "utf16.yaml", "huge.yaml", "logs", "not-there.yaml", "binray.yaml"];
    let message = |path: &str| {
        let problems = Scenario::load_from(&files, &[Input::Path(path.into())], &[]).unwrap_err();
        format!("$ {path}\n{problems}")
    };
    check("_files", paths.map(message).join("\n\n"));
    assert!(files.is_directory(Path::new("logs")));
}

#[test]
fn no_input_at_all() {
    check("_nothing", told(&[], &[]));
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    let problems = Scenario::load(&[Input::Path("tests/bad/typo_in_a_field.yaml".into())], &[]).unwrap_err();
    let coloured = problems.render(true);
    assert!(coloured.contains("\u{1b}["));
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, problems.render(false));
}
