use super::*;
use crate::api::{Endpoint, Service, Version};
use proptest::prelude::*;

const NODE: NodeId = NodeId(0);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn setup(version: u8, min: Duration) -> Setup {
    let service = |name: &str| Service {
        namespace: "default".into(),
        name: name.into(),
        selector: None,
        publish_not_ready_addresses: false,
        internal_traffic_local: false,
    };
    let mut setup = Setup { version: Version::minor(version), ..Setup::default() };
    setup.services = vec![service("a"), service("b"), service("c")];
    setup.kube_proxy.min_sync_period = min;
    setup
}

/// Writes of EndpointSlices: number `n` of them says that pod `n` is the only one.
fn write(proxies: &mut KubeProxies<'_>, now: Time, service: u32, n: u32) {
    let list = vec![Endpoint { pod: PodId(n), ready: true, serving: true, terminating: false }];
    proxies.endpoints_written(now, ServiceId(service), &Endpoints { list }, |_| None, CauseId(0));
}

/// When the rules changed, by commits at these milliseconds, every watch taking 10 ms and every sync 30 ms.
fn applied(version: u8, commits: &[u64]) -> Vec<u64> {
    let mut setup = setup(version, ms(1000));
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    proxies.add_node(Time::ZERO, NODE, "n0");
    for (n, commit) in (0u32..).zip(commits) {
        write(&mut proxies, Time::from_millis(*commit), 0, n);
    }
    proxies.finish(Time::from_secs(100));
    proxies.syncs(NODE)[1..].iter().map(|s| s.applied.as_nanos() / 1_000_000).collect()
}

#[test]
fn the_runner_rests_after_each_run() {
    assert_eq!(applied(36, &[5000]), [5040]);
    assert_eq!(applied(36, &[5000, 5005, 5100, 5900]), [5040, 6070]);
    assert_eq!(applied(36, &[5000, 6031]), [5040, 6071]);
}

#[test]
fn the_old_runner_may_run_twice_in_a_row() {
    assert_eq!(applied(33, &[5000]), [5040]);
    assert_eq!(applied(33, &[5000, 5005, 5100, 5900]), [5040, 5070, 6100]);
    // The second run began with the bucket at 0.5: it is full enough for the next one half a second later, though the
    // timer of the request at 6.2 s is set to 6.54 s.
    assert_eq!(applied(33, &[5000, 5500, 5700, 6100]), [5040, 5540, 6140]);
}

#[test]
fn a_stopped_proxy_keeps_its_rules() {
    let setup = setup(36, ms(1000));
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    write(&mut proxies, Time::ZERO, 0, 0);
    proxies.add_node(Time::ZERO, NODE, "n0");
    proxies.node_off(Time::from_secs(5), NODE);
    write(&mut proxies, Time::from_secs(6), 0, 1);
    proxies.finish(Time::from_secs(100));
    assert_eq!(proxies.syncs(NODE).len(), 1);
    let spell = proxies.last_spell(ServiceId(0), (PodId(0), None), NODE, Time::MAX);
    assert_eq!(spell, Some(Spell { from: Time::ZERO, to: Some(Time::from_secs(5)) }));
}

#[test]
fn what_is_committed_at_the_same_instant_is_not_missed() {
    let mut setup = setup(36, ms(1000));
    setup.latencies.set(Hop::Watch, Distribution::constant(Duration::ZERO));
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    proxies.add_node(Time::ZERO, NODE, "n0");
    let now = Time::from_secs(5);
    write(&mut proxies, now, 0, 0);
    proxies.fold(NODE, now);
    write(&mut proxies, now, 1, 1);
    proxies.finish(Time::from_secs(10));
    assert_eq!(proxies.syncs(NODE).iter().map(|s| s.entries).collect::<Vec<_>>(), [0, 2]);
}

/// The loops of the two runners, as Go has them, one wake-up after the other.
fn plain(runner: Runner, deliveries: &[Time], last: impl Fn(usize) -> Duration) -> Vec<Sync> {
    let mut syncs = Vec::new();
    let (mut now, mut timer, mut last_end): (Time, Time, Option<Time>) = (Time::ZERO, Time::MAX, None);
    let (mut tokens, mut filled_at) = (runner.min.mul(Runner::BURST), Time::ZERO);
    // How many deliveries have been signalled in the channel `run`, and how many have been taken by a run.
    let (mut signalled, mut taken) = (0, 0);
    loop {
        let next = deliveries.get(signalled).map_or(Time::MAX, |d| (*d).max(now));
        now = next.min(timer);
        if now == Time::MAX {
            return syncs;
        }
        signalled = deliveries.partition_point(|d| *d <= now);
        if runner.burst {
            tokens = (tokens + now.since(filled_at)).min(runner.min.mul(Runner::BURST));
            filled_at = now;
            if tokens < runner.min {
                timer = last_end.expect("tokens are used by runs") + runner.min;
                continue;
            }
            tokens -= runner.min;
        }
        timer = Time::MAX;
        let end = now + last(taken);
        taken = signalled;
        syncs.push(Sync { applied: end, entries: entry_number(taken) });
        last_end = Some(end);
        now = if runner.burst { end } else { end + runner.min };
    }
}

