//! Applications of which nothing tells what they do on their stop signal: what else they may do than what is taken for granted.

use crate::simulation::setup::{App, Setup};

/// What an application may do on its stop signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Attitude {
    /// It exits, cutting what is in flight. This is what is taken for granted.
    ExitsAtOnce,
    /// It closes its listener, finishes what is in flight, and exits.
    WindsDown,
    /// It has no handler: it serves until SIGKILL.
    Ignores,
}

/// One kind of unknown application.
#[derive(Clone, PartialEq, Debug)]
pub struct UnknownApp {
    /// Index into [`Setup::apps`] of what was taken for granted.
    pub app: u32,
    /// The containers that it is in: `Deployment default/web, container app`.
    pub containers: Vec<String>,
    /// The signal that stops it.
    pub stop_signal: &'static str,
    /// It, winding down.
    pub winds_down: App,
    /// It, ignoring the signal; `None` if it cannot.
    pub ignores: Option<App>,
}

/// All of a scenario.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UnknownApps(pub Vec<UnknownApp>);

impl UnknownApps {
    /// Whether all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The setup as it is if all of them wind down, and if all that can ignore the signal.
    #[must_use]
    pub fn alternatives(&self, setup: &Setup) -> Vec<(Attitude, Setup)> {
        let with = |instead: &dyn Fn(&UnknownApp) -> Option<App>| {
            let mut setup = setup.clone();
            for unknown in &self.0 {
                if let Some(app) = instead(unknown) {
                    setup.apps[unknown.app as usize] = app;
                }
            }
            setup
        };
        let mut all = Vec::new();
        if !self.is_empty() {
            all.push((Attitude::WindsDown, with(&|unknown| Some(unknown.winds_down.clone()))));
        }
        if self.0.iter().any(|unknown| unknown.ignores.is_some()) {
            all.push((Attitude::Ignores, with(&|unknown| unknown.ignores.clone())));
        }
        all
    }
}
