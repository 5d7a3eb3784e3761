//! What the sleep is needed for: which hop makes which part of the tail.

use crate::analysis::runs;
use crate::analysis::statistics;
use crate::analysis::tune::Tuner;
use crate::engine::{Distribution, Duration};
use crate::simulation::latency::Hop;
use crate::simulation::setup::{IngressNginx, LoadBalancer, Via};
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
            Hop::EbpfSync,
            Hop::IngressSync,
            Hop::XdsPush,
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
        for (name, change) in SETTINGS {
            let mut changed = quiet(setup);
            change(&mut changed);
            // What is not on the path changes nothing.
            if changed != quiet(setup) {
                lines.extend(need(&changed).map(|n| Part { name, saves: whole - n }));
            }
        }
        lines.sort_by(|a, b| b.saves.total_cmp(&a.saves));
        Some((whole, lines))
    }
}

/// A setting, and what is done to it to see its part.
type Setting = (&'static str, fn(&mut Setup));

/// Settings that are no hops, and may make a part of the tail all the same.
const SETTINGS: &[Setting] = &[
    ("kubeProxy.minSyncPeriod at 0s", |setup| setup.kube_proxy.min_sync_period = Duration::ZERO),
    ("syncInterval of ingress-nginx at 0s", |setup| {
        for_each_nginx(setup, |nginx| nginx.sync_interval = Duration::ZERO);
    }),
    ("pollInterval of ingress-nginx at 0s", |setup| {
        for_each_nginx(setup, |nginx| nginx.poll_interval = Duration::ZERO);
    }),
    ("debounceAfter of istiod at 0s", |setup| {
        for traffic in &mut setup.traffic {
            if let Via::Envoy(envoy) = &mut traffic.last_leg_mut().via {
                envoy.debounce_after = Duration::ZERO;
            }
        }
    }),
    ("reconcile of the load balancer", |setup| {
        for_each_balancer(setup, |balancer| balancer.reconcile = median(&balancer.reconcile));
    }),
    ("deregister of the load balancer", |setup| {
        for_each_balancer(setup, |balancer| balancer.deregister = median(&balancer.deregister));
    }),
];

fn median(distribution: &Distribution) -> Distribution {
    Distribution::Constant(distribution.quantile(0.5))
}

fn for_each_balancer(setup: &mut Setup, change: impl Fn(&mut LoadBalancer)) {
    setup.traffic.iter_mut().filter_map(|traffic| traffic.balancer.as_mut()).for_each(change);
}

fn for_each_nginx(setup: &mut Setup, change: impl Fn(&mut IngressNginx)) {
    for traffic in &mut setup.traffic {
        if let Via::IngressNginx(nginx) = &mut traffic.last_leg_mut().via {
            change(nginx);
        }
    }
}

/// With one request a second: routes and listeners do not care how many clients there are.
fn quiet(setup: &Setup) -> Setup {
    let mut quiet = setup.clone();
    quiet.traffic.iter_mut().for_each(|t| t.rate = t.rate.min(1.0));
    quiet
}