proptest! {
    #[test]
    fn folding_in_any_steps_does_what_the_go_code_does(
        burst: bool,
        min in prop_oneof![Just(0u64), Just(100), Just(1000)],
        mut commits in prop::collection::vec((0u64..6000, 0u32..3), 0..40),
        mut asks in prop::collection::vec(0u64..6000, 0..20),
    ) {
        commits.sort_unstable();
        asks.sort_unstable();
        let setup = setup(if burst { 33 } else { 36 }, ms(min));
        let mut proxies = KubeProxies::new(&setup, Random::new(7));
        proxies.add_node(Time::ZERO, NODE, "n0");
        proxies.add_node(Time::ZERO, NodeId(1), "n1");
        let mut asks = asks.into_iter().peekable();
        for (n, (commit, service)) in (0u32..).zip(&commits) {
            while let Some(ask) = asks.next_if(|ask| ask <= commit) {
                proxies.fold(NODE, Time::from_millis(ask));
            }
            write(&mut proxies, Time::from_millis(*commit), *service, n);
        }
        proxies.finish(Time::MAX);

        for node in [NODE, NodeId(1)] {
            let luck = proxies.proxies[node.index()].as_ref().unwrap().luck;
            let mut delivered = Time::ZERO;
            let deliveries: Vec<_> = proxies.log.iter().map(|entry| {
                delivered = delivered.max(entry.committed + proxies.delays.watch(luck, entry));
                delivered
            }).collect();
            let last = |entry: usize| proxies.delays.sync(luck, &proxies.log[entry]);
            let expected = plain(proxies.runner, &deliveries, last);
            prop_assert_eq!(&proxies.syncs(node)[1..], &expected[..]);
        }
    }

    #[test]
    fn a_proxy_that_is_cut_off_hears_of_everything_when_it_is_back(
        burst: bool,
        mut commits in prop::collection::vec((0u64..6000, 0u32..3), 0..40),
        mut asks in prop::collection::vec(0u64..6000, 0..20),
        cut in 0u64..4000,
        length in 0u64..3000,
    ) {
        commits.sort_unstable();
        asks.sort_unstable();
        let (cut, back) = (Time::from_millis(cut), Time::from_millis(cut + length));
        let setup = setup(if burst { 33 } else { 36 }, ms(1000));
        let mut proxies = KubeProxies::new(&setup, Random::new(7));
        proxies.add_node(Time::ZERO, NODE, "n0");
        let mut changes: Vec<_> = (0u32..).zip(&commits).map(|(n, (at, s))| (Time::from_millis(*at), Some((*s, n)))).collect();
        changes.extend([cut, back].map(|at| (at, None)));
        changes.extend(asks.iter().map(|at| (Time::from_millis(*at), Some((u32::MAX, 0)))));
        changes.sort_by_key(|(at, _)| *at);
        let mut is_cut = false;
        for (at, change) in changes {
            match change {
                None if is_cut => proxies.connected(at, NODE),
                None => {
                    proxies.cut_off(at, NODE);
                    is_cut = true;
                }
                Some((u32::MAX, _)) => proxies.fold(NODE, at),
                Some((service, n)) => write(&mut proxies, at, service, n),
            }
        }
        proxies.finish(Time::MAX);

        let luck = proxies.proxies[NODE.index()].as_ref().unwrap().luck;
        let mut delivered = Time::ZERO;
        let deliveries: Vec<_> = proxies.log.iter().map(|entry| {
            delivered = delivered.max(entry.committed + proxies.delays.watch(luck, entry));
            if delivered >= cut {
                delivered = delivered.max(back);
            }
            delivered
        }).collect();
        let last = |entry: usize| proxies.delays.sync(luck, &proxies.log[entry]);
        let expected = plain(proxies.runner, &deliveries, last);
        prop_assert_eq!(&proxies.syncs(NODE)[1..], &expected[..]);
    }
}
