//! The bound is never exceeded, and where it says so it is attained.

use super::*;
use crate::scenario::{Input, Scenario};
use proptest::prelude::*;

fn setup(name: &str, sets: &[String]) -> Setup {
    let text = crate::scenario::library::find(name).unwrap().text.to_string();
    let quiet = ["spec.duration=40s".to_string(), "spec.traffic[0].rate=5/s".to_string()];
    let sets: Vec<String> = quiet.into_iter().chain(sets.iter().cloned()).collect();
    Scenario::load(&[Input::Builtin { name: name.into(), text }], &sets).map_err(|p| p.render(false)).unwrap().setup
}

/// The hops that the chains of these scenarios have.
const HOPS: [Hop; 9] = [
    Hop::Watch,
    Hop::EndpointSliceSync,
    Hop::ApiRequest,
    Hop::ApiWrite,
    Hop::KubeProxySync,
    Hop::KubeletSync,
    Hop::HookExec,
    Hop::HookReturn,
    Hop::StopContainer,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_run_is_worse_than_the_bound(
        scenario in prop::sample::select(vec![
            "m07-prestop-sleep",
            "m06-the-race",
            "m02-drain",
            "m10-all-nodes-at-once",
            "m11-two-drains-one-budget",
        ]),
        spans in prop::collection::vec((0u64..900, 0u64..900), HOPS.len()),
        first_seed in 0u64..1_000_000,
    ) {
        let mut sets = vec!["preStop=1s".to_string()];
        sets.extend(HOPS.iter().zip(&spans).map(|(hop, (a, b))| {
let (least, most) = (a.min(b), a.max(b));
            format!("spec.latencies.{}={{mixture: [{{weight: 1, of: {least}ms}}, {{weight: 3, of: {most}ms}}]}}", hop.name())
        }));
        let setup = setup(scenario, &sets);
        let bound = bound(&setup, 0.999).unwrap();
        for seed in 0..12 {
            if let Some(worst) = replay::worst_of(&setup, first_seed + seed, &bound.needs_ready) {
                prop_assert!(worst.deficit <= bound.worst[0].deficit(), "seed {}: {worst:?} {bound:?}", first_seed + seed);
            }
        }
    }
}

#[test]
fn a_run_attains_the_worst_case_of_m7() {
    for name in ["m07-prestop-sleep", "m07-prestop-sleep-too-short"] {
        let base = setup(name, &[]);
        let bound = bound(&base, 0.999).unwrap();
        assert!(bound.alone && bound.premises.is_empty(), "{bound:?}");
        let mut sets = replay::settings(&Limits { setup: &base, quantile: 0.999 }, &bound);
        sets.push("spec.apps[0].reaction=0s".into());
        let attained = replay::search(&setup(name, &sets), &bound, 1, 64, 0, &|| ()).unwrap();
        assert_eq!(attained.deficit, bound.worst[0].deficit(), "{name}: {attained:?}");
    }
}

/// Where several pods go, all orders of the steps stay below the sum, and no run is worse than the sum.
#[test]
fn orders_and_runs_of_several_pods_stay_below_the_bound() {
    let base = setup("m11-two-drains-one-budget", &["spec.duration=2m".into()]);
    let bound = bound(&base, 0.999).unwrap();
    let limits = Limits { setup: &base, quantile: 0.999 };
    let orders = order::of(&limits);
    assert_eq!(orders.iter().map(|o| o.others).collect::<Vec<_>>(), [1, 2]);
    let sum = bound.worst[0].propagation.total();
    assert!(orders[0].longest < orders[1].longest && orders[1].longest <= sum, "{orders:?} {sum}");
    let mut sets = replay::settings(&limits, &bound);
    sets.push("spec.duration=2m".into());
    let replay = setup("m11-two-drains-one-budget", &sets);
    let start = replay::search(&replay, &bound, 1, 16, 0, &|| ()).unwrap();
    let (nearer, phases) = replay::approach(&limits, &replay, &bound, start.clone(), 8, 0, &|| ());
    assert!(start.deficit <= nearer.deficit && nearer.deficit <= bound.worst[0].deficit(), "{nearer:?}");
    let mut again = replay.clone();
    phases.iter().for_each(|(hop, span)| again.latencies.set(*hop, Distribution::Constant(*span)));
    assert_eq!(replay::worst_of(&again, nearer.seed, &bound.needs_ready), Some(nearer), "the settings show the run");
}

#[test]
fn what_has_no_bound_is_refused() {
    let reasons = bound(&setup("m17-kubelet-stopped", &[]), 0.999).unwrap_err();
    assert!(reasons[0].contains("fails or is cut off"), "{reasons:?}");
}
