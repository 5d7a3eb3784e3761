//! Whether what an expectation claims of many runs is shown by those that were made.
//!
//! A claim about a share is a one-sided question, so both bounds are one-sided at the claim's confidence: Clopper and
//! Pearson's, never too sure. Between them lies "undecided": the runs neither show the claim nor its contrary.

use crate::analysis::statistics::{self, Interval};
use crate::scenario::expectation::{Checked, Claim, Expectation};

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The runs show it.
    Holds,
    /// The runs show that it is wrong.
    Fails,
    /// Too few runs to tell.
    Undecided,
}

/// An expectation, judged.
#[derive(Clone, PartialEq, Debug)]
pub struct Judgement {
    /// What became of it.
    pub verdict: Verdict,
    /// How many runs.
    pub runs: u64,
    /// How many of them met the condition.
    pub held: u64,
    /// Between which ends the share of all runs lies that meet it; each end at the claim's confidence, 95 % without one.
    pub share: Interval,
    /// `pN of`: what the N-th percentile was, and the ends of its order-statistic interval, as texts.
    pub quantile: Option<Quantile>,
    /// The first run that did not meet it: its seed, and what it gave instead.
    pub first_failed: Option<(u64, String)>,
}

/// A percentile of what runs gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quantile {
    /// The value.
    pub value: String,
    /// The lower end; `None`: too few runs to bound it.
    pub low: Option<String>,
    /// The upper end.
    pub high: Option<String>,
}

/// Judges an expectation by its runs: the seed of each, and what became of it there.
#[must_use]
pub fn judge(expectation: &Expectation, checks: &[(u64, &Checked)]) -> Judgement {
    judge_claim(expectation.claim(), expectation.quantile(), checks)
}

/// As [`judge`], of a claim.
#[must_use]
pub fn judge_claim(claim: Claim, quantile: Option<f64>, checks: &[(u64, &Checked)]) -> Judgement {
    let (runs, held) = (checks.len() as u64, checks.iter().filter(|(_, c)| c.passed).count() as u64);
    let confidence = match claim {
        Claim::Always => crate::scenario::expectation::CONFIDENCE,
        Claim::Share { confidence, .. } => confidence,
    };
    // Two-sided at 2c − 1 leaves 1 − c on each side.
    let share = statistics::clopper_pearson(held, runs, 2.0 * confidence - 1.0);
    let verdict = match claim {
        Claim::Always if held == runs => Verdict::Holds,
        Claim::Always => Verdict::Fails,
        Claim::Share { share: wanted, .. } if share.low >= wanted => Verdict::Holds,
        Claim::Share { share: wanted, .. } if share.high < wanted => Verdict::Fails,
        Claim::Share { .. } => Verdict::Undecided,
    };
    let quantile = quantile.and_then(|wanted| {
        let mut sorted: Vec<(i64, &str)> = checks.iter().map(|(_, c)| (c.rank, c.actual.as_str())).collect();
        sorted.sort_by_key(|(rank, _)| *rank);
        let (low, high) = statistics::percentile_interval(&sorted, wanted, confidence);
        let text = |end: (i64, &str)| end.1.to_string();
        let value = text(statistics::percentile(&sorted, wanted)?);
        Some(Quantile { value, low: low.map(text), high: high.map(text) })
    });
    let first_failed = checks.iter().find(|(_, c)| !c.passed).map(|(seed, c)| (*seed, c.actual.clone()));
    Judgement { verdict, runs, held, share, quantile, first_failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(failed: &[usize], runs: usize) -> Vec<Checked> {
        let check = |n: usize| Checked {
            text: "x < 1s".to_string(),
            passed: !failed.contains(&n),
            actual: format!("{n}ms"),
            rank: n as i64,
            about_many_runs: true,
        };
        (0..runs).map(check).collect()
    }

    fn judged(claim: Claim, quantile: Option<f64>, failed: &[usize], runs: usize) -> Judgement {
        let checks = checks(failed, runs);
        let seeded: Vec<_> = checks.iter().enumerate().map(|(n, c)| (n as u64 + 1, c)).collect();
        judge_claim(claim, quantile, &seeded)
    }

    #[test]
    fn one_run_that_fails_breaks_what_must_always_hold() {
        assert_eq!(judged(Claim::Always, None, &[], 200).verdict, Verdict::Holds);
        let judgement = judged(Claim::Always, None, &[17, 40], 200);
        assert_eq!((judgement.verdict, judgement.held), (Verdict::Fails, 198));
        assert_eq!(judgement.first_failed, Some((18, "17ms".to_string())));
    }

    #[test]
    fn a_share_needs_runs_to_be_shown_and_to_be_refuted() {
        let claim = Claim::Share { share: 0.99, confidence: 0.95 };
        assert_eq!(judged(claim, None, &[], 299).verdict, Verdict::Holds);
        assert_eq!(judged(claim, None, &[], 298).verdict, Verdict::Undecided);
        assert_eq!(judged(claim, None, &[3], 299).verdict, Verdict::Undecided);
        // Of 473 runs one may fail: 1 − (1 + 472·p)(1 − p)^471 reaches 95 % there (tables of attribute sampling).
        assert_eq!(judged(claim, None, &[3], 473).verdict, Verdict::Holds);
        assert_eq!(judged(claim, None, &[3], 472).verdict, Verdict::Undecided);
        let many: Vec<usize> = (0..10).collect();
        assert_eq!(judged(claim, None, &many, 300).verdict, Verdict::Fails);
    }

    #[test]
    fn a_percentile_is_told_with_its_interval() {
        let claim = Claim::Share { share: 0.5, confidence: 0.95 };
        let quantile = judged(claim, Some(0.5), &[], 100).quantile.unwrap();
        assert_eq!(
            (quantile.value.as_str(), quantile.low.as_deref(), quantile.high.as_deref()),
            ("49ms", Some("39ms"), Some("60ms"))
        );
        let quantile = judged(claim, Some(0.99), &[], 100).quantile.unwrap();
        assert_eq!(quantile.high, None, "100 values do not bound their 99th percentile from above");
    }
}
