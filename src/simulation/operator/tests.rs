//! Whole kubectl processes against a cluster that does what it is told: a hop takes 2 ms, a pod ends some time after its
//! deletion, and each test answers the evictions by hand.

mod flags;

use std::collections::BTreeMap;

use super::*;
use crate::api::eviction::Refusal;
use crate::api::{
    Deletion, Deployment, Labels, NodeId, Owner, PdbId, PdbSpec, Phase, Pod, PodId, PodMeta, PodTemplate, ReplicaSetId,
    Selector, TemplateId, Version, workload::Strategy,
};
use crate::engine::{Distribution, Duration, Key, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{Event, KubeletStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::outcome::DrainOutcome;
use crate::simulation::setup::{Action, ActionKind, DeploymentSetup, DrainOptions, Restarted, Setup, When, plain_node};
use crate::simulation::write::{Caller, Write, WriteError};

const NO_BUDGET: Result<(), Refusal> = Err(Refusal::NoBudget(PdbId(0)));

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An answer: after so many milliseconds, and what.
type Answer = (u64, Result<(), Refusal>);
/// How a pod's evictions are answered, by its name and the number of the attempt, from 0.
type Answers = Box<dyn Fn(&str, usize) -> Answer>;

struct Cluster<'a> {
    ctx: Context<'a>,
    kubectl: Kubectl,
    answer: Answers,
    /// From a pod's deletion to its removal.
    termination: Duration,
    evictions: Vec<(EvictionRequest, Time)>,
    deletes: Vec<(String, Option<i64>, Time)>,
    finished: Vec<(u32, Time)>,
}

/// One action, with hops of 2 ms.
fn setup(version: u8, what: ActionKind) -> Setup {
    let mut setup = Setup { version: Version::minor(version), ..Setup::default() };
    for hop in [Hop::ApiRequest, Hop::ApiWrite, Hop::Watch] {
        setup.latencies.set(hop, Distribution::Constant(ms(2)));
    }
    setup.latencies.set(Hop::ApiRead, Distribution::Constant(Duration::ZERO));
    setup.latencies.set(Hop::KubectlStart, Distribution::Constant(ms(38)));
    setup.actions.push(Action { name: String::new(), when: When::At(Time::ZERO), what });
    setup
}

fn drain(nodes: &[&str]) -> DrainOptions {
    DrainOptions { nodes: nodes.iter().map(|n| (*n).to_string()).collect(), ..DrainOptions::default() }
}

fn web() -> Owner {
    Owner::ReplicaSet(ReplicaSetId(0))
}

impl<'a> Cluster<'a> {
    fn new(setup: &'a Setup) -> Self {
        let mut ctx = Context::new(setup, 1, true);
        let (namespace, name) = ("default".to_string(), "web".to_string());
        let budget = crate::api::pdb::Budget::Nothing;
        let unhealthy = crate::api::pdb::UnhealthyPodEvictionPolicy::default();
        ctx.store.add_pdb(Time::ZERO, PdbSpec { namespace, name, selector: None, budget, unhealthy });
        for node in ["fk1", "fk2"] {
            ctx.store.create_node(Time::ZERO, plain_node(node));
        }
        for has_empty_dir in [false, true] {
            ctx.store.add_template(PodTemplate { has_empty_dir, ..PodTemplate::plain(Labels::new(), Vec::new()) });
        }
        let answer = Box::new(|_: &str, _| (10, Ok(())));
        let (kubectl, termination) = (Kubectl::new(), ms(2_500));
        Self { ctx, kubectl, answer, termination, evictions: vec![], deletes: vec![], finished: vec![] }
    }

    fn pod(&mut self, node: u32, full_name: &str, owner: Owner) -> PodId {
        self.pod_of(TemplateId(0), Labels::new(), node, full_name, owner)
    }

    fn pod_of(&mut self, template: TemplateId, labels: Labels, node: u32, full_name: &str, owner: Owner) -> PodId {
        let (namespace, name) = full_name.split_once('/').expect("namespace/name");
        let labels = self.ctx.store.intern_labels(namespace, &labels);
        let pod = Pod { phase: Phase::Running, ready: true, ..Pod::created(labels, Some(NodeId(node))) };
        let (namespace, name, luck) = (namespace.to_string(), name.to_string(), Key::new(full_name).bits());
        let meta = PodMeta { namespace, name, template, owner, created_at: Time::ZERO, luck, only_on: None };
        self.ctx.store.create_pod(Time::ZERO, meta, pod)
    }

    fn cordon(&mut self, node: NodeId, unschedulable: bool) -> Result<(), WriteError> {
        let mut head = self.ctx.store.nodes.head(node.index()).cloned().ok_or(WriteError::NotFound)?;
        head.unschedulable = unschedulable;
        self.ctx.store.put_node(self.ctx.now(), node, Some(head));
        Ok(())
    }

    fn delete(&mut self, pod: PodId) -> Result<(), WriteError> {
        let head = *self.ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
        if head.deletion.is_none() {
            let timestamp = (self.ctx.now() + ms(30_000)).truncate_to_second();
            let deletion = Some(Deletion { timestamp, grace_seconds: 30 });
            self.ctx.store.update_pod(self.ctx.now(), pod, Pod { deletion, ..head });
            self.ctx.schedule(self.termination, Event::Kubelet(pod, KubeletStep::CleanedUp));
        }
        Ok(())
    }

    fn commit(&mut self, write: Write) -> Result<(), WriteError> {
        let now = self.ctx.now();
        match write {
            Write::Cordon { node, unschedulable } => self.cordon(node, unschedulable),
            Write::DeletePod { pod, grace_seconds, .. } => {
                self.deletes.push((self.ctx.store.pod_meta[pod.index()].name.clone(), grace_seconds, now));
                self.delete(pod)
            }
            Write::DeleteNode { node } => {
                self.ctx.store.put_node(now, node, None);
                Ok(())
            }
            Write::ScaleDeployment { .. } | Write::ChangeTemplate { .. } => Ok(()),
            other => panic!("kubectl writes no {other:?}"),
        }
    }

    /// Runs all actions, started at once, to `end`.
    fn run(&mut self, end: Time) -> Vec<DrainOutcome> {
        for action in 0..self.ctx.setup.actions.len() {
            self.kubectl.start(&mut self.ctx, u32::try_from(action).unwrap());
        }
        let mut attempts = BTreeMap::<PodId, usize>::new();
        while let Some(event) = self.ctx.pop(end) {
            match event {
                Event::Kubectl(id, step) => self.kubectl.step(&mut self.ctx, id, step),
                Event::Commit(index) => {
                    let pending = self.ctx.take_write(index);
                    let result = self.commit(pending.write);
                    let Caller::Kubectl(id, step) = pending.caller else { panic!("only kubectl writes") };
                    self.kubectl.written(&mut self.ctx, id, step, result);
                }
                Event::Eviction(index) => {
                    let request = self.evictions[index as usize].0;
                    let attempt = attempts.entry(request.pod).or_default();
                    let (_, result) = (self.answer)(&self.ctx.store.pod_meta[request.pod.index()].name, *attempt);
                    *attempt += 1;
                    if result.is_ok() {
                        self.delete(request.pod).expect("an evicted pod exists");
                    }
                    self.kubectl.eviction_answered(&mut self.ctx, request.kubectl, request.slot, result);
                }
                Event::Kubelet(pod, _) => {
                    self.ctx.store.remove_pod(self.ctx.now(), pod);
                    self.kubectl.pod_removed(&mut self.ctx, pod);
                }
                other => panic!("{other:?}"),
            }
            for request in std::mem::take(&mut self.kubectl.requests) {
                let attempt = attempts.get(&request.pod).copied().unwrap_or(0);
                let (delay, _) = (self.answer)(&self.ctx.store.pod_meta[request.pod.index()].name, attempt);
                let index = u32::try_from(self.evictions.len()).unwrap();
                self.evictions.push((request, self.ctx.now()));
                self.ctx.schedule(ms(delay), Event::Eviction(index));
            }
            let now = self.ctx.now();
            self.finished.extend(self.kubectl.take_finished().into_iter().map(|action| (action, now)));
        }
        self.kubectl.outcomes(end)
    }

    fn printed(&self) -> Vec<String> {
        self.kubectl.printed().into_iter().map(|(_, _, line)| line).collect()
    }

    fn time_of(&self, line: &str) -> Time {
        self.kubectl.printed().into_iter().find(|(_, _, l)| l == line).unwrap_or_else(|| panic!("no line {line}")).1
    }
}

/// Compares with a recording: the same lines in the same order, each within 20 ms.
fn assert_replays(cluster: &Cluster<'_>, recorded: &[(u64, &str)]) {
    let printed = cluster.kubectl.printed();
    let lines: Vec<_> = printed.iter().map(|(_, _, line)| line.as_str()).collect();
    assert_eq!(lines, recorded.iter().map(|(_, line)| *line).collect::<Vec<_>>());
    for ((_, time, line), (millis, _)) in printed.iter().zip(recorded) {
        let off = (time.as_nanos() / 1_000_000).abs_diff(*millis);
        assert!(off <= 20, "{line}: at {time}, recorded at {millis} ms");
    }
}

const REFUSED: &str = "(will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.";

/// A drain of four pods of one Deployment under maxUnavailable 1, recorded with kubectl 1.33: who is answered what, and how
/// long the calls took, is taken from the recording; the lines and their times follow.
#[test]
fn replays_a_recorded_drain() {
    let setup = setup(33, ActionKind::Drain(drain(&["fk1"])));
    let mut cluster = Cluster::new(&setup);
    for pod in ["p6d2n", "frnft", "lxgkd", "2ts6d"] {
        cluster.pod(0, &format!("default/{pod}"), web());
    }
    cluster.answer = Box::new(|pod, attempt| match (pod, attempt) {
        ("p6d2n", _) => (12, Ok(())),
        ("2ts6d", 0) => (521, NO_BUDGET),
        ("2ts6d", _) => (17, Ok(())),
        ("frnft", 0) => (537, NO_BUDGET),
        ("frnft", 1) => (12, NO_BUDGET),
        ("frnft", _) => (14, Ok(())),
        ("lxgkd", 0) => (523, NO_BUDGET),
        ("lxgkd", 1) => (558, NO_BUDGET),
        ("lxgkd", 2) => (4, NO_BUDGET),
        _ => (11, Ok(())),
    });
    let outcomes = cluster.run(Time::from_secs(60));
    let refused = |pod: &str| format!("error when evicting pods/\"{pod}\" -n \"default\" {REFUSED}");
    let (a, b, c) = (refused("2ts6d"), refused("lxgkd"), refused("frnft"));
    assert_replays(
        &cluster,
        &[
            (45, "node/fk1 cordoned"),
            (51, "evicting pod default/p6d2n"),
            (51, "evicting pod default/2ts6d"),
            (51, "evicting pod default/frnft"),
            (51, "evicting pod default/lxgkd"),
            (572, &a),
            (574, &b),
            (588, &c),
            (3_068, "pod/p6d2n evicted"),
            (5_573, "evicting pod default/2ts6d"),
            (5_575, "evicting pod default/lxgkd"),
            (5_588, "evicting pod default/frnft"),
            (5_600, &c),
            (6_133, &b),
            (8_595, "pod/2ts6d evicted"),
            (10_601, "evicting pod default/frnft"),
            (11_134, "evicting pod default/lxgkd"),
            (11_138, &b),
            (13_619, "pod/frnft evicted"),
            (16_139, "evicting pod default/lxgkd"),
            (19_156, "pod/lxgkd evicted"),
            (19_156, "node/fk1 drained"),
        ],
    );
    let [outcome] = outcomes.as_slice() else { panic!("one node") };
    assert_eq!((outcome.exit_code, outcome.evictions_granted, outcome.evictions_denied), (Some(0), 4, 6));
    assert_eq!(outcome.completed_at, Some(cluster.time_of("node/fk1 drained")));
    assert_eq!(outcome.messages.len(), 22);
}

/// A drain with `--timeout=22s` under a budget of zero, recorded with kubectl 1.33: the deadline is seen at the sixth
/// attempt, 3 s late. (The recorded order of simultaneous lines changes on the way; here it does not.)
#[test]
fn replays_a_recorded_timeout() {
    let options = DrainOptions { timeout: ms(22_000), ..drain(&["fk1"]) };
    let setup = setup(33, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    for pod in ["45s5h", "vl8l7"] {
        cluster.pod(0, &format!("default/{pod}"), web());
    }
    cluster.answer = Box::new(|_, attempt| (if attempt == 2 { 10 } else { 4 }, NO_BUDGET));
    let outcomes = cluster.run(Time::from_secs(60));
    let refused = |pod: &str| format!("error when evicting pods/\"{pod}\" -n \"default\" {REFUSED}");
    let (a, b) = (refused("vl8l7"), refused("45s5h"));
    let mut recorded: Vec<(u64, &str)> = vec![(48, "node/fk1 cordoned")];
    for (attempt, answer) in [(53, 56), (5_057, 5_061), (10_064, 10_074), (15_076, 15_080), (20_080, 20_084)] {
        recorded.extend([(attempt, "evicting pod default/vl8l7"), (attempt, "evicting pod default/45s5h")]);
        recorded.extend([(answer, a.as_str()), (answer, b.as_str())]);
    }
    recorded.extend([(25_085, "evicting pod default/vl8l7"), (25_085, "evicting pod default/45s5h")]);
    let timeout = |pod: &str| format!("error when evicting pods/\"{pod}\" -n \"default\": global timeout reached: 22s");
    let (x, y) = (timeout("vl8l7"), timeout("45s5h"));
    let left = format!("There are pending pods in node \"fk1\" when an error occurred: [{x}, {y}]");
    let unable = format!("error: unable to drain node \"fk1\" due to error: [{x}, {y}], continuing command...");
    let words = [&left, "pod/45s5h", "pod/vl8l7", &unable, "There are pending nodes to be drained:", " fk1", &x, &y];
    recorded.extend(words.map(|line| (25_088, line)));
    assert_replays(&cluster, &recorded);
    assert_eq!((outcomes[0].exit_code, outcomes[0].completed_at), (Some(1), None));
    assert_eq!(outcomes[0].ended_at, Some(cluster.time_of(" fk1")));
}

#[test]
fn since_1_35_the_pod_is_fetched_before_each_retry() {
    for (version, again) in [(34, 48 + 4 + 5_000), (35, 48 + 4 + 5_000 + 2)] {
        let setup = setup(version, ActionKind::Drain(drain(&["fk1"])));
        let mut cluster = Cluster::new(&setup);
        cluster.pod(0, "default/web-1", web());
        cluster.answer = Box::new(|_, attempt| (4, if attempt == 0 { NO_BUDGET } else { Ok(()) }));
        cluster.run(Time::from_secs(30));
        let sent: Vec<_> = cluster.evictions.iter().map(|(_, at)| at.as_nanos() / 1_000_000).collect();
        assert_eq!(sent, [48, again], "1.{version}");
    }
}

#[test]
fn a_pod_in_error_stops_its_node_and_the_next_one_is_drained() {
    let options = DrainOptions { force: true, ..drain(&["fk1", "fk2"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.cordon(NodeId(1), true).unwrap();
    cluster.pod(0, "default/web-1", web());
    cluster.pod(0, "kube-system/agent-1", Owner::DaemonSet(crate::api::DaemonSetId(0)));
    cluster.pod_of(TemplateId(1), Labels::new(), 0, "default/cache-1", web());
    cluster.pod(0, "default/bare", Owner::None);
    cluster.pod(1, "default/bare-2", Owner::None);
    cluster.pod(1, "kube-system/static-fk2", Owner::Mirror);
    let outcomes = cluster.run(Time::from_secs(60));
    let storage = "cannot delete Pods with local storage (use --delete-emptydir-data to override): default/cache-1";
    let daemon =
        "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): kube-system/agent-1".to_string();
    assert_eq!(
        cluster.printed(),
        [
            "node/fk1 cordoned",
            "node/fk2 already cordoned",
            &format!("error: unable to drain node \"fk1\" due to error: [{storage}, {daemon}], continuing command..."),
            "Warning: deleting Pods that declare no controller: default/bare-2",
            "evicting pod default/bare-2",
            "pod/bare-2 evicted",
            "node/fk2 drained",
            "There are pending nodes to be drained:",
            " fk1",
            storage,
            &daemon,
        ]
    );
    assert!(cluster.ctx.store.nodes.head(0).unwrap().unschedulable, "the cordon stays");
    let ends: Vec<_> = outcomes.iter().map(|o| (o.node.as_str(), o.exit_code, o.completed_at.is_some())).collect();
    assert_eq!(ends, [("fk1", Some(1), false), ("fk2", Some(1), true)]);
    assert!(outcomes[0].ended_at <= Some(outcomes[1].started_at));
    assert_eq!(cluster.finished.len(), 1);
}

#[test]
fn all_nodes_are_cordoned_first_and_drained_one_after_the_other() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk2", "fk1"])));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/on-1", web());
    cluster.pod(1, "default/on-2", web());
    let outcomes = cluster.run(Time::from_secs(60));
    assert_eq!(
        cluster.printed(),
        [
            "node/fk2 cordoned",
            "node/fk1 cordoned",
            "evicting pod default/on-2",
            "pod/on-2 evicted",
            "node/fk2 drained",
            "evicting pod default/on-1",
            "pod/on-1 evicted",
            "node/fk1 drained",
        ]
    );
    assert_eq!(outcomes[0].completed_at, Some(outcomes[1].started_at));
    assert_eq!(outcomes[1].messages[0].1, "node/fk1 cordoned", "printed before, but about this node");
}

#[test]
fn evictions_and_looks_share_the_limits_of_their_clients() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk1"])));
    let mut cluster = Cluster::new(&setup);
    for pod in 0..13 {
        cluster.pod(0, &format!("default/web-{pod:02}"), web());
    }
    cluster.run(Time::from_secs(60));
    let sent: Vec<_> = cluster.evictions.iter().map(|(_, at)| at.as_nanos() / 1_000_000 - 48).collect();
    assert_eq!(sent, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 400, 600]);
    let first = cluster.ctx.store.pod_meta[cluster.evictions[0].0.pod.index()].name.as_str();
    assert_eq!(first, "web-12", "the goroutine started last runs first");
    // all pods are gone at about 3.2 s; 13 of them looked at 5 times a second take 2.6 s
    let last = cluster.time_of("node/fk1 drained");
    assert!(last > Time::from_millis(4_000), "looks are late for want of tokens: {last}");
}

#[test]
fn client_go_obeys_retry_after_ten_times_before_drain_hears_of_it() {
    let options = DrainOptions { timeout: ms(120_000), ..drain(&["fk1"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/web-1", web());
    cluster.answer = Box::new(|_, _| (4, Err(Refusal::BudgetNotObserved(PdbId(0)))));
    let outcomes = cluster.run(Time::from_secs(300));
    let sent: Vec<_> = cluster.evictions.iter().map(|(_, at)| at.as_nanos() / 1_000_000 - 48).collect();
    let second = 100_044 + 5_002;
    let expected = (0..=10).map(|n| n * 10_004).chain((0..=10).map(|n| second + n * 10_004));
    assert_eq!(sent, expected.collect::<Vec<_>>(), "the deadline of 120 s is not known to client-go");
    let refused = format!("error when evicting pods/\"web-1\" -n \"default\" {REFUSED}");
    assert_eq!(cluster.time_of(&refused), Time::from_millis(48 + 100_044));
    assert_eq!(cluster.printed().iter().filter(|line| **line == refused).count(), 2);
    assert_eq!((outcomes[0].evictions_denied, outcomes[0].exit_code), (22, Some(1)));
}

#[test]
fn every_note_leads_back_to_the_drain() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk1"])));
    let mut cluster = Cluster::new(&setup);
    let pod = cluster.pod(0, "default/web-1", web());
    cluster.answer = Box::new(|_, attempt| (4, if attempt == 0 { NO_BUDGET } else { Ok(()) }));
    cluster.run(Time::from_secs(30));
    let trace = &cluster.ctx.observer.trace;
    let last = trace.entries().last().expect("notes").id;
    let node = NodeId(0);
    assert_eq!(
        trace.chain(last).iter().map(|entry| entry.what).collect::<Vec<_>>(),
        [
            What::DrainStarted { kubectl: 0, node },
            What::EvictionRequested { pod, kubectl: 0 },
            What::EvictionRefused { pod, code: 429 },
            What::EvictionRequested { pod, kubectl: 0 },
            What::DrainEnded { kubectl: 0, node, code: 0 },
            What::ActionDone { action: 0 },
        ]
    );
}

#[test]
fn one_pods_error_lets_the_others_go_on() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk1"])));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/web-1", web());
    cluster.pod(0, "default/web-2", web());
    cluster.pod(0, "default/web-3", web());
    cluster.answer = Box::new(|pod, _| match pod {
        "web-1" => (4, Err(Refusal::MoreThanOneBudget)),
        "web-2" => (6, Err(Refusal::NotFound)),
        _ => (8, Ok(())),
    });
    cluster.run(Time::from_secs(60));
    let error = "error when evicting pods/\"web-1\" -n \"default\": This pod has more than one PodDisruptionBudget, which the \
                 eviction subresource does not support.";
    assert_eq!(
        cluster.printed()[4..],
        [
            "pod/web-3 evicted",
            // web-2 is still there, whatever the eviction said
            &format!("There are pending pods in node \"fk1\" when an error occurred: {error}"),
            "pod/web-1",
            "pod/web-2",
            &format!("error: unable to drain node \"fk1\" due to error: {error}, continuing command..."),
            "There are pending nodes to be drained:",
            " fk1",
            error,
        ]
    );
}

#[test]
fn the_timeout_while_waiting() {
    let error = "error when waiting for pod \"web-1\" in namespace \"default\" to terminate:";
    for (version, ended, words) in
        [(36, 48 + 4_500 + 2, "context deadline exceeded"), (31, 0, "global timeout reached: 4.5s")]
    {
        let options = DrainOptions { timeout: ms(4_500), ..drain(&["fk1"]) };
        let setup = setup(version, ActionKind::Drain(options));
        let mut cluster = Cluster::new(&setup);
        cluster.termination = ms(60_000);
        cluster.pod(0, "default/web-1", web());
        cluster.run(Time::from_secs(30));
        // 1.31 looks at the deadline after a poll: 10 ms for the call, a first look of 2 ms, then one each second
        let ended = if ended == 0 { 48 + 10 + 2 + 5_000 + 2 + 2 } else { ended };
        assert_eq!(cluster.time_of(" fk1"), Time::from_millis(ended), "1.{version}");
        assert_eq!(cluster.printed().last().unwrap(), &format!("{error} {words}"));
    }
}

#[test]
fn without_evictions_pods_are_deleted_in_turn_and_waited_for_together() {
    let options = DrainOptions { disable_eviction: true, grace_period: 5, ..drain(&["fk1"]) };
    let deletion = setup(36, ActionKind::Drain(options.clone()));
    let mut cluster = Cluster::new(&deletion);
    cluster.pod(0, "default/web-1", web());
    cluster.pod(0, "default/web-2", web());
    let outcomes = cluster.run(Time::from_secs(60));
    // 46 ms: the list; then two deletes of 4 ms each, and the wait begins
    let deletes: Vec<_> =
        cluster.deletes.iter().map(|(p, g, at)| (p.as_str(), *g, at.as_nanos() / 1_000_000)).collect();
    assert_eq!(deletes, [("web-1", Some(5), 50), ("web-2", Some(5), 54)]);
    assert_eq!(cluster.printed(), ["node/fk1 cordoned", "pod/web-1 deleted", "pod/web-2 deleted", "node/fk1 drained"]);
    assert_eq!(cluster.time_of("pod/web-1 deleted"), Time::from_millis(54 + 3_000 + 2));
    assert_eq!(cluster.time_of("pod/web-2 deleted"), Time::from_millis(54 + 3_000 + 4));
    assert_eq!((outcomes[0].evictions_granted, cluster.evictions.len()), (2, 0));

    let late = setup(36, ActionKind::Drain(DrainOptions { timeout: ms(1_500), ..options }));
    let mut cluster = Cluster::new(&late);
    cluster.pod(0, "default/web-1", web());
    cluster.run(Time::from_secs(60));
    assert_eq!(cluster.printed().last().unwrap(), "error: context deadline exceeded");
    assert_eq!(cluster.time_of(" fk1"), Time::from_millis(50 + 1_500 + 2));
}

#[test]
fn only_selected_pods_go_and_long_terminating_ones_are_passed_by() {
    let selector = Selector::labels([("app", "web")]);
    let options = DrainOptions { pod_selector: Some(selector), skip_wait_for_delete_timeout: 5, ..drain(&["fk1"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.termination = ms(600_000);
    let labels = Labels::from([("app".to_string(), "web".to_string())]);
    cluster.pod_of(TemplateId(0), labels, 0, "default/web-1", web());
    cluster.pod(0, "default/bare", Owner::None);
    cluster.run(Time::from_secs(60));
    let skipped = "pod \"web-1\" has DeletionTimestamp older than 5 seconds, skipping";
    assert_eq!(cluster.printed()[1..], ["evicting pod default/web-1", skipped, "node/fk1 drained"]);
    // its grace ends at 30 s; more than 5 whole seconds have passed at 36 s
    assert_eq!(cluster.time_of(skipped), Time::from_millis(48 + 10 + 36_000 + 2));
}

#[test]
fn a_missing_node_ends_the_process_before_anything_is_touched() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk1", "nope"])));
    let mut cluster = Cluster::new(&setup);
    let outcomes = cluster.run(Time::from_secs(9));
    assert_eq!(cluster.printed(), ["Error from server (NotFound): nodes \"nope\" not found"]);
    assert!(!cluster.ctx.store.nodes.head(0).unwrap().unschedulable);
    assert!(outcomes.iter().all(|o| o.exit_code == Some(1) && o.completed_at.is_none() && o.ended_at.is_some()));
    assert_eq!(outcomes[1].messages.len(), 1);
}

#[test]
fn a_drain_that_does_not_end_has_neither_end_nor_code() {
    let setup = setup(36, ActionKind::Drain(drain(&["fk1", "fk2"])));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/web-1", web());
    cluster.answer = Box::new(|_, _| (4, NO_BUDGET));
    let outcomes = cluster.run(Time::from_secs(600));
    assert!(outcomes.iter().all(|o| (o.ended_at, o.exit_code) == (None, None)));
    assert_eq!(outcomes[1].started_at, Time::from_secs(600), "never came to it");
    assert_eq!(outcomes[0].evictions_denied, 120);
    assert!(cluster.finished.is_empty());
}

#[test]
fn commands_that_write_one_object() {
    let pod = |name: &str, grace_seconds| ActionKind::DeletePod {
        namespace: "default".into(),
        name: name.into(),
        grace_seconds,
        force: false,
    };
    for (what, line, done) in [
        (ActionKind::Cordon("fk1".into()), "node/fk1 cordoned", 44),
        (ActionKind::Uncordon("fk1".into()), "node/fk1 already uncordoned", 40),
        (ActionKind::Cordon("nope".into()), "Error from server (NotFound): nodes \"nope\" not found", 40),
        (ActionKind::Scale { deployment: 0, replicas: 3 }, "deployment.apps/web scaled", 44),
        (ActionKind::RolloutRestart(Restarted::Deployment(0)), "deployment.apps/web restarted", 44),
        (ActionKind::DeleteNode("fk2".into()), "node \"fk2\" deleted", 44),
        // gone 2.5 s after the delete, told by a watch
        (pod("web-", None), "pod \"web-1\" deleted from default namespace", 42 + 2_500 + 2),
        (pod("web-2", Some(0)), "pod \"web-2\" deleted from default namespace", 42 + 2_500 + 2),
        (pod("nope", None), "Error from server (NotFound): pods \"nope\" not found", 38),
    ] {
        let mut setup = setup(36, what.clone());
        setup.deployments.push(DeploymentSetup {
            namespace: "default".into(),
            name: "web".into(),
            replicas: 2,
            strategy: Strategy::default(),
            min_ready_seconds: 0,
            selector: crate::api::Selector::default(),
            template: TemplateId(0),
            placement: Vec::new(),
        });
        let mut cluster = Cluster::new(&setup);
        let deployment = Deployment {
            namespace: "default".into(),
            name: "web".into(),
            replicas: 2,
            strategy: Strategy::default(),
            min_ready_seconds: 0,
            selector: crate::api::Selector::default(),
            template: TemplateId(0),
            revision: 1,
        };
        cluster.ctx.store.put_deployment(Time::ZERO, 0, deployment);
        cluster.pod(0, "default/web-1", web());
        cluster.pod(0, "default/web-2", web());
        cluster.run(Time::from_secs(60));
        assert_eq!(cluster.printed(), [line]);
        assert_eq!(cluster.finished, [(0, Time::from_millis(done))], "{what:?}");
        if let Some((_, grace_seconds, _)) = cluster.deletes.first() {
            let asked = matches!(what, ActionKind::DeletePod { grace_seconds: Some(0), .. });
            assert_eq!(*grace_seconds, asked.then_some(1), "0 without --force is 1");
        }
    }
}
