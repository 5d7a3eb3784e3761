//! The built-in scenarios: the files of `scenarios/`, inside the program.

use serde::Deserialize;

/// One built-in scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Builtin {
    /// Its name: the file's, without `.yaml`.
    pub name: &'static str,
    /// The whole file.
    pub text: &'static str,
}

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// All of them, by name.
        pub const LIBRARY: &[Builtin] = &[
            $(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".yaml")) },)*
        ];
    };
}

library! {
    "app-1-exits-at-term",
    "app-2-winds-down",
    "app-3-prestop",
    "app-4-connection-close",
    "app-caddy",
    "app-dotnet",
    "app-dotnet-6",
    "app-envoy",
    "app-go-default",
    "app-go-shutdown",
    "app-go-shutdown-not-awaited",
    "app-grpc-go-graceful",
    "app-gunicorn",
    "app-gunicorn-graceful-timeout",
    "app-gunicorn-gthread",
    "app-gunicorn-uvicorn",
    "app-haproxy",
    "app-httpd",
    "app-ignores-term",
    "app-ingress-nginx",
    "app-nginx",
    "app-node-close",
    "app-node-close-18",
    "app-node-default",
    "app-php-fpm",
    "app-puma",
    "app-python",
    "app-quarkus",
    "app-shell-pid1",
    "app-spring-boot",
    "app-spring-boot-3.3",
    "app-tomcat",
    "app-traefik",
    "app-unicorn",
    "app-unknown",
    "app-uvicorn",
    "apply-in-mid-run",
    "cluster-autoscaler",
    "daemonset-restarted",
    "daemonset-restarted-with-surge",
    "daemonset-under-drain",
    "graceful-node-shutdown",
    "grpc-one-connection",
    "headless-dns-stale",
    "hpa-minimum-meets-a-budget",
    "job-evicted",
    "karpenter",
    "large-rolling-drain",
    "liveness-restarts-a-hanging-process",
    "m01-naive-upgrade",
    "m02-drain",
    "m03-ignored-sigterm",
    "m04-grace-clock",
    "m05-prestop-nginx-quit",
    "m05-prestop-nginx-quit-waits",
    "m06-the-race",
    "m07-prestop-sleep",
    "m07-prestop-sleep-too-short",
    "m08-one-late-proxy",
    "m08-partitioned-node",
    "m09-replacement-at-deletion",
    "m10-all-nodes-at-once",
    "m11-two-drains-one-budget",
    "m12-voluntary-and-involuntary",
    "m13-drain-retries-until-timeout",
    "m14-drain-blocked-until-a-node-is-added",
    "m14-impatient-drain-takes-the-starting-pod",
    "m15-pace-of-a-deployment",
    "m15-pace-of-a-statefulset",
    "m16-accept-downtime",
    "m16-disruption-tolerant",
    "m16-fail-over",
    "m17-control-plane-cut-off",
    "m17-kubelet-back-in-time",
    "m17-kubelet-stopped",
    "m17-most-of-a-zone",
    "m17-node-restarts",
    "m17-node-shut-down",
    "m17-out-of-service",
    "m17-zone-lost",
    "m18-single-replica",
    "m18-single-replica-serves-on",
    "m19-refusals-of-a-drain",
    "m20-budget-of-one-replica",
    "m21-ingress-without-endpoints",
    "m22-relabelled-pod",
    "m23-init-waits-for-backend",
    "m24-a-worker-is-added",
    "m25-what-a-drain-leaves",
    "m26-crash-loop-always-allow",
    "m26-crash-loop-blocks-drain",
    "m27-a-cluster-as-json",
    "m28-events-and-tables",
    "path-aws-alb-drain-gated",
    "path-aws-alb-instance",
    "path-aws-alb-ip",
    "path-aws-alb-ip-sleep-70s",
    "path-aws-alb-rollout",
    "path-aws-alb-rollout-gated",
    "path-aws-nlb-instance",
    "path-aws-nlb-ip",
    "path-envoy-gateway",
    "path-gateway-rollout",
    "path-gcp-instance-group",
    "path-gcp-neg",
    "path-gcp-neg-sleep-60s",
    "path-ingress-pod-drained",
    "path-ingress-pod-sleep-180s",
    "path-istio-gateway",
    "path-istio-sidecar",
    "path-kube-proxy",
    "path-mesh-sidecar-exit-on-zero",
    "path-mesh-sidecar-linkerd",
    "path-mesh-sidecar-native",
    "path-mesh-sidecar-prestop",
    "path-mesh-sidecar-trap",
    "path-nlb-ingress-nginx",
    "path-nlb-local-policy",
    "path-service-load-balancer",
    "proxy-busy",
    "proxy-conntrack-echo",
    "proxy-ebpf-batch",
    "proxy-failed-sync",
    "proxy-ipvs-burst",
    "proxy-large-cluster",
    "proxy-local-policy",
    "proxy-same-zone",
    "proxy-session-affinity",
    "proxy-udp-flows",
    "queue-70-percent",
    "retries-hide-the-race",
    "sidecar-stops-last",
    "spot-notice",
    "statefulset-drained-in-order",
    "statefulset-on-a-lost-node",
    "statefulset-restarted",
    "upgrade-aks",
    "upgrade-eks",
    "upgrade-gke",
}

