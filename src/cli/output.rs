//! Writing: whole texts at once, colours only where they are wanted, and no complaint about a closed pipe.

use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::scenario::load::FILE_BYTES_MAX;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// One YAML document
    Yaml,
}

/// Why a command ended without a result.
#[derive(Debug)]
pub(super) enum Failure {
    /// One sentence.
    Usage(String),
    /// There is nothing to do: one sentence.
    NothingSelected(String),
    /// Diagnostics that are rendered already.
    Rendered(String),
    /// Writing failed.
    Write(std::io::Error),
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// Tells it on stderr; the exit code that belongs to it.
    pub(super) fn report(&self) -> ExitCode {
        let label = |text: &str| {
            let red: Style = AnsiColor::Red.on_default().bold();
            format!("{red}error:{red:#} {text}")
        };
        let text = match self {
            Self::Write(error) => label(&format!("the result cannot be written: {error}")),
            Self::Usage(text) | Self::NothingSelected(text) => label(text),
            Self::Rendered(text) => text.trim_end().to_string(),
        };
        let _ = writeln!(anstream::stderr(), "{text}");
        ExitCode::from(if matches!(self, Self::NothingSelected(_)) { 4 } else { 2 })
    }
}

/// Prints a text for people: escapes are stripped where NO_COLOR is set or stdout is no terminal.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Whoever closes the pipe has read enough, as `head` does. That changes nothing about the result, nor about the exit code
/// that tells it.
fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Write(error)),
        _ => Ok(()),
    }
}

/// Says something on stderr.
pub(super) fn warn(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Prints data.
pub(super) fn print_data(format: Format, data: &impl Serialize) -> Result<(), Failure> {
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(data).map_err(|error| error.to_string()),
        Format::Json | Format::Text => serde_json::to_string_pretty(data).map_err(|error| error.to_string()),
    };
    let mut text = text.map_err(|error| Failure::usage(format!("the result cannot be written: {error}")))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut stdout = std::io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Whether diagnostics may be coloured.
pub(super) fn colour_errors() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// All of standard input, which may be as large as a file.
pub(super) fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    if read.is_ok() && text.len() as u64 <= FILE_BYTES_MAX {
        return Ok(text);
    }
    Err(Failure::usage(match read {
        Ok(_) => format!("standard input is larger than {} MiB", FILE_BYTES_MAX >> 20),
        Err(error) => format!("standard input cannot be read: {error}"),
    }))
}

/// Tells on stderr how far many runs have come, if somebody watches.
pub(super) struct Progress {
    total: u64,
    step: u64,
    shown: bool,
    // A person waits in real time; no result depends on it.
    #[allow(clippy::disallowed_types)]
    began: std::time::Instant,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        #[allow(clippy::disallowed_types)]
        let began = std::time::Instant::now();
        Self { total, step: (total / 200).max(1), shown: total > 1 && std::io::stderr().is_terminal(), began }
    }

    pub(super) fn tell(&self, done: u64) {
        if self.shown && done.is_multiple_of(self.step) {
            let left = self.began.elapsed().as_secs_f64() / done.max(1) as f64 * self.total.saturating_sub(done) as f64;
            let _ = write!(std::io::stderr().lock(), "\r{done} of {} runs, {} left\x1b[K", self.total, clock(left));
        }
    }

    /// Wipes the line.
    pub(super) fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Tells on stderr what has just been done, if somebody watches; the next note takes its place.
pub(super) fn note(text: &str) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr().lock(), "\r{text}\x1b[K");
    }
}

/// Wipes the last note.
pub(super) fn end_notes() {
    note("");
}

/// `45s`, `3m20s`, `2h05m`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A word of a command line, quoted for a POSIX shell if it must be.
pub(super) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_two_units() {
        assert_eq!([0.2, 59.0, 200.0, 7_500.0].map(clock), ["1s", "59s", "3m20s", "2h05m"]);
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell_word("spec.duration=5m"), "spec.duration=5m");
        assert_eq!(shell_word("my file's.yaml"), r"'my file'\''s.yaml'");
        assert_eq!(shell_word(""), "''");
    }
}
