//! Settings of the kubelet.

use crate::engine::Duration;
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::Spanned;

/// From this priority on a pod is critical (`pkg/apis/scheduling/types.go` SystemCriticalPriority, v1.36).
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

impl Compiler<'_> {
    /// `spec.kubelet`: how a node is shut down.
    pub(super) fn kubelet(&mut self) {
        let Some(entry) = &self.spec.kubelet else { return };
        let by_priority = &entry.shutdown_grace_period_by_pod_priority;
        let mut grace: Vec<(i32, u64)> =
            by_priority.iter().map(|e| (e.priority, u64::from(e.shutdown_grace_period_seconds))).collect();
        grace.sort_unstable();
        if let Some(total) = &entry.shutdown_grace_period {
            grace = self.split(total, entry.shutdown_grace_period_critical_pods.as_ref());
        }
        self.setup.kubelet.shutdown_grace = grace;
    }

    /// The two settings as a list by priority.
    ///
    /// Source: `pkg/kubelet/nodeshutdown/nodeshutdown_manager.go` migrateConfig (v1.36); what is less than a second is cut
    /// off, and the kubelet refuses a total between 0 and 1 s (`pkg/kubelet/apis/config/validation/validation.go`).
    fn split(&mut self, total: &Spanned<Duration>, critical: Option<&Spanned<Duration>>) -> Vec<(i32, u64)> {
        if total.value.is_zero() {
            return Vec::new();
        }
        if total.value < Duration::from_secs(1) {
            let problem = Diagnostic::error("`shutdownGracePeriod` is either 0 or at least 1s");
            self.push(problem.at(&total.span, "the kubelet refuses to start"));
        }
        let last = critical.map_or(Duration::ZERO, |c| c.value);
        if let Some(critical) = critical.filter(|c| c.value > total.value) {
            self.push(
                Diagnostic::error(
                    "`shutdownGracePeriodCriticalPods` is a part of `shutdownGracePeriod`, and longer than it",
                )
                .at(&critical.span, format!("more than {}", total.value))
                .and_at(&total.span, "the whole"),
            );
            return Vec::new();
        }
        vec![(0, (total.value - last).as_secs()), (CRITICAL_PRIORITY, last.as_secs())]
    }
}
