//! The Job controller.

use crate::api::{JobId, Owner};
use crate::engine::Key;
use crate::simulation::apiserver::suffixed;
use crate::simulation::context::Context;
use crate::simulation::write::NewPod;

/// The `ordinal`-th pod of a Job, in order of creation.
#[must_use]
pub fn new_pod(ctx: &Context<'_>, id: JobId, ordinal: u32) -> Option<NewPod> {
    let job = ctx.store.jobs.head(id.index())?;
    let luck = Key::new("pod").text(&job.namespace).text(&job.name).number(u64::from(ordinal)).bits();
    let mut labels = ctx.store.templates[job.template.index()].labels.clone();
    for key in ["batch.kubernetes.io/job-name", "job-name"] {
        labels.insert(key.into(), job.name.clone());
    }
    Some(NewPod {
        namespace: job.namespace.clone(),
        name: suffixed(&job.name, luck),
        luck,
        template: job.template,
        labels,
        owner: Owner::Job(id),
        only_on: None,
        node: None,
    })
}
