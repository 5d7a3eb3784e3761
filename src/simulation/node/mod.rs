//! What happens on a node: the kubelet and the application in a container.
