//! Questions over many runs of one scenario.

pub mod deadlock;
pub mod drain;
pub mod runs;
pub mod statistics;
