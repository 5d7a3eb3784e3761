//! The writes of [`WorkloadWrite`], as the apiserver carries them out.

use crate::api::pod::Handover;
use crate::api::{DaemonSet, Job, Kind, Owner, Pod, PodId, PodMeta, StatefulSet};
use crate::simulation::apiserver::{remove_pod, update_pod};
use crate::simulation::context::Context;
use crate::simulation::observe::What;
use crate::simulation::write::{NewPod, WorkloadWrite, WriteError};

/// Carries out a write.
///
/// # Errors
/// `Conflict` if a pod of the new one's name exists, `NotFound` if the object is gone; nothing is written then.
pub(in crate::simulation) fn commit(ctx: &mut Context<'_>, write: WorkloadWrite) -> Result<(), WriteError> {
    match write {
        WorkloadWrite::CreatePod(new) => {
            let pod = create(ctx, *new)?;
            ctx.note(What::PodCreated { pod });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        WorkloadWrite::ReleasePod { pod } => {
            update_pod(ctx, pod, None, |p| p.handover = Handover::Released)?;
            ctx.note(What::PodReleased { pod });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        WorkloadWrite::AdoptPod { pod, replica_set } => {
            let old = *ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
            // a second controller owner reference is invalid (ValidateOwnerReferences)
            if ctx.store.owner_of(pod, &old) != Owner::None {
                return Err(WriteError::Conflict);
            }
            update_pod(ctx, pod, None, |p| p.handover = Handover::Adopted(replica_set))?;
            ctx.note(What::PodAdopted { pod, replica_set });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        WorkloadWrite::LabelPod { pod, changes } => label_pod(ctx, pod, changes),
        WorkloadWrite::RestoreMirror { pod } => {
            if ctx.store.pods.head(pod.index()).is_some() {
                return Err(WriteError::Conflict);
            }
            let last = ctx.store.pods.history(pod.index()).iter().rev().find_map(|v| v.value);
            let last = last.ok_or(WriteError::NotFound)?;
            let now = ctx.now();
            ctx.store.restore_pod(now, pod, Pod { deletion: None, disruption_target: false, ..last });
            ctx.note(What::PodCreated { pod });
            ctx.publish(Kind::Pod, pod.0);
            Ok(())
        }
        WorkloadWrite::RemoveFinalizer { pod } => {
            update_pod(ctx, pod, None, |p| p.finalizer = false)?;
            let removable = ctx.store.pods.head(pod.index()).is_some_and(is_only_held_by_a_finalizer);
            if removable {
                remove_pod(ctx, pod);
            } else {
                ctx.publish(Kind::Pod, pod.0);
            }
            Ok(())
        }
        WorkloadWrite::ScaleStatefulSet { stateful_set, replicas } => {
            update_stateful_set(ctx, stateful_set.0, |set| set.replicas = replicas)?;
            ctx.note(What::StatefulSetScaled { stateful_set, replicas });
            ctx.publish(Kind::StatefulSet, stateful_set.0);
            Ok(())
        }
        WorkloadWrite::StatefulSetStatus { stateful_set, status, complete } => {
            update_stateful_set(ctx, stateful_set.0, |set| {
                set.status = status;
                if complete {
                    set.current_revision = set.revision;
                    set.current_template = set.template;
                }
            })?;
            ctx.publish(Kind::StatefulSet, stateful_set.0);
            Ok(())
        }
        WorkloadWrite::ChangeStatefulSetTemplate { stateful_set, template } => {
            update_stateful_set(ctx, stateful_set.0, |set| {
                set.template = template;
                set.revision += 1;
            })?;
            ctx.note(What::StatefulSetChanged { stateful_set });
            ctx.publish(Kind::StatefulSet, stateful_set.0);
            Ok(())
        }
        WorkloadWrite::DaemonSetStatus { daemon_set, status } => {
            update_daemon_set(ctx, daemon_set.0, |set| set.status = status)?;
            ctx.publish(Kind::DaemonSet, daemon_set.0);
            Ok(())
        }
        WorkloadWrite::ChangeDaemonSetTemplate { daemon_set, template } => {
            update_daemon_set(ctx, daemon_set.0, |set| {
                set.template = template;
                set.revision += 1;
            })?;
            ctx.note(What::DaemonSetChanged { daemon_set });
            ctx.publish(Kind::DaemonSet, daemon_set.0);
            Ok(())
        }
        WorkloadWrite::JobStatus { job, status } => {
            let mut new: Job = ctx.store.jobs.head(job.index()).ok_or(WriteError::NotFound)?.clone();
            let ends = if new.status.finished.is_none() { status.finished } else { None };
            new.status = status;
            let now = ctx.now();
            ctx.store.put_job(now, job.index(), new);
            if let Some(complete) = ends {
                ctx.note(What::JobEnded { job, complete: u32::from(complete) });
            }
            ctx.publish(Kind::Job, job.0);
            Ok(())
        }
        WorkloadWrite::BoundAutoscaler { autoscaler, min_replicas, max_replicas } => {
            let mut new = ctx.store.autoscalers.head(autoscaler.index()).ok_or(WriteError::NotFound)?.clone();
            new.min_replicas = min_replicas.unwrap_or(new.min_replicas);
            new.max_replicas = max_replicas.unwrap_or(new.max_replicas);
            let (now, min) = (ctx.now(), new.min_replicas);
            ctx.store.put_autoscaler(now, autoscaler.index(), new);
            ctx.note(What::AutoscalerChanged { autoscaler, min });
            ctx.publish(Kind::Autoscaler, autoscaler.0);
            Ok(())
        }
    }
}

/// Whether nothing but the finalizer has kept this object since the kubelet confirmed the end of its containers.
///
/// Source: `k8s.io/apiserver/pkg/registry/generic/registry/store.go` ShouldDeleteDuringUpdate (v1.36).
fn is_only_held_by_a_finalizer(pod: &Pod) -> bool {
    !pod.finalizer && pod.deletion.is_some_and(|d| d.grace_seconds == 0)
}

/// The fixed part of a new pod, and its first version.
pub(in crate::simulation) fn admit(ctx: &mut Context<'_>, new: NewPod) -> (PodMeta, Pod) {
    let NewPod { namespace, name, luck, template, labels, owner, only_on, node } = new;
    let labels = ctx.store.intern_labels(&namespace, &labels);
    let finalizer = matches!(owner, Owner::Job(_));
    let meta = PodMeta { namespace, name, template, owner, created_at: ctx.now(), luck, only_on };
    (meta, Pod { finalizer, ..Pod::created(labels, node) })
}

fn create(ctx: &mut Context<'_>, new: NewPod) -> Result<PodId, WriteError> {
    let (meta, pod) = admit(ctx, new);
    // names with a random suffix do not meet; those of StatefulSets and static pods come again and again
    let comes_again = matches!(meta.owner, Owner::StatefulSet(_) | Owner::Mirror);
    let is_same = |(number, other): (usize, &PodMeta)| {
        other.name == meta.name && other.namespace == meta.namespace && ctx.store.pods.head(number).is_some()
    };
    if comes_again && ctx.store.pod_meta.iter().enumerate().any(is_same) {
        return Err(WriteError::Conflict);
    }
    let now = ctx.now();
    Ok(ctx.store.create_pod(now, meta, pod))
}

fn label_pod(ctx: &mut Context<'_>, pod: PodId, changes: Vec<(String, Option<String>)>) -> Result<(), WriteError> {
    let old = ctx.store.pods.head(pod.index()).ok_or(WriteError::NotFound)?;
    let mut labels = ctx.store.label_set(old.labels).labels.clone();
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert(key, value),
            None => labels.remove(&key),
        };
    }
    let namespace = ctx.store.pod_meta[pod.index()].namespace.clone();
    let labels = ctx.store.intern_labels(&namespace, &labels);
    update_pod(ctx, pod, None, |p| p.labels = labels)?;
    ctx.note(What::PodLabelled { pod });
    ctx.publish(Kind::Pod, pod.0);
    Ok(())
}

fn update_stateful_set(
    ctx: &mut Context<'_>,
    index: u32,
    change: impl FnOnce(&mut StatefulSet),
) -> Result<(), WriteError> {
    let mut new = ctx.store.stateful_sets.head(index as usize).ok_or(WriteError::NotFound)?.clone();
    change(&mut new);
    let now = ctx.now();
    ctx.store.put_stateful_set(now, index as usize, new);
    Ok(())
}

fn update_daemon_set(ctx: &mut Context<'_>, index: u32, change: impl FnOnce(&mut DaemonSet)) -> Result<(), WriteError> {
    let mut new = ctx.store.daemon_sets.head(index as usize).ok_or(WriteError::NotFound)?.clone();
    change(&mut new);
    let now = ctx.now();
    ctx.store.put_daemon_set(now, index as usize, new);
    Ok(())
}
