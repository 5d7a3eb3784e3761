//! The actions of a question: one `kubectl drain`, or an upgrade of many nodes in a window.

use crate::engine::{Duration, Time};
use crate::scenario::cluster::{Question, Then, Upgrade};
use crate::simulation::Setup;
use crate::simulation::setup::{Action, ActionKind, DrainOptions, When};

/// When the drain begins: the requests before it show what is usual.
const START: Time = Time::from_secs(5);
/// From the end of a machine to the removal of its Node object by whoever ended it.
const NODE_REMOVED_AFTER: Duration = Duration::from_secs(5);

/// Adds them to the setup.
pub(super) fn actions(setup: &mut Setup, question: &Question, nodes: &[String], assumptions: &mut Vec<String>) {
    let drain = |nodes: &[String]| {
        ActionKind::Drain(DrainOptions { nodes: nodes.to_vec(), selector: None, ..question.drain.clone() })
    };
    let action = |when, what| Action { name: String::new(), when, what };
    let Some(Upgrade { max_parallel, then }) = question.upgrade else {
        setup.actions = vec![action(When::At(START), drain(nodes))];
        return;
    };
    // stage after stage, each node at the same place in every stage; the last stage frees a place in the window
    let count = nodes.len();
    let stages = match then {
        Then::Uncordon(_) => 2,
        Then::Replace(_) => 4,
    };
    let last = (stages - 1) * count;
    let begins = |number: usize| match number.checked_sub(max_parallel) {
        None => When::At(START),
        Some(before) => When::Window { first: last, end: last + count, done: before + 1 },
    };
    let mut actions: Vec<Action> =
        nodes.iter().enumerate().map(|(n, node)| action(begins(n), drain(std::slice::from_ref(node)))).collect();
    let stage = |number: usize, of: usize, wait: Duration| When::OnSuccess((of - 1) * count + number, wait);
    match then {
        Then::Uncordon(after) => {
            let uncordon = |(n, node): (usize, &String)| action(stage(n, 1, after), ActionKind::Uncordon(node.clone()));
            actions.extend(nodes.iter().enumerate().map(uncordon));
            assumptions
                .push(format!("each drained node is uncordoned {after} later, with its DaemonSet pods untouched"));
        }
        Then::Replace(ready_after) => {
            let shut_off =
                |(n, node): (usize, &String)| action(stage(n, 1, Duration::ZERO), ActionKind::ShutOff(node.clone()));
            actions.extend(nodes.iter().enumerate().map(shut_off));
            let delete = |(n, node): (usize, &String)| {
                action(stage(n, 2, NODE_REMOVED_AFTER), ActionKind::DeleteNode(node.clone()))
            };
            actions.extend(nodes.iter().enumerate().map(delete));
            for (number, name) in nodes.iter().enumerate() {
                let Some(old) = setup.nodes.iter().find(|n| n.node.name == *name) else { continue };
                let mut node = old.node.clone();
                node.name = format!("{name}-new");
                node.labels.insert("kubernetes.io/hostname".into(), node.name.clone());
                node.unschedulable = false;
                node.taints.retain(|t| !t.key.starts_with("node.kubernetes.io/"));
                (node.ready, node.unreachable) = (true, false);
                actions.push(action(stage(number, 3, Duration::ZERO), ActionKind::AddNode { node, ready_after }));
            }
            assumptions.push(format!(
                "each drained machine is switched off, and one like it is Ready {ready_after} later, without DaemonSet pods \
                 and without images"
            ));
            clients_move(setup, nodes);
        }
    }
    setup.actions = actions;
}

/// The clients of a machine that is replaced go on from the new one.
fn clients_move(setup: &mut Setup, nodes: &[String]) {
    for traffic in &mut setup.traffic {
        let before = traffic.from.len();
        let moving: Vec<String> =
            traffic.from.iter().filter(|name| nodes.contains(name)).map(|name| format!("{name}-new")).collect();
        traffic.from.extend(moving);
        // shares of the rate are equal: each place keeps its own
        traffic.rate *= traffic.from.len() as f64 / before.max(1) as f64;
    }
}
