//! The references of latencies and of app profiles, printed from the tables that the model uses.

use super::style::{BOLD, WIDTH, paint, wrap};
use super::table::{Align, Table};
use crate::api::pod::Signal;
use crate::engine::Duration;
use crate::scenario::profiles::Profile;
use crate::simulation::latency::{Hop, Latencies};
use crate::simulation::setup::Reaction;

/// Every latency: its name, what it is by default and in the profile `idle-lab`, what it means, and the source.
#[must_use]
pub fn latencies() -> String {
    let (default, lab) = (Latencies::default(), Latencies::idle_lab());
    let mut out = paragraph(
        "The names that `latencies` may have, with the distributions of the two latency profiles. p50 and p99 mean a \
         log-normal distribution through these percentiles.",
    );
    let mut table = Table::new(0, 3, &[(Align::Left, "NAME"), (Align::Left, "default"), (Align::Left, "idle-lab")]);
    for &hop in Hop::ALL {
        table.row([hop.name().into(), default.get(hop).to_string().into(), lab.get(hop).to_string().into()]);
    }
    out.push('\n');
    out.push_str(&table.render());
    out.push('\n');
    for &hop in Hop::ALL {
        let source = hop.source();
        entry(&mut out, hop.name(), &[hop.description().to_string(), format!("Source of the default: {source}.")]);
    }
    out
}

/// Every app profile: what it does, its defaults, and the source.
#[must_use]
pub fn profiles() -> String {
    let mut out = paragraph(
        "The names that `apps[].profile` may have. Startup times are assumptions: they are the application's, not the \
         server's, and `apps[].startup` sets them. The stop signal is that of the image named in the manifest where the \
         image is known, else the one given here.",
    );
    out.push('\n');
    for profile in Profile::all() {
        let lines = [format!("{}.", profile.description), behaviour(profile), format!("Source: {}.", profile.source)];
        entry(&mut out, profile.name, &lines);
    }
    out
}

fn behaviour(profile: &Profile) -> String {
    let app = profile.app();
    let signals: Vec<String> = [Signal::Term, Signal::Quit, Signal::Int, Signal::Usr1, Signal::Winch, Signal::Hup]
        .into_iter()
        .filter_map(|signal| {
            app.reactions.get(&signal).map(|reaction| format!("{} {}", signal.name(), word(*reaction)))
        })
        .collect();
    let signals = if signals.is_empty() { "no signal is handled".to_string() } else { signals.join(", ") };
    let keep_alive = app.keep_alive_timeout.map_or("none".to_string(), |timeout| timeout.to_string());
    let shutdown = app.shutdown;
    let parts = if app.reactions.values().any(|reaction| matches!(reaction, Reaction::Drain { .. })) {
        format!(
            " Winding down: listener {}, idleConnections {}, connectionClose {}, goAway {}.",
            shutdown.listener.word(),
            shutdown.idle_connections.word(),
            shutdown.connection_close.word(),
            shutdown.go_away.word()
        )
    } else {
        String::new()
    };
    format!(
        "Stop signal {}; {signals}.{parts} Startup {}, keepAliveTimeout {keep_alive}.",
        app.stop_signal.name(),
        app.startup
    )
}

/// As it is written in `apps[].signals`.
fn word(reaction: Reaction) -> String {
    match reaction {
        Reaction::ExitNow => "exit".to_string(),
        Reaction::Ignore => "ignore".to_string(),
        Reaction::Outlast { .. } => "drain until nobody is connected".to_string(),
        Reaction::Drain { linger, in_flight_max: Some(Duration::ZERO), .. } => format!("drain for {linger}, then exit"),
        Reaction::Drain { in_flight_max: Some(most), .. } => format!("drain for at most {most}"),
        Reaction::Drain { in_flight_max: None, .. } => "drain".to_string(),
    }
}

fn paragraph(text: &str) -> String {
    wrap(text, WIDTH).iter().map(|line| format!("{line}\n")).collect()
}

fn entry(out: &mut String, name: &str, lines: &[String]) {
    out.push_str(&format!("{}\n", paint(BOLD, name)));
    for line in lines.iter().flat_map(|line| wrap(line, WIDTH - 2)) {
        out.push_str(&format!("  {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_references_within_the_width() {
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        let (latencies, profiles) = (plain(latencies()), plain(profiles()));
        assert!(Hop::ALL.iter().all(|hop| latencies.lines().any(|line| line == hop.name())));
        assert!(Profile::all().all(|profile| profiles.lines().any(|line| line == profile.name)));
        for line in latencies.lines().chain(profiles.lines()) {
            assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{line}");
        }
    }
}
