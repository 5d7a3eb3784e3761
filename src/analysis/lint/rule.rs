//! What a rule is, what it finds, and the list of all rules.

use crate::analysis::lint::cluster::Cluster;
use crate::analysis::lint::{budgets, drain, grace, hooks, readiness, replicas, services, signals};
use crate::scenario::diagnostic::Severity;
use crate::scenario::source::Span;

/// Something that can be wrong with manifests.
pub struct Rule {
    /// The name, which never changes: `pdb-allows-nothing`.
    pub id: &'static str,
    /// How bad it is, unless a finding says otherwise.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub summary: &'static str,
    /// Why that matters: what Kubernetes does then.
    pub why: &'static str,
    /// What to do, in general; a finding tells it in particular.
    pub fix: &'static str,
    /// Where that is written: files of `kubernetes/kubernetes` (v1.36), or other sources.
    pub source: &'static str,
    pub(super) check: fn(&Cluster<'_>, &mut Sink),
}

/// All rules, by subject.
pub static RULES: &[&Rule] = &[
    &budgets::ALLOWS_NOTHING,
    &budgets::SINGLE_REPLICA,
    &budgets::AUTOSCALER_MINIMUM,
    &budgets::SELECTS_NOTHING,
    &budgets::SELECTS_EVERYTHING,
    &budgets::OVERLAP,
    &budgets::WITHOUT_SCALE,
    &budgets::UNHEALTHY_POLICY,
    &budgets::MIN_READY_SECONDS,
    &budgets::REFUSED,
    &hooks::NO_PRESTOP,
    &hooks::SLEEP_REFUSED,
    &hooks::SLEEP_UNSUPPORTED,
    &hooks::EXCEEDS_GRACE,
    &hooks::EXEC_WITHOUT_SHELL,
    &hooks::MESH_SIDECAR,
    &grace::ZERO,
    &grace::TOO_SHORT,
    &signals::SHELL,
    &signals::IGNORED,
    &signals::NOT_GRACEFUL,
    &readiness::NO_PROBE,
    &readiness::SLOW,
    &services::SELECTS_NOTHING,
    &services::PORT_NAME,
    &services::PUBLISHES_NOT_READY,
    &replicas::SINGLE,
    &replicas::NO_BUDGET,
    &replicas::RECREATE,
    &replicas::ALL_AT_ONCE,
    &replicas::ON_ONE_NODE,
    &drain::BARE_POD,
    &drain::EMPTY_DIR,
    &drain::DAEMON_SET_TAINTS,
    &drain::AUTOSCALER_VETO,
];

/// One thing that a rule has found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with names and numbers.
    pub message: String,
    /// Where.
    pub place: Span,
    /// A word about the place; may be empty.
    pub label: String,
    /// Other places that have to do with it.
    pub related: Vec<(Span, String)>,
    /// What one should know besides the rule's `why`.
    pub notes: Vec<String>,
    /// What to write instead, as YAML where that is possible.
    pub fix: String,
}

impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        (self.rule.id, self.severity, &self.message, &self.place)
            == (other.rule.id, other.severity, &other.message, &other.place)
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

impl Rule {
    /// The rule of this name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id).copied()
    }

    /// Where its section in the documentation is.
    #[must_use]
    pub fn page(&self) -> String {
        format!("docs/lint.md#{}", self.id)
    }

    /// What it finds.
    pub(super) fn ask(&'static self, cluster: &Cluster<'_>) -> Vec<Finding> {
        let mut sink = Sink { rule: self, found: Vec::new() };
        (self.check)(cluster, &mut sink);
        sink.found
    }
}

/// Where a rule puts what it finds.
pub(super) struct Sink {
    rule: &'static Rule,
    found: Vec<Finding>,
}

impl Sink {
    /// Adds a finding, which may be given more to say.
    pub fn push(&mut self, message: impl Into<String>, place: &Span, label: impl Into<String>) -> &mut Finding {
        self.found.push(Finding {
            rule: self.rule,
            severity: self.rule.severity,
            message: message.into(),
            place: place.clone(),
            label: label.into(),
            related: Vec::new(),
            notes: Vec::new(),
            fix: self.rule.fix.to_string(),
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

impl Finding {
    /// Another place that has to do with it.
    pub(super) fn and_at(&mut self, span: &Span, label: impl Into<String>) -> &mut Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// Something that one should know.
    pub(super) fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(note.into());
        self
    }

    /// What to write in this very case.
    pub(super) fn fix(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = fix.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rules_have_different_names_and_say_everything() {
        let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        for rule in RULES {
            assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{rule:?}");
            for text in [rule.summary, rule.why, rule.fix, rule.source] {
                assert!(!text.is_empty() && text.trim() == text, "{rule:?}: {text:?}");
            }
            assert!(rule.why.ends_with('.'), "{rule:?}: why is whole sentences");
            assert!(!rule.summary.ends_with('.'), "{rule:?}: the summary is a title");
        }
    }
}
