//! What a SyncPod finds to do: which containers to stop, which to start, or whether the pod is at its end.
//!
//! Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` computePodActions,
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` computeInitContainerActions,
//! `pkg/kubelet/container/helpers.go` ShouldContainerBeRestarted (v1.36).

use crate::api::{PodTemplate, RestartPolicy};

/// What the kubelet knows of a container when a sync begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Seen {
    /// There has been none.
    #[default]
    None,
    /// It runs.
    Running {
        /// It has no startup probe, or that has succeeded.
        started: bool,
        /// The probe that has given it up.
        failed: Option<FailedProbe>,
    },
    /// It has ended, with this exit code.
    Exited(u32),
}

/// The probe whose failure ends a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailedProbe {
    /// `livenessProbe`.
    Liveness,
    /// `startupProbe`.
    Startup,
}

/// What is to be done, by numbers of containers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Actions {
    /// Everything is stopped, for nothing is to run any more.
    pub kill_pod: bool,
    /// These are stopped, each because of this probe.
    pub kill: Vec<(u8, FailedProbe)>,
    /// These are started, in this order.
    pub start: Vec<u8>,
}

impl Actions {
    /// Works it out for a pod whose sandbox is there.
    pub fn of(template: &PodTemplate, seen: &[Seen]) -> Self {
        let mut actions = Self::default();
        if !actions.init_containers(template, seen) || actions.kill_pod {
            return actions;
        }
        let (mut keep, mut restarts) = (0, 0);
        for c in 0..u8::try_from(template.containers.len()).unwrap_or(u8::MAX) {
            match seen[usize::from(c)] {
                Seen::None => restarts += actions.starts(c),
                Seen::Exited(code) if template.restarts(c, code) => restarts += actions.starts(c),
                Seen::Exited(_) => {}
                Seen::Running { failed: None, .. } => keep += 1,
                Seen::Running { failed: Some(probe), .. } => {
                    actions.kill.push((c, probe));
                    if template.restart_policy != RestartPolicy::Never {
                        restarts += actions.starts(c);
                    }
                }
            }
        }
        if keep == 0 && restarts == 0 {
            // sidecars alone do not keep a pod alive
            actions.kill_pod = true;
            actions.start.clear();
        }
        actions
    }

    fn starts(&mut self, c: u8) -> u32 {
        self.start.push(c);
        1
    }

    /// Looks at the init containers from the last one to the first: the last one that has run tells how far the pod has
    /// come. Whether all have run, so that the containers may.
    fn init_containers(&mut self, template: &PodTemplate, seen: &[Seen]) -> bool {
        let count = template.init_containers.len();
        if count == 0 {
            return true;
        }
        let runs = |state: &Seen| matches!(state, Seen::Running { .. });
        let mut initialized = seen[..template.containers.len()].iter().any(runs);
        let mut later_one_has_run = initialized;
        for index in (0..count).rev() {
            let c = template.init_number(index);
            let sidecar = template.container(c).sidecar;
            let is_last = index + 1 == count;
            match seen[usize::from(c)] {
                Seen::None => {
                    if later_one_has_run && sidecar {
                        self.start.push(c);
                    }
                    continue;
                }
                _ if later_one_has_run && !sidecar => continue,
                Seen::Running { started, failed } if sidecar => {
                    if started {
                        if is_last {
                            initialized = true;
                        } else if !later_one_has_run {
                            self.start.push(c + 1);
                        }
                    }
                    if let Some(probe) = failed {
                        self.kill.push((c, probe));
                        self.start.push(c);
                    }
                }
                Seen::Running { .. } => {}
                Seen::Exited(_) if sidecar => self.start.push(c),
                Seen::Exited(0) if is_last => initialized = true,
                Seen::Exited(0) => self.start.push(c + 1),
                Seen::Exited(code) if template.restarts(c, code) => self.start.push(c),
                Seen::Exited(_) => {
                    self.kill_pod = true;
                    self.start.clear();
                    return false;
                }
            }
            later_one_has_run = true;
        }
        if !later_one_has_run {
            self.start.push(template.init_number(0));
        }
        self.start.reverse();
        initialized
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Container;
    use crate::api::pod::RestartPolicy::{Always, Never, OnFailure};
    use crate::simulation::control_plane::harness;

    const RUNS: Seen = Seen::Running { started: true, failed: None };
    const STARTING: Seen = Seen::Running { started: false, failed: None };
    const SICK: Seen = Seen::Running { started: true, failed: Some(FailedProbe::Liveness) };

    /// `containers` of them, then init containers: `S` a sidecar, `i` one that runs to completion.
    fn template(policy: RestartPolicy, containers: usize, init: &str) -> PodTemplate {
        let mut template = harness::template("web", 100);
        let one = harness::container("app");
        template.restart_policy = policy;
        template.containers = vec![one.clone(); containers];
        template.init_containers = init.chars().map(|kind| Container { sidecar: kind == 'S', ..one.clone() }).collect();
        template
    }

    #[test]
    fn restart_policies() {
        // computePodActions and ShouldContainerBeRestarted
        for (policy, seen, start, kill_pod) in [
            (Always, &[Seen::None, Seen::None][..], &[0, 1][..], false),
            (Always, &[RUNS, Seen::Exited(0)], &[1], false),
            (Always, &[RUNS, Seen::Exited(1)], &[1], false),
            (OnFailure, &[RUNS, Seen::Exited(0)], &[], false),
            (OnFailure, &[RUNS, Seen::Exited(1)], &[1], false),
            (OnFailure, &[Seen::Exited(0), Seen::Exited(0)], &[], true),
            (OnFailure, &[Seen::Exited(0), Seen::Exited(3)], &[1], false),
            (Never, &[RUNS, Seen::Exited(1)], &[], false),
            (Never, &[Seen::Exited(1), Seen::Exited(0)], &[], true),
            (Never, &[Seen::None, Seen::None], &[0, 1], false),
        ] {
            let actions = Actions::of(&template(policy, 2, ""), seen);
            assert_eq!((actions.start.as_slice(), actions.kill_pod), (start, kill_pod), "{policy:?} {seen:?}");
        }
    }

    #[test]
    fn init_containers_and_sidecars_in_turn() {
        // computeInitContainerActions; container 0 is the only one, the init containers follow
        for (init, seen, start, kill_pod) in [
            ("ii", &[Seen::None, Seen::None, Seen::None][..], &[1][..], false),
            ("ii", &[Seen::None, RUNS, Seen::None], &[], false),
            ("ii", &[Seen::None, Seen::Exited(0), Seen::None], &[2], false),
            ("ii", &[Seen::None, Seen::Exited(0), Seen::Exited(1)], &[2], false),
            ("ii", &[Seen::None, Seen::Exited(0), Seen::Exited(0)], &[0], false),
            // a sidecar lets the next one start when it has started, and is kept running from then on
            ("Si", &[Seen::None, STARTING, Seen::None], &[], false),
            ("Si", &[Seen::None, RUNS, Seen::None], &[2], false),
            ("Si", &[Seen::None, Seen::Exited(1), RUNS], &[1], false),
            ("Si", &[Seen::None, RUNS, Seen::Exited(0)], &[0], false),
            ("iS", &[Seen::None, Seen::Exited(0), STARTING], &[], false),
            ("iS", &[Seen::None, Seen::Exited(0), RUNS], &[0], false),
            ("SS", &[RUNS, Seen::Exited(0), RUNS], &[1], false),
            ("SS", &[Seen::Exited(1), RUNS, Seen::Exited(2)], &[2], false),
        ] {
            let actions = Actions::of(&template(Always, 1, init), seen);
            assert_eq!((actions.start.as_slice(), actions.kill_pod), (start, kill_pod), "{init} {seen:?}");
        }
    }

    #[test]
    fn a_failed_init_container_ends_a_pod_that_never_restarts() {
        for (policy, kill_pod) in [(Never, true), (OnFailure, false), (Always, false)] {
            let actions = Actions::of(&template(policy, 1, "i"), &[Seen::None, Seen::Exited(1)]);
            assert_eq!(actions.kill_pod, kill_pod, "{policy:?}");
        }
    }

    #[test]
    fn sidecars_do_not_keep_a_pod_alive() {
        let actions = Actions::of(&template(Never, 1, "S"), &[Seen::Exited(0), RUNS]);
        assert!(actions.kill_pod && actions.start.is_empty());
    }

    #[test]
    fn a_failed_probe_stops_and_starts() {
        for (policy, start) in [(Always, &[0][..]), (OnFailure, &[0]), (Never, &[])] {
            let actions = Actions::of(&template(policy, 2, ""), &[SICK, RUNS]);
            assert_eq!(actions.kill, [(0, FailedProbe::Liveness)]);
            assert_eq!(actions.start, start, "{policy:?}");
        }
        // a sidecar is started again whatever the policy
        let actions = Actions::of(&template(Never, 1, "S"), &[RUNS, SICK]);
        assert_eq!((actions.kill, actions.start), (vec![(1, FailedProbe::Liveness)], vec![1]));
    }
}
