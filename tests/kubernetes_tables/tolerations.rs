//! Taints and tolerations.

use super::table;
use drainsim::api::node::{TAINT_NOT_READY, TAINT_UNREACHABLE, add_default_tolerations};
use drainsim::api::{Taint, TaintEffect, Toleration};
use drainsim::simulation::control_plane::node_lifecycle::taints_of;
use drainsim::simulation::setup::plain_node;

/// All tables of this file.
pub fn check() -> usize {
    matches() + defaults() + of_nodes()
}

/// A toleration: key, value (`None`: the operator Exists), effect.
fn toleration((key, value, effect): (&str, Option<&str>, Option<TaintEffect>)) -> Toleration {
    let key = (!key.is_empty()).then(|| key.to_string());
    Toleration { key, value: value.map(str::to_string), effect, seconds: None }
}

/// `k8s.io/api/core/v1/toleration.go` ToleratesTaint; `toleration_test.go` TestTolerationToleratesTaint. A row: toleration;
/// key, value, effect of the taint.
fn matches() -> usize {
    use TaintEffect::{NoExecute, NoSchedule, PreferNoSchedule};
    type Given = ((&'static str, Option<&'static str>, Option<TaintEffect>), (&'static str, &'static str, TaintEffect));
    let rows: [(Given, bool); 14] = [
        ((("foo", None, Some(NoSchedule)), ("foo", "", NoSchedule)), true),
        ((("foo", None, Some(NoSchedule)), ("foo", "bar", NoSchedule)), true),
        ((("", None, Some(NoSchedule)), ("foo", "bar", NoSchedule)), true),
        ((("foo", Some("bar"), Some(NoSchedule)), ("foo", "bar", NoSchedule)), true),
        ((("foo", Some("value1"), Some(NoSchedule)), ("foo", "value2", NoSchedule)), false),
        ((("foo", Some("bar"), Some(NoSchedule)), ("foo", "bar", NoExecute)), false),
        ((("foo", Some("bar"), None), ("foo", "bar", NoExecute)), true),
        ((("foo", None, None), ("foo", "bar", PreferNoSchedule)), true),
        ((("bar", None, None), ("foo", "", NoSchedule)), false),
        ((("", None, None), ("foo", "bar", NoExecute)), true),
        ((("", None, Some(NoExecute)), ("foo", "bar", NoSchedule)), false),
        ((("foo", Some(""), None), ("foo", "", NoSchedule)), true),
        ((("foo", Some(""), None), ("foo", "bar", NoSchedule)), false),
        ((("fo", None, None), ("foo", "", NoSchedule)), false),
    ];
    table(
        "k8s.io/api core/v1/toleration_test.go TestTolerationToleratesTaint",
        &rows,
        |(with, (key, value, effect))| {
            toleration(*with).tolerates(&Taint { key: (*key).into(), value: (*value).into(), effect: *effect })
        },
    )
}

/// `plugin/pkg/admission/defaulttolerationseconds/admission.go`; `admission_test.go` TestForgivenessAdmission. A row: what the
/// pod has; which keys are added.
fn defaults() -> usize {
    use TaintEffect::{NoExecute, NoSchedule};
    type Own = Vec<(&'static str, Option<&'static str>, Option<TaintEffect>)>;
    let (n, u) = (TAINT_NOT_READY, TAINT_UNREACHABLE);
    let rows: [(Own, Vec<&str>); 8] = [
        (vec![], vec![n, u]),
        (vec![("foo", Some("bar"), Some(NoSchedule))], vec![n, u]),
        (vec![(n, None, Some(NoExecute))], vec![u]),
        (vec![(u, None, Some(NoExecute))], vec![n]),
        (vec![(n, None, Some(NoExecute)), (u, None, Some(NoExecute))], vec![]),
        // without an effect it is for all effects
        (vec![(u, None, None)], vec![n]),
        (vec![("", None, None)], vec![]),
        // another effect of the same key is something else
        (vec![(n, None, Some(NoSchedule))], vec![n, u]),
    ];
    let rows: Vec<(Own, Vec<(String, Option<u64>)>)> = rows
        .into_iter()
        .map(|(own, added)| (own, added.iter().map(|key| (key.to_string(), Some(300))).collect()))
        .collect();
    table("plugin/pkg/admission/defaulttolerationseconds/admission_test.go", &rows, |own| {
        let mut tolerations: Vec<Toleration> = own.iter().map(|t| toleration(*t)).collect();
        add_default_tolerations(&mut tolerations);
        tolerations[own.len()..].iter().map(|t| (t.key.clone().unwrap_or_default(), t.seconds)).collect::<Vec<_>>()
    })
}

/// `pkg/controller/nodelifecycle/node_lifecycle_controller.go` doNoScheduleTaintingPass. A row: unschedulable, Ready, Unknown;
/// the NoSchedule taints that follow.
fn of_nodes() -> usize {
    let rows: [((bool, bool, bool), Vec<&str>); 5] = [
        ((false, true, false), vec![]),
        ((true, true, false), vec!["unschedulable"]),
        ((false, false, false), vec!["not-ready"]),
        ((false, false, true), vec!["unreachable"]),
        ((true, false, true), vec!["unschedulable", "unreachable"]),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(given, keys)| (given, keys.iter().map(|k| format!("node.kubernetes.io/{k}")).collect::<Vec<_>>()))
        .collect();
    table("pkg/controller/nodelifecycle doNoScheduleTaintingPass", &rows, |row| {
        let (unschedulable, ready, unreachable) = *row;
        let node = drainsim::api::Node { unschedulable, ready, unreachable, ..plain_node("n") };
        taints_of(&node).into_iter().map(|t| t.key).collect()
    })
}
