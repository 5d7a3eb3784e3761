//! What befalls machines without anybody asking Kubernetes: power, kernels, kubelets and networks that fail and come back.
//!
//! Three things decide what a node does: whether it has power, whether its kubelet runs, and whether it is cut off. Its
//! kubelet is *connected* if it has all three and has found its way back to the apiserver. A kubelet that is not connected
//! renews no lease, reports nothing and learns nothing; whether containers go on is another matter.
//!
//! These functions know all components, as `world` does: a fault concerns the data plane, the kubelet and what the control
//! plane hears, at the same instant.

use crate::api::{Kind, NodeId, PodId};
use crate::engine::{Duration, Key, Time};
use crate::simulation::context::Watches;
use crate::simulation::event::{Event, FaultStep};
use crate::simulation::latency::Hop;
use crate::simulation::observe::What;
use crate::simulation::setup::{ActionKind, Partition, PartitionScope};
use crate::simulation::world::World;
use crate::simulation::write::{Caller, Write};

/// What a machine is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Machine {
    power: bool,
    kubelet: bool,
    cut: Option<PartitionScope>,
    /// What the kubelet sends arrives, and its watches deliver.
    connected: bool,
    /// The kubelet's process is a new one since it was last connected.
    restarted: bool,
    /// Tells events apart that have been overtaken by another change.
    epoch: u32,
}

impl Default for Machine {
    /// All is well.
    fn default() -> Self {
        Self { power: true, kubelet: true, cut: None, connected: true, restarted: false, epoch: 0 }
    }
}

/// The machines of all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Machines {
    list: Vec<Machine>,
    /// Actions that wait for a node's kubelet to be connected again.
    waiting: Vec<(NodeId, u32)>,
    /// Partitions that will heal, with their actions.
    partitions: Vec<(NodeId, u32)>,
}

impl Machines {
    /// Whether the watches of this node's kubelet deliver.
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.list.get(node.index()).is_none_or(|machine| machine.connected)
    }

    fn get(&mut self, node: NodeId) -> &mut Machine {
        if self.list.len() <= node.index() {
            self.list.resize(node.index() + 1, Machine::default());
        }
        &mut self.list[node.index()]
    }
}

