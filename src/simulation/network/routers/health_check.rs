//! Health checks of one machine of a load balancer: from what a target would answer to what the machine believes.
//!
//! Checks are sent on a grid of times, whatever comes of them. Between two changes of the target all checks have the same
//! result, so the moment at which enough of them have come in a row is worked out, and no check is simulated.

use crate::engine::{Duration, Time};
use crate::simulation::setup::HealthCheck;

/// What a target answers to a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answer {
    /// All is well.
    #[default]
    Good,
    /// No, at once: refused, or an error.
    Bad,
    /// Nothing: the check fails when its timeout is over.
    Silent,
}

/// The checks of one target by one machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checks {
    /// The first check that there could have been; the others follow each interval.
    pub phase: Duration,
    /// The settings.
    pub check: HealthCheck,
}

impl Checks {
    /// When the machine's belief changes, each time with what it believes from then on. It begins at `from`: with what has long
    /// been known of an `old` target, else with one that has to answer one check first. `answers` are the changes of
    /// what the target answers, in order of time; before the first of them it answers as `Answer::default`.
    pub fn beliefs(&self, from: Time, old: bool, answers: &[(Time, Answer)]) -> Vec<(Time, bool)> {
        let known = answers.partition_point(|(at, _)| *at <= from);
        let mut answer = known.checked_sub(1).map_or(Answer::default(), |last| answers[last].1);
        let (mut healthy, mut streak) = (old && answer == Answer::Good, 0);
        let mut beliefs = vec![(from, healthy)];
        let mut good_ones = if old { self.check.healthy } else { 1 };
        let mut since = from;
        let ends = answers[known..].iter().map(|(at, next)| (*at, Some(*next))).chain([(Time::MAX, None)]);
        for (end, next) in ends {
            let first = self.next_check(since);
            let good = answer == Answer::Good;
            if first < end {
                let interval = self.check.interval.as_nanos().max(1);
                let count = (end.since(first).as_nanos() - 1) / interval + 1;
                if good == healthy {
                    streak = 0;
                } else {
                    let threshold = if good { good_ones } else { self.check.unhealthy };
                    let missing = u64::from(threshold.saturating_sub(streak).max(1));
                    if count >= missing {
                        let lag = if answer == Answer::Silent { self.check.timeout } else { Duration::ZERO };
                        (healthy, streak, good_ones) = (good, 0, self.check.healthy);
                        beliefs.push((first + Duration::from_nanos(interval).mul(missing - 1) + lag, healthy));
                    } else {
                        streak += u32::try_from(count).expect("fewer checks than a threshold");
                    }
                }
            }
            let Some(next) = next else { break };
            (since, answer) = (end, next);
        }
        beliefs
    }

    /// The first check at or after a time.
    fn next_check(&self, at: Time) -> Time {
        let interval = self.check.interval.as_nanos().max(1);
        let since = at.as_nanos().saturating_sub(self.phase.as_nanos());
        Time::ZERO + self.phase + Duration::from_nanos(since.div_ceil(interval) * interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::setup::BalancerProfile;

    /// Every 10 s at 3, 13, 23, …; three bad ones, two good ones; a timeout of 5 s.
    fn checks() -> Checks {
        let seconds = Duration::from_secs;
        let check = HealthCheck {
            interval: seconds(10),
            timeout: seconds(5),
            healthy: 2,
            unhealthy: 3,
            ..BalancerProfile::AwsNlbIp.defaults().check
        };
        Checks { phase: seconds(3), check }
    }

    fn beliefs(old: bool, answers: &[(u64, Answer)]) -> Vec<(u64, bool)> {
        let answers: Vec<_> = answers.iter().map(|(at, answer)| (Time::from_secs(*at), *answer)).collect();
        let beliefs = checks().beliefs(Time::ZERO, old, &answers);
        beliefs.into_iter().map(|(at, good)| (at.as_nanos() / 1_000_000_000, good)).collect()
    }

    #[test]
    fn three_bad_answers_in_a_row() {
        assert_eq!(beliefs(true, &[(20, Answer::Bad)]), [(0, true), (43, false)]);
        assert_eq!(beliefs(true, &[(23, Answer::Bad)]), [(0, true), (43, false)], "a check at the very time sees it");
        assert_eq!(beliefs(true, &[(20, Answer::Silent)]), [(0, true), (48, false)], "the last one has to time out");
        assert_eq!(
            beliefs(true, &[(20, Answer::Bad), (40, Answer::Good), (50, Answer::Bad)]),
            [(0, true), (73, false)]
        );
    }

    #[test]
    fn refused_and_silent_answers_count_together() {
        assert_eq!(beliefs(true, &[(20, Answer::Bad), (30, Answer::Silent)]), [(0, true), (48, false)]);
    }

    #[test]
    fn a_new_target_needs_one_good_answer_and_one_that_was_bad_needs_two() {
        assert_eq!(beliefs(false, &[]), [(0, false), (3, true)]);
        assert_eq!(beliefs(false, &[(0, Answer::Bad), (12, Answer::Good)]), [(0, false), (13, true)]);
        let came_back = [(20, Answer::Bad), (50, Answer::Good)];
        assert_eq!(beliefs(true, &came_back), [(0, true), (43, false), (63, true)]);
    }
}
