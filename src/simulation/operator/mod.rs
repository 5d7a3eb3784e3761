//! What people do to a cluster: kubectl.
