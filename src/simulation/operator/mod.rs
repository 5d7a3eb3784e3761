//! What people do to a cluster: `kubectl`, with its patience, its rate limit and its words.
//!
//! [`Kubectl`] plays all processes that run. [`drain`] is `kubectl drain`, [`single`] the commands that write one object,
//! [`filters`] the pods that a drain takes or refuses, [`wait`](mod@wait) its polling, [`rate_limit`] the client's token buckets,
//! [`messages`] what is printed.

pub mod drain;
pub mod filters;
pub mod kubectl;
pub mod messages;
pub mod rate_limit;
pub mod shell;
pub mod single;
pub mod wait;

#[cfg(test)]
mod tests;

pub use kubectl::{EvictionRequest, Kubectl};
