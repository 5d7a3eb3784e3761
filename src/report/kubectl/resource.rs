//! The resources that can be asked for, with the names that kubectl knows them by.

/// A resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
    /// Deployments.
    Deployments,
    /// ReplicaSets.
    ReplicaSets,
    /// StatefulSets.
    StatefulSets,
    /// DaemonSets.
    DaemonSets,
    /// Jobs.
    Jobs,
    /// Services.
    Services,
    /// EndpointSlices.
    EndpointSlices,
    /// PodDisruptionBudgets.
    PodDisruptionBudgets,
    /// HorizontalPodAutoscalers.
    HorizontalPodAutoscalers,
    /// Events.
    Events,
}

/// Plural, other names, kind, group (with its dot), apiVersion.
type Names = (&'static str, &'static [&'static str], &'static str, &'static str, &'static str);

impl Resource {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Nodes,
        Self::Pods,
        Self::Deployments,
        Self::ReplicaSets,
        Self::StatefulSets,
        Self::DaemonSets,
        Self::Jobs,
        Self::Services,
        Self::EndpointSlices,
        Self::PodDisruptionBudgets,
        Self::HorizontalPodAutoscalers,
        Self::Events,
    ];

    const fn names(self) -> Names {
        match self {
            Self::Nodes => ("nodes", &["node", "no"], "Node", "", "v1"),
            Self::Pods => ("pods", &["pod", "po"], "Pod", "", "v1"),
            Self::Deployments => ("deployments", &["deployment", "deploy"], "Deployment", ".apps", "apps/v1"),
            Self::ReplicaSets => ("replicasets", &["replicaset", "rs"], "ReplicaSet", ".apps", "apps/v1"),
            Self::StatefulSets => ("statefulsets", &["statefulset", "sts"], "StatefulSet", ".apps", "apps/v1"),
            Self::DaemonSets => ("daemonsets", &["daemonset", "ds"], "DaemonSet", ".apps", "apps/v1"),
            Self::Jobs => ("jobs", &["job"], "Job", ".batch", "batch/v1"),
            Self::Services => ("services", &["service", "svc"], "Service", "", "v1"),
            Self::EndpointSlices => {
                ("endpointslices", &["endpointslice"], "EndpointSlice", ".discovery.k8s.io", "discovery.k8s.io/v1")
            }
            Self::PodDisruptionBudgets => {
                ("poddisruptionbudgets", &["poddisruptionbudget", "pdb"], "PodDisruptionBudget", ".policy", "policy/v1")
            }
            Self::HorizontalPodAutoscalers => (
                "horizontalpodautoscalers",
                &["horizontalpodautoscaler", "hpa"],
                "HorizontalPodAutoscaler",
                ".autoscaling",
                "autoscaling/v2",
            ),
            Self::Events => ("events", &["event", "ev"], "Event", "", "v1"),
        }
    }

    /// The resource of this name: plural, singular or short, with or without its group, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|resource| {
            let (plural, others, _, group, _) = resource.names();
            let bare = name.strip_suffix(group).unwrap_or(&name);
            bare == plural || others.contains(&bare)
        })
    }

    /// The plural, as in URLs.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.names().0
    }

    /// `Pod`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.names().2
    }

    /// `apps/v1`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        self.names().4
    }

    /// Kind and group in small letters, as before a name: `deployment.apps`.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("{}{}", self.kind().to_lowercase(), self.names().3)
    }

    /// Whether its objects are in namespaces.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_the_names_that_kubectl_knows() {
        for (name, resource) in [
            ("po", Resource::Pods),
            ("Pod", Resource::Pods),
            ("no", Resource::Nodes),
            ("deploy", Resource::Deployments),
            ("deployments.apps", Resource::Deployments),
            ("rs", Resource::ReplicaSets),
            ("svc", Resource::Services),
            ("endpointslices.discovery.k8s.io", Resource::EndpointSlices),
            ("pdb", Resource::PodDisruptionBudgets),
            ("poddisruptionbudget.policy", Resource::PodDisruptionBudgets),
            ("hpa", Resource::HorizontalPodAutoscalers),
            ("horizontalpodautoscalers.autoscaling", Resource::HorizontalPodAutoscalers),
            ("ev", Resource::Events),
        ] {
            assert_eq!(Resource::by_name(name), Some(resource), "{name}");
        }
        assert_eq!(Resource::by_name("secrets"), None);
        assert_eq!(Resource::PodDisruptionBudgets.prefix(), "poddisruptionbudget.policy");
    }
}
