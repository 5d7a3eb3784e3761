//! Which pods the actions of a scenario may take away, and what may happen to endpoints besides.

use crate::analysis::bound::race::{self, Race};
use crate::api::{ServiceId, TemplateId};
use crate::simulation::Setup;
use crate::simulation::setup::ActionKind;

/// The pods that may be taken away.
#[derive(Clone, PartialEq, Debug)]
pub struct Victims {
    /// Templates whose pods stand behind a Service and may go, with the names of their workloads.
    pub workloads: Vec<(TemplateId, String)>,
    /// By entry of `workloads`: at most so many of its pods go; `None`: any number.
    counts: Vec<Option<u32>>,
    /// The changes of endpoints that these deletions make at first, over all Services, if no other change can come before.
    first_changes: Option<u32>,
}

/// Pods of one template, as the scenario begins.
struct Group<'a> {
    template: TemplateId,
    name: String,
    namespace: &'a str,
    replicas: u32,
    placement: Vec<&'a str>,
    by_drain: bool,
}

impl Victims {
    /// Those of a scenario. Counts too many rather than too few.
    #[must_use]
    pub fn of(setup: &Setup) -> Self {
        let harmless = |what: &ActionKind| matches!(what, ActionKind::Cordon(_) | ActionKind::Uncordon(_));
        let acting: Vec<&ActionKind> = setup.actions.iter().map(|a| &a.what).filter(|w| !harmless(w)).collect();
        let quiet = setup.autoscalers.is_empty()
            && setup.jobs.is_empty()
            && setup.found == crate::simulation::found::Found::default()
            && setup.nodes.iter().all(|n| n.ready_at.is_none());
        let only = match acting[..] {
            [one] if quiet => Some(one),
            _ => None,
        };
        let mut workloads = Vec::new();
        let mut counts = Vec::new();
        for group in groups(setup) {
            let count = match only {
                _ if services_of(setup, group.template).is_empty() => Some(0),
                // One process of one node: what it evicts is on the node when it lists the pods, after the cordon.
                Some(ActionKind::Drain(drain)) if drain.selector.is_none() && drain.nodes.len() == 1 => {
                    let known = group.placement.len() as u64 >= u64::from(group.replicas);
                    let first = group.placement.iter().take(group.replicas as usize);
                    let here = first.filter(|node| **node == drain.nodes[0]).count();
                    let here = u32::try_from(here).unwrap_or(u32::MAX);
                    Some(if !group.by_drain {
                        0
                    } else if known {
                        here
                    } else {
                        group.replicas
                    })
                }
                Some(ActionKind::DeletePod { namespace, .. }) => Some(u32::from(namespace == group.namespace)),
                _ if acting.is_empty() => Some(0),
                _ => None,
            };
            if count != Some(0) {
                workloads.push((group.template, group.name));
                counts.push(count);
            }
        }
        let changes = |(at, (template, _)): (usize, &(TemplateId, String))| {
            let services = u32::try_from(services_of(setup, *template).len()).ok()?;
            counts[at].map(|count| count * services)
        };
        let deletes_one = matches!(only, Some(ActionKind::DeletePod { .. }));
        let each: Option<Vec<u32>> = workloads.iter().enumerate().map(changes).collect();
        let first_changes = match only {
            None => None,
            Some(_) if deletes_one => each.map(|each| each.into_iter().max().unwrap_or(0)),
            Some(_) => each.map(|each| each.into_iter().sum()),
        };
        Self { workloads, counts, first_changes }
    }

    /// Whether the one deletion that there is makes the first change of any endpoints in the run.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.first_changes == Some(1)
    }

    /// The shortest grace period that a deletion of such a pod may come with, in seconds; 1 at least, as on the node.
    #[must_use]
    pub fn shortest_grace(&self, setup: &Setup, template: TemplateId) -> u64 {
        let own = setup.templates[template.index()].termination_grace_period_seconds;
        let asked = setup.actions.iter().filter_map(|action| match &action.what {
            ActionKind::Drain(drain) => u64::try_from(drain.grace_period).ok(),
            ActionKind::DeletePod { grace_seconds, force, .. } => {
                grace_seconds.map_or(force.then_some(0), |seconds| Some(u64::try_from(seconds).unwrap_or(0)))
            }
            _ => None,
        });
        asked.chain([own]).min().unwrap_or(own).max(1)
    }

    /// The Services of which all pods may go at the same time.
    #[must_use]
    pub fn needs_ready(&self, setup: &Setup) -> Vec<ServiceId> {
        let may_be_empty = |service: &ServiceId| {
            let (pods, going) = self.pods_of(setup, *service);
            going != Some(0) && going.is_none_or(|going| going >= pods)
        };
        (0..setup.services.len()).map(ServiceId::from).filter(may_be_empty).collect()
    }

    /// The Services with one pod that nobody makes a second one of before it goes: when it goes they have none for certain.
    #[must_use]
    pub fn outages(&self, setup: &Setup) -> Vec<ServiceId> {
        let replaces_first = |a: &crate::simulation::setup::Action| {
            !matches!(
                a.what,
                ActionKind::Drain(_) | ActionKind::DeletePod { .. } | ActionKind::Cordon(_) | ActionKind::Uncordon(_)
            )
        };
        if !setup.autoscalers.is_empty() || setup.actions.iter().any(replaces_first) {
            return Vec::new();
        }
        let only_one = |service: &ServiceId| matches!(self.pods_of(setup, *service), (1, going) if going != Some(0));
        (0..setup.services.len()).map(ServiceId::from).filter(only_one).collect()
    }

    /// How many pods a Service has, and how many of them may go at most (`None`: any number).
    fn pods_of(&self, setup: &Setup, service: ServiceId) -> (u64, Option<u64>) {
        let selects = |template: TemplateId| services_of(setup, template).contains(&service);
        let pods = groups(setup).iter().filter(|g| selects(g.template)).map(|g| u64::from(g.replicas)).sum();
        let going = (self.workloads.iter().zip(&self.counts)).filter(|((template, _), _)| selects(*template));
        (pods, going.map(|(_, count)| count.map(u64::from)).sum())
    }
}

