//! Whether a shell that runs a container's script stays between the runtime and the application.

/// How sure it is that a shell stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sureness {
    /// The shell stays, whichever it is.
    Stays,
    /// It ends with a simple command: bash replaces itself by that, dash does not.
    DependsOnShell,
}

/// Whether the shell stays between the runtime and the application.
#[must_use]
pub fn keeps_signals(script: &str) -> Option<Sureness> {
    let handles = script.contains("trap ");
    let execs = script.split(['\n', ';', '&', '|']).any(|part| part.trim().starts_with("exec "));
    if handles || execs || script.trim().is_empty() {
        return None;
    }
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let joined = lines.join("\n");
    let stays = joined.contains("while ") || joined.contains("until ") || joined.contains(" | ") || {
        let without_and = joined.replace("&&", "");
        without_and.contains('&') && joined.contains("wait")
    };
    Some(if stays { Sureness::Stays } else { Sureness::DependsOnShell })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_shell_stays() {
        for (script, expected) in [
            ("exec java -jar app.jar", None),
            ("migrate && exec ./app", None),
            ("set -e\nmigrate\nexec ./app --port 80", None),
            ("trap 'kill $!' TERM; ./app & wait", None),
            ("java -jar app.jar", Some(Sureness::DependsOnShell)),
            ("cd /app && ./run", Some(Sureness::DependsOnShell)),
            ("./app | tee /var/log/app.log", Some(Sureness::Stays)),
            ("./sidecar & ./app & wait", Some(Sureness::Stays)),
            ("while true; do ./app; done", Some(Sureness::Stays)),
            ("", None),
        ] {
            assert_eq!(keeps_signals(script), expected, "{script}");
        }
    }
}
