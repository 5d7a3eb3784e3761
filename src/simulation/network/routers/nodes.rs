//! Nodes as load balancers see them: which are fit to be targets, and what they answer to health checks.

use crate::api::{Node, NodeId};
use crate::engine::{Duration, Key, Random, Time};
use crate::simulation::network::routers::balancer::Target;
use crate::simulation::network::routers::health_check::Answer;
use crate::simulation::observe::CauseId;
use crate::simulation::setup::{BalancerProfile, Checked};

/// `k8s.io/cloud-provider/controllers/service/controller.go` nodeIncludedPredicate (June 2026); the same in
/// aws-load-balancer-controller `pkg/backend/endpoint_utils.go` (v3.5) and in ingress-gce
/// `pkg/utils/zonegetter/zone_getter.go` nodePredicateInternal (August 2026).
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// `cluster-autoscaler/utils/taints/taints.go` ToBeDeletedTaint.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// `karpenter/pkg/apis/v1/taints.go` DisruptedTaintKey; only aws-load-balancer-controller heeds it
/// (`pkg/backend/endpoint_utils.go` IsNodeSuitableAsTrafficProxy).
const KARPENTER: &str = "karpenter.sh/disrupted";

/// All nodes.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    random: Random,
    known: Vec<Known>,
}

/// One of them.
#[derive(Clone, Debug, Default)]
struct Known {
    name: String,
    object: Object,
    /// Its machine and its kube-proxy run.
    runs: bool,
    /// Packets do not get there.
    cut_off: bool,
    /// What made it fail.
    cause: CauseId,
}

/// What its object says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Object {
    exists: bool,
    ready: bool,
    excluded: bool,
    to_be_deleted: bool,
    disrupted: bool,
}

/// How a node has changed, for those who do not look at everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It came, went, was excluded or included again.
    Membership,
    /// Something else.
    Other,
}

impl Nodes {
    pub fn new(random: Random) -> Self {
        Self { random, known: Vec::new() }
    }

    /// So many nodes are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The object was written; `None`: deleted.
    pub fn written(&mut self, id: NodeId, node: Option<&Node>) -> Change {
        let tainted = |key: &str| node.is_some_and(|node| node.taints.iter().any(|taint| taint.key == key));
        let new = Object {
            exists: node.is_some(),
            ready: node.is_some_and(|node| node.ready),
            excluded: node.is_some_and(|node| node.labels.contains_key(EXCLUDE)),
            to_be_deleted: tainted(TO_BE_DELETED),
            disrupted: tainted(KARPENTER),
        };
        let known = self.get_mut(id);
        if let Some(node) = node {
            known.name.clone_from(&node.name);
        }
        let old = std::mem::replace(&mut known.object, new);
        if (old.exists, old.excluded) == (new.exists, new.excluded) { Change::Other } else { Change::Membership }
    }

    /// Its machine and its kube-proxy run, or do not.
    pub fn runs(&mut self, id: NodeId, runs: bool) {
        self.get_mut(id).runs = runs;
    }

    /// Packets get there, or do not.
    pub fn reachable(&mut self, id: NodeId, reachable: bool) {
        self.get_mut(id).cut_off = !reachable;
    }

    /// What has made it fail.
    pub fn failed(&mut self, id: NodeId, cause: CauseId) {
        self.get_mut(id).cause = cause;
    }

    /// What made it fail.
    pub fn cause(&self, id: NodeId) -> CauseId {
        self.known.get(id.index()).map_or_else(CauseId::default, |known| known.cause)
    }

    /// The nodes that a controller wants as targets, in order, of those whose names fit.
    ///
    /// Source: `k8s.io/cloud-provider/controllers/service/controller.go` stableNodeSetPredicates (no Ready since 1.30,
    /// KEP-3458); aws-load-balancer-controller `pkg/backend/endpoint_resolver.go` ResolveNodePortEndpoints (Ready; v3.5);
    /// ingress-gce `pkg/utils/zonegetter/zone_getter.go` candidateNodesPredicate (Ready; August 2026).
    pub fn fit(&self, profile: BalancerProfile, fits: impl Fn(&str) -> bool) -> Vec<Target> {
        let wants_ready = profile != BalancerProfile::ServiceLoadBalancer;
        let heeds_karpenter = matches!(
            profile,
            BalancerProfile::AwsAlbInstance
                | BalancerProfile::AwsNlbInstance
                | BalancerProfile::AwsAlbIp
                | BalancerProfile::AwsNlbIp
        );
        let is_fit = |known: &Known| {
            let Object { exists, ready, excluded, to_be_deleted, disrupted } = known.object;
            let leaves = to_be_deleted || (disrupted && heeds_karpenter);
            exists && !excluded && !leaves && (ready || !wants_ready) && fits(&known.name)
        };
        let nodes = (0..).zip(&self.known).filter(|(_, known)| is_fit(known));
        nodes.map(|(id, _)| Target::Node(NodeId(id))).collect()
    }

