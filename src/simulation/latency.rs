//! The named delays of the model: every hop that takes time has a name, a default distribution and a source.

use crate::engine::{Distribution, Duration};

macro_rules! hops {
    ($($variant:ident $name:literal $default:expr, $doc:literal, $source:literal;)*) => {
        /// A hop of the model that takes time. A scenario overrides it under its name in `latencies`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Hop {
            $(#[doc = $doc] $variant,)*
        }

        impl Hop {
            /// All hops, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in a scenario's `latencies`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the hop is.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }

            /// Where the default comes from.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$variant => $source,)* }
            }

            /// The default.
            #[must_use]
            pub fn default_distribution(self) -> Distribution {
                match self { $(Self::$variant => $default,)* }
            }

            /// The hop of this name.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|h| h.name() == name)
            }
        }
    };
}

/// Log-normal by median and 99th percentile, in milliseconds.
fn ms(p50: u64, p99: u64) -> Distribution {
    Distribution::log_normal(Duration::from_millis(p50), Duration::from_millis(p99)).expect("p50 < p99")
}

/// Constant milliseconds.
fn constant(millis: u64) -> Distribution {
    Distribution::Constant(Duration::from_millis(millis))
}

hops! {
    ApiRequest "apiRequest" ms(2, 20),
        "A request's way to the apiserver and through it (network, authorization, admission), without reads and commits.",
        "assumption; the SLO for mutating calls is p99 <= 1 s (kubernetes/community sig-scalability/slos/slos.md)";
    ApiRead "apiRead" ms(2, 20),
        "One read by the apiserver: a GET or LIST of a client, or of the eviction handler.",
        "assumption for a healthy cluster";
    ApiWrite "apiWrite" ms(8, 60),
        "The commit of one write to etcd.",
        "assumption for a healthy cluster";
    Watch "watch" ms(5, 100),
        "From a commit to its delivery to one watcher: controllers, scheduler, kubelet or kube-proxy.",
        "assumption; no constant in the source, the watch-latency SLO is work in progress";
    DisruptionSync "disruptionSync" ms(10, 150),
        "Disruption controller: from the event to the start of the sync of a budget.",
        "assumption";
    EndpointSliceSync "endpointSliceSync" ms(10, 150),
        "EndpointSlice controller: from the event to the start of the sync of a Service.",
        "assumption; the batch period is 0 by default (pkg/controller/endpointslice/config/v1alpha1/defaults.go)";
    DeploymentSync "deploymentSync" ms(20, 300),
        "Deployment controller: from the event to the start of a sync.",
        "assumption";
    ReplicaSetSync "replicaSetSync" ms(20, 300),
        "ReplicaSet controller: from the event to the start of a sync.",
        "assumption";
    Schedule "schedule" ms(5, 50),
        "Scheduler: one scheduling cycle of one pod.",
        "assumption";
    NodeLifecycleSync "nodeLifecycleSync" ms(10, 100),
        "Node lifecycle controller: from a node's change to the taint that follows from it.",
        "assumption";
    KubeletSync "kubeletSync" ms(10, 100),
        "Kubelet: from the delivery of a pod's change to the start of its worker's sync (waits for the PLEG come on top).",
        "shape: pkg/kubelet/pod_workers.go; numbers: assumption";
    PlegRelist "plegRelist" ms(20, 300),
        "Kubelet: how long one relist of the PLEG takes; the next one starts 1 s after its end.",
        "shape: pkg/kubelet/pleg/generic.go, pkg/kubelet/kubelet.go genericPlegRelistPeriod; numbers: assumption";
    StatusPatch "statusPatch" ms(15, 150),
        "Kubelet: from a changed status to its patch request; patches of one node go one after the other.",
        "shape: pkg/kubelet/status/status_manager.go; numbers: assumption";
    SandboxStart "sandboxStart" ms(400, 2000),
        "Kubelet: sandbox and network of a new pod.",
        "assumption within the SLO of 5 s (sig-scalability/slos/pod_startup_latency.md)";
    ImagePull "imagePull" ms(6000, 60_000),
        "Pull of an image that the node does not have; one after the other on a node.",
        "shape: serializeImagePulls, pkg/kubelet/apis/config/v1beta1/defaults.go; numbers: assumption";
    ContainerStart "containerStart" ms(200, 1000),
        "Create and start of one container, its image being there.",
        "assumption within the SLO of 5 s";
    InitContainerRun "initContainerRun" ms(1000, 5000),
        "How long an init container runs.",
        "assumption; set it for your init containers";
    ProbeLatency "probe" ms(3, 50),
        "One probe attempt.",
        "assumption";
    HookExec "hookExec" ms(80, 500),
        "From the start of an exec hook to the first command in the container (CRI exec).",
        "assumption";
    HookCommand "hookCommand" ms(10, 100),
        "One command of an exec hook that is neither a sleep nor waits: `nginx -s quit`.",
        "assumption";
    HookReturn "hookReturn" ms(5, 50),
        "From the end of a hook's last command to the kubelet's going on.",
        "assumption";
    HookHttp "hookHttp" ms(3, 50),
        "An httpGet hook, until its answer.",
        "assumption";
    StopContainer "stopContainer" ms(5, 50),
        "From the kubelet's decision to the signal's arrival in the container (CRI StopContainer).",
        "assumption";
    Kill "kill" ms(10, 200),
        "From SIGKILL to the process's end.",
        "assumption";
    ContainerExit "containerExit" ms(30, 300),
        "From the process's end to the return of CRI StopContainer.",
        "assumption";
    SandboxStop "sandboxStop" ms(100, 1000),
        "From the end of a pod's last container to the end of its network (CNI DEL).",
        "assumption";
    TerminalStatus "terminalStatus" ms(20, 200),
        "Kubelet: from the end of a pod's network to its final status, after one more look at the runtime.",
        "shape: pkg/kubelet/kubelet.go SyncTerminatingPod; numbers: assumption";
    PodCleanup "podCleanup" ms(300, 3000),
        "Kubelet: unmounting a pod's volumes, from its final status on; looked at after a relist, then every 300 ms.",
        "shape: pkg/kubelet/kubelet.go SyncTerminatedPod, volume_manager.go; numbers: assumption";
    KubeProxySync "kubeProxySync" ms(30, 150),
        "kube-proxy: one (partial) sync of the rules.",
        "shape: KEP-3453; numbers: assumption for tens of Services";
    NodeBoot "nodeBoot" ms(45_000, 120_000),
        "A machine: from power to a kubelet that sends its first request.",
        "assumption for a virtual machine; physical ones take minutes";
    KubeletStart "kubeletStart" ms(2000, 10_000),
        "Kubelet: from the start of the process to its first request and its list of pods.",
        "assumption";
    Reconnect "reconnect" ms(3000, 30_000),
        "After a partition: until a component's requests arrive again and its watches have been made anew.",
        "assumption; client timeout 10 s, TCP's repeated SYN after 1, 3 and 7 s, back-off of lists up to 30 s \
         (k8s.io/client-go/tools/cache/reflector.go)";
    IngressSync "ingressSync" ms(30, 300),
        "Ingress controller: one sync, from the endpoints that it reads to their being posted to nginx.",
        "shape: ingress-nginx internal/ingress/controller/controller.go syncIngress; numbers: assumption";
    KubectlStart "kubectlStart" constant(40),
        "kubectl: from the start of the process to its first request (discovery comes from its cache).",
        "measured: 40 ms to the first line of output in recordings of a v1.36 cluster";
    NetworkRtt "networkRtt" Distribution::log_normal(Duration::from_micros(300), Duration::from_millis(2)).expect("p50 < p99"),
        "Round trip between two pods of the cluster.",
        "assumption";
    StatefulSetSync "statefulSetSync" ms(20, 300),
        "StatefulSet controller: from the event to the start of a sync.",
        "assumption";
    DaemonSetSync "daemonSetSync" ms(20, 300),
        "DaemonSet controller: from the event to the start of a sync.",
        "assumption";
    JobSync "jobSync" ms(20, 300),
        "Job controller: from the end of its batch period to the start of a sync.",
        "assumption; the batch period of 1 s is SyncJobBatchPeriod, pkg/controller/job/job_controller.go";
    KubeProxyFullSync "kubeProxyFullSync" ms(80, 400),
        "kube-proxy: one full sync of the rules, after one that has failed.",
        "shape: KEP-3453, pkg/proxy/iptables/proxier.go syncProxyRules (some 20 calls of iptables come first); numbers: assumption";
    EbpfSync "ebpfSync" ms(5, 50),
        "Cilium's agent: from the end of a batch of changes to the update of its maps.",
        "assumption";
    XdsPush "xdsPush" ms(40, 500),
        "Envoy: from a push by its control plane (istiod, Envoy Gateway) until it uses the new endpoints.",
        "shape: istio pilot/pkg/xds/discovery.go doSendPushes, PILOT_PUSH_THROTTLE; numbers: assumption";
}

