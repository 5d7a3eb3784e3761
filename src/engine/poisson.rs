//! Poisson counts of any mean at a cost that does not grow with it, the same on every platform.
//!
//! Not `rand_distr`: its functions of floats are those of the platform unless a feature is set for all crates that use it,
//! and it promises no stable values from one version to the next.

use super::random::{Key, Random};

impl Random {
    /// A Poisson count with this mean: zero if that is not above zero, exact in distribution up to the rounding of floats,
    /// for means up to 2⁵³.
    ///
    /// Below a mean of 10 it is the inverse of the distribution function at one uniform number, above it Hörmann's
    /// transformed rejection (PTRS, "The transformed rejection method for generating Poisson random variables", Insurance:
    /// Mathematics and Economics 12, 1993, 39–45). Both rise with their first number (the second one nearly always), so that
    /// two policies that expect about as many under one key also count about as many.
    #[must_use]
    pub fn poisson(self, key: Key, mean: f64) -> u64 {
        if mean.is_nan() || mean < Ptrs::MEAN_LEAST {
            return invert(mean, self.unit(key, 0));
        }
        let ptrs = Ptrs::new(mean);
        (0u64..).find_map(|i| ptrs.accept(self.unit(key, 2 * i), self.unit(key, 2 * i + 1))).unwrap_or_default()
    }
}

/// The smallest count of which the distribution function reaches `unit`.
fn invert(mean: f64, unit: f64) -> u64 {
    if mean.is_nan() || mean <= 0.0 {
        return 0;
    }
    let mut term = libm::exp(-mean);
    let (mut sum, mut count) = (term, 0u32);
    // The terms vanish before the sum of their rounding errors could keep it below the greatest unit.
    while sum < unit && (term > f64::EPSILON * f64::EPSILON || f64::from(count) < mean) {
        count += 1;
        term *= mean / f64::from(count);
        sum += term;
    }
    u64::from(count)
}

/// The constants of the rejection for one mean, in the names of the paper.
struct Ptrs {
    mean: f64,
    a: f64,
    b: f64,
    log_inverse_alpha: f64,
    v_r: f64,
}

impl Ptrs {
    /// The method is proved from here on.
    const MEAN_LEAST: f64 = 10.0;

    fn new(mean: f64) -> Self {
        let b = 0.931 + 2.53 * mean.sqrt();
        Self {
            mean,
            a: -0.059 + 0.02483 * b,
            b,
            log_inverse_alpha: libm::log(1.1239 + 1.1328 / (b - 3.4)),
            v_r: 0.9277 - 3.6224 / (b - 2.0),
        }
    }

    /// The count of these two uniform numbers, unless they are rejected.
    fn accept(&self, u: f64, v: f64) -> Option<u64> {
        let u = u - 0.5;
        let us = 0.5 - u.abs();
        let count = ((2.0 * self.a / us + self.b) * u + self.mean + 0.43).floor();
        if us >= 0.07 && v <= self.v_r {
            return Some(count as u64);
        }
        if count < 0.0 || (us < 0.013 && v > us) {
            return None;
        }
        let height = libm::log(v) + self.log_inverse_alpha - libm::log(self.a / (us * us) + self.b);
        (height <= log_probability(count, self.mean)).then_some(count as u64)
    }
}

/// The logarithm of the probability of a count: Loader's saddle-point form, which subtracts no large numbers from each other
/// ("Fast and accurate computation of binomial probabilities", 2000).
fn log_probability(count: f64, mean: f64) -> f64 {
    const FEW: f64 = 16.0;
    if count < FEW {
        let factorial: f64 = (1..=count as u32).map(f64::from).product();
        return count * libm::log(mean) - mean - libm::log(factorial);
    }
    -stirling_error(count) - deviance(count, mean) - 0.5 * libm::log(2.0 * std::f64::consts::PI * count)
}

/// ln n! − ln(√(2πn) (n/e)ⁿ), for n of 16 and more.
fn stirling_error(n: f64) -> f64 {
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square) / square) / square)
        / n
}

