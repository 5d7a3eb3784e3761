//! drainsim: what happens to client requests when Kubernetes takes pods away.

pub mod api;
pub mod engine;
pub mod scenario;
pub mod simulation;
