//! What people and programs do to a cluster from outside: `kubectl`, with its patience, its rate limit and its words, and
//! those that remove nodes without it.
//!
//! [`Kubectl`] plays all processes that run. [`drain`] is `kubectl drain`, [`single`] the commands that write one object, [`apply`] `kubectl apply`,
//! [`filters`] the pods that a drain takes or refuses, [`wait`](mod@wait) its polling, [`rate_limit`] the client's token buckets,
//! `messages` what is printed. [`upgrade`] is the upgrade of a node pool as managed services do it,
//! [`cluster_autoscaler`] and [`karpenter`] remove nodes as those controllers do; they ask for evictions through an
//! [`evictor`], each with its own patience.

pub mod apply;
pub mod cluster_autoscaler;
pub mod drain;
pub mod evictor;
pub mod filters;
pub mod karpenter;
pub mod kubectl;
pub mod label;
mod messages;
pub mod progress;
pub mod rate_limit;
pub mod shell;
pub mod single;
pub mod upgrade;
pub mod wait;

#[cfg(test)]
mod tests;

pub use kubectl::{EvictionRequest, Kubectl, MachineOrder};