/// x ln(x/m) + m − x, also where x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    let v = (x - m) / (x + m);
    if v.abs() >= 0.1 {
        return x * libm::log(x / m) + m - x;
    }
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    let mut odd = 1.0;
    loop {
        power *= v * v;
        odd += 2.0;
        let next = sum + power / odd;
        if next == sum {
            return sum;
        }
        sum = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{Discrete, Poisson};
    use statrs::function::gamma::ln_gamma;

    const KEY: Key = Key::new("poisson");

    /// Chi-square of draws against the exact probabilities, in cells of 20 and more: within five standard deviations.
    #[test]
    fn counts_have_the_exact_distribution() {
        const N: u64 = 100_000;
        for mean in [0.01, 0.7, 3.0, 9.99, 10.0, 10.5, 17.0, 42.0, 180.0, 2_000.0] {
            let random = Random::new(7);
            let mut counts = std::collections::BTreeMap::new();
            for i in 0..N {
                *counts.entry(random.poisson(KEY.number(i), mean)).or_insert(0u32) += 1;
            }
            let exact = Poisson::new(mean).unwrap();
            let (mut cells, mut square, mut seen, mut expected) = (0.0, 0.0, 0.0, 0.0);
            for k in 0..=(mean + 20.0 * mean.sqrt() + 20.0) as u64 {
                seen += f64::from(counts.remove(&k).unwrap_or(0));
                expected += N as f64 * exact.pmf(k);
                if expected >= 20.0 {
                    square += (seen - expected) * (seen - expected) / expected;
                    (cells, seen, expected) = (cells + 1.0, 0.0, 0.0);
                }
            }
            assert!(counts.is_empty(), "{mean}: {counts:?}");
            let bound = 5.0 * (2.0 * f64::max(cells, 1.0)).sqrt();
            assert!((square - cells).abs() < bound + 1.0, "mean {mean}: chi-square {square} of {cells} cells");
        }
    }

    #[test]
    fn great_means_have_the_right_mean_and_variance() {
        const N: u64 = 20_000;
        for mean in [1e5, 1e9, 1e13] {
            let z = |i| (Random::new(3).poisson(KEY.number(i), mean) as f64 - mean) / f64::sqrt(mean);
            let (sum, squares, cubes) =
                (0..N).map(z).fold((0.0, 0.0, 0.0), |(s, q, c), z| (s + z, q + z * z, c + z * z * z));
            let n = N as f64;
            assert!((sum / n).abs() < 5.0 / n.sqrt(), "{mean}: {}", sum / n);
            assert!((squares / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{mean}: {}", squares / n);
            assert!((cubes / n).abs() < 5.0 * (15.0 / n).sqrt(), "{mean}: {}", cubes / n);
        }
    }

    #[test]
    fn probabilities_agree_with_their_definition() {
        for mean in [10.0, 33.3, 1234.5] {
            for count in 0..3000 {
                let count = f64::from(count);
                let exact = count * libm::log(mean) - mean - ln_gamma(count + 1.0);
                let error = (log_probability(count, mean) - exact).abs();
                assert!(error < 1e-9 * exact.abs().max(1.0), "{count} of {mean}: {error}");
            }
        }
    }

    #[test]
    fn nothing_comes_of_nothing_and_more_of_more() {
        let random = Random::new(1);
        assert_eq!([0.0, -1.0, f64::NAN].map(|mean| random.poisson(KEY, mean)), [0; 3]);
        for i in 0..1000 {
            let counts = [0.5, 2.0, 5.0, 9.0].map(|mean| random.poisson(KEY.number(i), mean));
            assert!(counts.is_sorted(), "{counts:?}");
        }
    }

    /// What a seed means.
    #[test]
    fn golden_counts() {
        let counts = [0.5, 8.0, 12.0, 1e3, 1e6, 1e12].map(|mean| Random::new(42).poisson(KEY, mean));
        assert_eq!(counts, [0, 6, 13, 978, 999_303, 999_999_302_838]);
    }
}
