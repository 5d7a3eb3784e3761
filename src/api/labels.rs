//! Labels and label selectors.

use std::collections::BTreeMap;
use std::fmt;

/// The labels of an object. Ordered, so that whatever is derived from them is the same in every run.
pub type Labels = BTreeMap<String, String>;

/// A label set that the store has seen, interned together with its namespace: pods of one template share it, and
/// which Services and PodDisruptionBudgets select it is worked out once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LabelSetId(pub u32);

/// One line of `matchExpressions`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// The label exists and has one of these values.
    In(String, Vec<String>),
    /// The label is absent, or has none of these values.
    NotIn(String, Vec<String>),
    /// The label exists.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

/// A label selector: all requirements must hold. Without any requirement it selects everything.
///
/// Source: `k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go` LabelSelectorAsSelector and
/// `k8s.io/apimachinery/pkg/labels/selector.go` Requirement.Matches (v1.36). `NotIn` holds when the label is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// The selector that wants exactly these labels (`matchLabels`, or a Service's `selector`).
    #[must_use]
    pub fn labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { requirements: labels.into_iter().map(|(k, v)| Requirement::In(k.into(), vec![v.into()])).collect() }
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

impl fmt::Display for Selector {
    /// As `--selector` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(","))?,
                Requirement::NotIn(key, values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(","))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_match_as_apimachinery_does() {
        let labels: Labels = [("app", "nginx"), ("tier", "web")].map(|(k, v)| (k.into(), v.into())).into();
        let key = |k: &str| k.to_string();
        let values = |v: &[&str]| v.iter().map(|v| (*v).to_string()).collect::<Vec<_>>();
        for (requirement, expected) in [
            (Requirement::In(key("app"), values(&["nginx", "httpd"])), true),
            (Requirement::In(key("app"), values(&["httpd"])), false),
            (Requirement::In(key("none"), values(&["nginx"])), false),
            (Requirement::NotIn(key("app"), values(&["nginx"])), false),
            (Requirement::NotIn(key("none"), values(&["nginx"])), true),
            (Requirement::Exists(key("tier")), true),
            (Requirement::DoesNotExist(key("tier")), false),
        ] {
            let selector = Selector { requirements: vec![requirement] };
            assert_eq!(selector.matches(&labels), expected, "{selector:?}");
        }
        assert!(Selector::default().matches(&labels), "an empty selector selects everything");
    }
}
