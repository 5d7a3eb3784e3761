//! The data plane: kube-proxy's rules on every node, the pods' sockets, the clients, and the ledger of requests.
