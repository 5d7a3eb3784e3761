//! How well-known servers start, serve and take signals: the profiles that a scenario names, and the images from which
//! one follows without being named.
//!
//! What they do on signals is sourced. How long they take to start, to serve and to react is not the server's but the
//! application's: those numbers are assumptions, which the report states and `apps` overrides.

use crate::api::pod::Signal;
use crate::engine::{Distribution, Duration};
use crate::simulation::setup::{App, Reaction, Shutdown};

mod mesh;
mod recognition;
mod table;

pub use mesh::{Mesh, PROXIES, ProxyManifest, nobody_behind, recognise_proxy};
pub use recognition::{Recognised, of_image, recognise};
pub use table::PROFILES;

/// A named way to behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The name in a scenario.
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where its reactions to signals come from.
    pub source: &'static str,
    /// The stop signal of its usual image.
    pub stop_signal: Signal,
    reactions: &'static [(Signal, Reaction)],
    keep_alive_seconds: Option<u64>,
    shutdown: Shutdown,
    /// Median and 99th percentile of the time to listen, in milliseconds.
    startup_ms: (u64, u64),
    /// Median and 99th percentile of the time to react to a signal, in milliseconds.
    reaction_ms: (u64, u64),
}

impl Profile {
    /// All of them: those of servers, then those of proxies in pods.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        PROFILES.iter().chain(PROXIES)
    }

    /// The profile of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::all().find(|p| p.name == name)
    }

    /// An application that behaves so. Service times are p50 20 ms and p99 200 ms, an assumption.
    #[must_use]
    pub fn app(&self) -> App {
        let log_normal = |(p50, p99): (u64, u64)| {
            Distribution::log_normal(Duration::from_millis(p50), Duration::from_millis(p99)).expect("p50 < p99")
        };
        App {
            startup: log_normal(self.startup_ms),
            service_time: log_normal((20, 200)),
            reaction: log_normal(self.reaction_ms),
            stop_signal: self.stop_signal,
            reactions: self.reactions.iter().copied().collect(),
            keep_alive_timeout: self.keep_alive_seconds.map(Duration::from_secs),
            shutdown: self.shutdown,
            ..App::plain(self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_every_profile_has_a_source() {
        let mut names: Vec<_> = Profile::all().map(|p| p.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Profile::all().count());
        assert!(Profile::all().all(|p| !p.source.is_empty() && !p.description.is_empty()));
    }
}
