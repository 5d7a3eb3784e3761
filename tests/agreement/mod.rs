//! Requests counted in bulk against requests one by one: are they drawn from one distribution?

use std::fmt::Write as _;
use std::path::Path;

use drainsim::scenario::{Input, Scenario};
use drainsim::simulation::outcome::{FailureKind, Outcome};
use drainsim::simulation::setup::RequestsMode;
use drainsim::simulation::{Setup, run};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The scenarios, and what they are for.
const SCENARIOS: [(&str, &str); 5] = [
    ("scenarios/m01-naive-upgrade.yaml", "M1: nodes lose power"),
    ("scenarios/m07-prestop-sleep-too-short.yaml", "M7: a preStop sleep that is too short"),
    ("scenarios/m11-two-drains-one-budget.yaml", "M11: two drains under one budget"),
    ("tests/agreement/mixed.yaml", "Refusals, requests cut while a pod winds down, slow requests"),
    ("tests/agreement/partition.yaml", "A partition that heals, power lost and back, internal traffic policy Local"),
];

/// What one scenario showed.
pub struct Agreement {
    pub scenario: &'static str,
    pub about: &'static str,
    /// By what is counted, where it was ever counted.
    pub counts: Vec<Count>,
    /// Mean of failed minus expected requests, in its standard errors: one by one, and in bulk.
    pub bias: [f64; 2],
    /// Variance of the number of failed requests over that of its expectation; `None` if none failed.
    pub gain: Option<f64>,
}

/// One count of a run, in both ways.
pub struct Count {
    pub name: String,
    pub means: [f64; 2],
    /// The variance of one by one, and in bulk.
    pub deviations: [f64; 2],
    pub cells: usize,
    pub chi_square: f64,
    pub p: f64,
}

/// Runs all scenarios with so many seeds in both ways; no seed is used twice, so that the samples are independent.
pub fn agreements(seeds: u64) -> Vec<Agreement> {
    SCENARIOS.iter().map(|(file, about)| agreement(file, about, seeds)).collect()
}

fn agreement(file: &'static str, about: &'static str, seeds: u64) -> Agreement {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let setup =
        Scenario::load(&[Input::Path(path)], &[]).unwrap_or_else(|p| panic!("{file}: {}", p.render(false))).setup;
    let sample = |requests: RequestsMode, first: u64| -> Vec<Outcome> {
        let setup = Setup { requests, ..setup.clone() };
        assert!(setup.traffic.iter().all(|t| setup.in_bulk(t) == (requests == RequestsMode::Bulk)), "{file}");
        (first..first + seeds).map(|seed| run(&setup, seed, false)).collect()
    };
    let samples = [sample(RequestsMode::Individual, 1), sample(RequestsMode::Bulk, 1_000_001)];
    let count = |name: String, of: &dyn Fn(&Outcome) -> u64| {
        let values = [0, 1].map(|i| samples[i].iter().map(of).collect::<Vec<u64>>());
        values.iter().flatten().any(|v| *v > 0).then(|| compare(name, &values))
    };
    let mut counts = vec![
        count("sent".to_string(), &|o| o.requests.sent),
        count("ok".to_string(), &|o| o.requests.ok),
        count("unfinished".to_string(), &|o| o.requests.unfinished),
    ];
    for kind in FailureKind::ALL {
        let failed = move |o: &Outcome| o.requests.failed_by.get(&kind).copied().unwrap_or(0);
        counts.push(count(format!("`{}`", kind.name()), &failed));
    }
    // When drains and pods end depends on requests only by the last ones.
    let exited = |o: &Outcome| o.pods.iter().filter_map(|p| p.times.exited_at).map(|t| t.as_nanos() / 1_000_000).max();
    counts.push(count("last exit of a pod, ms".to_string(), &|o| exited(o).unwrap_or(0)));
    let numbers = |i: usize, of: &dyn Fn(&Outcome) -> f64| samples[i].iter().map(of).collect::<Vec<f64>>();
    let expected = |o: &Outcome| o.expected_failed().expect("all streams are plain");
    let bias = [0, 1].map(|i| {
        let differences = numbers(i, &|o| o.requests.failed() as f64 - expected(o));
        let (mean, variance) = moments(&differences);
        // Where failures are so rare that there was none, their variance is that of a Poisson number.
        let variance = variance.max(moments(&numbers(i, &expected)).0);
        mean / (variance / seeds as f64).sqrt().max(1e-9)
    });
    let spread = moments(&numbers(0, &|o| o.requests.failed() as f64)).1;
    let gain = (spread > 0.0).then(|| spread / moments(&numbers(0, &expected)).1);
    Agreement { scenario: file, about, counts: counts.into_iter().flatten().collect(), bias, gain }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0))
}

