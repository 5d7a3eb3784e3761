//! Which endpoints a node uses.

use super::table;
use drainsim::api::topology::{Hints, PlacedEndpoint, Viewer, categorize_endpoints};
use drainsim::api::{Endpoint, NodeId, PodId, Service, ServiceType, ZoneId};

/// All tables of this file.
pub fn check() -> usize {
    categories()
}

/// Of one endpoint: its state (`r`eady, `-` not, `t`erminating and serving), whether it is on the node that asks, the zones
/// and the nodes that it is hinted for.
#[derive(Clone, Copy, Debug)]
struct E(char, bool, &'static str, &'static [u32]);

/// What the Service is like: internal policy Local, external policy Local, has a node port.
type Policies = (bool, bool, bool);

const PLAIN: Policies = (false, false, false);
const HERE: bool = true;
const AWAY: bool = false;

/// `pkg/proxy/topology.go` CategorizeEndpoints; `topology_test.go` TestCategorizeEndpoints. A row: the Service, the zone of
/// the node that asks (which is node 1), whether hints for nodes count, and the endpoints; out come those of the policy
/// Cluster, those of the policy Local, all in reach, and whether there is any anywhere.
fn categories() -> usize {
    type Row = ((Policies, Option<char>, bool, &'static [E]), (&'static [u32], &'static [u32], &'static [u32], bool));
    let three_zones: &'static [E] =
        &[E('r', AWAY, "a", &[]), E('r', AWAY, "b", &[]), E('r', AWAY, "c", &[]), E('r', AWAY, "a", &[])];
    let two_here: &'static [E] =
        &[E('r', HERE, "a", &[]), E('r', HERE, "b", &[]), E('r', AWAY, "c", &[]), E('r', AWAY, "a", &[])];
    let by_node: &'static [E] =
        &[E('r', HERE, "a", &[1]), E('r', AWAY, "b", &[2]), E('r', AWAY, "c", &[3]), E('r', AWAY, "a", &[4])];
    let one_local: &'static [E] = &[E('r', HERE, "", &[]), E('r', AWAY, "", &[])];
    let remote: &'static [E] = &[E('r', AWAY, "", &[]), E('r', AWAY, "", &[])];
    let rows: [Row; 33] = [
        ((PLAIN, Some('a'), true, three_zones), (&[0, 3], &[], &[0, 3], true)),
        // topology does not concern the policy Local
        (((false, true, true), Some('a'), true, two_here), (&[0, 3], &[0, 1], &[0, 1, 3], true)),
        (((true, false, true), Some('a'), true, two_here), (&[0, 3], &[0, 1], &[0, 1, 3], true)),
        // a node without a zone, or in one that nobody is hinted for
        ((PLAIN, None, true, &[E('r', AWAY, "a", &[])]), (&[0], &[], &[0], true)),
        ((PLAIN, Some('b'), true, &[E('r', AWAY, "a", &[])]), (&[0], &[], &[0], true)),
        (
            (
                PLAIN,
                Some('a'),
                true,
                &[E('r', AWAY, "a", &[]), E('r', AWAY, "b", &[]), E('r', AWAY, "c", &[]), E('-', AWAY, "a", &[])],
            ),
            (&[0], &[], &[0], true),
        ),
        // the last near one is not ready any more: all others at once
        (
            (
                PLAIN,
                Some('a'),
                true,
                &[E('-', AWAY, "a", &[]), E('r', AWAY, "b", &[]), E('r', AWAY, "c", &[]), E('-', AWAY, "a", &[])],
            ),
            (&[1, 2], &[], &[1, 2], true),
        ),
        // one hint is missing
        (
            (
                PLAIN,
                Some('a'),
                true,
                &[E('r', AWAY, "a", &[]), E('r', AWAY, "b", &[]), E('r', AWAY, "", &[]), E('r', AWAY, "a", &[])],
            ),
            (&[0, 1, 2, 3], &[], &[0, 1, 2, 3], true),
        ),
        (
            (
                PLAIN,
                Some('c'),
                true,
                &[E('r', AWAY, "abc", &[]), E('r', AWAY, "bc", &[]), E('r', AWAY, "bd", &[]), E('r', AWAY, "c", &[])],
            ),
            (&[0, 1, 3], &[], &[0, 1, 3], true),
        ),
        // hints for nodes, without the feature and with it
        ((PLAIN, Some('a'), false, by_node), (&[0, 3], &[], &[0, 3], true)),
        ((PLAIN, Some('a'), true, by_node), (&[0], &[], &[0], true)),
        (
            (
                PLAIN,
                Some('a'),
                true,
                &[E('r', HERE, "a", &[1]), E('r', AWAY, "", &[]), E('r', AWAY, "c", &[3]), E('r', AWAY, "a", &[4])],
            ),
            (&[0, 1, 2, 3], &[], &[0, 1, 2, 3], true),
        ),
        // nobody on the node: the zone
        (
            (
                PLAIN,
                Some('a'),
                true,
                &[E('r', AWAY, "a", &[5]), E('r', AWAY, "b", &[2]), E('r', AWAY, "c", &[3]), E('r', AWAY, "a", &[4])],
            ),
            (&[0, 3], &[], &[0, 3], true),
        ),
        (
            (
                (false, true, true),
                Some('a'),
                true,
                &[E('r', HERE, "a", &[]), E('r', HERE, "b", &[]), E('r', AWAY, "a", &[]), E('r', AWAY, "b", &[])],
            ),
            (&[0, 2], &[0, 1], &[0, 1, 2], true),
        ),
        (((true, false, false), None, true, &[]), (&[], &[], &[], false)),
        (((true, false, false), None, true, remote), (&[], &[], &[], true)),
        (
            ((true, false, false), None, true, &[E('r', HERE, "", &[]), E('r', HERE, "", &[])]),
            (&[], &[0, 1], &[0, 1], true),
        ),
        (((true, false, false), None, true, one_local), (&[], &[0], &[0], true)),
        ((PLAIN, None, true, &[E('-', AWAY, "", &[]), E('-', AWAY, "", &[])]), (&[], &[], &[], false)),
        ((PLAIN, None, true, &[E('-', AWAY, "", &[]), E('r', AWAY, "", &[])]), (&[1], &[], &[1], true)),
        ((PLAIN, None, true, &[E('t', HERE, "", &[]), E('t', AWAY, "", &[])]), (&[0, 1], &[], &[0, 1], true)),
        (((true, false, true), None, true, one_local), (&[0, 1], &[0], &[0, 1], true)),
        (((false, true, true), None, true, one_local), (&[0, 1], &[0], &[0, 1], true)),
        (((true, true, true), None, true, one_local), (&[0, 1], &[0], &[0, 1], true)),
        (((true, true, true), None, true, remote), (&[0, 1], &[], &[0, 1], true)),
        (
            ((true, true, true), None, true, &[E('t', AWAY, "", &[]), E('t', AWAY, "", &[])]),
            (&[0, 1], &[], &[0, 1], true),
        ),
        // the policies fall back separately
        (
            (
                (false, true, true),
                None,
                true,
                &[E('r', AWAY, "", &[]), E('-', HERE, "", &[]), E('t', HERE, "", &[]), E('t', AWAY, "", &[])],
            ),
            (&[0], &[2], &[0, 2], true),
        ),
        // not to be reached from outside: the external policy does not count
        (
            ((false, true, false), None, true, &[E('r', AWAY, "", &[]), E('r', HERE, "", &[])]),
            (&[0, 1], &[], &[0, 1], true),
        ),
        (((true, false, false), None, true, &[E('r', AWAY, "", &[]), E('r', HERE, "", &[])]), (&[], &[1], &[1], true)),
        ((PLAIN, None, true, &[]), (&[], &[], &[], false)),
        ((PLAIN, Some('a'), true, &[E('-', AWAY, "", &[])]), (&[], &[], &[], false)),
        // not in the original: terminating ones have no hints, and are all used when nothing is ready
        (
            (PLAIN, Some('a'), true, &[E('t', HERE, "", &[]), E('t', AWAY, "", &[]), E('-', AWAY, "", &[])]),
            (&[0, 1], &[], &[0, 1], true),
        ),
        (((true, false, false), None, true, &[E('r', AWAY, "", &[]), E('t', HERE, "", &[])]), (&[], &[1], &[1], true)),
    ];
    table(
        "pkg/proxy/topology_test.go TestCategorizeEndpoints",
        &rows,
        |((internal, external, port), zone, gate, list)| {
            let service = Service {
                internal_traffic_local: *internal,
                external_traffic_local: *external,
                service_type: if *port { ServiceType::NodePort } else { ServiceType::ClusterIp },
                ..Service::default()
            };
            let viewer = Viewer { node: NodeId(1), zone: zone.map(zone_of), same_node: *gate };
            let placed: Vec<_> = (0..).zip(*list).map(|(pod, e)| place(pod, *e)).collect();
            let found = categorize_endpoints(&placed, &service, viewer);
            let ids = |pods: &[PodId]| &*pods.iter().map(|p| p.0).collect::<Vec<_>>().leak();
            (ids(&found.cluster), ids(&found.local), ids(&found.reachable), found.any)
        },
    )
}

fn place(pod: u32, E(state, here, zones, nodes): E) -> PlacedEndpoint {
    let endpoint = Endpoint { pod: PodId(pod), ready: state == 'r', serving: state != '-', terminating: state == 't' };
    let hints =
        Hints { zones: zones.chars().map(zone_of).collect(), nodes: nodes.iter().map(|n| NodeId(*n)).collect() };
    PlacedEndpoint { endpoint, node: Some(NodeId(if here { 1 } else { 9 })), hints }
}

fn zone_of(name: char) -> ZoneId {
    ZoneId(u32::from(name))
}
