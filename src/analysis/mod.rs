//! Questions over many runs of one scenario.

pub mod runs;
pub mod statistics;