    /// Before when a controller does not see a change, if it looks now and then only.
    pub fn noticed(&self, now: Time, profile: BalancerProfile, change: Change) -> Option<Time> {
        let period = profile.node_sync_period().filter(|_| change == Change::Other)?;
        let unit = self.random.unit(Key::new("nodeSync").text(profile.name()), 0);
        let phase = Duration::from_secs_f64(period.as_secs_f64() * unit);
        let since = now.as_nanos().saturating_sub(phase.as_nanos());
        let looks = Duration::from_nanos(since.div_ceil(period.as_nanos()) * period.as_nanos());
        Some(Time::ZERO + phase + looks)
    }

    /// Whether connections to a port of the node are answered at all.
    pub fn answers(&self, id: NodeId) -> bool {
        self.known.get(id.index()).is_some_and(|known| known.runs && !known.cut_off)
    }

    /// What a health check of the node finds.
    ///
    /// Source: `pkg/proxy/healthcheck/proxy_health.go` (v1.36): not healthy if the node is about to be deleted.
    pub fn answer(&self, id: NodeId, asks: Checked) -> Answer {
        if !self.answers(id) {
            return Answer::Silent;
        }
        let to_be_deleted = self.known.get(id.index()).is_some_and(|known| known.object.to_be_deleted);
        if asks == Checked::KubeProxy && to_be_deleted { Answer::Bad } else { Answer::Good }
    }

    fn get_mut(&mut self, id: NodeId) -> &mut Known {
        if self.known.len() <= id.index() {
            self.known.resize(id.index() + 1, Known::default());
        }
        &mut self.known[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Taint, TaintEffect};
    use crate::simulation::setup::plain_node;

    fn fit(nodes: &Nodes, profile: BalancerProfile) -> usize {
        nodes.fit(profile, |_| true).len()
    }

    #[test]
    fn what_takes_a_node_out() {
        let mut nodes = Nodes::new(Random::new(1));
        let taint = |key: &str| Taint { key: key.into(), value: String::new(), effect: TaintEffect::NoSchedule };
        let plain = plain_node("a");
        let (generic, nlb) = (BalancerProfile::ServiceLoadBalancer, BalancerProfile::AwsNlbInstance);
        let mut check = |node: &Node, expected: [usize; 2], why: &str| {
            nodes.written(NodeId(0), Some(node));
            assert_eq!([fit(&nodes, generic), fit(&nodes, nlb)], expected, "{why}");
        };
        check(&plain, [1, 1], "a plain node");
        check(&Node { unschedulable: true, ..plain.clone() }, [1, 1], "a cordon changes nothing");
        check(&Node { ready: false, ..plain.clone() }, [1, 0], "not Ready");
        check(&Node { taints: vec![taint(TO_BE_DELETED)], ..plain.clone() }, [0, 0], "cluster-autoscaler");
        check(&Node { taints: vec![taint(KARPENTER)], ..plain.clone() }, [1, 0], "Karpenter");
        let mut excluded = plain.clone();
        excluded.labels.insert(EXCLUDE.into(), "true".into());
        check(&excluded, [0, 0], "excluded by its label");
    }

    #[test]
    fn the_service_controller_sees_a_taint_at_its_next_look_and_a_deletion_at_once() {
        let mut nodes = Nodes::new(Random::new(1));
        nodes.written(NodeId(0), Some(&plain_node("a")));
        let tainted = Node { taints: vec![Taint { key: TO_BE_DELETED.into(), ..taint() }], ..plain_node("a") };
        let change = nodes.written(NodeId(0), Some(&tainted));
        let generic = BalancerProfile::ServiceLoadBalancer;
        let at = nodes.noticed(Time::from_secs(500), generic, change).unwrap();
        assert!(at >= Time::from_secs(500) && at < Time::from_secs(600));
        assert_eq!(nodes.noticed(at, generic, change), Some(at));
        assert_eq!(nodes.noticed(Time::from_secs(500), BalancerProfile::AwsNlbInstance, change), None);
        let change = nodes.written(NodeId(0), None);
        assert_eq!(nodes.noticed(Time::from_secs(500), generic, change), None);
    }

    fn taint() -> Taint {
        Taint { key: String::new(), value: String::new(), effect: TaintEffect::NoSchedule }
    }

    #[test]
    fn kube_proxy_says_that_its_node_will_be_deleted() {
        let mut nodes = Nodes::new(Random::new(1));
        let tainted = Node { taints: vec![Taint { key: TO_BE_DELETED.into(), ..taint() }], ..plain_node("a") };
        nodes.written(NodeId(0), Some(&tainted));
        assert_eq!(nodes.answer(NodeId(0), Checked::TrafficPort), Answer::Silent, "it does not run yet");
        nodes.runs(NodeId(0), true);
        assert_eq!(nodes.answer(NodeId(0), Checked::TrafficPort), Answer::Good);
        assert_eq!(nodes.answer(NodeId(0), Checked::KubeProxy), Answer::Bad);
        nodes.reachable(NodeId(0), false);
        assert_eq!(nodes.answer(NodeId(0), Checked::KubeProxy), Answer::Silent);
    }
}
