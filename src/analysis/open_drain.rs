//! Why a drain had not drained its node when a run ended, in a form that counts over many runs.

use crate::simulation::Outcome;
use crate::simulation::outcome::DrainOutcome;

/// Why a drain was not completed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OpenDrain {
    /// kubectl gave it up: its last line, without the names of pods, which differ from run to run.
    GivenUp(String),
    /// It went on, and these budgets had refused evictions: `namespace/name`.
    Refused(Vec<String>),
    /// It went on, and no budget was in its way.
    GoingOn,
}

impl OpenDrain {
    /// Of a drain of this outcome; `None`: it was completed.
    #[must_use]
    pub fn of(outcome: &Outcome, drain: &DrainOutcome) -> Option<Self> {
        if drain.completed_at.is_some() {
            return None;
        }
        if drain.ended_at.is_some() {
            let last = drain.messages.last().map_or("kubectl gave up", |(_, line)| line.as_str());
            return Some(Self::GivenUp(without_names(last).to_string()));
        }
        let refused = outcome.pdbs.iter().filter(|p| p.denials > 0).map(|p| p.name.clone());
        Some(match refused.collect::<Vec<_>>() {
            budgets if drain.evictions_denied > 0 && !budgets.is_empty() => Self::Refused(budgets),
            _ => Self::GoingOn,
        })
    }

    /// All of an outcome, with their nodes, in order of start.
    #[must_use]
    pub fn all(outcome: &Outcome) -> Vec<(String, Self)> {
        outcome.drains.iter().filter_map(|d| Some((d.node.clone(), Self::of(outcome, d)?))).collect()
    }
}

/// `cannot delete Pods with local storage (use … to override): shop/a, shop/b` without the pods.
fn without_names(line: &str) -> &str {
    line.rsplit_once("): ").map_or(line, |(what, _)| &line[..=what.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Time;
    use crate::simulation::fixture;

    #[test]
    fn names_of_pods_do_not_count() {
        let mut outcome = fixture::outcome();
        assert_eq!(OpenDrain::of(&outcome, &outcome.drains[0]), None);
        let drain = &mut outcome.drains[0];
        (drain.completed_at, drain.ended_at) = (None, Some(Time::from_secs(9)));
        let refusal = "cannot delete Pods with local storage (use --delete-emptydir-data to override)";
        drain.messages.push((Time::from_secs(9), format!("{refusal}: shop/a, shop/b")));
        assert_eq!(OpenDrain::of(&outcome, &outcome.drains[0]), Some(OpenDrain::GivenUp(refusal.to_string())));
        outcome.drains[0].ended_at = None;
        outcome.drains[0].evictions_denied = 0;
        assert_eq!(OpenDrain::of(&outcome, &outcome.drains[0]), Some(OpenDrain::GoingOn));
    }
}
