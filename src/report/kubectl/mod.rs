//! A run as a kubectl user reads it: the tables and objects of `kubectl get` at any time, and the events.
//!
//! [`Cluster`] looks into the versions of all objects that a run has left. `objects` makes the objects of the API from
//! them, `printers` the rows of tables from those objects, as the apiserver does, and `events` the Events that the
//! components record. [`get()`], [`watch`] and [`events()`] put them together.

mod clock;
mod cluster;
mod columns;
mod events;
mod get;
mod objects;
mod owner;
mod pod_status;
mod printers;
mod resource;

pub use cluster::Cluster;
pub use get::{Answer, Output, Query, events, get, watch};
pub use resource::Resource;
