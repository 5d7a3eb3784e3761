//! Time, the event queue, keyed randomness and distributions; knows nothing of Kubernetes.
