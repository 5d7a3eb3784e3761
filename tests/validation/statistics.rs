//! The few statistics that the comparisons need.

use drainsim::engine::{Key, Random};

/// How many samples are drawn to see how far a quantile of a small sample may stray.
const RESAMPLES: u64 = 1_000;

/// Sorts numbers.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// A quantile of sorted numbers, between the two nearest ones.
#[track_caller]
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    assert!(!sorted.is_empty(), "a quantile of nothing");
    let at = p * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

/// The 1st and 99th percentile of the `p`-quantile of samples of `n` values from `population`.
pub fn quantile_range(population: &[f64], n: usize, p: f64) -> (f64, f64) {
    let random = Random::new(0);
    let key = Key::new("resample").number(n as u64);
    let last = population.len() - 1;
    let pick = |draw: u64| population[((random.unit(key, draw) * population.len() as f64) as usize).min(last)];
    let sample = |number: u64| {
        let values = (0..n as u64).map(|i| pick(number * n as u64 + i)).collect();
        quantile(&sorted(values), p)
    };
    let quantiles = sorted((0..RESAMPLES).map(sample).collect());
    (quantile(&quantiles, 0.01), quantile(&quantiles, 0.99))
}

/// The share of `population` below a value, and that at or below it: where the value lies.
pub fn rank(population: &[f64], value: f64) -> (f64, f64) {
    let share = |count: usize| count as f64 / population.len() as f64;
    (
        share(population.iter().filter(|v| **v < value).count()),
        share(population.iter().filter(|v| **v <= value).count()),
    )
}
