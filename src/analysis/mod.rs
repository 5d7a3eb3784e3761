//! Questions over many runs of one scenario.

pub mod compare;
pub mod judge;
pub mod paired;
pub mod runs;
pub mod shrink;
pub mod statistics;
pub mod suite;
pub mod sweep;
pub mod tune;