/// What several built-in scenarios are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// A heading for them.
    pub title: &'static str,
    /// How their names begin.
    prefix: &'static str,
}

/// The groups, in the order in which they are shown. The one without a prefix takes the rest.
pub const GROUPS: &[Group] = &[
    Group { title: "Situations of four texts, M1 to M28", prefix: "m" },
    Group { title: "Workloads, nodes, operators and clients", prefix: "" },
    Group { title: "Paths: load balancers, ingress controllers, meshes", prefix: "path-" },
    Group { title: "The data plane of the nodes", prefix: "proxy-" },
    Group { title: "Applications: what each server does on its stop signal", prefix: "app-" },
];

/// The part of a scenario that says what it is.
#[derive(Deserialize)]
struct Header {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    description: String,
}

impl Builtin {
    /// What it is about.
    #[must_use]
    pub fn group(&self) -> &'static Group {
        let named = GROUPS.iter().filter(|group| !group.prefix.is_empty());
        let rest = GROUPS.iter().filter(|group| group.prefix.is_empty());
        named.chain(rest).find(|group| self.name.starts_with(group.prefix)).expect("one group takes the rest")
    }

    /// `metadata.description` of the file's first document; empty if it has none.
    #[must_use]
    pub fn description(&self) -> String {
        let first = self.text.split("\n---").next().unwrap_or_default();
        let header = serde_saphyr::from_str::<Header>(first);
        header.map(|h| h.metadata.description.trim().to_string()).unwrap_or_default()
    }
}

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Builtin> {
    LIBRARY.iter().find(|b| b.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_scenarios_is_built_in() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        let mut files: Vec<String> =
            entries.filter_map(|e| Some(e.ok()?.file_name().to_str()?.strip_suffix(".yaml")?.to_string())).collect();
        files.sort();
        assert_eq!(LIBRARY.iter().map(|b| b.name).collect::<Vec<_>>(), files, "the list in library.rs, sorted by name");
    }

    #[test]
    fn every_built_in_scenario_says_what_it_shows() {
        for builtin in LIBRARY {
            assert!(!builtin.description().is_empty(), "{} has no description", builtin.name);
            assert_eq!(find(builtin.name), Some(builtin));
        }
    }

    #[test]
    fn every_group_has_scenarios() {
        for group in GROUPS {
            assert!(LIBRARY.iter().any(|b| b.group() == group), "{}", group.title);
        }
        assert_eq!(find("app-nginx").map(|b| b.group().prefix), Some("app-"));
        assert_eq!(find("karpenter").map(|b| b.group().prefix), Some(""));
    }

    #[test]
    fn a_description_is_read_from_the_first_document() {
        let text = "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata:\n  name: x\n  description: >-\n    Two\n    \
                    lines.\nspec: {}\n---\nkind: Service\nmetadata: {name: a, description: no}\n";
        assert_eq!(Builtin { name: "x", text }.description(), "Two lines.");
        assert_eq!(Builtin { name: "x", text: ": [" }.description(), "");
    }
}
