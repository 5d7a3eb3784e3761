//! Questions over many runs of one scenario, and what can be said of manifests without a run.

pub mod attitudes;
pub mod bound;
pub mod compare;
pub mod deadlock;
pub mod drain;
pub mod judge;
pub mod lint;
pub mod open_drain;
pub mod paired;
pub mod runs;
pub mod shrink;
pub mod statistics;
pub mod suite;
pub mod sweep;
pub mod tune;
