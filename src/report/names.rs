//! What things are called in sentences.

use crate::api::{
    AutoscalerId, DaemonSetId, DeploymentId, JobId, NodeId, PdbId, PodId, ReplicaSetId, ServiceId, StatefulSetId,
};
use crate::simulation::outcome::{Failure, PodOutcome, Router};
use crate::simulation::setup::{ActionKind, Applied, DrainOptions, DryRun, PartitionScope, Restarted, UpgradeProfile};
use crate::simulation::{Outcome, Setup};

/// Looks names up. An identity that nothing is known of gets a number for a name: a report must not fail.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    setup: &'a Setup,
    outcome: &'a Outcome,
    focus: Option<PodId>,
}

impl<'a> Names<'a> {
    /// The names of one run.
    #[must_use]
    pub const fn new(setup: &'a Setup, outcome: &'a Outcome) -> Self {
        Self { setup, outcome, focus: None }
    }

    /// The same names, but this pod is "the pod".
    #[must_use]
    pub const fn about(self, pod: Option<PodId>) -> Self {
        Self { focus: pod, ..self }
    }

    /// The pod of this identity.
    #[must_use]
    pub fn outcome_of(&self, pod: PodId) -> Option<&'a PodOutcome> {
        let by_index = self.outcome.pods.get(pod.index()).filter(|p| p.id == pod);
        by_index.or_else(|| self.outcome.pods.iter().find(|p| p.id == pod))
    }

    /// `nginx-66b6c48dd5-abcde`.
    #[must_use]
    pub fn pod(&self, pod: PodId) -> String {
        self.outcome_of(pod).map_or_else(|| format!("#{}", pod.0), |p| p.name.clone())
    }

    /// `the pod`, or `pod nginx-66b6c48dd5-abcde`.
    #[must_use]
    pub fn the_pod(&self, pod: PodId) -> String {
        if self.focus == Some(pod) { "the pod".to_string() } else { format!("pod {}", self.pod(pod)) }
    }

    /// ` node-1`, with the space before it, or nothing if the pod has no node: what follows `kubelet`.
    #[must_use]
    pub fn of_node(&self, pod: PodId) -> String {
        self.outcome_of(pod).and_then(|p| p.node.as_ref()).map_or_else(String::new, |node| format!(" {node}"))
    }

    /// `container nginx`, of a pod.
    #[must_use]
    pub fn container(&self, pod: PodId, container: u32) -> String {
        let name = self.outcome_of(pod).and_then(|p| p.containers.get(container as usize));
        name.map_or_else(|| format!("container {}", container + 1), |name| format!("container {name}"))
    }

    /// `node-1`.
    #[must_use]
    pub fn node(&self, node: NodeId) -> String {
        if node == NodeId::OUTSIDE {
            return "outside".to_string();
        }
        self.outcome.node_names.get(node.index()).cloned().unwrap_or_else(|| format!("node #{}", node.0))
    }

    /// `kube-proxy node-1`, or `ingress-nginx node-1`: what chooses pods there.
    #[must_use]
    pub fn router(&self, router: Router, node: NodeId) -> String {
        if matches!(router, Router::Balancer(_)) {
            return router.name().to_string();
        }
        if router == Router::Dns {
            return format!("client on {}", self.node(node));
        }
        if node == NodeId::OUTSIDE {
            return format!("last {}", router.name());
        }
        format!("{} {}", router.name(), self.node(node))
    }

    /// `the kube-proxy on node-1`.
    #[must_use]
    pub fn the_router(&self, router: Router, node: NodeId) -> String {
        if matches!(router, Router::Balancer(_)) {
            return format!("the load balancer ({})", router.name());
        }
        if router == Router::Dns {
            return format!("the DNS client on {}", self.node(node));
        }
        if node == NodeId::OUTSIDE {
            return format!("the last {} behind the load balancer", router.name());
        }
        format!("the {} on {}", router.name(), self.node(node))
    }

    /// What chose the pod of a request.
    #[must_use]
    pub fn router_of(&self, failure: &Failure) -> Router {
        let stream = self.setup.traffic.get(failure.traffic as usize);
        let leg = stream.map(|stream| if failure.gateway.is_some() { stream.last_leg() } else { stream });
        leg.map_or_else(Router::default, Router::of)
    }

    /// The same with its place, as [`the_router`](Self::the_router); of a gateway, its pod: `the ingress-nginx in gateway-x7k2p`.
    #[must_use]
    pub fn the_router_of(&self, failure: &Failure) -> String {
        let router = self.router_of(failure);
        match failure.gateway {
            Some(pod) => format!("the {} in {}", router.name(), self.pod(pod)),
            None => self.the_router(router, failure.client_node),
        }
    }

    /// The same in a table: as [`router`](Self::router); of a gateway, its pod.
    #[must_use]
    pub fn short_router_of(&self, failure: &Failure) -> String {
        let router = self.router_of(failure);
        match failure.gateway {
            Some(pod) => format!("{} {}", router.name(), self.pod(pod)),
            None => self.router(router, failure.client_node),
        }
    }

    /// `controller of aws-alb-ip`: what keeps the targets of a stream's load balancer.
    #[must_use]
    pub fn balancer_controller(&self, traffic: u32) -> String {
        let balancer = self.setup.traffic.get(traffic as usize).and_then(|t| t.balancer.as_ref());
        format!("controller of {}", balancer.map_or("the load balancer", |b| b.profile.name()))
    }

    /// `default/nginx`.
    #[must_use]
    pub fn service(&self, service: ServiceId) -> String {
        let found = self.outcome.services.iter().find(|s| s.id == service);
        found.map_or_else(|| format!("Service #{}", service.0), |s| s.name.clone())
    }

    /// `default/nginx`.
    #[must_use]
    pub fn pdb(&self, pdb: PdbId) -> String {
        self.outcome.pdbs.get(pdb.index()).map_or_else(|| format!("#{}", pdb.0), |p| p.name.clone())
    }

    /// `ReplicaSet nginx-66b6c48dd5`.
    #[must_use]
    pub fn replica_set(&self, id: ReplicaSetId) -> String {
        let name = self.outcome.replica_set_names.get(id.index());
        name.map_or_else(|| format!("ReplicaSet #{}", id.0), |name| format!("ReplicaSet {name}"))
    }

    /// `Deployment default/nginx`.
    #[must_use]
    pub fn deployment(&self, id: DeploymentId) -> String {
        let found = self.setup.deployments.get(id.index());
        found.map_or_else(|| format!("Deployment #{}", id.0), |d| format!("Deployment {}/{}", d.namespace, d.name))
    }

    /// `StatefulSet default/db`.
    #[must_use]
    pub fn stateful_set(&self, id: StatefulSetId) -> String {
        let found = self.setup.stateful_sets.get(id.index()).map(|s| (&s.namespace, &s.name));
        titled("StatefulSet", id.0, found)
    }

    /// `DaemonSet default/agent`.
    #[must_use]
    pub fn daemon_set(&self, id: DaemonSetId) -> String {
        titled("DaemonSet", id.0, self.setup.daemon_sets.get(id.index()).map(|s| (&s.namespace, &s.name)))
    }

    /// `Job default/backup`.
    #[must_use]
    pub fn job(&self, id: JobId) -> String {
        titled("Job", id.0, self.setup.jobs.get(id.index()).map(|j| (&j.namespace, &j.name)))
    }

    /// `HorizontalPodAutoscaler default/web`.
    #[must_use]
    pub fn autoscaler(&self, id: AutoscalerId) -> String {
        let found = self.setup.autoscalers.get(id.index()).map(|h| (&h.namespace, &h.name));
        titled("HorizontalPodAutoscaler", id.0, found)
    }

    /// A stream of traffic: the name that the scenario gave it.
    #[must_use]
    pub fn traffic(&self, traffic: u32) -> String {
        let stream = self.outcome.traffic.get(traffic as usize);
        stream.map(|t| t.name.clone()).unwrap_or_else(|| format!("#{traffic}"))
    }

    /// Who a process that empties nodes is.
    #[must_use]
    pub fn operator(&self, process: u32) -> String {
        let action = self.outcome.drains.iter().find(|d| d.kubectl == process).map(|d| d.action);
        let what = action.and_then(|action| self.setup.actions.get(action as usize)).map(|a| &a.what);
        match what {
            Some(ActionKind::Upgrade(_)) => "the upgrade",
            Some(ActionKind::ClusterAutoscaler(_)) => "cluster-autoscaler",
            Some(ActionKind::Karpenter(_)) => "Karpenter",
            _ => "kubectl",
        }
        .to_string()
    }

    /// An action as one would type it: `kubectl drain node-1`.
    #[must_use]
    pub fn action(&self, action: u32) -> String {
        let Some(action) = self.setup.actions.get(action as usize) else { return format!("action #{action}") };
        let deployment = |index: usize| {
            let found = self.setup.deployments.get(index);
            found.map_or_else(|| format!("#{index}"), |d| format!("{} -n {}", d.name, d.namespace))
        };
        let stateful_set = |index: usize| {
            let found = self.setup.stateful_sets.get(index);
            found.map_or_else(String::new, |s| format!("{} -n {}", s.name, s.namespace))
        };
        match &action.what {
            ActionKind::Drain(options) => drain(options),
            ActionKind::Cordon(node) => format!("kubectl cordon {node}"),
            ActionKind::Uncordon(node) => format!("kubectl uncordon {node}"),
            ActionKind::DeletePod { namespace, name, force, .. } => {
                let force = if *force { " --force" } else { "" };
                format!("kubectl delete pod {name} -n {namespace}{force}")
            }
            ActionKind::LabelPod { namespace, name, changes, overwrite } => {
                let words = changes.iter().map(|(key, value)| match value {
                    Some(value) => format!(" {key}={value}"),
                    None => format!(" {key}-"),
                });
                let flag = if *overwrite { " --overwrite" } else { "" };
                format!("kubectl label pod {name}{} -n {namespace}{flag}", words.collect::<String>())
            }
            ActionKind::PatchAutoscaler { autoscaler, min_replicas, max_replicas } => {
                let hpa = self.setup.autoscalers.get(*autoscaler);
                let name = hpa.map_or_else(|| format!("#{autoscaler}"), |h| format!("{} -n {}", h.name, h.namespace));
                let bounds = [("minReplicas", min_replicas), ("maxReplicas", max_replicas)];
                let given = bounds.iter().filter_map(|(key, n)| n.map(|n| format!(r#""{key}":{n}"#)));
                let spec = given.collect::<Vec<_>>().join(",");
                format!(r#"kubectl patch hpa {name} --patch '{{"spec":{{{spec}}}}}'"#)
            }
            ActionKind::Scale { deployment: index, replicas } => {
                format!("kubectl scale deployment {} --replicas={replicas}", deployment(*index))
            }
            ActionKind::RolloutRestart(workload) => {
                let (kind, name) = match *workload {
                    Restarted::Deployment(index) => ("deployment", deployment(index)),
                    Restarted::StatefulSet(index) => ("statefulset", stateful_set(index)),
                    Restarted::DaemonSet(index) => {
                        let found = self.setup.daemon_sets.get(index);
                        ("daemonset", found.map_or_else(String::new, |s| format!("{} -n {}", s.name, s.namespace)))
                    }
                };
                format!("kubectl rollout restart {kind} {name}")
            }
            ActionKind::AddNode { node, .. } => format!("machine {} joins", node.name),
            ActionKind::ShutOff(node) => format!("{node} loses power"),
            ActionKind::DeleteNode(node) => format!("kubectl delete node {node}"),
            ActionKind::PowerOn(node) => format!("{node} gets its power back"),
            ActionKind::Restart(node) => format!("{node} restarts"),
            ActionKind::StopKubelet(node) => format!("the kubelet of {node} is stopped"),
            ActionKind::StartKubelet(node) => format!("the kubelet of {node} is started"),
            ActionKind::Partition(partition) => {
                let from = match partition.from {
                    PartitionScope::ControlPlane => "the control plane",
                    PartitionScope::Everything => "everything",
                };
                format!("{} is cut off from {from}", partition.node)
            }
            ActionKind::Taint { node, taint, remove } => {
                let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
                let minus = if *remove { "-" } else { "" };
                format!("kubectl taint nodes {node} {}{value}:{:?}{minus}", taint.key, taint.effect)
            }
            ActionKind::Shutdown(node) => format!("{node} is shut down"),
            ActionKind::Upgrade(options) => {
                let who = match options.profile {
                    UpgradeProfile::Plain => "",
                    UpgradeProfile::Gke => "GKE ",
                    UpgradeProfile::Eks => "EKS ",
                    UpgradeProfile::Aks => "AKS ",
                };
                format!("{who}upgrade of {}", options.nodes.join(", "))
            }
            ActionKind::ClusterAutoscaler(options) => {
                format!("cluster-autoscaler scale-down of {}", options.nodes.join(", "))
            }
            ActionKind::Karpenter(options) => format!("Karpenter disruption of {}", options.nodes.join(", ")),
            ActionKind::ScaleReplicaSet { replica_set, replicas } => {
                let found = self.setup.replica_sets.get(*replica_set);
                let name = found.map_or_else(String::new, |r| format!("{} -n {}", r.name, r.namespace));
                format!("kubectl scale replicaset {name} --replicas={replicas}")
            }
            ActionKind::ScaleStatefulSet { stateful_set: index, replicas } => {
                format!("kubectl scale statefulset {} --replicas={replicas}", stateful_set(*index))
            }
            ActionKind::Apply(objects) => {
                let title = |object: &Applied| match object {
                    Applied::Deployment { deployment: index, .. } => format!("deployment {}", deployment(*index)),
                    Applied::Pdb { pdb, .. } => format!("poddisruptionbudget {}", self.pdb(*pdb)),
                };
                format!("kubectl apply ({})", objects.iter().map(title).collect::<Vec<_>>().join(", "))
            }
            ActionKind::DeletePdb { pdb } => format!("kubectl delete poddisruptionbudget {}", self.pdb(*pdb)),
        }
    }
}

/// `KIND NAMESPACE/NAME`, or its number.
fn titled(kind: &str, number: u32, found: Option<(&String, &String)>) -> String {
    found.map_or_else(|| format!("{kind} #{number}"), |(namespace, name)| format!("{kind} {namespace}/{name}"))
}

/// `kubectl drain` with the flags that are not at their defaults.
fn drain(options: &DrainOptions) -> String {
    let mut line = format!("kubectl drain {}", options.nodes.join(" "));
    if let Some(selector) = &options.selector {
        line.push_str(&format!("--selector='{selector}'"));
    }
    let flags = [
        (options.force, "--force"),
        (options.ignore_daemonsets, "--ignore-daemonsets"),
        (options.delete_emptydir_data, "--delete-emptydir-data"),
        (options.delete_local_data, "--delete-local-data"),
        (options.disable_eviction, "--disable-eviction"),
    ];
    for (_, flag) in flags.into_iter().filter(|(set, _)| *set) {
        line.push(' ');
        line.push_str(flag);
    }
    if options.grace_period >= 0 {
        line.push_str(&format!(" --grace-period={}", options.grace_period));
    }
    if !options.timeout.is_zero() {
        line.push_str(&format!(" --timeout={}", options.timeout));
    }
    match options.dry_run {
        DryRun::None => {}
        DryRun::Client => line.push_str(" --dry-run=client"),
        DryRun::Server => line.push_str(" --dry-run=server"),
    }
    line
}
