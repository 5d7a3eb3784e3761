//! Which workloads the sleep is tried on, and how that is set. A grace period is never made shorter: what the process may need
//! beside what runs show is its owner's to say.

use crate::api::TemplateId;
use crate::simulation::Setup;
use crate::simulation::found::Found;

/// An object that gets the sleep, or all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slept {
    /// How handles name it: `Deployment/shop/web:`; nothing for all objects.
    handle: String,
    /// The shortest and the longest grace period that it has, seconds.
    grace: (u64, u64),
}

impl Slept {
    /// The workloads behind Services: nobody opens connections to the others, and of headless Services that the scenario has no
    /// clients for nothing can be shown. All objects at once where that makes no difference.
    #[must_use]
    pub fn of(setup: &Setup) -> Vec<Self> {
        let matters = |number: usize| {
            !setup.services[number].headless || setup.traffic.iter().any(|t| t.service.index() == number)
        };
        let serves = |template: TemplateId| {
            let template = &setup.templates[template.index()];
            let selects = |number: &usize| {
                let service = &setup.services[*number];
                service.namespace == template.namespace
                    && service.selector.as_ref().is_some_and(|s| s.matches(&template.labels))
            };
            (0..setup.services.len()).filter(selects).any(matters)
        };
        let objects = (setup.deployments.iter().map(|d| ("Deployment", &d.name, d.template)))
            .chain(setup.replica_sets.iter().map(|r| ("ReplicaSet", &r.name, r.template)))
            .chain(setup.stateful_sets.iter().map(|s| ("StatefulSet", &s.name, s.template)))
            .chain(setup.daemon_sets.iter().map(|d| ("DaemonSet", &d.name, d.template)))
            .chain(setup.pods.iter().map(|p| ("Pod", &p.name, p.template)));
        let objects: Vec<_> = objects.collect();
        let grace = |template: TemplateId| setup.templates[template.index()].termination_grace_period_seconds;
        let serving: Vec<_> = objects.iter().filter(|(.., template)| serves(*template)).collect();
        let same = |a: &TemplateId, b: &TemplateId| grace(*a) == grace(*b);
        let alike = objects.windows(2).all(|two| same(&two[0].2, &two[1].2));
        // The pods of an export are objects beside their workloads: what is set has to be the same for both.
        let exported = setup.found != Found::default();
        if exported || serving.is_empty() || (alike && serving.len() == objects.len()) {
            let graces = || objects.iter().map(|(.., template)| grace(*template));
            let grace = (graces().min().unwrap_or(30), graces().max().unwrap_or(30));
            return vec![Self { handle: String::new(), grace }];
        }
        let one = |(kind, name, template): &&(&str, &String, TemplateId)| Self {
            handle: format!("{kind}/{}/{name}:", setup.templates[template.index()].namespace),
            grace: (grace(*template), grace(*template)),
        };
        serving.iter().map(one).collect()
    }

    /// The settings for a sleep, with a grace period of at least so many seconds.
    pub fn sets(&self, seconds: u64, grace: u64) -> impl Iterator<Item = String> {
        let (shortest, longest) = self.grace;
        let longer = (grace > shortest).then(|| format!("{}gracePeriod={}s", self.handle, grace.max(longest)));
        std::iter::once(format!("{}preStop={seconds}s", self.handle)).chain(longer)
    }

    /// The shortest and the longest grace period of all, seconds.
    #[must_use]
    pub fn graces(all: &[Self]) -> (u64, u64) {
        let shortest = all.iter().map(|one| one.grace.0).min().unwrap_or(0);
        (shortest, all.iter().map(|one| one.grace.1).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_is_made_longer_and_never_shorter() {
        let sets = |grace: (u64, u64)| -> Vec<String> {
            Slept { handle: "Deployment/shop/web:".into(), grace }.sets(5, 30).collect()
        };
        let sleep = "Deployment/shop/web:preStop=5s";
        assert_eq!(sets((2, 2)), [sleep, "Deployment/shop/web:gracePeriod=30s"]);
        assert_eq!(sets((60, 60)), [sleep]);
        assert_eq!(sets((10, 60)), [sleep, "Deployment/shop/web:gracePeriod=60s"], "all alike, as long as the longest");
    }
}
