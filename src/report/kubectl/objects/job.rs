//! `batch/v1` Job.

use serde_json::{Value, json};

use crate::api::JobId;
use crate::engine::Time;
use crate::report::kubectl::clock::Instant;
use crate::report::kubectl::cluster::Cluster;
use crate::report::kubectl::objects::workload::drop_zeros;
use crate::report::kubectl::objects::{Identity, condition, metadata, object, spec};
use crate::report::kubectl::resource::Resource;

impl Cluster<'_> {
    /// A Job at a time.
    ///
    /// Source: `pkg/controller/job/job_controller.go` newCondition and its callers (v1.36).
    pub(in crate::report::kubectl) fn job(&self, id: JobId, at: Time) -> Option<Value> {
        let history = self.store.jobs.history(id.index());
        let stored = self.store.jobs.stored_at_time(id.index(), at)?;
        let job = stored.value.as_ref()?;
        let original = self.originals.object("Job", &job.namespace, &job.name);
        let created = Instant::since(Self::first_written(history));
        let identity = Identity {
            resource: Resource::Jobs,
            namespace: Some(&job.namespace),
            name: &job.name,
            number: id.index(),
            created,
            revision: stored.revision,
        };
        let mut spec = spec(original);
        spec.insert("parallelism".to_string(), json!(job.parallelism));
        spec.insert("backoffLimit".to_string(), json!(job.backoff_limit));
        spec.insert("template".to_string(), self.bare_template(job.template));
        if let Some(completions) = job.completions {
            spec.insert("completions".to_string(), json!(completions));
        }
        let mut status = json!({
            "active": job.status.active,
            "terminating": job.status.terminating,
            "succeeded": job.status.succeeded,
            "failed": job.status.failed,
        });
        drop_zeros(&mut status);
        status["startTime"] = json!(created.rfc3339());
        if let Some(complete) = job.status.finished {
            let finished = |v: &&crate::api::store::Stored<crate::api::Job>| {
                v.value.as_ref().is_some_and(|job| job.status.finished.is_some())
            };
            let since = Instant::since(history.iter().find(finished).map_or(stored.time, |v| v.time));
            status["conditions"] = if complete {
                let message = "Reached expected number of succeeded pods";
                json!([condition("Complete", true, since, "CompletionsReached", message)])
            } else {
                let message = "Job has reached the specified backoff limit";
                json!([condition("Failed", true, since, "BackoffLimitExceeded", message)])
            };
            if complete {
                status["completionTime"] = json!(since.rfc3339());
            }
        }
        Some(object(Resource::Jobs, metadata(&identity, original), Value::Object(spec), status))
    }
}
