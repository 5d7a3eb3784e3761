use super::*;
use crate::api::{Endpoint, Service, ServiceType, Version};
use crate::simulation::setup::{ClusterSize, FailureSpan, KubeProxySetup, ProxyMode};
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
        headless: false,
        publish_not_ready_addresses: false,
        ..Service::default()
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
    applied_by(setup(version, ms(1000)), commits)
}

/// The same with other settings; a full sync takes 100 ms.
fn applied_by(mut setup: Setup, commits: &[u64]) -> Vec<u64> {
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    setup.latencies.set(Hop::EbpfSync, Distribution::constant(ms(30)));
    setup.latencies.set(Hop::KubeProxyFullSync, Distribution::constant(ms(100)));
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

fn of_mode(mode: ProxyMode) -> Setup {
    Setup { kube_proxy: KubeProxySetup::of(mode), ..setup(36, ms(0)) }
}

/// The syncs that begin in this span of milliseconds fail.
fn failing(mut setup: Setup, from: u64, to: u64) -> Setup {
    let span = FailureSpan { nodes: Vec::new(), from: Time::from_millis(from), to: Time::from_millis(to) };
    setup.kube_proxy.failed_syncs.during.push(span);
    setup
}

#[test]
fn a_failed_sync_is_made_up_for_by_a_full_one() {
    // after syncPeriod …
    assert_eq!(applied_by(failing(setup(36, ms(1000)), 5000, 5100), &[5000]), [35_140]);
    assert_eq!(applied_by(failing(setup(33, ms(1000)), 5000, 5100), &[5000]), [35_140]);
    // … which counts from the end of each failure (the retry is a full sync, and fails after 100 ms) …
    assert_eq!(applied_by(failing(setup(36, ms(1000)), 5000, 36_000), &[5000]), [65_240]);
    // … or with the next change, and then for both
    assert_eq!(applied_by(failing(setup(36, ms(1000)), 5000, 5100), &[5000, 20_000, 22_000]), [20_110, 22_040]);
    // not sooner than minSyncPeriod allows
    assert_eq!(applied_by(failing(setup(36, ms(1000)), 5000, 5100), &[5000, 5010]), [6140]);
}

#[test]
fn ipvs_has_no_minimum_and_a_period() {
    assert_eq!(applied_by(of_mode(ProxyMode::Ipvs), &[5000, 5005, 5100]), [5040, 5070, 5140]);
    // The run after a failed one is the periodic one, at the latest. It is no longer than any other.
    assert_eq!(applied_by(failing(of_mode(ProxyMode::Ipvs), 5000, 5100), &[5000])[0], 35_070);
    // A sync of 20 s, then 30 s of rest: a change that comes meanwhile waits, which is two of five.
    let mut slow = of_mode(ProxyMode::Ipvs);
    slow.kube_proxy.cost.per_service = ms(20_000);
    slow.kube_proxy.cluster.services = 1;
    slow.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    let waits = |seed| {
        let mut proxies = KubeProxies::new(&slow, Random::new(seed));
        proxies.add_node(Time::ZERO, NODE, "n0");
        write(&mut proxies, Time::from_secs(200), 0, 0);
        proxies.finish(Time::from_secs(300));
        proxies.syncs(NODE)[1].applied > Time::from_secs(221)
    };
    let late = (0..1000).filter(|seed| waits(*seed)).count();
    assert!((330..430).contains(&late), "{late} of 1000");
}

#[test]
fn an_ebpf_agent_gathers_changes() {
    let ebpf = of_mode(ProxyMode::Ebpf);
    assert_eq!(applied_by(ebpf.clone(), &[5000, 5400, 5499, 5520]), [5540, 6060]);
    let mut at_once = ebpf.clone();
    at_once.kube_proxy.batch_period = ms(0);
    assert_eq!(applied_by(at_once, &[5000, 5400, 5405]), [5040, 5440, 5470]);
    // Batches that end during an update are taken together by the next one.
    let mut slow = ebpf;
    slow.kube_proxy.cluster.services = 1;
    slow.kube_proxy.cost.per_service = ms(2000);
    assert_eq!(applied_by(slow, &[5000, 5600, 6200, 7300]), [7540, 9570, 11_600]);
}

#[test]
fn syncs_grow_with_the_cluster() {
    let large = |mode| {
        let mut setup = of_mode(mode);
        setup.kube_proxy.cluster = ClusterSize { services: 10_000, endpoints: 100_000 };
        setup
    };
    assert_eq!(applied_by(large(ProxyMode::Iptables), &[5000]), [5090]);
    assert_eq!(applied_by(large(ProxyMode::Nftables), &[5000]), [5050]);
    assert_eq!(applied_by(large(ProxyMode::Ebpf), &[5000]), [5540]);
    // full: 0.1 s + 10,000 · 0.2 ms + 100,000 · 0.04 ms
    assert_eq!(applied_by(failing(large(ProxyMode::Iptables), 5000, 5100), &[5000]), [5090 + 30_000 + 6100]);
}

/// Each run takes `a` = 30 ms and rests for 1 s. Other changes come at 2 a second, so that the proxy is then idle for
/// exp(-2 (a + 1)) / 2 on average: ours meets a proxy that is not in a share of 94 %.
#[test]
fn other_changes_make_ours_wait() {
    let mut busy = setup(36, ms(1000));
    busy.kube_proxy.other_changes = 2.0;
    busy.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    busy.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    let waits = |seed| {
        let mut proxies = KubeProxies::new(&busy, Random::new(seed));
        proxies.add_node(Time::ZERO, NODE, "n0");
        write(&mut proxies, Time::from_secs(50), 0, 0);
        proxies.finish(Time::from_secs(60));
        let spell = proxies.last_spell(ServiceId(0), (PodId(0), None), NODE, Time::MAX).unwrap();
        assert!(spell.from <= Time::from_millis(51_070));
        spell.from > Time::from_millis(50_040)
    };
    let share = (0..4000).filter(|seed| waits(*seed)).count() as f64 / 4000.0;
    assert!((share - 0.9417).abs() < 0.015, "{share}");
}

#[test]
fn a_proxy_that_is_late_is_unhealthy() {
    let setup = failing(setup(36, ms(1000)), 5000, 100_000);
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    proxies.add_node(Time::ZERO, NODE, "n0");
    write(&mut proxies, Time::from_secs(5), 0, 0);
    let mut answers = |seconds| proxies.healthz(Time::from_secs(seconds), NODE);
    // 2 · syncPeriod after the first change; the retry of the 95th second fails, that of the 125th does not
    let at = [4, 60, 64, 66, 124, 127].map(&mut answers);
    use HealthAnswer::{Ok, Unavailable};
    assert_eq!(at, [Ok, Ok, Ok, Unavailable, Unavailable, Ok]);
    assert_eq!(proxies.healthz(Time::from_secs(130), NodeId(7)), HealthAnswer::Silent);
}

#[test]
fn healthz_fails_on_a_node_that_is_about_to_go() {
    for (version, expected) in [(36, HealthAnswer::Unavailable), (29, HealthAnswer::Ok)] {
        let mut setup = setup(version, ms(1000));
        setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
        let mut proxies = KubeProxies::new(&setup, Random::new(1));
        proxies.add_node(Time::ZERO, NODE, "n0");
        proxies.node_leaving(Time::from_secs(5), NODE, true);
        assert_eq!(proxies.healthz(Time::from_millis(5009), NODE), HealthAnswer::Ok);
        assert_eq!(proxies.healthz(Time::from_millis(5010), NODE), expected);
        proxies.node_leaving(Time::from_secs(6), NODE, false);
        assert_eq!(proxies.healthz(Time::from_millis(6010), NODE), HealthAnswer::Ok);
        proxies.node_off(Time::from_secs(7), NODE);
        assert_eq!(proxies.healthz(Time::from_secs(8), NODE), HealthAnswer::Silent);
    }
}

#[test]
fn the_health_check_follows_the_rules() {
    let mut setup = setup(36, ms(1000));
    setup.latencies.set(Hop::Watch, Distribution::constant(ms(10)));
    setup.latencies.set(Hop::KubeProxySync, Distribution::constant(ms(30)));
    setup.services[0].service_type = ServiceType::LoadBalancer;
    setup.services[0].external_traffic_local = true;
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    proxies.add_node(Time::ZERO, NODE, "n0");
    let say = |proxies: &mut KubeProxies<'_>, at: u64, ready| {
        let list = vec![Endpoint { pod: PodId(0), ready, serving: true, terminating: !ready }];
        let now = Time::from_secs(at);
        proxies.endpoints_written(now, ServiceId(0), &Endpoints { list }, |_| Some(NODE), CauseId(0));
    };
    say(&mut proxies, 5, true);
    say(&mut proxies, 10, false);
    let mut answer = |millis| proxies.health_check_node_port(Time::from_millis(millis), ServiceId(0), NODE);
    use HealthAnswer::{Ok, Unavailable};
    assert_eq!([5039, 5040, 10_039, 10_040].map(&mut answer), [Unavailable, Ok, Ok, Unavailable]);
    // though what comes from outside is still served
    let route = proxies.route_external(ServiceId(0), Some(1), NODE).0;
    assert_eq!(route, Route::Pods(&[PodId(0)]));
}

