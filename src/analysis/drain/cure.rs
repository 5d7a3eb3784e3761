//! What would keep clients from losing requests in a drain: the usual changes, tried all at once under the same seeds.
//!
//! The changes are those that manifests lack most often: a second replica, a budget that makes the drain wait for the
//! replacement, a preStop sleep that routes need to change. Which sleep is the smallest is the question of `tune`; here it is
//! the one that the lint rule `no-prestop` advises.

use crate::analysis::deadlock::Remedy;
use crate::analysis::drain::DrainRun;
use crate::api::pdb::{Budget, PdbSpec, UnhealthyPodEvictionPolicy};
use crate::api::pod::Hook;
use crate::api::{IntOrPercent, Selector, ServiceId};
use crate::engine::Duration;
use crate::simulation::outcome::FailureKind;
use crate::simulation::setup::DeploymentSetup;
use crate::simulation::{Outcome, Setup, run_until_settled};

/// The sleep that is tried, seconds.
const SLEEP: u64 = 5;

/// A change of a Deployment that may keep requests from being lost.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A second replica.
    Scale {
        /// Index of the Deployment in the setup.
        deployment: usize,
        /// How many replicas.
        replicas: u32,
    },
    /// A budget with `maxUnavailable: 1`, where there is none.
    Budget {
        /// Index of the Deployment in the setup; the budget has its name.
        deployment: usize,
        /// Which pods.
        selector: Selector,
    },
    /// A preStop sleep in the container that serves, where there is no hook, on top of the grace period.
    Sleep {
        /// Index of the Deployment in the setup.
        deployment: usize,
        /// The container.
        container: String,
        /// The sleep.
        seconds: u64,
        /// The grace period with it, seconds.
        grace: u64,
    },
}

/// The changes for a Service that loses requests, in the order in which one would make them. Empty if its pods are no
/// Deployment's, or have all of it.
#[must_use]
pub fn changes(setup: &Setup, run: &DrainRun, service: ServiceId) -> Vec<Change> {
    let Some(loss) = run.services.get(service.index()) else { return Vec::new() };
    let service = &setup.services[service.index()];
    let count = |kinds: &[FailureKind]| -> u64 {
        kinds.iter().map(|kind| loss.requests.failed_by.get(kind).copied().unwrap_or(0)).sum()
    };
    let none_ready = count(&[FailureKind::NoEndpoints, FailureKind::Http503]) > 0;
    let raced = count(&[FailureKind::Refused, FailureKind::ConnectTimeout, FailureKind::Http502]) > 0;
    let mut changes = Vec::new();
    for (deployment, behind) in setup.deployments.iter().enumerate().filter(|(_, d)| d.namespace == service.namespace) {
        let template = &setup.templates[behind.template.index()];
        let selects = |selector: &Option<Selector>| selector.as_ref().is_some_and(|s| s.matches(&template.labels));
        if !selects(&service.selector) {
            continue;
        }
        if none_ready && behind.replicas == 1 {
            changes.push(Change::Scale { deployment, replicas: 2 });
        }
        let guarded = setup.pdbs.iter().any(|pdb| pdb.namespace == behind.namespace && selects(&pdb.selector));
        if none_ready && !guarded {
            changes.push(Change::Budget { deployment, selector: behind.selector.clone() });
        }
        let serving = template.serving();
        if raced && serving.pre_stop.is_none() {
            let grace = template.termination_grace_period_seconds + SLEEP;
            changes.push(Change::Sleep { deployment, container: serving.name.clone(), seconds: SLEEP, grace });
        }
    }
    changes
}

/// Those for all Services that lose requests, each once, and the setup with them; `None`: there are none.
#[must_use]
pub fn all_changes(setup: &Setup, losing: &[(ServiceId, &DrainRun)]) -> Option<(Vec<Change>, Setup)> {
    let mut all: Vec<Change> = Vec::new();
    for (service, run) in losing {
        for change in changes(setup, run, *service) {
            if !all.contains(&change) {
                all.push(change);
            }
        }
    }
    let changed = all.iter().try_fold(setup.clone(), |setup, change| change.applied(&setup))?;
    (!all.is_empty()).then_some((all, changed))
}

impl Change {
    /// The Deployment that it is about.
    #[must_use]
    pub fn deployment<'a>(&self, setup: &'a Setup) -> &'a DeploymentSetup {
        let (Self::Scale { deployment, .. } | Self::Budget { deployment, .. } | Self::Sleep { deployment, .. }) = self;
        &setup.deployments[*deployment]
    }

    /// The setup with the change made before the run; `None`: it cannot be tried.
    #[must_use]
    pub fn applied(&self, setup: &Setup) -> Option<Setup> {
        let own = self.deployment(setup).clone();
        match self {
            Self::Scale { deployment, replicas } => {
                Remedy::ScaleDeployment { deployment: *deployment, replicas: *replicas }.applied(setup)
            }
            Self::Budget { selector, .. } => {
                let mut setup = setup.clone();
                setup.pdbs.push(PdbSpec {
                    namespace: own.namespace,
                    name: own.name,
                    selector: Some(selector.clone()),
                    budget: Budget::MaxUnavailable(IntOrPercent::Int(1)),
                    unhealthy: UnhealthyPodEvictionPolicy::default(),
                });
                Some(setup)
            }
            Self::Sleep { container, seconds, grace, .. } => {
                let mut setup = setup.clone();
                // The pods of an export have templates of their own, one for each ReplicaSet.
                let mine = setup
                    .templates
                    .iter_mut()
                    .filter(|t| t.namespace == own.namespace && own.selector.matches(&t.labels));
                for template in mine {
                    template.termination_grace_period_seconds = *grace;
                    for serving in template.containers.iter_mut().chain(&mut template.init_containers) {
                        if serving.name == *container {
                            serving.pre_stop = Some(Hook::Sleep(Duration::from_secs(*seconds)));
                        }
                    }
                }
                Some(setup)
            }
        }
    }
}

/// The same run once more, with everything that is known of single requests.
#[must_use]
pub fn again(setup: &Setup, run: &DrainRun) -> Outcome {
    run_until_settled(&Setup { duration: run.simulated, ..setup.clone() }, run.seed, false, super::SETTLE)
}

/// The Services that lost requests in some run, those with most losses first, each with the run that lost most of them.
#[must_use]
pub fn losing(runs: &[DrainRun]) -> Vec<(ServiceId, &DrainRun)> {
    let services = runs.iter().map(|run| run.services.len()).max().unwrap_or(0);
    let failed = |run: &DrainRun, at: usize| run.services.get(at).map_or(0, |s| s.requests.failed());
    let mut losing: Vec<(u64, ServiceId, &DrainRun)> = (0..services)
        .filter_map(|at| {
            let worst = runs.iter().min_by_key(|run| (std::cmp::Reverse(failed(run, at)), run.seed))?;
            let all: u64 = runs.iter().map(|run| failed(run, at)).sum();
            (all > 0).then(|| (all, ServiceId::from(at), worst))
        })
        .collect();
    losing.sort_by_key(|(all, service, _)| (std::cmp::Reverse(*all), *service));
    losing.into_iter().map(|(_, service, run)| (service, run)).collect()
}
