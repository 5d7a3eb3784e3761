//! What a person writes about a run.

pub mod expectation;
