//! Conditions of endpoints, and which of them get connections.

use super::{running, table, terminating};
use drainsim::api::{Endpoint, Endpoints, Phase, Pod, PodId};

/// All tables of this file.
pub fn check() -> usize {
    conditions() + usable()
}

/// `k8s.io/endpointslice/utils.go` podToEndpoint, `util/controller_utils.go` ShouldPodBeInEndpoints; TestPodToEndpoint,
/// TestShouldPodBeInEndpoints. A row: the pod, publishNotReadyAddresses; the conditions ready, serving, terminating.
fn conditions() -> usize {
    let without_ip = |pod: Pod| Pod { has_ip: false, ..pod };
    let phase = |phase, pod: Pod| Pod { phase, ..pod };
    let rows: [((Pod, bool), Option<(bool, bool, bool)>); 16] = [
        ((running(true), false), Some((true, true, false))),
        ((running(true), true), Some((true, true, false))),
        ((running(false), false), Some((false, false, false))),
        ((running(false), true), Some((true, false, false))),
        ((terminating(true), false), Some((false, true, true))),
        ((terminating(false), false), Some((false, false, true))),
        ((terminating(true), true), Some((true, true, true))),
        ((terminating(false), true), Some((true, false, true))),
        // a Pending pod that has its address is one, too
        ((phase(Phase::Pending, running(false)), false), Some((false, false, false))),
        ((phase(Phase::Pending, running(false)), true), Some((true, false, false))),
        ((without_ip(running(false)), false), None),
        ((without_ip(running(true)), true), None),
        ((phase(Phase::Failed, running(false)), false), None),
        ((phase(Phase::Failed, running(false)), true), None),
        ((phase(Phase::Succeeded, running(false)), false), None),
        ((phase(Phase::Succeeded, terminating(false)), false), None),
    ];
    table("endpointslice utils_test.go TestPodToEndpoint", &rows, |(pod, publish)| {
        Endpoint::of(PodId(0), pod, *publish).map(|e| (e.ready, e.serving, e.terminating))
    })
}

/// `pkg/proxy/topology.go` CategorizeEndpoints with the policy Cluster; `topology_test.go` TestCategorizeEndpoints. A row:
/// ready, serving, terminating of each endpoint; which of them are used.
fn usable() -> usize {
    const READY: (bool, bool, bool) = (true, true, false);
    const UNREADY: (bool, bool, bool) = (false, false, false);
    const GOING: (bool, bool, bool) = (false, true, true);
    const GONE: (bool, bool, bool) = (false, false, true);
    type Conditions = (bool, bool, bool);
    let rows: [(Vec<Conditions>, Vec<u32>); 10] = [
        (vec![], vec![]),
        (vec![UNREADY], vec![]),
        (vec![UNREADY, UNREADY], vec![]),
        (vec![UNREADY, READY], vec![1]),
        (vec![READY, READY], vec![0, 1]),
        // the fall-back: only when nothing is ready
        (vec![GOING, GOING], vec![0, 1]),
        (vec![GOING, READY], vec![1]),
        (vec![GOING, UNREADY], vec![0]),
        (vec![GOING, GONE], vec![0]),
        (vec![GONE, GONE], vec![]),
    ];
    table("pkg/proxy/topology_test.go TestCategorizeEndpoints", &rows, |conditions| {
        let pods = (0..).map(PodId).zip(conditions);
        let list = pods.map(|(pod, &(ready, serving, terminating))| Endpoint { pod, ready, serving, terminating });
        Endpoints { list: list.collect() }.usable().map(|pod| pod.0).collect::<Vec<_>>()
    })
}