/// What has to hold and does not follow from the scenario, in a sentence for all Services.
#[must_use]
pub fn premises(setup: &Setup, needs_ready: &[ServiceId]) -> Vec<String> {
    let names: Vec<String> = needs_ready.iter().map(|s| setup.services[s.index()].full_name()).collect();
    match &names[..] {
        [] => Vec::new(),
        [one] => vec![format!(
            "{one} always has a ready endpoint: without one, kube-proxy goes on sending to pods that terminate"
        )],
        all => vec![format!(
            "each of these Services always has a ready endpoint, for without one kube-proxy goes on sending to pods that \
             terminate: {}",
            all.join(", ")
        )],
    }
}

impl Victims {
    /// Two evictions at once, for each budget of which the actions may evict two pods.
    #[must_use]
    pub fn races(&self, setup: &Setup) -> Vec<(String, Race)> {
        let evicts =
            |a: &crate::simulation::setup::Action| matches!(&a.what, ActionKind::Drain(d) if !d.disable_eviction);
        if !setup.actions.iter().any(evicts) {
            return Vec::new();
        }
        let race = |pdb: &crate::api::PdbSpec| {
            let selects = |template: TemplateId| {
                let template = &setup.templates[template.index()];
                let selector = pdb.selector.as_ref();
                pdb.namespace == template.namespace && selector.is_some_and(|s| s.matches(&template.labels))
            };
            let going = self.workloads.iter().zip(&self.counts).filter(|((template, _), _)| selects(*template));
            let going: Option<u64> = going.map(|(_, count)| count.map(u64::from)).sum();
            let pods: u32 = groups(setup).iter().filter(|g| selects(g.template)).map(|g| g.replicas).sum();
            let two = going.is_none_or(|going| going >= 2) && pods >= 2;
            two.then(|| (pdb.full_name(), race::explore(pdb.budget, pods)))
        };
        setup.pdbs.iter().filter_map(race).collect()
    }
}

/// The Services that select pods of a template and are routed to them: DNS alone leads to those of headless ones.
#[must_use]
pub fn services_of(setup: &Setup, template: TemplateId) -> Vec<ServiceId> {
    let template = &setup.templates[template.index()];
    let selects = |service: &crate::api::Service| {
        !service.headless
            && service.namespace == template.namespace
            && service.selector.as_ref().is_some_and(|s| s.matches(&template.labels))
    };
    (0..setup.services.len()).filter(|at| selects(&setup.services[*at])).map(ServiceId::from).collect()
}

fn groups(setup: &Setup) -> Vec<Group<'_>> {
    fn group<'a>(
        template: TemplateId,
        name: String,
        namespace: &'a str,
        replicas: u32,
        placement: &'a [String],
        by_drain: bool,
    ) -> Group<'a> {
        let placement = placement.iter().map(String::as_str).collect();
        Group { template, name, namespace, replicas, placement, by_drain }
    }
    let mut groups = Vec::new();
    for d in &setup.deployments {
        groups.push(group(d.template, format!("Deployment/{}", d.name), &d.namespace, d.replicas, &d.placement, true));
    }
    for r in &setup.replica_sets {
        groups.push(group(r.template, format!("ReplicaSet/{}", r.name), &r.namespace, r.replicas, &r.placement, true));
    }
    for s in &setup.stateful_sets {
        let name = format!("StatefulSet/{}", s.name);
        groups.push(group(s.template, name, &s.namespace, s.replicas, &s.placement, true));
    }
    for d in &setup.daemon_sets {
        // kubectl drain deletes none of them
        let nodes = u32::try_from(setup.nodes.len()).unwrap_or(u32::MAX);
        groups.push(group(d.template, format!("DaemonSet/{}", d.name), &d.namespace, nodes, &[], false));
    }
    for p in &setup.pods {
        let namespace = &setup.templates[p.template.index()].namespace;
        groups.push(group(p.template, format!("Pod/{}", p.name), namespace, 1, p.node.as_slice(), true));
    }
    groups
}
