//! The Kubernetes objects and the apiserver's rules: the multi-version store, labels and selectors, graceful deletion,
//! the eviction subresource. Pure: nothing here waits; *when* a write commits is the business of
//! [`simulation`](crate::simulation).

pub mod deletion;
pub mod eviction;
pub mod labels;
pub mod meta;
pub mod node;
pub mod pdb;
pub mod pod;
pub mod quantity;
pub mod service;
pub mod store;
pub mod version;
pub mod workload;

pub use deletion::Deletion;
pub use labels::{LabelSetId, Labels, Selector};
pub use meta::{DeploymentId, IntOrPercent, NodeId, PdbId, PodId, ReplicaSetId, ServiceId, TemplateId};
pub use node::{Node, Taint, TaintEffect, Toleration};
pub use pdb::{Pdb, PdbSpec, PdbStatus};
pub use pod::{Container, ContainerStatus, Owner, Phase, Pod, PodMeta, PodTemplate, RestartPolicy};
pub use service::{Endpoint, Endpoints, Service};
pub use store::{Kind, Revision, Store, Table};
pub use version::Version;
pub use workload::{Deployment, ReplicaSet};