/// The chi-square test of homogeneity, over cells with about as many runs in each.
fn compare(name: String, values: &[Vec<u64>; 2]) -> Count {
    const CELLS: usize = 20;
    let mut all: Vec<u64> = values.concat();
    all.sort_unstable();
    // A cell takes in at least so many runs, and all with its greatest value.
    let least = (all.len() / CELLS).max(20);
    let mut ends = Vec::new();
    let mut start = 0;
    while start < all.len() {
        let at = all[(start + least - 1).min(all.len() - 1)];
        start = all.partition_point(|v| *v <= at);
        ends.push(at);
        if all.len() - start < least {
            *ends.last_mut().expect("just pushed") = u64::MAX;
            break;
        }
    }
    let observed = values.each_ref().map(|sample| {
        let mut cells = vec![0.0; ends.len()];
        sample.iter().for_each(|v| cells[ends.partition_point(|end| end < v)] += 1.0);
        cells
    });
    let [a, b] = &observed;
    let chi_square: f64 = a.iter().zip(b).map(|(a, b): (&f64, &f64)| (a - b) * (a - b) / (a + b)).sum();
    let freedom = ends.len() as f64 - 1.0;
    let p = if ends.len() < 2 { 1.0 } else { ChiSquared::new(freedom).expect("freedom above 0").sf(chi_square) };
    let floats = values.each_ref().map(|sample| sample.iter().map(|v| *v as f64).collect::<Vec<f64>>());
    let [one, many] = floats.map(|sample| moments(&sample));
    let deviations = [one.1.sqrt(), many.1.sqrt()];
    Count { name, means: [one.0, many.0], deviations, cells: ends.len(), chi_square, p }
}

/// `docs/bulk.md`.
pub fn page(seeds: u64, agreements: &[Agreement]) -> String {
    let tests = agreements.iter().flat_map(|a| &a.counts).filter(|c| c.cells > 1).count();
    let least = agreements.iter().flat_map(|a| &a.counts).map(|c| c.p).fold(1.0, f64::min);
    let mut out = format!(
        "# Requests in bulk, and one by one

Counting requests ([how, and why it is exact](model.md#requests-in-bulk)) must give what simulating each of them gives. This
page shows that for five scenarios. Each was run with {seeds} seeds one by one, and with {seeds} other seeds in bulk. For
every count of a run the two samples are compared by the chi-square test of homogeneity, over up to 20 cells with
about as many runs in each. Where all runs give nearly the same there is one cell, and nothing to test.

The smallest of the {tests} p-values is {least:.4}. If both ways are the same, the smallest of as many independent ones is below
{:.4} in one of twenty such pages.

*Bias* is the mean of the number of failed requests less [what was to be expected](model.md#expected-losses) given the
timeline, in standard errors. *Gain* is the variance of the number of failed requests over that of the expectation: so many
times fewer runs give as sharp a mean.

`cargo run --release --example agreement > docs/bulk.md` makes this page anew.
",
        0.05 / tests as f64
    );
    for Agreement { scenario, about, counts, bias, gain } in agreements {
        let _ = write!(out, "\n## {about}\n\n[`{scenario}`](../{scenario})\n\n");
        out.push_str("| a run | one by one: mean | sd | in bulk: mean | sd | cells | chi-square | p |\n");
        out.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
        for Count { name, means: [one, many], deviations: [sd_one, sd_many], cells, chi_square, p } in counts {
            let _ = write!(out, "| {name} | {one:.1} | {sd_one:.1} | {many:.1} | {sd_many:.1} | {cells} | ");
            let _ = if *cells > 1 { writeln!(out, "{chi_square:.1} | {p:.3} |") } else { writeln!(out, "– | – |") };
        }
        let gain = gain.map_or("no request failed".to_string(), |gain| format!("gain: {gain:.2}"));
        let _ = writeln!(out, "\nBias: {:+.2} one by one, {:+.2} in bulk; {gain}.", bias[0], bias[1]);
    }
    out
}
