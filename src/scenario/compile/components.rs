//! The settings of Kubernetes' components.

use crate::api::node::{DefaultTolerationSeconds, add_default_tolerations};
use crate::engine::Duration;
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::Spanned;

impl Compiler<'_> {
    /// Flags of kube-controller-manager, kubelets and apiserver; the pods that are there get the tolerations that admission
    /// adds.
    pub(super) fn components(&mut self) {
        self.controller_manager();
        self.heartbeats();
        self.check_grace_period();
        let api_server = self.spec.api_server.as_ref();
        let mut seconds = DefaultTolerationSeconds::default();
        if let Some(not_ready) = api_server.and_then(|s| s.default_not_ready_toleration_seconds) {
            seconds.not_ready = u64::from(not_ready);
        }
        if let Some(unreachable) = api_server.and_then(|s| s.default_unreachable_toleration_seconds) {
            seconds.unreachable = u64::from(unreachable);
        }
        for template in &mut self.setup.templates {
            add_default_tolerations(&mut template.placement.tolerations, seconds);
        }
    }

    fn controller_manager(&mut self) {
        let Some(entry) = &self.spec.controller_manager else { return };
        let mut settings = self.setup.controller_manager;
        if let Some(period) = self.span("nodeMonitorPeriod", entry.node_monitor_period.as_ref()) {
            settings.node_monitor_period = period;
        }
        if let Some(grace) = self.span("nodeMonitorGracePeriod", entry.node_monitor_grace_period.as_ref()) {
            settings.node_monitor_grace_period = Some(grace);
        }
        if let Some(rate) = self.share("nodeEvictionRate", entry.node_eviction_rate.as_ref(), f64::MAX) {
            settings.node_eviction_rate = rate;
        }
        let secondary = entry.secondary_node_eviction_rate.as_ref();
        if let Some(rate) = self.share("secondaryNodeEvictionRate", secondary, f64::MAX) {
            settings.secondary_node_eviction_rate = rate;
        }
        if let Some(size) = entry.large_cluster_size_threshold {
            settings.large_cluster_size_threshold = size;
        }
        if let Some(share) = self.share("unhealthyZoneThreshold", entry.unhealthy_zone_threshold.as_ref(), 1.0) {
            settings.unhealthy_zone_threshold = share;
        }
        self.setup.controller_manager = settings;
    }

    fn heartbeats(&mut self) {
        let Some(entry) = &self.spec.kubelet else { return };
        let mut settings = self.setup.kubelet.clone();
        if let Some(period) = self.span("nodeStatusUpdateFrequency", entry.node_status_update_frequency.as_ref()) {
            // pkg/kubelet/apis/config/v1beta1/defaults.go: who sets only the one sets both
            settings.node_status_update_frequency = period;
            settings.node_status_report_frequency = period;
        }
        if let Some(period) = self.span("nodeStatusReportFrequency", entry.node_status_report_frequency.as_ref()) {
            settings.node_status_report_frequency = period;
        }
        if let Some(Spanned { value, span }) = &entry.node_lease_duration_seconds {
            if *value == 0 {
                let problem = Diagnostic::error("`nodeLeaseDurationSeconds` is 0");
                self.push(problem.at(span, "expected 1 or more seconds"));
            }
            settings.node_lease_duration = Duration::from_secs(u64::from((*value).max(1)));
        }
        self.setup.kubelet = settings;
    }

    /// A grace period that heartbeats cannot keep.
    fn check_grace_period(&mut self) {
        let entry = self.spec.controller_manager.as_ref().and_then(|e| e.node_monitor_grace_period.as_ref());
        let Some(Spanned { value, span }) = entry else { return };
        let kubelet = &self.setup.kubelet;
        let gap = kubelet.lease_renewal().min(kubelet.node_status_report_frequency);
        if !value.is_zero() && *value <= gap {
            let problem = Diagnostic::warning("nodes that are well will be given up");
            let place = format!("kubelets are heard each {gap} only");
            self.push(problem.at(span, place).help("make it several times `nodeLeaseDurationSeconds` / 4"));
        }
    }

    /// A span that is not zero.
    fn span(&mut self, name: &str, entry: Option<&Spanned<Duration>>) -> Option<Duration> {
        let Spanned { value, span } = entry?;
        if value.is_zero() {
            self.push(Diagnostic::error(format!("`{name}` is zero")).at(span, "expected more than zero"));
            return None;
        }
        Some(*value)
    }

    /// A number from 0 to `most`.
    pub(super) fn share(&mut self, name: &str, entry: Option<&Spanned<f64>>, most: f64) -> Option<f64> {
        let Spanned { value, span } = entry?;
        if !(0.0..=most).contains(value) {
            let range = if most < f64::MAX { format!("0 to {most}") } else { "0 or more".to_string() };
            self.push(Diagnostic::error(format!("`{name}` is {value}")).at(span, format!("expected {range}")));
            return None;
        }
        Some(*value)
    }
}
