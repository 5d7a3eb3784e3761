//! The simulation: one [`Setup`] in, one [`Outcome`] out. No input or output, no clock, no threads.

pub mod apiserver;
pub mod context;
pub mod control_plane;
pub mod end_state;
pub mod event;
pub mod eviction;
mod fault;
#[cfg(test)]
pub(crate) mod fixture;
pub mod found;
pub mod latency;
pub mod network;
pub mod node;
pub mod observe;
pub mod operator;
pub mod outage;
pub mod outcome;
pub mod setup;
mod start;
mod summary;
mod world;
pub mod write;

pub use outcome::Outcome;
pub use setup::Setup;
pub use world::{run, run_until_settled};