/// The distribution of every hop in one scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Latencies {
    by_hop: Vec<Distribution>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { by_hop: Hop::ALL.iter().map(|h| h.default_distribution()).collect() }
    }
}

impl Latencies {
    /// An idle control plane on one machine with its nodes beside it, images pulled: fitted on recordings of a v1.36.2
    /// cluster (kube-apiserver, controller manager, scheduler, etcd, kubelets with containerd 1.6 on 2 cores; see
    /// `docs/validation.md`). Right for a cluster on a laptop, a lower bound for any other.
    #[must_use]
    pub fn idle_lab() -> Self {
        let micros = |p50: u64, p99: u64| {
            Distribution::log_normal(Duration::from_micros(p50), Duration::from_micros(p99)).expect("p50 < p99")
        };
        let mut lab = Self::default();
        for (hop, distribution) in [
            (Hop::ApiRequest, micros(300, 1_000)),
            (Hop::ApiRead, micros(1_200, 4_500)),
            (Hop::ApiWrite, micros(2_100, 7_000)),
            (Hop::Watch, micros(700, 3_000)),
            (Hop::DisruptionSync, micros(2_400, 12_000)),
            (Hop::EndpointSliceSync, micros(2_600, 14_000)),
            (Hop::DeploymentSync, micros(3_000, 10_000)),
            (Hop::ReplicaSetSync, micros(3_000, 10_000)),
            (Hop::Schedule, micros(1_800, 18_000)),
            (Hop::NodeLifecycleSync, micros(3_000, 12_000)),
            (Hop::KubeletSync, micros(5_000, 9_000)),
            (Hop::PlegRelist, Distribution::Constant(Duration::from_micros(2_500))),
            (Hop::StatusPatch, micros(1_500, 5_000)),
            (Hop::SandboxStart, micros(376_000, 400_000)),
            (Hop::ImagePull, constant(0)),
            (Hop::ContainerStart, micros(52_000, 80_000)),
            (Hop::ProbeLatency, micros(5_000, 20_000)),
            (Hop::HookExec, micros(24_000, 36_000)),
            (Hop::HookCommand, micros(2_000, 10_000)),
            (Hop::HookReturn, micros(3_500, 6_000)),
            (Hop::HookHttp, micros(3_000, 10_000)),
            (Hop::StopContainer, micros(3_300, 9_000)),
            (Hop::Kill, micros(7_000, 14_000)),
            (Hop::ContainerExit, micros(12_000, 25_000)),
            (Hop::SandboxStop, micros(36_000, 55_000)),
            (Hop::TerminalStatus, micros(14_000, 50_000)),
            (Hop::PodCleanup, Distribution::Uniform { min: Duration::ZERO, max: Duration::from_millis(200) }),
            (Hop::KubeProxySync, micros(28_000, 50_000)),
            (Hop::KubectlStart, constant(45)),
            (Hop::NetworkRtt, micros(150, 500)),
            (Hop::StatefulSetSync, micros(3_000, 10_000)),
            (Hop::DaemonSetSync, micros(3_000, 10_000)),
            (Hop::JobSync, micros(3_000, 10_000)),
        ] {
            lab.set(hop, distribution);
        }
        lab
    }

    /// The defaults, with the kube-proxies of a cluster of thousands of nodes: half of all changes of endpoints are in the
    /// rules after about 5 s, with minSyncPeriod 1 s, on iptables.
    ///
    /// Source: KEP-3453 (`keps/sig-network/3453-minimize-iptables-restore/README.md`): the median of
    /// network_programming_duration_seconds in the test with 5,000 nodes. It contains all that a change waits for behind
    /// others, so that `kubeProxy.otherChanges` is not to be added. The 99th percentile of 30 s is an assumption (full
    /// syncs dominate it, says the same source).
    #[must_use]
    pub fn large_cluster() -> Self {
        let mut large = Self::default();
        large.set(Hop::KubeProxySync, ms(5000, 30_000));
        large.set(Hop::KubeProxyFullSync, ms(10_000, 30_000));
        large
    }

    /// The distribution of a hop.
    #[must_use]
    pub fn get(&self, hop: Hop) -> &Distribution {
        &self.by_hop[hop as usize]
    }

    /// Replaces the distribution of a hop.
    pub fn set(&mut self, hop: Hop, distribution: Distribution) {
        self.by_hop[hop as usize] = distribution;
    }
}
