//! The controllers of kube-controller-manager and the scheduler, each reading through the watches and writing through
//! the apiserver.

pub mod autoscaler;
pub mod batch_worker;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod expectations;
#[cfg(test)]
pub(in crate::simulation) mod harness;
pub mod job;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod rate_limit;
pub mod replica_set;
pub mod scheduler;
pub mod stateful_set;
pub mod taint_eviction;
pub mod target_health;
pub mod work_queue;
