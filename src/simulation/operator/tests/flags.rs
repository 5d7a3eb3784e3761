//! Flags of `kubectl drain` that change which nodes it takes, what it sends, or what it prints.

use super::*;
use crate::simulation::setup::DryRun;

fn labelled(name: &str, pool: &str) -> crate::api::Node {
    let mut node = plain_node(name);
    node.labels.insert("pool".into(), pool.into());
    node
}

#[test]
fn a_dry_run_of_the_client_only_reads() {
    let options = DrainOptions { dry_run: DryRun::Client, force: true, ..drain(&["fk1", "fk2"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.cordon(NodeId(1), true).unwrap();
    cluster.pod(0, "default/web-1", web());
    cluster.pod(0, "default/bare", Owner::None);
    cluster.pod(0, "kube-system/static-fk1", Owner::Mirror);
    let outcomes = cluster.run(Time::from_secs(60));
    assert_eq!(
        cluster.printed(),
        [
            "node/fk1 cordoned (dry run)",
            "node/fk2 already cordoned (dry run)",
            "Warning: deleting Pods that declare no controller: default/bare",
            "evicting pod default/bare (dry run)",
            "evicting pod default/web-1 (dry run)",
            "node/fk1 drained (dry run)",
            "node/fk2 drained (dry run)",
        ]
    );
    assert!(!cluster.ctx.store.nodes.head(0).unwrap().unschedulable);
    assert!(cluster.evictions.is_empty() && cluster.deletes.is_empty());
    assert_eq!(outcomes[0].exit_code, Some(0));
}

#[test]
fn a_dry_run_stops_at_a_refused_pod_too() {
    let options = DrainOptions { dry_run: DryRun::Client, ..drain(&["fk1"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/bare", Owner::None);
    let outcomes = cluster.run(Time::from_secs(60));
    let error = "cannot delete Pods that declare no controller (use --force to override): default/bare";
    assert_eq!(cluster.printed().last().unwrap(), error);
    assert_eq!(outcomes[0].exit_code, Some(1));
}

/// The apiserver's refusals are real, and asked for again: only the stores are left out.
#[test]
fn a_dry_run_of_the_server_asks_the_budget_and_waits_for_nobody() {
    let options = DrainOptions { dry_run: DryRun::Server, ..drain(&["fk1"]) };
    let setup = setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.termination = ms(600_000);
    cluster.pod(0, "default/web-1", web());
    cluster.answer = Box::new(|_, attempt| (4, if attempt == 0 { NO_BUDGET } else { Ok(()) }));
    cluster.run(Time::from_secs(60));
    assert_eq!(
        cluster.printed(),
        [
            "node/fk1 cordoned (server dry run)",
            "evicting pod default/web-1 (server dry run)",
            &format!("error when evicting pods/\"web-1\" -n \"default\" {REFUSED}"),
            "evicting pod default/web-1 (server dry run)",
            "node/fk1 drained (server dry run)",
        ]
    );
    assert!(cluster.evictions.iter().all(|(request, _)| request.dry_run));
    assert!(!cluster.ctx.store.nodes.head(0).unwrap().unschedulable);

    let options = DrainOptions { dry_run: DryRun::Server, disable_eviction: true, ..drain(&["fk1"]) };
    let setup = self::setup(36, ActionKind::Drain(options));
    let mut cluster = Cluster::new(&setup);
    cluster.pod(0, "default/web-1", web());
    cluster.run(Time::from_secs(60));
    assert_eq!(cluster.printed(), ["node/fk1 cordoned (server dry run)", "node/fk1 drained (server dry run)"]);
    assert!(cluster.deletes.is_empty(), "nothing is stored");
}

#[test]
fn a_selector_takes_the_nodes_that_are_there_by_name() {
    let selector = Some(Selector::labels([("pool", "a")]));
    let mut setup = setup(36, ActionKind::Drain(DrainOptions { selector, ..DrainOptions::default() }));
    setup.actions[0].name = "by label".into();
    let mut cluster = Cluster::new(&setup);
    for (name, pool) in [("z", "a"), ("b", "a"), ("c", "b")] {
        cluster.ctx.store.create_node(Time::ZERO, labelled(name, pool));
    }
    let outcomes = cluster.run(Time::from_secs(60));
    assert_eq!(cluster.printed(), ["node/b cordoned", "node/z cordoned", "node/b drained", "node/z drained"]);
    assert_eq!(outcomes.iter().map(|o| o.node.as_str()).collect::<Vec<_>>(), ["b", "z"]);
}

#[test]
fn a_selector_without_nodes_is_no_error_and_no_word() {
    let selector = Some(Selector::labels([("pool", "nope")]));
    let setup = setup(36, ActionKind::Drain(DrainOptions { selector, ..DrainOptions::default() }));
    let mut cluster = Cluster::new(&setup);
    assert!(cluster.run(Time::from_secs(60)).is_empty());
    assert!(cluster.printed().is_empty());
    assert_eq!(cluster.finished.len(), 1, "the process has ended");
}

#[test]
fn the_old_flag_for_local_data_by_version() {
    for (version, first, code) in [
        (30, messages::DELETE_LOCAL_DATA_DEPRECATED, 0),
        (31, "error: unknown flag: --delete-local-data", 1),
        (36, "error: unknown flag: --delete-local-data", 1),
    ] {
        let setup = setup(version, ActionKind::Drain(DrainOptions { delete_local_data: true, ..drain(&["fk1"]) }));
        let mut cluster = Cluster::new(&setup);
        cluster.pod_of(TemplateId(1), Labels::new(), 0, "default/cache-1", web());
        let outcomes = cluster.run(Time::from_secs(60));
        assert_eq!(cluster.printed()[0], first, "1.{version}");
        assert_eq!(outcomes[0].exit_code, Some(code), "1.{version}");
        assert_eq!(outcomes[0].completed_at.is_some(), code == 0, "1.{version}");
        assert_eq!(cluster.ctx.store.nodes.head(0).unwrap().unschedulable, code == 0, "1.{version}");
    }
}
