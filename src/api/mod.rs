//! The Kubernetes objects and the apiserver's rules: the multi-version store, labels and selectors, graceful deletion,
//! the eviction subresource. Pure: nothing here waits; *when* a write commits is the business of
//! [`simulation`](crate::simulation).

pub mod autoscaler;
pub mod daemon_set;
pub mod deletion;
pub mod disruption;
pub mod eviction;
pub mod job;
pub mod labels;
pub mod meta;
pub mod node;
pub mod pdb;
pub mod pod;
pub mod quantity;
pub mod readiness;
pub mod service;
pub mod stateful_set;
pub mod store;
pub mod topology;
pub mod version;
pub mod workload;

pub use autoscaler::HorizontalPodAutoscaler;
pub use daemon_set::DaemonSet;
pub use deletion::Deletion;
pub use job::Job;
pub use labels::{LabelSetId, Labels, Selector};
pub use meta::{
    AutoscalerId, DaemonSetId, DeploymentId, IntOrPercent, JobId, NodeId, PdbId, PodId, ReplicaSetId, ServiceId,
    StatefulSetId, TemplateId,
};
pub use node::{Node, Taint, TaintEffect, Toleration};
pub use pdb::{Pdb, PdbSpec, PdbStatus};
pub use pod::{Container, ContainerStatus, Front, Owner, Phase, Pod, PodMeta, PodTemplate, RestartPolicy};
pub use readiness::{Gates, ReadinessGate};
pub use service::{Endpoint, Endpoints, Service, ServiceType, TrafficDistribution};
pub use stateful_set::StatefulSet;
pub use store::{Kind, Revision, Store, Table};
pub use topology::ZoneId;
pub use version::Version;
pub use workload::{Deployment, ReplicaSet};
