//! What the sleep is needed for: which hop makes which part of the tail.

use crate::analysis::runs;
use crate::analysis::statistics;
use crate::analysis::tune::Tuner;
use crate::engine::{Distribution, Duration};
use crate::simulation::latency::Hop;
use crate::simulation::{self, Setup};

/// A hop's part of the tail.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// The hop, or the setting.
    pub name: &'static str,
    /// By how much the 99th percentile of the sleep that is needed falls if the hop always takes its median, seconds.
    pub saves: f64,
}

impl Tuner<'_> {
    /// Which hop makes which part of the tail: the same runs with one hop at its median.
    pub(super) fn parts_of(&self, setup: &Setup, seconds: u64) -> Option<(f64, Vec<Part>)> {
        const RUNS: u32 = 200;
        let need = |setup: &Setup| {
            let run = |seed| {
                let outcome = simulation::run(setup, seed, false);
                outcome.pods.iter().filter_map(|p| p.slack_nanos).min().map(|nanos| nanos as f64 / 1e9)
            };
            let slack = runs::by_seed(self.first_seed, RUNS, self.jobs, run, |_| ());
            let mut needs: Vec<f64> = slack.into_iter().flatten().map(|s| seconds as f64 - s).collect();
            needs.sort_by(f64::total_cmp);
            statistics::percentile(&needs, 0.99)
        };
        let whole = need(&quiet(setup))?;
        let chain = [
            Hop::Watch,
            Hop::EndpointSliceSync,
            Hop::ApiRequest,
            Hop::ApiRead,
            Hop::ApiWrite,
            Hop::KubeProxySync,
            Hop::KubeletSync,
            Hop::PlegRelist,
            Hop::HookExec,
            Hop::HookCommand,
            Hop::StopContainer,
        ];
        let without = |hop: Hop| {
            let mut changed = quiet(setup);
            let median = changed.latencies.get(hop).quantile(0.5);
            changed.latencies.set(hop, Distribution::Constant(median));
            Some(Part { name: hop.name(), saves: whole - need(&changed)? })
        };
        let mut lines: Vec<Part> = chain.into_iter().filter_map(without).collect();
        let mut eager = quiet(setup);
        eager.kube_proxy.min_sync_period = Duration::ZERO;
        lines.extend(need(&eager).map(|n| Part { name: "kubeProxy.minSyncPeriod at 0s", saves: whole - n }));
        lines.sort_by(|a, b| b.saves.total_cmp(&a.saves));
        Some((whole, lines))
    }
}

/// With one request a second: routes and listeners do not care how many clients there are.
fn quiet(setup: &Setup) -> Setup {
    let mut quiet = setup.clone();
    quiet.traffic.iter_mut().for_each(|t| t.rate = t.rate.min(1.0));
    quiet
}
