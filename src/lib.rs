//! drainsim: what happens to client requests when Kubernetes takes pods away.
//!
//! A [`Scenario`](scenario::Scenario) is read from a YAML document and real Kubernetes manifests; [`simulation::run`] plays
//! it with a seed; the [`Outcome`](simulation::Outcome) says what became of every request, drain, pod and budget. The same
//! scenario and seed give the same outcome to the last bit, on any machine and at any number of threads.
//!
//! ```
//! use drainsim::scenario::{Input, Scenario};
//! use drainsim::simulation;
//!
//! let text = r#"
//! apiVersion: drainsim/v1alpha1
//! kind: Scenario
//! metadata: {name: front-page}
//! spec:
//!   kubernetes: "1.36"
//!   duration: 1m
//!   nodes: [{name: old}, {name: new}, {name: clients, unschedulable: true}]
//!   placement: {web: [old]}
//!   apps: [{deployment: web, profile: exits-at-once, startup: 1s, serviceTime: 20ms}]
//!   traffic: [{service: web, rate: 100/s, from: [clients]}]
//!   actions: [{at: 10s, drain: {node: old}}]
//! ---
//! apiVersion: apps/v1
//! kind: Deployment
//! metadata: {name: web}
//! spec:
//!   replicas: 1
//!   selector: {matchLabels: {app: web}}
//!   template:
//!     metadata: {labels: {app: web}}
//!     spec:
//!       containers: [{name: web, image: example/web:1}]
//! ---
//! apiVersion: v1
//! kind: Service
//! metadata: {name: web}
//! spec: {selector: {app: web}, ports: [{port: 80}]}
//! "#;
//! let input = Input::Builtin { name: "front-page".into(), text: text.into() };
//! let scenario = Scenario::load(&[input], &[]).expect("a valid scenario");
//!
//! let outcome = simulation::run(&scenario.setup, 1, false);
//! let requests = &outcome.requests;
//! assert_eq!(requests.sent, requests.ok + requests.failed() + requests.unfinished);
//! assert!(requests.failed() > 0, "the only pod goes before its replacement is there");
//! assert_eq!(outcome.drains[0].exit_code, Some(0));
//!
//! let again = simulation::run(&scenario.setup, 1, false);
//! assert_eq!(again.digest, outcome.digest);
//! ```
//!
//! The floors of the house, each importing only from those below it: [`engine`] (time, events, randomness), [`api`] (the
//! objects and the apiserver's rules), [`simulation`] (the components and the run), [`scenario`], [`analysis`] and
//! [`report`], [`cli`]. `docs/architecture.md` tells where to find what, `docs/model.md` what is modelled and what is not.

pub mod analysis;
pub mod api;
pub mod cli;
pub mod engine;
pub mod report;
pub mod scenario;
pub mod simulation;
