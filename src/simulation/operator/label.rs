//! What `kubectl label` makes of the labels of an object.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/label/label.go` validateNoOverwrites, labelFunc, RunLabel (v1.36).

use crate::api::Labels;

/// Labels to set, and to take away (`None`).
pub type Changes = [(String, Option<String>)];

/// The first label that has another value already, with that value: without `--overwrite` nothing is done then.
#[must_use]
pub fn overwritten<'a>(labels: &'a Labels, changes: &'a Changes) -> Option<(&'a str, &'a str)> {
    changes.iter().find_map(|(key, value)| {
        let (old, new) = (labels.get(key)?, value.as_ref()?);
        (old != new).then_some((key.as_str(), old.as_str()))
    })
}

/// The last word of the line that is printed; `not labeled` if nothing changes, and then nothing is written.
#[must_use]
pub fn outcome(labels: &Labels, changes: &Changes) -> &'static str {
    let sets = changes.iter().any(|(key, value)| value.is_some() && labels.get(key) != value.as_ref());
    let removes = changes.iter().any(|(key, value)| value.is_none() && labels.contains_key(key));
    match (sets, removes) {
        (true, _) => "labeled",
        (false, true) => "unlabeled",
        (false, false) => NOT_LABELED,
    }
}

/// Nothing changes.
pub const NOT_LABELED: &str = "not labeled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_overwritten_and_taken_away() {
        let labels: Labels = [("app", "web"), ("tier", "front")].map(|(k, v)| (k.into(), v.into())).into();
        let set = |key: &str, value: &str| (key.to_string(), Some(value.to_string()));
        let remove = |key: &str| (key.to_string(), None);
        for (changes, overwrites, said) in [
            (vec![set("app", "debug")], Some(("app", "web")), "labeled"),
            (vec![set("app", "web")], None, NOT_LABELED),
            (vec![set("new", "1")], None, "labeled"),
            (vec![remove("tier")], None, "unlabeled"),
            (vec![remove("nope")], None, NOT_LABELED),
            (vec![remove("tier"), set("new", "1")], None, "labeled"),
            (vec![set("new", "1"), set("tier", "back")], Some(("tier", "front")), "labeled"),
        ] {
            assert_eq!(overwritten(&labels, &changes), overwrites, "{changes:?}");
            assert_eq!(outcome(&labels, &changes), said, "{changes:?}");
        }
    }
}
