//! The controllers of pods: what they are called in owner references and in Events.

use crate::api::store::Table;
use crate::api::{DeploymentId, Owner, TemplateId};
use crate::report::kubectl::cluster::Cluster;

/// A controller that has pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Controller {
    pub(super) api_version: &'static str,
    pub(super) kind: String,
    pub(super) name: String,
    /// Its place in its table.
    pub(super) number: usize,
    /// `source.component` of its Events.
    pub(super) component: &'static str,
}

impl Cluster<'_> {
    /// The controller that is meant by an owner, unless there is none.
    pub(super) fn controller(&self, owner: &Owner) -> Option<Controller> {
        let store = self.store;
        let (api_version, kind, name, number, component) = match owner {
            Owner::None | Owner::Mirror => return None,
            Owner::ReplicaSet(id) => {
                let name = newest(&store.replica_sets, id.index())?.name.clone();
                ("apps/v1", "ReplicaSet", name, id.index(), "replicaset-controller")
            }
            Owner::StatefulSet(id) => {
                let name = newest(&store.stateful_sets, id.index())?.name.clone();
                ("apps/v1", "StatefulSet", name, id.index(), "statefulset-controller")
            }
            Owner::DaemonSet(id) => {
                let name = newest(&store.daemon_sets, id.index())?.name.clone();
                ("apps/v1", "DaemonSet", name, id.index(), "daemonset-controller")
            }
            Owner::Job(id) => {
                let name = newest(&store.jobs, id.index())?.name.clone();
                ("batch/v1", "Job", name, id.index(), "job-controller")
            }
            Owner::Other { kind, name } => ("apps/v1", kind.as_str(), name.clone(), 0, ""),
        };
        Some(Controller { api_version, kind: kind.to_string(), name, number, component })
    }

    /// The name of a Deployment.
    pub(super) fn deployment_name(&self, id: DeploymentId) -> String {
        newest(&self.store.deployments, id.index()).map_or_else(String::new, |d| d.name.clone())
    }

    /// The template that a workload had before it got this one during the run.
    pub(super) fn first_template(&self, id: TemplateId) -> Option<TemplateId> {
        let store = self.store;
        before(&store.deployments, id, |d| d.template)
            .or_else(|| before(&store.stateful_sets, id, |s| s.template))
            .or_else(|| before(&store.daemon_sets, id, |d| d.template))
    }
}

/// The newest version of an object that there was.
pub(super) fn newest<T>(table: &Table<T>, index: usize) -> Option<&T> {
    table.history(index).iter().rev().find_map(|v| v.value.as_ref())
}

fn before<T>(table: &Table<T>, id: TemplateId, template: fn(&T) -> TemplateId) -> Option<TemplateId> {
    let templates = |index| table.history(index).iter().filter_map(|v| v.value.as_ref()).map(template);
    let index = (0..table.len()).find(|index| templates(*index).any(|t| t == id))?;
    templates(index).next()
}
