//! Questions over many runs of one scenario, and what can be said of manifests without a run.

pub mod deadlock;
pub mod drain;
pub mod lint;
pub mod runs;
pub mod statistics;
