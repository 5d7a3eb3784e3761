//! drainsim: what happens to client requests when Kubernetes takes pods away.
pub mod engine;
