//! What an expectation says about many runs: that it holds in each, or in a share of all that there could be.

/// Confidence that is meant where an expectation names none.
pub const CONFIDENCE: f64 = 0.95;

/// What is claimed of the runs of a scenario under different seeds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Claim {
    /// The expectation holds in every run.
    Always,
    /// It holds in at least this share of all runs that there could be.
    Share {
        /// Above 0 and below 1.
        share: f64,
        /// How sure one must be: above 0.5 and below 1.
        confidence: f64,
    },
}

impl Claim {
    /// The fewest runs that can support the claim, all of them holding; 1 for [`Claim::Always`].
    ///
    /// Of n runs that all hold, Clopper and Pearson's lower bound of the share is (1 − confidence)^(1/n).
    #[must_use]
    pub fn fewest_runs(self) -> u32 {
        match self {
            Self::Always => 1,
            Self::Share { share, confidence } => {
                let exact = libm::log(1.0 - confidence) / libm::log(share);
                // A share such as 0.99 is not exact in binary; what misses a whole number by rounding is that number.
                let runs = if (exact - exact.round()).abs() < 1e-9 * exact { exact.round() } else { exact.ceil() };
                (runs.clamp(1.0, f64::from(u32::MAX)) as u32).max(1)
            }
        }
    }

    /// How many runs decide the claim if the expectation does not say: three times the fewest, so that a few exceptions
    /// that the claim allows do not leave it undecided. 1 for [`Claim::Always`].
    #[must_use]
    pub fn usual_runs(self) -> u32 {
        match self {
            Self::Always => 1,
            share => share.fewest_runs().saturating_mul(3).next_multiple_of(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_runs_are_those_of_the_exact_bound() {
        let claim = |share, confidence| Claim::Share { share, confidence };
        // 0.05^(1/299) = 0.99003, 0.05^(1/298) = 0.98999.
        assert_eq!(claim(0.99, 0.95).fewest_runs(), 299);
        assert_eq!(claim(0.9, 0.95).fewest_runs(), 29);
        assert_eq!(claim(0.5, 0.75).fewest_runs(), 2);
        assert_eq!(claim(0.01, 0.95).fewest_runs(), 1);
        assert_eq!((Claim::Always.fewest_runs(), Claim::Always.usual_runs()), (1, 1));
        assert_eq!(claim(0.99, 0.95).usual_runs(), 900);
    }
}
