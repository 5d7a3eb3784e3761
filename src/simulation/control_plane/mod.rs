//! The controllers of kube-controller-manager and the scheduler, each reading through the watches and writing through
//! the apiserver.

pub mod work_queue;
