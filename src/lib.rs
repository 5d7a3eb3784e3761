//! drainsim: what happens to client requests when Kubernetes takes pods away.

pub mod analysis;
pub mod api;
pub mod cli;
pub mod engine;
pub mod report;
pub mod scenario;
pub mod simulation;
