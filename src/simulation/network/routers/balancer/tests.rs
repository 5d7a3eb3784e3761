use super::machine::combined;
use super::*;
use crate::simulation::setup::BalancerProfile;

const COMMITTED: Notice = Notice::Committed;
static WATCH: Distribution = Distribution::Constant(Duration::from_millis(10));

fn pods(ids: &[u32]) -> Vec<Target> {
    ids.iter().map(|id| Target::Pod(PodId(*id))).collect()
}

/// One machine; reconciles in 1 s, lets go after 20 s, takes up after 5 s, checks every 10 s.
fn config() -> LoadBalancer {
    let seconds = Duration::from_secs;
    let mut config = BalancerProfile::AwsAlbIp.defaults();
    config.machines = 1;
    config.reconcile = Distribution::Constant(seconds(1));
    config.register = Distribution::Constant(seconds(5));
    config.deregister = Distribution::Constant(seconds(20));
    (config.check.interval, config.check.timeout) = (seconds(10), seconds(5));
    config
}

fn start(config: &LoadBalancer) -> Balancer<'_> {
    let mut balancer = Balancer::new(config, &WATCH, Random::new(7), "default/web");
    balancer.should_have(Time::ZERO, pods(&[0, 1]), COMMITTED);
    balancer
}

/// Whom it may send to.
fn list(balancer: &mut Balancer<'_>, at_millis: u64) -> Vec<u32> {
    let at = Time::from_millis(at_millis);
    let mut found: Vec<u32> = (0..64u64)
        .filter_map(|i| match balancer.at(at, i << 58).0 {
            Some(Target::Pod(pod)) => Some(pod.0),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_target_that_was_taken_out_gets_connections_until_the_machine_has_heard() {
    let config = config();
    let mut balancer = start(&config);
    balancer.should_have(Time::from_secs(10), pods(&[1]), COMMITTED);
    assert_eq!(list(&mut balancer, 31_009), [0, 1]);
    assert_eq!(list(&mut balancer, 31_010), [1], "10 ms watch, 1 s reconciliation, 20 s");
    let spell = balancer.last_spell(Target::Pod(PodId(0)), Time::MAX).unwrap();
    assert_eq!(spell, Spell { from: Time::ZERO, to: Some(Time::from_millis(31_010)) });
}

#[test]
fn changes_during_a_reconciliation_are_in_the_next_one() {
    let config = config();
    let mut balancer = start(&config);
    balancer.should_have(Time::from_secs(10), pods(&[1]), COMMITTED);
    balancer.should_have(Time::from_millis(10_500), pods(&[1, 2]), COMMITTED);
    balancer.should_have(Time::from_millis(10_600), pods(&[2]), COMMITTED);
    // Pod 1 leaves with the second reconciliation, which ends at 12.01 s.
    assert_eq!(list(&mut balancer, 32_009), [1, 2]);
    assert_eq!(list(&mut balancer, 32_010), [2]);
    let cuts: Vec<_> = balancer.take_cuts().iter().map(|cut| (cut.at, cut.target)).collect();
    assert_eq!(cuts[1], (Time::from_millis(332_010), Target::Pod(PodId(1))), "300 s later");
}

#[test]
fn a_new_target_has_to_be_taken_up_and_checked() {
    let config = config();
    let mut balancer = start(&config);
    balancer.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
    let taken_up = 16_010;
    assert_eq!(list(&mut balancer, taken_up), [0, 1]);
    assert_eq!(list(&mut balancer, taken_up + 10_000), [0, 1, 2], "within one interval");
}

#[test]
fn an_ill_target_gets_nothing_unless_all_are_ill() {
    let config = config();
    let mut balancer = start(&config);
    balancer.answers(Time::from_secs(10), Target::Pod(PodId(0)), Answer::Bad);
    assert_eq!(list(&mut balancer, 10_000), [0, 1], "two checks have to fail");
    assert_eq!(list(&mut balancer, 31_000), [1]);
    assert_eq!(balancer.last_spell(Target::Pod(PodId(0)), Time::MAX).unwrap().from, Time::ZERO);
    balancer.answers(Time::from_secs(40), Target::Pod(PodId(1)), Answer::Silent);
    assert_eq!(list(&mut balancer, 66_000), [0, 1], "fail open");
}

#[test]
fn what_would_be_looked_at_later_is_seen_with_what_comes_before() {
    let config = config();
    let mut balancer = start(&config);
    balancer.should_have(Time::from_secs(10), pods(&[1]), Notice::Later(Time::from_secs(90)));
    assert_eq!(list(&mut balancer, 80_000), [0, 1]);
    let mut sooner = balancer.clone();
    assert_eq!(list(&mut balancer, 111_000), [1], "90 s, 1 s, 20 s");
    sooner.should_have(Time::from_millis(80_000), pods(&[1, 2]), COMMITTED);
    assert_eq!(list(&mut sooner, 101_009), [0, 1, 2]);
    assert_eq!(list(&mut sooner, 101_010), [1, 2]);
}

#[test]
fn a_port_counts_while_its_node_answers() {
    let at = |seconds, answer| (Time::from_secs(seconds), answer);
    let node = [at(0, Answer::Good), at(50, Answer::Silent)];
    let port = [at(0, Answer::Good), at(20, Answer::Bad), at(40, Answer::Good), at(60, Answer::Bad)];
    let expected = [Answer::Good, Answer::Bad, Answer::Good, Answer::Silent, Answer::Silent];
    assert_eq!(combined(&node, &port).into_iter().map(|(_, answer)| answer).collect::<Vec<_>>(), expected);
}

/// What becomes of gates up to `until_millis`: when, of which pod, whether open; asked whenever there may be something.
fn gates(balancer: &mut Balancer<'_>, until_millis: u64) -> Vec<(u64, u32, bool)> {
    let mut all = Vec::new();
    while let Some(at) = balancer.next_health().filter(|at| *at <= Time::from_millis(until_millis)) {
        let millis = at.as_nanos() / 1_000_000;
        all.extend(balancer.take_gates(at).into_iter().map(|(pod, open)| (millis, pod.0, open)));
    }
    all
}

#[test]
fn a_gate_opens_at_the_first_reconciliation_that_finds_the_target_healthy() {
    let config = config();
    let mut balancer = start(&config);
    balancer.gated(PodId(2), false);
    balancer.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
    // Registered from 10.01 s to 11.01 s, there at 16.01 s, checked within 10 s; the next look is from 26.01 s to 27.01 s.
    assert_eq!(gates(&mut balancer, 200_000), [(27_010, 2, true)]);
    assert_eq!(balancer.next_health(), None, "no look without need");
    // Whatever changes about the Service makes the controller look as well.
    let mut sooner = start(&config);
    sooner.gated(PodId(2), false);
    sooner.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
    sooner.should_have(Time::from_millis(26_005), pods(&[0, 1, 2]), COMMITTED);
    sooner.should_have(Time::from_millis(26_007), pods(&[0, 1, 2]), COMMITTED);
    assert_eq!(gates(&mut sooner, 200_000), [(27_010, 2, true)]);
}

#[test]
fn a_gate_opens_when_most_machines_find_the_target_healthy() {
    let config = LoadBalancer { machines: 3, ..BalancerProfile::AwsNlbIp.defaults() };
    for seed in 0..50 {
        let mut balancer = Balancer::new(&config, &WATCH, Random::new(seed), "default/web");
        balancer.should_have(Time::ZERO, pods(&[0, 1]), COMMITTED);
        balancer.gated(PodId(2), false);
        balancer.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
        let opened = gates(&mut balancer, 900_000);
        let [(at, 2, true)] = opened[..] else { panic!("{opened:?}") };
        let target = Target::Pod(PodId(2));
        let healthy =
            |at: u64| balancer.machines.iter().filter(|m| m.believes(target, Time::from_millis(at), &balancer)).count();
        assert!(healthy(at) >= 2, "seed {seed}");
        // It was not so a look and a call of the API earlier.
        assert!(healthy(at.saturating_sub(15_000 + 2 * 60_000)) < 2, "seed {seed}");
    }
}

#[test]
fn a_target_that_is_registered_anew_has_to_become_healthy_anew() {
    let config = config();
    let mut balancer = start(&config);
    balancer.gated(PodId(0), true);
    balancer.should_have(Time::from_secs(10), pods(&[1]), COMMITTED);
    balancer.should_have(Time::from_secs(50), pods(&[0, 1]), COMMITTED);
    assert_eq!(gates(&mut balancer, 200_000), [(51_010, 0, false), (67_010, 0, true)]);
}

#[test]
fn a_target_that_is_not_healthy_keeps_its_gate_shut() {
    let config = config();
    let mut balancer = start(&config);
    balancer.gated(PodId(2), false);
    balancer.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
    balancer.answers(Time::from_secs(10), Target::Pod(PodId(2)), Answer::Bad);
    assert_eq!(gates(&mut balancer, 100_000), []);
    balancer.answers(Time::from_secs(100), Target::Pod(PodId(2)), Answer::Good);
    let opened = gates(&mut balancer, 200_000);
    assert!(matches!(opened[..], [(101_000..127_000, 2, true)]), "{opened:?}");
}

#[test]
fn endpoint_groups_are_polled() {
    let config = LoadBalancer { profile: BalancerProfile::GcpNeg, ..config() };
    let mut balancer = start(&config);
    balancer.gated(PodId(0), true);
    balancer.gated(PodId(2), false);
    balancer.should_have(Time::from_secs(10), pods(&[0, 1, 2]), COMMITTED);
    let opened = gates(&mut balancer, 100_000);
    let [(at, 2, true)] = opened[..] else { panic!("{opened:?}") };
    // Polls begin at 11.01 s and every 2 s; one that begins after the first check finds it healthy.
    assert_eq!(at % 2_000, 10, "{at}");
    assert_eq!(list(&mut balancer, at - 3_001), [0, 1]);
    assert_eq!(list(&mut balancer, at - 1_000), [0, 1, 2]);
    // What was healthy once stays open.
    balancer.should_have(Time::from_secs(110), pods(&[1, 2]), COMMITTED);
    balancer.should_have(Time::from_secs(150), pods(&[0, 1, 2]), COMMITTED);
    assert_eq!(gates(&mut balancer, 900_000), []);
}

#[test]
fn who_asks_about_gates_when_makes_no_difference() {
    let config = BalancerProfile::AwsAlbIp.defaults();
    let steps = |asked: bool| {
        let mut balancer = start(&config);
        let mut told = Vec::new();
        for (at, targets, new) in [(10, vec![0, 1, 2], 2), (11, vec![1, 2, 3], 3), (90, vec![2, 3, 4], 4)] {
            if asked {
                told.extend(balancer.take_gates(Time::from_millis(at * 1000 - 1)));
                balancer.at(Time::from_secs(at), 3 << 60);
            }
            balancer.gated(PodId(new), false);
            balancer.should_have(Time::from_secs(at), pods(&targets), COMMITTED);
        }
        told.extend(balancer.take_gates(Time::from_secs(900)));
        (told, (900..1000).map(|at| balancer.at(Time::from_secs(at), at << 54)).collect::<Vec<_>>())
    };
    assert_eq!(steps(false), steps(true));
}

#[test]
fn who_asks_when_makes_no_difference() {
    let config = BalancerProfile::AwsNlbIp.defaults();
    let steps = |asked: bool| {
        let mut balancer = start(&config);
        for (at, targets) in [(10, vec![1]), (11, vec![1, 2]), (40, vec![2]), (41, vec![2, 3])] {
            if asked {
                balancer.at(Time::from_secs(at), 3 << 60);
            }
            balancer.should_have(Time::from_secs(at), pods(&targets), COMMITTED);
        }
        (200..400).map(|at| balancer.at(Time::from_secs(at), at << 54)).collect::<Vec<_>>()
    };
    assert_eq!(steps(false), steps(true));
}
