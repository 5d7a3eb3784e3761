//! Counts, percentages and versions.

use super::table;
use drainsim::api::IntOrPercent::{self, Int, Percent};
use drainsim::api::Version;

/// All tables of this file.
pub fn check() -> usize {
    scaled() + defaults_by_version()
}

/// `k8s.io/apimachinery/pkg/util/intstr/intstr.go` GetScaledValueFromIntOrPercent; `intstr_test.go`
/// TestGetIntFromIntOrPercent.
fn scaled() -> usize {
    const SOURCE: &str = "apimachinery intstr.go GetScaledValueFromIntOrPercent";
    // value, of how many -> rounded up, rounded down
    let rows: [((IntOrPercent, u32), (u32, u32)); 12] = [
        ((Int(123), 0), (123, 123)),
        ((Percent(90), 100), (90, 90)),
        ((Percent(90), 95), (86, 85)),
        ((Percent(0), 95), (0, 0)),
        ((Percent(100), 7), (7, 7)),
        ((Percent(150), 7), (11, 10)),
        ((Percent(1), 1), (1, 0)),
        ((Percent(1), 99), (1, 0)),
        ((Percent(1), 101), (2, 1)),
        ((Percent(25), 0), (0, 0)),
        ((Percent(33), 3), (1, 0)),
        ((Percent(67), 3), (3, 2)),
    ];
    table(SOURCE, &rows, |(value, of)| (value.scaled_up(*of), value.scaled_down(*of)))
}

/// What a cluster does by default, and since when.
fn defaults_by_version() -> usize {
    let monitor_grace: [(u8, u64); 4] = [(29, 40), (31, 40), (32, 50), (36, 50)];
    let sleep: [(u8, (bool, bool)); 5] =
        [(29, (false, false)), (30, (true, false)), (32, (true, false)), (33, (true, true)), (36, (true, true))];
    table("pkg/controller/nodelifecycle/config/v1alpha1/defaults.go", &monitor_grace, |minor| {
        Version::minor(*minor).node_monitor_grace_seconds()
    }) + table("pkg/features/kube_features.go PodLifecycleSleepAction, …AllowZero", &sleep, |minor| {
        let version = Version::minor(*minor);
        (version.has_sleep_action(), version.allows_zero_sleep())
    })
}
