//! What happens on a node: the kubelet with one worker per pod, and the application in each container.
//!
//! The story of a pod is told in order by the files: [`worker`] (when a sync may run), [`startup`], [`probe`],
//! [`termination`], [`status`]; [`app`] is the process inside; [`kubelet`] holds the state and takes the events.

pub mod app;
pub mod kubelet;
pub mod probe;
pub mod startup;
mod static_pods;
pub mod status;
pub mod termination;
pub mod worker;

pub use kubelet::Kubelets;
