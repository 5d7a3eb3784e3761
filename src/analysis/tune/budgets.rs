//! The PodDisruptionBudgets that a drain meets, as something to turn: how many pods each of them lets go at once.
//!
//! A budget is tighter the fewer that are. The tightest that admits anything lets one go; the widest lets all go.

use crate::api::pdb::Budget;
use crate::api::{IntOrPercent, TemplateId};
use crate::simulation::{self, Setup};

/// A budget that evictions of the scenario ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    /// Its index in the setup.
    pub index: usize,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// How many pods it selects.
    pub pods: u32,
    /// What it says.
    pub before: Budget,
}

impl Turned {
    /// Those of a setup: of the first run in which budgets hold nobody back, those that were asked.
    #[must_use]
    pub fn of(setup: &Setup, seed: u64) -> Vec<Self> {
        if setup.pdbs.is_empty() {
            return Vec::new();
        }
        let mut open = setup.clone();
        open.pdbs.iter_mut().for_each(|pdb| pdb.budget = Budget::MinAvailable(IntOrPercent::Int(0)));
        // Which pods are evicted, and how many there are, is no matter of clients.
        open.traffic.clear();
        let outcome = simulation::run(&open, seed, false);
        let asked = |(index, pdb): (usize, &simulation::outcome::PdbOutcome)| {
            let spec = setup.pdbs.get(index)?;
            (pdb.admitted + pdb.denials > 0 && pdb.pods > 0).then(|| Self {
                index,
                namespace: spec.namespace.clone(),
                name: spec.name.clone(),
                pods: pdb.pods,
                before: spec.budget,
            })
        };
        outcome.pdbs.iter().enumerate().filter_map(asked).collect()
    }

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// How many pods it lets go at once as it is.
    #[must_use]
    pub fn allowed_before(&self) -> u32 {
        match self.before {
            Budget::MinAvailable(least) => self.pods.saturating_sub(least.scaled_up(self.pods)),
            Budget::MaxUnavailable(most) => most.scaled_up(self.pods).min(self.pods),
            Budget::Nothing => 0,
        }
    }

    /// The budget that lets so many pods go at once, said as it is said now: by the same field, and as a percentage if it is
    /// one. A percentage is not fine enough for more than 100 pods; a number takes its place.
    #[must_use]
    pub fn at(&self, allowed: u32) -> Budget {
        let allowed = allowed.min(self.pods);
        if allowed == self.allowed_before() {
            return self.before;
        }
        let said = |wanted: u32, like: IntOrPercent| match like {
            IntOrPercent::Percent(_) if self.pods <= 100 => IntOrPercent::Percent(wanted * 100 / self.pods),
            _ => IntOrPercent::Int(wanted),
        };
        match self.before {
            Budget::MinAvailable(like) => Budget::MinAvailable(said(self.pods - allowed, like)),
            Budget::MaxUnavailable(like) => Budget::MaxUnavailable(said(allowed, like)),
            Budget::Nothing => Budget::MaxUnavailable(IntOrPercent::Int(allowed)),
        }
    }

    /// What to give to `--set` for it.
    #[must_use]
    pub fn set(&self, allowed: u32) -> String {
        format!("PodDisruptionBudget/{}:{}", self.full_name(), said(self.at(allowed)).replace(": ", "="))
    }
}

/// Gives budgets what lets so many pods go at once.
pub fn apply(budgets: &[Turned], allowed: &[u32], setup: &mut Setup) {
    for (budget, allowed) in budgets.iter().zip(allowed) {
        setup.pdbs[budget.index].budget = budget.at(*allowed);
    }
}

/// `minAvailable: 2`.
#[must_use]
pub fn said(budget: Budget) -> String {
    match budget {
        Budget::MinAvailable(least) => format!("minAvailable: {least}"),
        Budget::MaxUnavailable(most) => format!("maxUnavailable: {most}"),
        Budget::Nothing => "neither minAvailable nor maxUnavailable".to_string(),
    }
}

/// A workload with another number of replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scaled {
    /// `Deployment`, `ReplicaSet` or `StatefulSet`.
    pub kind: &'static str,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// How many it has.
    pub before: u32,
    /// How many it would have.
    pub replicas: u32,
}

