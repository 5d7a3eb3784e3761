//! Which files below a folder are scenarios, for those who test all of them.

use std::path::{Path, PathBuf};

use crate::scenario::load::{FILE_BYTES_MAX, Files};

/// The scenarios that a path means: a file itself, whatever is in it; of a folder all files with a Scenario document, in
/// order of names. Folders and files whose name begins with a dot are passed by, as are manifests without a scenario.
///
/// # Errors
/// A sentence: the path is not there, or a folder cannot be listed.
pub fn scenarios(files: &dyn Files, path: &Path) -> Result<Vec<PathBuf>, String> {
    if !files.is_directory(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut found, mut waiting) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = waiting.pop() {
        let entries = files.list(&folder).map_err(|e| format!("`{}` cannot be listed: {e}", folder.display()))?;
        for entry in entries {
            let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if files.is_directory(&entry) {
                waiting.push(entry);
            } else if is_yaml(&entry) && files.read(&entry, FILE_BYTES_MAX).is_ok_and(|bytes| has_scenario(&bytes)) {
                found.push(entry);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_yaml(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["yaml", "yml", "json"].contains(&extension.to_ascii_lowercase().as_str())
}

/// Whether a line says so; what is wrong with the file besides is told when it is read.
fn has_scenario(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines().any(|line| {
        let plain: String = line.chars().filter(|c| !c.is_whitespace() && !"\"'{".contains(*c)).collect();
        plain.starts_with("kind:Scenario") || plain.contains(",kind:Scenario")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load::Memory;

    #[test]
    fn folders_are_searched_for_scenarios() {
        let files = [
            ("t/b.yaml", "# about\napiVersion: drainsim/v1alpha1\nkind: Scenario\n"),
            ("t/a/x.json", "{\"apiVersion\": \"drainsim/v1alpha1\", \"kind\": \"Scenario\"}"),
            ("t/a/web.yaml", "kind: Deployment\n# kind: Scenario\n"),
            ("t/.git/c.yaml", "kind: Scenario\n"),
            ("t/readme.md", "kind: Scenario\n"),
        ];
        let memory = Memory(files.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).into());
        assert_eq!(scenarios(&memory, Path::new("t")), Ok(vec!["t/a/x.json".into(), "t/b.yaml".into()]));
        assert_eq!(scenarios(&memory, Path::new("t/a/web.yaml")), Ok(vec!["t/a/web.yaml".into()]));
        assert_eq!(scenarios(&memory, Path::new("nothing")), Ok(vec!["nothing".into()]), "told when it is read");
    }
}
