//! Requests counted in bulk against requests one by one; `docs/bulk.md` shows the same with more seeds.

#[path = "agreement/mod.rs"]
mod agreement;

/// With few seeds only a gross difference shows; one in ten thousand such tests fails by chance.
#[test]
fn both_ways_give_the_same() {
    let agreements = agreement::agreements(40);
    let tests = agreements.iter().map(|a| a.counts.len()).sum::<usize>() as f64;
    for agreement in &agreements {
        for count in &agreement.counts {
            assert!(count.p > 1e-4 / tests, "{}: {} has p = {}", agreement.scenario, count.name, count.p);
        }
        assert!(agreement.bias.iter().all(|z| z.abs() < 4.5), "{}: {:?}", agreement.scenario, agreement.bias);
        assert!(
            agreement.gain.is_none_or(|gain| gain > 0.9),
            "{}: an expectation scatters more: {:?}",
            agreement.scenario,
            agreement.gain
        );
    }
    assert!(agreement::page(40, &agreements).contains("Bias"));
}