impl Scaled {
    /// The workloads behind these budgets, each with as many replicas as `more` makes of those it has.
    #[must_use]
    pub fn of(setup: &Setup, budgets: &[Turned], more: impl Fn(u32) -> u32) -> Vec<Self> {
        let behind = |template: TemplateId| {
            let template = &setup.templates[template.index()];
            budgets.iter().any(|budget| {
                let selector = setup.pdbs[budget.index].selector.as_ref();
                budget.namespace == template.namespace && selector.is_some_and(|s| s.matches(&template.labels))
            })
        };
        let scaled = |kind, namespace: &String, name: &String, before: u32, template| {
            let (namespace, name) = (namespace.clone(), name.clone());
            behind(template).then(|| Self { kind, namespace, name, before, replicas: more(before) })
        };
        let deployments =
            setup.deployments.iter().map(|d| scaled("Deployment", &d.namespace, &d.name, d.replicas, d.template));
        let sets =
            setup.replica_sets.iter().map(|r| scaled("ReplicaSet", &r.namespace, &r.name, r.replicas, r.template));
        let stateful =
            setup.stateful_sets.iter().map(|s| scaled("StatefulSet", &s.namespace, &s.name, s.replicas, s.template));
        deployments.chain(sets).chain(stateful).flatten().collect()
    }

    /// Changes the setup.
    pub fn apply(&self, setup: &mut Setup) {
        let is = |namespace: &str, name: &str| namespace == self.namespace && name == self.name;
        match self.kind {
            "Deployment" => {
                let found = setup.deployments.iter_mut().filter(|d| is(&d.namespace, &d.name));
                found.for_each(|d| d.replicas = self.replicas);
            }
            "ReplicaSet" => {
                let found = setup.replica_sets.iter_mut().filter(|r| is(&r.namespace, &r.name));
                found.for_each(|r| r.replicas = self.replicas);
            }
            _ => {
                let found = setup.stateful_sets.iter_mut().filter(|s| is(&s.namespace, &s.name));
                found.for_each(|s| s.replicas = self.replicas);
            }
        }
    }

    /// What to give to `--set` for it.
    #[must_use]
    pub fn set(&self) -> String {
        format!("{}/{}/{}:replicas={}", self.kind, self.namespace, self.name, self.replicas)
    }

    /// `kubectl scale …`.
    #[must_use]
    pub fn command(&self) -> String {
        let kind = self.kind.to_ascii_lowercase();
        format!("kubectl scale {kind} {} -n {} --replicas={}", self.name, self.namespace, self.replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(before: Budget, pods: u32) -> Turned {
        Turned { index: 0, namespace: "default".into(), name: "b".into(), pods, before }
    }

    #[test]
    fn a_budget_is_said_as_before_and_lets_go_what_it_shall() {
        use IntOrPercent::{Int, Percent};
        for (before, pods) in [
            (Budget::MinAvailable(Int(2)), 4),
            (Budget::MaxUnavailable(Int(1)), 7),
            (Budget::MinAvailable(Percent(80)), 100),
            (Budget::MaxUnavailable(Percent(25)), 3),
            (Budget::MinAvailable(Percent(50)), 101),
            (Budget::Nothing, 5),
        ] {
            let budget = turned(before, pods);
            for allowed in 1..=pods {
                let at = budget.at(allowed);
                assert_eq!(turned(at, pods).allowed_before(), allowed, "{before:?} of {pods}: {at:?}");
            }
            assert_eq!(budget.at(budget.allowed_before()), before);
        }
        let budget = turned(Budget::MinAvailable(Percent(75)), 4);
        assert_eq!(budget.set(2), "PodDisruptionBudget/default/b:minAvailable=50%");
        assert_eq!(budget.set(1), "PodDisruptionBudget/default/b:minAvailable=75%");
    }

    #[test]
    fn only_budgets_that_are_asked_are_turned() {
        let text = crate::scenario::library::find("m11-two-drains-one-budget").unwrap().text;
        let text = format!(
            "{text}\n---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: other}}\n\
             spec: {{minAvailable: 1, selector: {{matchLabels: {{app: nobody}}}}}}\n"
        );
        let inputs = [crate::scenario::Input::Builtin { name: "t".into(), text }];
        let setup = crate::scenario::Scenario::load(&inputs, &[]).unwrap().setup;
        let budgets = Turned::of(&setup, 1);
        assert_eq!(budgets.iter().map(|b| (b.name.as_str(), b.pods)).collect::<Vec<_>>(), [("nginx-pdb", 2)]);
        let scaled = Scaled::of(&setup, &budgets, |n| n + 1);
        assert_eq!(scaled[0].command(), "kubectl scale deployment nginx-deployment -n default --replicas=3");
        let mut more = setup.clone();
        scaled[0].apply(&mut more);
        assert_eq!(more.deployments[0].replicas, 3);
    }
}
