//! What kubectl prints, word by word. Quoted names are names of objects, which need no escapes.
//!
//! Source: `k8s.io/kubectl/pkg/drain/drain.go`, `pkg/cmd/drain/drain.go`, `pkg/cmd/util/helpers.go` checkErr,
//! `k8s.io/apimachinery/pkg/util/errors/errors.go` aggregate, `k8s.io/apimachinery/pkg/api/errors/errors.go` (v1.36).

use std::fmt;

use crate::api::eviction::Refusal;
use crate::api::{PdbSpec, PodMeta, Store, Version};
use crate::engine::Duration;
use crate::simulation::write::WriteError;

/// What went wrong on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// One error.
    Plain(String),
    /// Errors that were collected, in the order in which they came.
    Aggregate(Vec<String>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(error) => f.write_str(error),
            Self::Aggregate(errors) => {
                let mut unique: Vec<&str> = Vec::new();
                for error in errors {
                    if !unique.contains(&error.as_str()) {
                        unique.push(error);
                    }
                }
                match unique.as_slice() {
                    [single] => f.write_str(single),
                    several => write!(f, "[{}]", several.join(", ")),
                }
            }
        }
    }
}

/// The lines with which a process ends that has failed on these nodes. An aggregate of one is unwrapped once, and only a
/// plain error then gets the word "error".
#[must_use]
pub fn last_words(failures: &[Failure]) -> Vec<String> {
    match failures {
        [Failure::Plain(error)] => vec![format!("error: {error}")],
        [Failure::Aggregate(errors)] => errors.clone(),
        several => several.iter().map(Failure::to_string).collect(),
    }
}

/// What pflag says of a flag that is deprecated (`github.com/spf13/pflag/flag.go` MarkDeprecated), with the words of
/// kubectl 1.20 to 1.30.
pub const DELETE_LOCAL_DATA_DEPRECATED: &str = "Flag --delete-local-data has been deprecated, This option is deprecated \
    and will be deleted. Use --delete-emptydir-data.";

/// Before each attempt to evict a pod.
#[must_use]
pub fn evicting(pod: &PodMeta) -> String {
    format!("evicting pod {}/{}", pod.namespace, pod.name)
}

/// After a refusal that is not the last word.
#[must_use]
pub fn will_retry(pod: &PodMeta, delay: Duration, error: &str) -> String {
    format!("error when evicting pods/\"{}\" -n \"{}\" (will retry after {delay}): {error}", pod.name, pod.namespace)
}

/// The error of a pod that is not evicted.
#[must_use]
pub fn eviction_failed(pod: &PodMeta, error: &str) -> String {
    format!("error when evicting pods/\"{}\" -n \"{}\": {error}", pod.name, pod.namespace)
}

/// The error of a pod that has been evicted and does not end.
#[must_use]
pub fn wait_failed(pod: &PodMeta, error: &str) -> String {
    format!("error when waiting for pod \"{}\" in namespace \"{}\" to terminate: {error}", pod.name, pod.namespace)
}

/// The deadline has passed, as drain says it itself.
#[must_use]
pub fn global_timeout(timeout: Duration) -> String {
    format!("global timeout reached: {timeout}")
}

/// A pod that `--skip-wait-for-delete-timeout` no longer waits for.
#[must_use]
pub fn skipping(pod: &PodMeta, seconds: u64) -> String {
    format!("pod \"{}\" has DeletionTimestamp older than {seconds} seconds, skipping", pod.name)
}

/// A node is given up; the next one follows.
#[must_use]
pub fn unable_to_drain(node: &str, failure: &Failure, version: Version) -> String {
    let space = if version.drain_spaces_its_error() { " " } else { "" };
    format!("error: unable to drain node \"{node}\" due to error:{space}{failure}, continuing command...")
}

/// A pod has been deleted by `kubectl delete`.
#[must_use]
pub fn pod_deleted(pod: &PodMeta, version: Version) -> String {
    if version.delete_tells_namespace() {
        format!("pod \"{}\" deleted from {} namespace", pod.name, pod.namespace)
    } else {
        format!("pod \"{}\" deleted", pod.name)
    }
}

/// A budget has been deleted by `kubectl delete`.
#[must_use]
pub fn pdb_deleted(spec: &PdbSpec, version: Version) -> String {
    if version.delete_tells_namespace() {
        format!("poddisruptionbudget.policy \"{}\" deleted from {} namespace", spec.name, spec.namespace)
    } else {
        format!("poddisruptionbudget.policy \"{}\" deleted", spec.name)
    }
}

/// 404, as the apiserver words it. `resource` is the plural with its group: `nodes`, `deployments.apps`.
#[must_use]
pub fn not_found(resource: &str, name: &str) -> String {
    format!("{resource} \"{name}\" not found")
}

