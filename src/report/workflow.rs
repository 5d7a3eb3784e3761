//! Workflow commands, by which a job on GitHub annotates lines of files (docs.github.com, "Workflow commands for GitHub
//! Actions").

/// The command that shows a message at a line and a column, from 1, with a line break at its end. `command` is `error`,
/// `warning` or `notice`.
pub fn annotation(command: &str, file: &str, (line, column): (usize, usize), title: &str, message: &str) -> String {
    let (file, title, message) = (property(file), property(title), data(message));
    format!("::{command} file={file},line={line},col={column},title={title}::{message}\n")
}

/// Source: actions/toolkit, packages/core/src/command.ts escapeData.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Source: the same file, escapeProperty.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(
            annotation("error", "a:b,c%.yaml", (3, 7), "two\nlines", "50 % of\nit: a, b"),
            "::error file=a%3Ab%2Cc%25.yaml,line=3,col=7,title=two%0Alines::50 %25 of%0Ait: a, b\n"
        );
    }
}
