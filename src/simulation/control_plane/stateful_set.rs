//! The StatefulSet controller.

use crate::api::{Owner, StatefulSetId, TemplateId};
use crate::engine::Key;
use crate::simulation::context::Context;
use crate::simulation::control_plane::deployment::replica_set_name;
use crate::simulation::write::NewPod;

/// The pod of this ordinal, made for a revision. `incarnation` counts the pods of that name, from 0, and tells their luck
/// apart.
///
/// Source: `pkg/controller/statefulset/stateful_set_utils.go` newVersionedStatefulSetPod, updateIdentity (v1.36).
#[must_use]
pub fn new_pod(
    ctx: &Context<'_>,
    id: StatefulSetId,
    ordinal: u32,
    (revision, template): (u32, TemplateId),
    incarnation: u32,
) -> Option<NewPod> {
    let set = ctx.store.stateful_sets.head(id.index())?;
    let name = format!("{}-{ordinal}", set.name);
    let key = Key::new("pod").text(&set.namespace).text(&set.name).number(u64::from(ordinal));
    let luck = key.number(u64::from(incarnation)).bits();
    let mut labels = ctx.store.templates[template.index()].labels.clone();
    labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
    labels.insert("apps.kubernetes.io/pod-index".into(), ordinal.to_string());
    labels.insert(REVISION.into(), replica_set_name(&set.namespace, &set.name, revision));
    Some(NewPod {
        namespace: set.namespace.clone(),
        name,
        luck,
        template,
        labels,
        owner: Owner::StatefulSet(id),
        only_on: None,
        node: None,
    })
}

/// The label that names the revision of a pod of a StatefulSet or DaemonSet.
pub const REVISION: &str = "controller-revision-hash";