/// A refused write, as the apiserver words it.
#[must_use]
pub fn write_refused(error: WriteError, resource: &str, name: &str) -> String {
    match error {
        WriteError::NotFound => not_found(resource, name),
        WriteError::Conflict => conflict(resource, name),
    }
}

/// An error answer of the apiserver that ends the process.
#[must_use]
pub fn from_server(error: WriteError, resource: &str, name: &str) -> String {
    let reason = match error {
        WriteError::NotFound => "NotFound",
        WriteError::Conflict => "Conflict",
    };
    format!("Error from server ({reason}): {}", write_refused(error, resource, name))
}

/// A refused eviction, as the apiserver words it: the message of the answer, without the cause in its details, which
/// kubectl does not print.
#[must_use]
pub fn refused(refusal: Refusal, pod: &PodMeta, store: &Store) -> String {
    let budget = |pdb: crate::api::PdbId| store.pdb_specs[pdb.index()].name.as_str();
    match refusal {
        Refusal::NotFound => not_found("pods", &pod.name),
        Refusal::MoreThanOneBudget => {
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                .to_string()
        }
        Refusal::BudgetNotObserved(_) | Refusal::PodChanged | Refusal::NoBudget(_) => {
            "Cannot evict pod as it would violate the pod's disruption budget.".to_string()
        }
        Refusal::TooManyDisrupted(pdb) => format!(
            "poddisruptionbudget.policy \"{}\" is forbidden: DisruptedPods map too big - too many evictions not confirmed \
             by PDB controller",
            budget(pdb)
        ),
        Refusal::Conflict(pdb) => conflict("poddisruptionbudgets.policy", budget(pdb)),
    }
}

fn conflict(resource: &str, name: &str) -> String {
    format!(
        "Operation cannot be fulfilled on {resource} \"{name}\": the object has been modified; please apply your changes to \
         the latest version and try again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Owner, TemplateId};
    use crate::engine::Time;

    fn pod() -> PodMeta {
        PodMeta {
            namespace: "default".into(),
            name: "web-6985585c45-45s5h".into(),
            template: TemplateId(0),
            owner: Owner::None,
            created_at: Time::ZERO,
            luck: 0,
            only_on: None,
        }
    }

    fn failure(errors: &[&str]) -> Failure {
        Failure::Aggregate(errors.iter().map(|e| (*e).to_string()).collect())
    }

    /// Lines of recorded drains (kubectl 1.33, apiserver 1.36.2).
    #[test]
    fn lines_as_recorded() {
        let refusal = refused(Refusal::NoBudget(crate::api::PdbId(0)), &pod(), &Store::default());
        assert_eq!(
            will_retry(&pod(), Duration::from_secs(5), &refusal),
            "error when evicting pods/\"web-6985585c45-45s5h\" -n \"default\" (will retry after 5s): Cannot evict pod as it \
             would violate the pod's disruption budget."
        );
        assert_eq!(
            eviction_failed(&pod(), &global_timeout(Duration::from_secs(22))),
            "error when evicting pods/\"web-6985585c45-45s5h\" -n \"default\": global timeout reached: 22s"
        );
        assert_eq!(
            unable_to_drain("fk1", &failure(&["a", "b"]), Version::minor(33)),
            "error: unable to drain node \"fk1\" due to error: [a, b], continuing command..."
        );
    }

    #[test]
    fn aggregates_print_as_in_go() {
        for (errors, printed) in
            [(vec!["a"], "a"), (vec!["a", "b"], "[a, b]"), (vec!["a", "b", "a"], "[a, b]"), (vec!["a", "a"], "a")]
        {
            assert_eq!(failure(&errors).to_string(), printed);
        }
    }

    #[test]
    fn only_a_lonely_plain_error_is_called_an_error() {
        let plain = |e: &str| Failure::Plain(e.to_string());
        assert_eq!(last_words(&[plain("context deadline exceeded")]), ["error: context deadline exceeded"]);
        assert_eq!(last_words(&[plain("a"), plain("b")]), ["a", "b"]);
        assert_eq!(last_words(&[failure(&["a", "b"])]), ["a", "b"]);
        assert_eq!(last_words(&[failure(&["a", "b"]), failure(&["c"])]), ["[a, b]", "c"]);
    }

    #[test]
    fn older_kubectls_say_it_differently() {
        let old = unable_to_drain("n", &failure(&["a"]), Version::minor(30));
        assert_eq!(old, "error: unable to drain node \"n\" due to error:a, continuing command...");
        assert_eq!(pod_deleted(&pod(), Version::minor(33)), "pod \"web-6985585c45-45s5h\" deleted");
        let new = pod_deleted(&pod(), Version::minor(34));
        assert_eq!(new, "pod \"web-6985585c45-45s5h\" deleted from default namespace");
    }
}
