//! The race table: for each pod that went away, the shutdown chain beside the propagation chain.

use super::style::{BAD, DIM, GOOD, PLAIN, WIDTH, between, plural, shorten, signed, thousands};
use super::table::{Align, Cell, Table};
use crate::engine::Time;
use crate::simulation::Outcome;
use crate::simulation::outcome::PodOutcome;

/// More pods than this are not shown; the tightest are.
const ROWS_MAX: usize = 30;

/// The section, or nothing if no pod went away.
pub(super) fn render(outcome: &Outcome) -> String {
    let mut pods: Vec<&PodOutcome> = outcome.pods.iter().filter(|p| went_away(p)).collect();
    let all = pods.len();
    if all > ROWS_MAX {
        pods.sort_by_key(|p| (std::cmp::Reverse(p.times.failed_requests), p.slack_nanos.unwrap_or(i64::MAX)));
        pods.truncate(ROWS_MAX);
    }
    pods.sort_by_key(|p| (p.times.deleted_at.unwrap_or(Time::MAX), p.id));
    if pods.is_empty() {
        return String::new();
    }
    let whole = table(&pods, usize::MAX).render();
    let width = |text: &str| anstream::adapter::strip_str(text).to_string().lines().map(|l| l.chars().count()).max();
    let excess = width(&whole).unwrap_or(0).saturating_sub(WIDTH);
    let longest = pods.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    // The names give way: their two ends are enough to know them by.
    let mut text = if excess > 0 { table(&pods, longest.saturating_sub(excess).max(8)).render() } else { whole };
    if pods.iter().any(|pod| pod.times.front.is_some()) {
        text.push_str("  TERM and EXIT are the application's; CLOSED is when it, or the proxy before it, was the first to close\n");
    }
    if all > ROWS_MAX {
        text.push_str(&format!("  … and {}: see -o json\n", plural((all - ROWS_MAX) as u64, "other pod")));
    }
    text
}

fn table(pods: &[&PodOutcome], name_width: usize) -> Table {
    let columns = [
        (Align::Left, "\nPOD"),
        (Align::Right, "\nDELETE"),
        (Align::Right, "\nPRESTOP"),
        (Align::Right, "\nTERM"),
        (Align::Right, "LISTENER\nCLOSED"),
        (Align::Right, "\nEXIT"),
        (Align::Left, "│\n│"),
        (Align::Right, "ENDPOINT\nUNREADY"),
        (Align::Right, "ROUTES\nCLEAN"),
        (Align::Right, "\nSLACK "),
        (Align::Right, "\nLOST"),
    ];
    let mut table = Table::new(2, 1, &columns);
    for pod in pods {
        table.row(row(pod, name_width));
    }
    table
}

fn went_away(pod: &PodOutcome) -> bool {
    let times = &pod.times;
    times.deleted_at.is_some()
        || times.failed_requests > 0
        || times.exited_at.is_some()
        || times.network_gone_at.is_some()
}

fn row(pod: &PodOutcome, name_width: usize) -> Vec<Cell> {
    let times = &pod.times;
    // Without a deletion (a machine that lost power) there is nothing to count from: the times stand as they are.
    let after = |at: Option<Time>| match (at, times.deleted_at) {
        (None, _) => Cell::styled(DIM, "–"),
        (Some(at), Some(deleted)) => signed(between(deleted, at)).into(),
        (Some(at), None) => at.to_string().into(),
    };
    let slack = match pod.slack_nanos {
        None => Cell::styled(DIM, "– "),
        Some(slack) if slack < 0 => Cell::styled(BAD, format!("{}!", signed(slack))),
        Some(slack) => Cell::styled(GOOD, format!("{} ", signed(slack))),
    };
    let lost = times.failed_requests;
    vec![
        shorten(&pod.name, name_width).into(),
        times.deleted_at.map_or_else(|| Cell::styled(DIM, "–"), |at| at.to_string().into()),
        after(times.pre_stop_at),
        after(times.sigterm_at),
        after(times.listener_closed_at),
        after(times.exited_at),
        "│".into(),
        after(times.endpoint_not_ready_at),
        after(times.last_route_clean.map(|(at, _)| at)),
        slack,
        Cell::styled(if lost > 0 { BAD } else { PLAIN }, thousands(lost)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PodId;
    use crate::simulation::fixture;

    fn plain(outcome: &Outcome) -> String {
        anstream::adapter::strip_str(&render(outcome)).to_string()
    }

    #[test]
    fn the_table_fits_a_hundred_columns_with_long_names_and_times() {
        let mut outcome = fixture::outcome();
        let pod = &mut outcome.pods[0];
        pod.name = "a-deployment-with-a-long-name-66b6c48dd5-abcde".to_string();
        let times = &mut pod.times;
        times.deleted_at = Some(Time::from_millis(3_600_000));
        for slot in [&mut times.pre_stop_at, &mut times.sigterm_at, &mut times.listener_closed_at, &mut times.exited_at]
        {
            *slot = Some(Time::from_millis(3_630_123));
        }
        times.endpoint_not_ready_at = Some(Time::from_millis(3_630_123));
        times.last_route_clean = Some((Time::from_millis(3_630_123), crate::api::NodeId(0)));
        times.failed_requests = 123_456;
        pod.slack_nanos = Some(-30_123_000_000);
        let text = plain(&outcome);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("-30.123s!"), "a lost race has a sign of its own without colour\n{text}");
    }

    #[test]
    fn the_tightest_of_very_many_pods_are_shown_and_the_others_counted() {
        let mut outcome = fixture::outcome();
        for id in 3..200 {
            let mut pod = outcome.pods[1].clone();
            (pod.id, pod.name, pod.slack_nanos) = (PodId(id), format!("p-{id}"), Some(1_000_000_000 - i64::from(id)));
            outcome.pods.push(pod);
        }
        let text = plain(&outcome);
        assert!(text.contains("abcde") && text.contains("p-199") && !text.contains("p-100"), "{text}");
        assert!(text.contains("and 169 other pods"), "{text}");
    }

    #[test]
    fn a_pod_without_a_deletion_shows_plain_times() {
        let mut outcome = fixture::outcome();
        outcome.pods[0].times.deleted_at = None;
        let text = plain(&outcome);
        assert!(text.contains("10.300s"), "{text}");
        outcome.pods.truncate(0);
        assert_eq!(plain(&outcome), "");
    }
}
