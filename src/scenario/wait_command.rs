//! What an init container waits for, read from its command: `sh -c "until nc -z backend 80; do sleep 2; done"`.
//!
//! Only loops are read whose condition is one attempt to reach one host by a well-known program.

use crate::engine::Duration;

/// A loop that ends when somebody answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitCommand {
    /// Who is asked: a name of a Service, as DNS has it.
    pub host: String,
    /// The pause between attempts; zero if it is not understood.
    pub every: Duration,
}

impl WaitCommand {
    /// Name and namespace of the Service that the host stands for, to a pod in `namespace`.
    #[must_use]
    pub fn service<'a>(&'a self, namespace: &'a str) -> (&'a str, &'a str) {
        let mut labels = self.host.split('.');
        (labels.next().unwrap_or_default(), labels.next().unwrap_or(namespace))
    }
}

/// Reads a command with its arguments; `None` if it waits for nothing, or for something else.
#[must_use]
pub fn read(argv: &[String]) -> Option<WaitCommand> {
    let script = argv.iter().find(|word| word.contains("until ") || word.contains("while "))?;
    let words: Vec<&str> = script.split(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | ')')).collect();
    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
    let start = words.iter().position(|w| matches!(*w, "until" | "while"))?;
    let end = start + words[start..].iter().position(|w| *w == "do")?;
    let condition = &words[start + 1..end];
    let negated = condition.first() == Some(&"!");
    if (words[start] == "while") != negated {
        return None; // it goes on as long as somebody answers
    }
    let host = host_of(&condition[usize::from(negated)..])?;
    let sleep = words[end..].windows(2).find(|pair| pair[0] == "sleep");
    let every =
        sleep.and_then(|pair| pair[1].trim_end_matches('s').parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    Some(WaitCommand { host, every })
}

/// Whom an attempt is made to reach.
fn host_of(attempt: &[&str]) -> Option<String> {
    let program = attempt.first()?.rsplit('/').next()?;
    let host = match program {
        // the first word that is no option and no value of one
        "nc" | "ncat" | "netcat" | "nslookup" => {
            let mut words = attempt[1..].iter().peekable();
            loop {
                let word = words.next()?;
                match word.strip_prefix('-') {
                    Some("w" | "i") => _ = words.next(),
                    Some(_) => {}
                    None => break *word,
                }
            }
        }
        "curl" | "wget" => attempt[1..].iter().find_map(|word| {
            let url = word.trim_matches(['"', '\'']);
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
            rest.split(['/', ':']).next()
        })?,
        "pg_isready" => attempt.windows(2).find(|pair| matches!(pair[0], "-h" | "--host")).map(|pair| pair[1])?,
        _ => return None,
    };
    let host = host.trim_matches(['"', '\'']);
    (!host.is_empty() && !host.contains('$')).then(|| host.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_around_an_attempt() {
        for (script, expected) in [
            ("until nc -z backend 80; do sleep 2; done", Some(("backend", 2))),
            ("until nc -z -w 3 backend.shop 5432; do echo waiting; sleep 5; done", Some(("backend.shop", 5))),
            ("while ! nc -z db 5432; do sleep 1; done", Some(("db", 1))),
            (
                "until nslookup myservice.default.svc.cluster.local; do echo waiting for myservice; sleep 2; done",
                Some(("myservice.default.svc.cluster.local", 2)),
            ),
            ("until curl -sf http://api:8080/health; do sleep 3s; done", Some(("api", 3))),
            ("until pg_isready -h db -U app; do sleep 1; done", Some(("db", 1))),
            ("until wget -qO- \"http://api/\"; do true; done", Some(("api", 0))),
            ("while nc -z backend 80; do sleep 2; done", None),
            ("until nc -z $HOST 80; do sleep 2; done", None),
            ("until test -f /tmp/ready; do sleep 2; done", None),
            ("sleep 5", None),
        ] {
            let argv = ["sh".to_string(), "-c".to_string(), script.to_string()];
            let read = read(&argv);
            let got = read.as_ref().map(|w| (w.host.as_str(), w.every.as_secs()));
            assert_eq!(got, expected, "{script}");
        }
    }

    #[test]
    fn hosts_are_services() {
        let command = |host: &str| WaitCommand { host: host.into(), every: Duration::ZERO };
        assert_eq!(command("db").service("shop"), ("db", "shop"));
        assert_eq!(command("db.data.svc.cluster.local").service("shop"), ("db", "data"));
    }
}
