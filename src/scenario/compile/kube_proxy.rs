//! kube-proxy's settings, by mode.

use crate::engine::{Duration, Time};
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::{FailedSyncsEntry, KubeProxyEntry};
use crate::scenario::source::Spanned;
use crate::simulation::setup::{ClusterSize, FailureSpan, KubeProxySetup, ProxyMode};

impl Compiler<'_> {
    pub(super) fn kube_proxy(&mut self) {
        let Some(entry) = self.spec.kube_proxy.as_ref() else { return };
        let mode = entry.mode.unwrap_or_default();
        let mut setup = KubeProxySetup::of(mode);
        self.periods(entry, &mut setup);
        if let Some(cluster) = &entry.cluster {
            setup.cluster = ClusterSize { services: cluster.services, endpoints: cluster.endpoints };
        }
        if let Some(cost) = &entry.sync_cost {
            for (own, given) in [
                (&mut setup.cost.per_service, cost.per_service),
                (&mut setup.cost.per_endpoint, cost.per_endpoint),
                (&mut setup.cost.full_per_service, cost.full_per_service),
                (&mut setup.cost.full_per_endpoint, cost.full_per_endpoint),
            ] {
                *own = given.unwrap_or(*own);
            }
        }
        if let Some(rate) = entry.other_changes {
            setup.other_changes = rate.0;
        }
        if let Some(failed) = &entry.failed_syncs {
            self.failed_syncs(failed, &mut setup);
        }
        let added = setup.added(false);
        if !added.is_zero() {
            self.assume(format!(
                "kube-proxy ({}): {} Services and {} endpoints add {added} to a sync at the median, {} to a full one \
                 (`kubeProxy.syncCost`; the constants are assumptions)",
                mode.name(),
                setup.cluster.services,
                setup.cluster.endpoints,
                setup.added(true),
            ));
        }
        self.setup.kube_proxy = setup;
    }

    /// Source: `pkg/proxy/apis/config/validation/validation.go` (v1.36): syncPeriod is more than zero and not less than
    /// minSyncPeriod.
    fn periods(&mut self, entry: &KubeProxyEntry, setup: &mut KubeProxySetup) {
        let ebpf = setup.mode == ProxyMode::Ebpf;
        for (name, given, own) in [
            ("minSyncPeriod", &entry.min_sync_period, &mut setup.min_sync_period),
            ("syncPeriod", &entry.sync_period, &mut setup.sync_period),
        ] {
            let Some(Spanned { value, span }) = given else { continue };
            if ebpf {
                self.push(
                    Diagnostic::error(format!("an eBPF agent has no `{name}`"))
                        .at(span, "the mode is ebpf")
                        .help("what it has is `batchPeriod`: for so long it gathers changes"),
                );
            }
            *own = *value;
        }
        if let Some(Spanned { value, span }) = &entry.batch_period {
            if !ebpf {
                self.push(
                    Diagnostic::error(format!("kube-proxy in the mode {} has no `batchPeriod`", setup.mode.name()))
                        .at(span, "this is a setting of `mode: ebpf`")
                        .help("what it has is `minSyncPeriod`"),
                );
            }
            setup.batch_period = *value;
        }
        if let Some(Spanned { value, span }) = &entry.sync_period
            && (value.is_zero() || *value < setup.min_sync_period)
        {
            let least = setup.min_sync_period.max(Duration::from_nanos(1));
            let expected = if setup.min_sync_period.is_zero() {
                "expected more than zero".to_string()
            } else {
                format!("expected at least `minSyncPeriod`, which is {least}")
            };
            self.push(Diagnostic::error(format!("`syncPeriod` is {value}")).at(span, expected));
        } else if let Some(Spanned { value, span }) = &entry.min_sync_period
            && *value > setup.sync_period
            && !ebpf
        {
            let problem = Diagnostic::error(format!("`minSyncPeriod` is {value}"));
            self.push(problem.at(span, format!("expected at most `syncPeriod`, which is {}", setup.sync_period)));
        }
    }

    fn failed_syncs(&mut self, entry: &FailedSyncsEntry, setup: &mut KubeProxySetup) {
        if let Some(share) = self.share("probability", entry.probability.as_ref(), 1.0) {
            setup.failed_syncs.probability = share;
        }
        for span in &entry.during {
            let nodes: Vec<String> = span.nodes.iter().filter_map(|name| self.node_of_proxy(name)).collect();
            if span.to.value <= span.from {
                let problem = Diagnostic::error("this span ends before it has begun");
                self.push(problem.at(&span.to.span, format!("expected more than {}", span.from)));
                continue;
            }
            if nodes.len() < span.nodes.len() {
                continue;
            }
            setup.failed_syncs.during.push(FailureSpan {
                nodes,
                from: Time::ZERO + span.from,
                to: Time::ZERO + span.to.value,
            });
        }
    }

    fn node_of_proxy(&mut self, name: &Spanned<String>) -> Option<String> {
        if self.knows_node(&name.value) {
            return Some(name.value.clone());
        }
        let problem = self.unknown_node(name);
        self.push(problem);
        None
    }
}
