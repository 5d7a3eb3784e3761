//! Nodes, taints and tolerations.

use crate::api::labels::Labels;
use crate::api::quantity::Resources;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TaintEffect {
    /// New pods are not placed.
    NoSchedule,
    /// New pods are placed only if nothing better is there.
    PreferNoSchedule,
    /// Neither placed nor kept.
    NoExecute,
}

/// A taint of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taint {
    /// `key`.
    pub key: String,
    /// `value`, empty if none.
    pub value: String,
    /// `effect`.
    pub effect: TaintEffect,
}

/// The taint that follows `spec.unschedulable` (`pkg/controller/nodelifecycle`, doNoScheduleTaintingPass).
pub const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The taint of a node whose kubelet says that it is not ready.
pub const TAINT_NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that is silent.
pub const TAINT_UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The taint by which an operator says that a node is off and will not come back by itself: its pods may be removed by
/// force.
pub const TAINT_OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// A toleration of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Toleration {
    /// `key`; `None` with `Exists` tolerates every key.
    pub key: Option<String>,
    /// `value` if the operator is `Equal`; `None` for `Exists`.
    pub value: Option<String>,
    /// `effect`; `None` tolerates every effect.
    pub effect: Option<TaintEffect>,
    /// `tolerationSeconds`, for NoExecute.
    pub seconds: Option<u64>,
}

impl Toleration {
    /// Whether it tolerates this taint.
    ///
    /// Source: `k8s.io/component-helpers/scheduling/corev1/helpers.go` and `k8s.io/api/core/v1/toleration.go` ToleratesTaint
    /// (v1.36).
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

/// The tolerations that admission gives to every pod that does not have its own for these keys: so many seconds each, 300
/// unless the apiserver is told otherwise (`--default-not-ready-toleration-seconds`,
/// `--default-unreachable-toleration-seconds`).
///
/// Source: `plugin/pkg/admission/defaulttolerationseconds/admission.go` (v1.36).
pub fn add_default_tolerations(tolerations: &mut Vec<Toleration>, seconds: DefaultTolerationSeconds) {
    for (key, seconds) in [(TAINT_NOT_READY, seconds.not_ready), (TAINT_UNREACHABLE, seconds.unreachable)] {
        let has_own = tolerations
            .iter()
            .any(|t| t.key.as_deref().is_none_or(|k| k == key) && t.effect.is_none_or(|e| e == TaintEffect::NoExecute));
        if !has_own {
            tolerations.push(Toleration {
                key: Some(key.to_string()),
                value: None,
                effect: Some(TaintEffect::NoExecute),
                seconds: Some(seconds),
            });
        }
    }
}

/// The settings of the admission plugin DefaultTolerationSeconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DefaultTolerationSeconds {
    /// `--default-not-ready-toleration-seconds`.
    pub not_ready: u64,
    /// `--default-unreachable-toleration-seconds`.
    pub unreachable: u64,
}

impl Default for DefaultTolerationSeconds {
    fn default() -> Self {
        Self { not_ready: 300, unreachable: 300 }
    }
}

/// One version of a node, as stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, with `kubernetes.io/hostname`.
    pub labels: Labels,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// The Ready condition is True.
    pub ready: bool,
    /// The Ready condition is Unknown: nothing has been heard of the kubelet for the monitor grace period.
    pub unreachable: bool,
    /// `status.allocatable`.
    pub allocatable: Resources,
    /// `status.allocatable.pods`; 110 unless given (kubelet `maxPods`).
    pub pods_max: u32,
}

impl Node {
    /// cluster-autoscaler's taint on a node that it is about to remove.
    pub const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

    /// The label `topology.kubernetes.io/zone`; empty if there is none.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.labels.get("topology.kubernetes.io/zone").map_or("", String::as_str)
    }

    /// cluster-autoscaler has put its taint on the node.
    #[must_use]
    pub fn is_to_be_deleted(&self) -> bool {
        self.taints.iter().any(|t| t.key == Self::TO_BE_DELETED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: Option<&str>, value: Option<&str>, effect: Option<TaintEffect>) -> Toleration {
        Toleration { key: key.map(Into::into), value: value.map(Into::into), effect, seconds: None }
    }

    #[test]
    fn tolerations_match_as_api_machinery_does() {
        let taint = Taint { key: "dedicated".into(), value: "db".into(), effect: TaintEffect::NoSchedule };
        for (toleration, expected) in [
            (toleration(None, None, None), true),
            (toleration(Some("dedicated"), None, None), true),
            (toleration(Some("dedicated"), Some("db"), Some(TaintEffect::NoSchedule)), true),
            (toleration(Some("dedicated"), Some("web"), None), false),
            (toleration(Some("other"), None, None), false),
            (toleration(Some("dedicated"), None, Some(TaintEffect::NoExecute)), false),
        ] {
            assert_eq!(toleration.tolerates(&taint), expected, "{toleration:?}");
        }
    }

    #[test]
    fn admission_adds_300_s_only_where_nothing_is_said() {
        let mut none = Vec::new();
        add_default_tolerations(&mut none, DefaultTolerationSeconds::default());
        assert_eq!(
            none.iter().map(|t| (t.key.clone().unwrap(), t.seconds)).collect::<Vec<_>>(),
            [(TAINT_NOT_READY.to_string(), Some(300)), (TAINT_UNREACHABLE.to_string(), Some(300)),]
        );
        let mut own = vec![toleration(Some(TAINT_UNREACHABLE), None, Some(TaintEffect::NoExecute))];
        add_default_tolerations(&mut own, DefaultTolerationSeconds::default());
        assert_eq!(own.len(), 2, "only not-ready is added");
        let mut everything = vec![toleration(None, None, None)];
        add_default_tolerations(&mut everything, DefaultTolerationSeconds::default());
        assert_eq!(everything.len(), 1);
    }
}