impl World<'_> {
    /// Does what an action does to a machine; whether the action was one of these.
    pub(super) fn begin_fault(&mut self, action: u32, what: &ActionKind) -> bool {
        let (ActionKind::ShutOff(name)
        | ActionKind::PowerOn(name)
        | ActionKind::Restart(name)
        | ActionKind::StopKubelet(name)
        | ActionKind::StartKubelet(name)
        | ActionKind::Partition(Partition { node: name, .. })) = what
        else {
            return false;
        };
        let Some(node) = self.ctx.store.node_by_name(name) else {
            self.warnings.push(format!("nothing could be done to {name}: there is no such node at {}", self.ctx.now()));
            self.fault_done(action);
            return true;
        };
        let machine = *self.machines.get(node);
        match what {
            ActionKind::ShutOff(_) => {
                self.power_off(node);
                self.fault_done(action);
            }
            ActionKind::Restart(_) => {
                self.power_off(node);
                self.machines.waiting.push((node, action));
                self.after_hop(node, Hop::NodeBoot, FaultStep::Booted);
            }
            ActionKind::PowerOn(_) if !machine.power => {
                self.machines.waiting.push((node, action));
                self.after_hop(node, Hop::NodeBoot, FaultStep::Booted);
            }
            ActionKind::StopKubelet(_) if machine.kubelet => {
                self.ctx.note(What::KubeletStopped { node });
                self.machines.get(node).kubelet = false;
                self.kubelets.kubelet_stopped(node);
                self.disconnect(node);
                self.fault_done(action);
            }
            ActionKind::StartKubelet(_) if machine.power && !machine.kubelet => {
                self.machines.waiting.push((node, action));
                self.after_hop(node, Hop::KubeletStart, FaultStep::KubeletStarted);
            }
            ActionKind::Partition(partition) if machine.cut.is_none() => self.cut_off(node, action, partition),
            _ => {
                let names = format!("{name} was in that state already at {}", self.ctx.now());
                self.warnings.push(format!("action {action} did nothing: {names}"));
                self.fault_done(action);
            }
        }
        true
    }

    /// A change that was arranged comes to pass, unless another has overtaken it.
    pub(super) fn fault_step(&mut self, node: NodeId, step: FaultStep, epoch: u32) {
        let machine = *self.machines.get(node);
        let is_connection = matches!(step, FaultStep::Connected | FaultStep::ProxyConnected | FaultStep::StatusReport);
        if step != FaultStep::Healed && machine.epoch != epoch {
            return;
        }
        match step {
            FaultStep::Booted => self.booted(node),
            FaultStep::KubeletStarted => {
                self.ctx.note(What::KubeletStarted { node });
                let machine = self.machines.get(node);
                (machine.kubelet, machine.restarted) = (true, true);
                self.kubelets.kubelet_started(&mut self.ctx, node);
                self.register(node);
                self.connect(node);
            }
            FaultStep::Healed => self.healed(node),
            FaultStep::Connected => self.connect(node),
            FaultStep::ProxyConnected => self.network.proxy_connected(self.ctx.now(), node),
            FaultStep::StatusReport if machine.connected => self.report(node),
            FaultStep::StatusReport => {}
        }
        debug_assert!(is_connection || machine.epoch >= epoch, "epochs grow");
    }

    /// The kubelet of a node that was given up though it is connected finds that at its next look at the node's status.
    pub(super) fn node_given_up(&mut self, node: NodeId) {
        if self.machines.is_connected(node) {
            let period = self.ctx.setup.kubelet.node_status_update_frequency;
            let key = Key::new("nodeStatusTick").number(self.ctx.luck_of(Kind::Node, node.0));
            let wait = period.as_secs_f64() * self.ctx.random.unit(key, self.ctx.now().as_nanos());
            let epoch = self.machines.get(node).epoch;
            self.ctx.schedule(Duration::from_secs_f64(wait), Event::Fault(node, FaultStep::StatusReport, epoch));
        }
    }

    fn fault_done(&mut self, action: u32) {
        self.ctx.note(What::ActionDone { action });
        self.action_done(action);
    }

    /// Lets a change come after a draw of a hop; changes that were under way are overtaken.
    fn after_hop(&mut self, node: NodeId, hop: Hop, step: FaultStep) {
        let machine = self.machines.get(node);
        machine.epoch += 1;
        let epoch = machine.epoch;
        let luck = self.ctx.luck_of(Kind::Node, node.0);
        let delay = self.ctx.latency(hop, luck, u64::from(epoch));
        self.ctx.schedule(delay, Event::Fault(node, step, epoch));
    }

    /// A machine loses its power.
    pub(super) fn power_off(&mut self, node: NodeId) {
        let now = self.ctx.now();
        self.network.node_failed(node, self.ctx.cause);
        self.network.node_off(now, node);
        self.kubelets.node_off(&mut self.ctx, &mut self.network, node);
        let machine = self.machines.get(node);
        (machine.power, machine.kubelet) = (false, false);
        self.disconnect(node);
    }

    /// Nothing that the kubelet sends arrives, and nothing reaches it.
    fn disconnect(&mut self, node: NodeId) {
        let machine = self.machines.get(node);
        machine.epoch += 1;
        if std::mem::replace(&mut machine.connected, false) {
            self.kubelets.cut_off(node);
            self.node_lifecycle.kubelet_silent(&mut self.ctx, node);
        }
    }

    fn booted(&mut self, node: NodeId) {
        self.ctx.note(What::NodeBooted { node });
        let machine = self.machines.get(node);
        (machine.power, machine.kubelet, machine.restarted) = (true, true, true);
        let cut = machine.cut;
        self.kubelets.node_on(&mut self.ctx, node);
        let (now, name) = (self.ctx.now(), self.ctx.store.node_name(node).to_string());
        self.network.node_on(now, node, &name);
        if cut.is_some() {
            self.network.proxy_cut_off(now, node);
        }
        self.register(node);
        self.connect(node);
    }

    fn cut_off(&mut self, node: NodeId, action: u32, partition: &Partition) {
        let now = self.ctx.now();
        let everything = partition.from == PartitionScope::Everything;
        let cause = self.ctx.note(What::NodeCutOff { node, scope: if everything { 2 } else { 1 } });
        self.machines.get(node).cut = Some(partition.from);
        let heals = partition.heal_after.map(|after| now + after);
        if everything {
            self.network.node_cut_off(now, node, heals, cause);
        }
        self.network.proxy_cut_off(now, node);
        self.disconnect(node);
        if let Some(after) = partition.heal_after {
            self.machines.partitions.push((node, action));
            self.ctx.schedule(after, Event::Fault(node, FaultStep::Healed, 0));
        }
    }

    /// Packets flow again at once; connections to the apiserver come back when their owners try again.
    fn healed(&mut self, node: NodeId) {
        let now = self.ctx.now();
        self.ctx.note(What::PartitionHealed { node });
        if self.machines.get(node).cut.take() == Some(PartitionScope::Everything) {
            self.network.node_healed(now, node);
        }
        self.after_hop(node, Hop::Reconnect, FaultStep::Connected);
        let epoch = self.machines.get(node).epoch;
        let luck = Key::new("kubeProxyReconnect").number(self.ctx.luck_of(Kind::Node, node.0)).bits();
        let delay = self.ctx.latency(Hop::Reconnect, luck, u64::from(epoch));
        self.ctx.schedule(delay, Event::Fault(node, FaultStep::ProxyConnected, epoch));
        let cause = self.ctx.cause;
        let mut done = Vec::new();
        self.machines.partitions.retain(|(other, action)| {
            let is_over = *other == node;
            done.extend(is_over.then_some(*action));
            !is_over
        });
        for action in done {
            self.ctx.cause = cause;
            self.fault_done(action);
        }
    }

    /// The kubelet is heard again, lists its pods, and reports what it finds.
    fn connect(&mut self, node: NodeId) {
        let machine = self.machines.get(node);
        if machine.connected || !machine.power || !machine.kubelet || machine.cut.is_some() {
            return;
        }
        machine.connected = true;
        let restarted = std::mem::replace(&mut machine.restarted, false);
        let cause = self.ctx.note(What::KubeletConnected { node });
        self.node_lifecycle.kubelet_heard(&self.ctx, node);
        self.relist(node, restarted);
        self.ctx.cause = cause;
        self.kubelets.connected(&mut self.ctx, node, restarted);
        self.ctx.cause = cause;
        self.report(node);
        let done: Vec<u32> = self.machines.waiting.iter().filter(|(n, _)| *n == node).map(|(_, a)| *a).collect();
        self.machines.waiting.retain(|(n, _)| *n != node);
        for action in done {
            self.ctx.cause = cause;
            self.fault_done(action);
        }
    }

    /// The kubelet's watch begins with a list of the node's pods: each that has changed meanwhile is told once, in its newest
    /// version. A new process knows none of them.
    fn relist(&mut self, node: NodeId, restarted: bool) {
        let watch = Watches::kubelet(node);
        let before = self.ctx.watches.seen(watch, Kind::Pod);
        let now = self.ctx.store.revision();
        self.ctx.watches.relist(watch, Kind::Pod, now);
        let cause = self.ctx.cause;
        for pod in (0..self.ctx.store.pod_meta.len()).map(PodId::from) {
            let history = self.ctx.store.pods.history(pod.index());
            let last = history.iter().rev().find_map(|v| v.value.as_ref());
            let here = last.is_some_and(|p| p.node == Some(node));
            let is_news = restarted || self.ctx.store.pods.newest(pod.index()).0 > before;
            if !here || !is_news {
                continue;
            }
            let was_deleted = self.ctx.store.pods.at(pod.index(), before).is_some_and(|p| p.deletion.is_some());
            self.ctx.cause = cause;
            self.kubelets.on_pod(&mut self.ctx, pod, node, was_deleted, true);
        }
        self.ctx.cause = cause;
    }

    /// The kubelet says that its node is Ready, where the API says something else.
    fn report(&mut self, node: NodeId) {
        if self.ctx.store.nodes.head(node.index()).is_some_and(|n| !n.ready) {
            let luck = Key::new("nodeStatus").number(self.ctx.luck_of(Kind::Node, node.0)).bits();
            let occasion = self.ctx.now().as_nanos();
            self.ctx.submit(Write::ReportNodeReady { node }, Caller::Nobody, luck, occasion);
        }
    }

    /// A kubelet that starts makes its Node object if there is none.
    fn register(&mut self, node: NodeId) {
        if self.machines.get(node).cut.is_some() || self.ctx.store.nodes.head(node.index()).is_some() {
            return;
        }
        let history = self.ctx.store.nodes.history(node.index());
        let Some(mut new) = history.iter().rev().find_map(|v| v.value.clone()) else { return };
        (new.ready, new.unreachable, new.unschedulable) = (false, false, false);
        new.taints.retain(|t| !t.key.starts_with("node.kubernetes.io/"));
        let now: Time = self.ctx.now();
        self.ctx.store.put_node(now, node, Some(new));
        self.ctx.note(What::NodeAdded { node });
        self.ctx.publish(Kind::Node, node.0);
    }
}
