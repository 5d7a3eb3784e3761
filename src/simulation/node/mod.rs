//! What happens on a node: the kubelet with one worker per pod, and the application in each container.
//!
//! The story of a pod is told in order by the files: `worker` (when a sync may run), `startup`, `probe`,
//! `termination`, `status`; `app` is the process inside; `kubelet` holds the state and takes the events.

mod actions;
mod adopt;
mod app;
mod back_off;
mod kubelet;
mod liveness;
mod probe;
mod shutdown;
mod startup;
mod static_pods;
mod status;
mod termination;
mod worker;

pub use adopt::long_running;
pub use kubelet::Kubelets;
