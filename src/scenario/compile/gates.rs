//! Readiness gates: which ones the pods behind a load balancer have, and who sets each of them.

use crate::api::{PodTemplate, ReadinessGate, TemplateId};
use crate::engine::Key;
use crate::scenario::compile::{Compiler, some_of};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::values::PathEntry;
use crate::simulation::setup::{BalancerProfile, Traffic, Via};

/// Whose controller writes a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Provider {
    /// The aws-load-balancer-controller: one gate for each TargetGroupBinding.
    Aws,
    /// GKE's: one gate for all network endpoint groups.
    Gke,
}

/// Source: aws-load-balancer-controller, `pkg/targetgroupbinding/utils.go` TargetHealthPodConditionTypePrefix (v3.5).
const AWS_PREFIX: &str = "target-health.elbv2.k8s.aws/";

/// Source: ingress-gce, `pkg/neg/types/shared` NegReadinessGate.
const GKE_GATE: &str = "cloud.google.com/load-balancer-neg-ready";

impl Provider {
    fn of_gate(gate: &ReadinessGate) -> Option<Self> {
        if gate.condition_type.starts_with(AWS_PREFIX) {
            Some(Self::Aws)
        } else {
            (gate.condition_type == GKE_GATE).then_some(Self::Gke)
        }
    }

    /// `None`: its targets are not pods.
    const fn of_profile(profile: BalancerProfile) -> Option<Self> {
        match profile {
            BalancerProfile::AwsAlbIp | BalancerProfile::AwsNlbIp => Some(Self::Aws),
            BalancerProfile::GcpNeg => Some(Self::Gke),
            _ => None,
        }
    }
}