#[test]
fn the_large_cluster_profile_is_that_of_the_published_test() {
    let mut setup = setup(36, ms(1000));
    setup.latencies = crate::simulation::latency::Latencies::large_cluster();
    let mut proxies = KubeProxies::new(&setup, Random::new(1));
    (0..2001).for_each(|n| proxies.add_node(Time::ZERO, NodeId(n), &format!("n{n}")));
    write(&mut proxies, Time::from_secs(5), 0, 0);
    proxies.finish(Time::from_secs(600));
    let mut ends: Vec<f64> = (0..2001).map(|n| proxies.syncs(NodeId(n))[1].applied.as_secs_f64() - 5.0).collect();
    ends.sort_by(f64::total_cmp);
    assert!((4.6..5.4).contains(&ends[1000]), "median {}", ends[1000]);
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
    fn whatever_goes_on_the_steps_do_not_matter(
        mode in prop_oneof![
            Just(ProxyMode::Iptables), Just(ProxyMode::Nftables), Just(ProxyMode::Ipvs), Just(ProxyMode::Ebpf)
        ],
        old: bool,
        probability in prop_oneof![Just(0.0), Just(0.3)],
        other_changes in prop_oneof![Just(0.0), Just(3.0)],
        mut commits in prop::collection::vec((0u64..60_000, 0u32..3), 0..20),
        mut asks in prop::collection::vec(0u64..60_000, 0..20),
    ) {
        commits.sort_unstable();
        asks.sort_unstable();
        let mut setup = Setup { version: Version::minor(if old { 33 } else { 36 }), ..of_mode(mode) };
        setup.kube_proxy.failed_syncs.probability = probability;
        setup.kube_proxy.other_changes = other_changes;
        let run = |asks: &[u64]| {
            let mut proxies = KubeProxies::new(&setup, Random::new(7));
            proxies.add_node(Time::ZERO, NODE, "n0");
            proxies.add_node(Time::ZERO, NodeId(1), "n1");
            let mut asks = asks.iter().peekable();
            for (n, (commit, service)) in (0u32..).zip(&commits) {
                while let Some(ask) = asks.next_if(|ask| *ask <= commit) {
                    proxies.healthz(Time::from_millis(*ask), NODE);
                }
                write(&mut proxies, Time::from_millis(*commit), *service, n);
            }
            proxies.finish(Time::from_secs(90));
            [NODE, NodeId(1)].map(|node| proxies.syncs(node).to_vec())
        };
        prop_assert_eq!(run(&asks), run(&[]));
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
