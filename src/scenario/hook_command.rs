//! What an `exec` hook does, read from its command: `sh -c "sleep 5 && nginx -s quit"` waits 5 s, then sends SIGQUIT.
//!
//! Only what is certain is read. Everything else is handed back as not understood, and then the scenario says what it
//! does (`apps[].preStop`) or the report says that it was taken to do nothing.

use crate::api::pod::{HookStep, Signal};
use crate::engine::Duration;

/// A command as far as it was understood.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HookCommand {
    /// What it does, in order.
    pub steps: Vec<HookStep>,
    /// The parts whose effect is not known.
    pub unknown: Vec<String>,
}

/// Reads a command with its arguments.
#[must_use]
pub fn read(argv: &[String]) -> HookCommand {
    let mut command = HookCommand::default();
    match argv {
        [shell, flags, script, ..] if is_shell(shell) && flags.starts_with('-') && flags.ends_with('c') => {
            read_script(script, &mut command);
        }
        _ => read_statement(argv, &mut command),
    }
    command
}

fn is_shell(program: &str) -> bool {
    matches!(base_name(program), "sh" | "bash" | "ash" | "dash" | "zsh")
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn read_script(script: &str, command: &mut HookCommand) {
    let mut statements = statements(script).into_iter();
    while let Some(statement) = statements.next() {
        let keyword = statement.first().map(String::as_str);
        if matches!(keyword, Some("while" | "until")) {
            // Up to `done` it is one statement: what matters is what it waits for.
            let condition = statement[1..].join(" ");
            let mut whole = statement.join(" ");
            for part in statements.by_ref() {
                whole.push_str("; ");
                whole.push_str(&part.join(" "));
                if part.last().is_some_and(|word| word == "done") {
                    break;
                }
            }
            if keyword == Some("while") && waits_for_a_process(&condition) {
                command.steps.push(HookStep::UntilExit);
            } else {
                command.unknown.push(whole);
            }
        } else {
            read_statement(&statement, command);
        }
    }
}

/// Whether a loop's condition holds as long as the application's process lives.
fn waits_for_a_process(condition: &str) -> bool {
    let mut words = condition.split_whitespace();
    match base_name(words.next().unwrap_or_default()) {
        "pgrep" | "pidof" => true,
        "killall" | "kill" | "pkill" => words.next() == Some("-0"),
        "test" | "[" => condition.contains("/proc/") || condition.contains(".pid"),
        "ps" => condition.contains("grep"),
        _ => false,
    }
}

/// The statements of a script, each as its words. `&&`, `;` and new lines part them; what follows `||` happens only if
/// something fails and is left out.
fn statements(script: &str) -> Vec<Vec<String>> {
    let mut statements = vec![Vec::new()];
    let mut skipping = false;
    for word in words(script) {
        match word {
            Word::End => {
                skipping = false;
                statements.push(Vec::new());
            }
            Word::Or => skipping = true,
            Word::Text(_) if skipping => {}
            Word::Text(text) => {
                if let Some(last) = statements.last_mut() {
                    last.push(text);
                }
            }
        }
    }
    statements.retain(|s| !s.is_empty());
    statements
}

enum Word {
    Text(String),
    End,
    Or,
}

/// Splits a script into words: quotes and `$(…)` hold together, redirections and comments are dropped.
fn words(script: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = script.chars().peekable();
    let mut depth = 0u32;
    let flush = |word: &mut String, words: &mut Vec<Word>| {
        if !word.is_empty() {
            words.push(Word::Text(std::mem::take(word)));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '(' if word.ends_with('$') || depth > 0 => {
                depth += 1;
                word.push(c);
            }
            ')' if depth > 0 => {
                depth -= 1;
                word.push(c);
            }
            _ if depth > 0 => word.push(c),
            '\'' | '"' | '`' => {
                let inside: String = chars.by_ref().take_while(|&next| next != c).collect();
                if c == '`' {
                    word.push_str(&format!("$({inside})"));
                } else {
                    word.push_str(&inside);
                }
            }
            '\\' => word.extend(chars.next().filter(|&next| next != '\n')),
            '#' if word.is_empty() => while chars.next_if(|&next| next != '\n').is_some() {},
            '>' | '<' => {
                // A redirection, with the number before it and the target after it.
                if word.chars().all(|c| c.is_ascii_digit()) {
                    word.clear();
                }
                flush(&mut word, &mut words);
                while chars.next_if(|next| matches!(next, '>' | '<' | '&' | ' ')).is_some() {}
                while chars.next_if(|next| !next.is_whitespace() && !matches!(next, ';' | '&' | '|')).is_some() {}
            }
            ';' | '\n' => {
                flush(&mut word, &mut words);
                words.push(Word::End);
            }
            '&' if chars.next_if_eq(&'&').is_some() => {
                flush(&mut word, &mut words);
                words.push(Word::End);
            }
            '|' if chars.next_if_eq(&'|').is_some() => {
                flush(&mut word, &mut words);
                words.push(Word::Or);
            }
            ' ' | '\t' | '\r' => flush(&mut word, &mut words),
            c => word.push(c),
        }
    }
    flush(&mut word, &mut words);
    words
}

fn read_statement(statement: &[String], command: &mut HookCommand) {
    let words: Vec<&str> = statement.iter().map(String::as_str).collect();
    let words = match words[..] {
        ["exec" | "command" | "do" | "then", ref rest @ ..] => rest,
        ref all => all,
    };
    let Some((&program, arguments)) = words.split_first() else {
        return;
    };
    let background = arguments.last() == Some(&"&") || words.contains(&"|");
    let steps = if background { None } else { read_program(base_name(program), arguments) };
    match steps {
        Some(steps) => command.steps.extend(steps),
        None => command.unknown.push(statement.join(" ")),
    }
}

/// What a program does; `None` if it is not known.
fn read_program(program: &str, arguments: &[&str]) -> Option<Vec<HookStep>> {
    let signal = |signal| Some(vec![HookStep::Signal(signal)]);
    match (program, arguments) {
        ("true" | ":" | "echo" | "printf" | "date" | "set" | "logger", _) => Some(vec![]),
        // A hook that fails is told of in an event; the kubelet goes on as after one that succeeds.
        ("exit" | "false", _) => Some(vec![]),
        ("sleep", [_, ..]) => {
            let total = arguments.iter().map(|a| sleep_span(a)).collect::<Option<Vec<_>>>()?.into_iter().sum();
            Some(vec![HookStep::Wait(total)])
        }
        ("nginx", ["-s", "quit"]) => signal(Signal::Quit),
        ("nginx", ["-s", "stop"]) => signal(Signal::Term),
        ("apachectl" | "apache2ctl" | "httpd" | "apache2", ["-k", "graceful-stop"]) => signal(Signal::Winch),
        ("apachectl" | "apache2ctl" | "httpd" | "apache2", ["-k", "stop"]) => signal(Signal::Term),
        ("kill" | "killall" | "pkill", _) => read_kill(program, arguments),
        // of ingress-nginx: `pkill -SIGTERM -f nginx-ingress-controller`, then a look each second whether nginx runs; source:
        // kubernetes/ingress-nginx cmd/waitshutdown/main.go
        ("wait-shutdown", []) => Some(vec![HookStep::Signal(Signal::Term), HookStep::UntilExit]),
        // Istio's agent answers at once, and drains
        ("pilot-agent", ["request", .., "POST", "drain"]) => Some(vec![]),
        ("wait", _) => Some(vec![HookStep::UntilExit]),
        ("tail", _) if arguments.contains(&"--pid=1") || arguments.windows(2).any(|w| w == ["--pid", "1"]) => {
            Some(vec![HookStep::UntilExit])
        }
        _ => None,
    }
}

/// `kill -QUIT 1`, `kill -s TERM $(cat /run/nginx.pid)`, `killall -15 app`, `kill 1`.
fn read_kill(program: &str, arguments: &[&str]) -> Option<Vec<HookStep>> {
    let (name, targets) = match arguments {
        ["-s" | "--signal", name, targets @ ..] => (*name, targets),
        [flag, targets @ ..] if flag.starts_with('-') && *flag != "--" => (&flag[1..], targets),
        targets => ("TERM", targets),
    };
    let is_target = |t: &&str| program != "kill" || *t == "1" || (t.starts_with("$(") && t.contains("pid"));
    if targets.is_empty() || !targets.iter().all(is_target) {
        return None;
    }
    match signal_by_name(name)? {
        // From inside its own namespace SIGKILL does not reach PID 1 (pid_namespaces(7)).
        Signal::Kill => Some(vec![]),
        signal => Some(vec![HookStep::Signal(signal)]),
    }
}

/// A signal by its name, with or without SIG, or by its number on Linux.
#[must_use]
pub fn signal_by_name(name: &str) -> Option<Signal> {
    Some(match name.strip_prefix("SIG").unwrap_or(name) {
        "TERM" | "15" => Signal::Term,
        "QUIT" | "3" => Signal::Quit,
        "INT" | "2" => Signal::Int,
        "USR1" | "10" => Signal::Usr1,
        "WINCH" | "28" => Signal::Winch,
        "HUP" | "1" => Signal::Hup,
        "KILL" | "9" => Signal::Kill,
        _ => return None,
    })
}

/// `5`, `0.5`, `5s`, `2m`, `1h`, `1d` or `infinity`, as coreutils' sleep reads them.
fn sleep_span(argument: &str) -> Option<Duration> {
    if argument == "infinity" || argument == "inf" {
        return Some(Duration::MAX);
    }
    let (number, seconds) = match argument.char_indices().last()? {
        (at, 's') => (&argument[..at], 1),
        (at, 'm') => (&argument[..at], 60),
        (at, 'h') => (&argument[..at], 3600),
        (at, 'd') => (&argument[..at], 86_400),
        _ => (argument, 1),
    };
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let span: Duration = format!("{number}s").parse().ok().filter(|_| plain)?;
    Some(span * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use HookStep::{Signal as Send, UntilExit, Wait};

    fn shell(script: &str) -> HookCommand {
        read(&["/bin/sh", "-c", script].map(String::from))
    }

    #[test]
    fn scripts_are_read_into_their_steps() {
        let wait = |millis| Wait(Duration::from_millis(millis));
        for (script, expected) in [
            ("sleep 5", vec![wait(5000)]),
            ("sleep 5 && /usr/sbin/nginx -s quit", vec![wait(5000), Send(Signal::Quit)]),
            ("sleep 0.5; nginx -s stop", vec![wait(500), Send(Signal::Term)]),
            ("echo bye\nsleep 1m\n", vec![wait(60_000)]),
            ("sleep 1 2s", vec![wait(3000)]),
            ("kill -QUIT 1", vec![Send(Signal::Quit)]),
            ("kill -s TERM 1", vec![Send(Signal::Term)]),
            ("kill -SIGINT 1", vec![Send(Signal::Int)]),
            ("kill 1", vec![Send(Signal::Term)]),
            ("kill -QUIT $(cat /var/run/nginx.pid)", vec![Send(Signal::Quit)]),
            ("kill -3 `pidof nginx`", vec![Send(Signal::Quit)]),
            ("killall -QUIT nginx", vec![Send(Signal::Quit)]),
            ("kill -9 1", vec![]),
            ("/wait-shutdown", vec![Send(Signal::Term), UntilExit]),
            ("nginx -s quit; while pgrep -x nginx; do sleep 1; done", vec![Send(Signal::Quit), UntilExit]),
            ("nginx -s quit; while killall -0 nginx; do sleep 1; done", vec![Send(Signal::Quit), UntilExit]),
            ("while kill -0 1; do\n  sleep 1\ndone", vec![UntilExit]),
            ("nginx -s quit && tail --pid=1 -f /dev/null", vec![Send(Signal::Quit), UntilExit]),
            ("apachectl -k graceful-stop", vec![Send(Signal::Winch)]),
            ("sleep 5 > /dev/null 2>&1; exit 0", vec![wait(5000)]),
            ("sleep 5 || true", vec![wait(5000)]),
            ("exec sleep '5' # wait for the proxies", vec![wait(5000)]),
            ("true", vec![]),
            ("exit 1", vec![]),
            ("nginx -s quit; while kill -0 1; do sleep 1; done", vec![Send(Signal::Quit), UntilExit]),
        ] {
            let command = shell(script);
            assert_eq!((command.steps, command.unknown), (expected, vec![]), "{script}");
        }
    }

    #[test]
    fn what_is_not_certain_is_not_guessed() {
        for (script, unknown) in [
            ("/app/drain.sh", "/app/drain.sh"),
            ("curl -X POST localhost:8080/quit > /dev/null", "curl -X POST localhost:8080/quit"),
            ("sleep $DELAY", "sleep $DELAY"),
            ("kill -TERM 42", "kill -TERM 42"),
            ("sleep 5 &", "sleep 5 &"),
            ("while true; do sleep 1; done", "while true; do sleep 1; done"),
            ("service nginx stop", "service nginx stop"),
            ("ps | grep nginx", "ps | grep nginx"),
        ] {
            let command = shell(script);
            assert_eq!((command.steps, command.unknown), (vec![], vec![unknown.to_string()]), "{script}");
        }
        let mixed = shell("sleep 5 && /app/drain.sh");
        assert_eq!(mixed.steps, [Wait(Duration::from_secs(5))]);
        assert_eq!(mixed.unknown, ["/app/drain.sh"]);
    }

    #[test]
    fn commands_without_a_shell_are_read_too() {
        let read = |argv: &[&str]| read(&argv.iter().map(|s| (*s).to_string()).collect::<Vec<_>>());
        assert_eq!(read(&["/bin/sleep", "5"]).steps, [Wait(Duration::from_secs(5))]);
        assert_eq!(read(&["/usr/sbin/nginx", "-s", "quit"]).steps, [Send(Signal::Quit)]);
        assert_eq!(read(&["bash", "-ec", "sleep 5"]).steps, [Wait(Duration::from_secs(5))]);
        assert_eq!(read(&["sleep"]).unknown, ["sleep"]);
        assert_eq!(read(&[]), HookCommand::default());
    }
}