impl Compiler<'_> {
    /// Gives each template the gates that load balancers add, and finds out who sets the gates that there are. What nobody sets
    /// is told: the pods would never be Ready.
    pub(super) fn readiness_gates(&mut self) {
        if self.setup.traffic.len() == self.spec.traffic.len() {
            for stream in 0..self.setup.traffic.len() {
                self.gates_of_stream(stream);
            }
        }
        self.gates_without_setter();
    }

    fn gates_of_stream(&mut self, stream: usize) {
        let Traffic { name, service, balancer, via, .. } = &self.setup.traffic[stream];
        let Some(balancer) = balancer.as_ref().filter(|_| *via == Via::Balancer) else { return };
        let (profile, name, service) = (balancer.profile, name.clone(), *service);
        let Some(provider) = Provider::of_profile(profile) else { return };
        let same_before = self.setup.traffic[..stream].iter().any(|other| {
            let its = other.balancer.as_ref().filter(|_| other.via == Via::Balancer).map(|b| b.profile);
            other.service == service && its == Some(profile)
        });
        let Some(selector) = self.setup.services[service.index()].selector.clone().filter(|_| !same_before) else {
            return;
        };
        let (namespace, service) = {
            let service = &self.setup.services[service.index()];
            (service.namespace.clone(), service.name.clone())
        };
        let given = self.is_gate_added(stream);
        let labelled = provider == Provider::Aws && self.manifests.gated_namespaces.contains(&namespace);
        let adds = given.unwrap_or(provider == Provider::Gke || labelled);
        let condition_type = match provider {
            Provider::Gke => GKE_GATE.to_string(),
            Provider::Aws => format!("{AWS_PREFIX}{}", target_group_binding(&namespace, &service, profile)),
        };
        let number = u32::try_from(stream).unwrap_or(u32::MAX);
        let mut gated = false;
        for id in self.selected(&namespace, &selector) {
            let template = &mut self.setup.templates[id.index()];
            if let Some(gate) = written_gate(template, provider, (&namespace, &service)) {
                gate.set_by = Some(number);
                gated = true;
            } else if adds && template.readiness_gates.iter().all(|gate| gate.condition_type != condition_type) {
                let (condition_type, set_by) = (condition_type.clone(), Some(number));
                template.readiness_gates.push(ReadinessGate { condition_type, set_by });
                gated = true;
            }
        }
        let sentence = match (gated, given, provider) {
            (_, Some(_), _) | (true, None, Provider::Aws) => return,
            (false, None, _) => format!(
                "traffic `{name}`: the pods have no readiness gate of {} (`readinessGate`), and are Ready before it knows them",
                profile.name()
            ),
            (true, None, Provider::Gke) => format!(
                "traffic `{name}`: GKE adds the readiness gate {GKE_GATE} to the pods, as to all behind an Ingress (`readinessGate`)"
            ),
        };
        self.assume(sentence);
    }

    /// What the scenario says of it.
    fn is_gate_added(&self, stream: usize) -> Option<bool> {
        let Spanned { value: PathEntry(hops), .. } = self.spec.traffic[stream].via.as_ref()?;
        hops.iter().find_map(|hop| hop.value.readiness_gate.as_ref()).map(|given| given.value)
    }

    fn gates_without_setter(&mut self) {
        let mut unset: Vec<(String, Vec<String>, Option<Span>)> = Vec::new();
        for id in (0..self.setup.templates.len()).map(TemplateId::from) {
            let origin = &self.templates[id.index()];
            for (place, gate) in self.setup.templates[id.index()].readiness_gates.iter().enumerate() {
                if gate.set_by.is_some() {
                    continue;
                }
                match unset.iter_mut().find(|(name, ..)| *name == gate.condition_type) {
                    Some((_, whose, _)) => whose.push(origin.title()),
                    None => {
                        let span = origin.gates.get(place).cloned();
                        unset.push((gate.condition_type.clone(), vec![origin.title()], span));
                    }
                }
            }
        }
        for (condition_type, mut whose, span) in unset {
            whose.dedup();
            let gate = ReadinessGate { condition_type, set_by: None };
            let help = match Provider::of_gate(&gate) {
                Some(Provider::Aws) => {
                    "write `via: aws-alb-ip` or `via: aws-nlb-ip` for traffic to a Service of these pods"
                }
                Some(Provider::Gke) => "write `via: gcp-neg` for traffic to a Service of these pods",
                None => "gates of load balancers are modelled: AWS target groups, and NEGs of Google Cloud",
            };
            let mut problem = Diagnostic::warning(format!(
                "nobody in this scenario sets the readiness gate `{}`",
                gate.condition_type
            ));
            if let Some(span) = &span {
                problem = problem.at(span, "taken as always True");
            }
            let sentence = format!("of {}; in a cluster its pods wait for it before they are Ready", some_of(&whose));
            self.push(problem.note(sentence).help(help));
        }
    }
}

/// The gate of the manifest that belongs to this load balancer: by its name, or the first one that belongs to nobody.
fn written_gate<'t>(
    template: &'t mut PodTemplate,
    provider: Provider,
    (namespace, service): (&str, &str),
) -> Option<&'t mut ReadinessGate> {
    let is_free = |gate: &ReadinessGate| gate.set_by.is_none() && Provider::of_gate(gate) == Some(provider);
    let prefix = format!("{AWS_PREFIX}{}", name_prefix(namespace, service));
    let gates = &mut template.readiness_gates;
    let by_name = gates.iter().position(|gate| is_free(gate) && gate.condition_type.starts_with(&prefix));
    let place = by_name.or_else(|| gates.iter().position(is_free))?;
    gates.get_mut(place)
}

/// A name as the controller would give it to the TargetGroupBinding, with digits that it takes from elsewhere.
///
/// Source: aws-load-balancer-controller, `pkg/ingress/model_build_target_group.go` buildTargetGroupName (v3.5).
fn target_group_binding(namespace: &str, service: &str, profile: BalancerProfile) -> String {
    let digits = Key::new("targetGroup").text(namespace).text(service).text(profile.name()).bits();
    format!("{}{:.10}", name_prefix(namespace, service), format!("{digits:016x}"))
}

fn name_prefix(namespace: &str, service: &str) -> String {
    let sanitized = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
    format!("k8s-{}-{}-", sanitized(namespace), sanitized(service))
}
