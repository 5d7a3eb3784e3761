//! Which container of a pod clients speak to: the one whose port the Service leads to. Sidecars often stand first.

use crate::api::TemplateId;
use crate::scenario::compile::{Compiler, is_named};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::TrafficEntry;
use crate::scenario::manifests::{ContainerManifest, ServiceManifest, TargetPort};
use crate::scenario::source::Spanned;

/// The Services that requests go to: the one that they are for, and that of a gateway before it.
fn with_traffic(entry: &TrafficEntry) -> impl Iterator<Item = &str> + Clone {
    let gateway = entry.via.as_ref().and_then(|path| path.value.gateway());
    std::iter::once(&entry.service).chain(gateway.map(|(_, name)| name)).map(|name| name.value.as_str())
}

impl Compiler<'_> {
    /// Finds it for every template. Services with traffic decide, in the order of `traffic`, then the others.
    pub(super) fn serving(&mut self) {
        let traffic = self.spec.traffic.iter().flat_map(with_traffic);
        let rank = |s: &ServiceManifest| {
            traffic.clone().position(|name| is_named(name, &s.service.namespace, &s.service.name)).unwrap_or(usize::MAX)
        };
        let mut services: Vec<(usize, &ServiceManifest)> =
            self.manifests.services.iter().map(|s| (rank(s), s)).collect();
        services.sort_by_key(|(rank, _)| *rank);
        let mut problems = Vec::new();
        let mut assumed = Vec::new();
        for id in self.template_ids() {
            let template = &self.setup.templates[id.index()];
            let selects = |s: &ServiceManifest| {
                let selector = s.service.selector.as_ref();
                s.service.namespace == template.namespace && selector.is_some_and(|s| s.matches(&template.labels))
            };
            let mut serving: Option<(u8, &ServiceManifest)> = None;
            let mut selected = false;
            for (rank, service) in services.iter().filter(|(_, s)| selects(s)) {
                selected = true;
                let has_traffic = *rank < usize::MAX;
                match (self.container_of(id, service), serving) {
                    (Some(container), None) => serving = Some((container, service)),
                    (Some(container), Some((other, first))) if has_traffic && container != other => {
                        problems.push(self.two_serve(id, first, service));
                    }
                    (None, _) if has_traffic => problems.extend(self.nobody_has_port(id, service)),
                    _ => {}
                }
            }
            // a mesh's sidecar may stand first, and Services never lead to it
            let count = u8::try_from(template.containers.len()).unwrap_or(u8::MAX);
            let first = (0..count).find(|c| self.mesh_of(id, *c).is_none()).unwrap_or(0);
            if serving.is_none() && selected && template.containers.len() > 1 {
                assumed.push(format!(
                    "{}: no container declares the port that its Service leads to; requests go to the first one, {} \
                     (`containers[].ports`)",
                    self.templates[id.index()].title(),
                    template.container(first).name
                ));
            }
            self.setup.templates[id.index()].serving = serving.map_or(first, |(container, _)| container);
        }
        problems.into_iter().for_each(|problem| self.push(problem));
        assumed.into_iter().for_each(|sentence| self.assume(sentence));
    }

    /// The container that declares the port.
    ///
    /// Source: `k8s.io/endpointslice/utils.go` FindPort (v1.36) for names; a number leads to whoever listens there, and what is
    /// declared only says who that is.
    fn container_of(&self, id: TemplateId, service: &ServiceManifest) -> Option<u8> {
        let target = &service.target.as_ref()?.value;
        let declares = |(number, name): &(u16, Option<String>)| match target {
            TargetPort::Number(wanted) => number == wanted,
            TargetPort::Name(wanted) => name.as_ref() == Some(wanted),
        };
        let containers = &self.templates[id.index()].containers;
        let template = &self.setup.templates[id.index()];
        let mut numbers = (0..u8::MAX).zip(containers);
        let serves = |(number, c): &(u8, &ContainerManifest)| {
            !template.runs_to_completion(*number) && c.ports.iter().any(declares)
        };
        numbers.find(serves).map(|(number, _)| number)
    }

    fn two_serve(&self, id: TemplateId, first: &ServiceManifest, second: &ServiceManifest) -> Diagnostic {
        let names = &self.templates[id.index()].title();
        Diagnostic::warning(format!("two Services lead to different containers of {names}"))
            .at(&second.span, "its requests are taken to go to the other Service's container, too")
            .and_at(&first.span, "the one that counts")
            .help("only one container of a pod serves here: give each Service a run of its own")
    }

    /// A name that no container has makes an EndpointSlice without that port.
    fn nobody_has_port(&self, id: TemplateId, service: &ServiceManifest) -> Option<Diagnostic> {
        let Some(Spanned { value: TargetPort::Name(name), span }) = &service.target else { return None };
        let origin = &self.templates[id.index()];
        let ports = origin.containers.iter().flat_map(|c| &c.ports).filter_map(|(_, name)| name.as_deref());
        let ports: Vec<&str> = ports.collect();
        Some(
            Diagnostic::warning(format!("no container of {} has a port named `{name}`", origin.title()))
                .at(span, "in a cluster, this Service has no endpoints for that port, and rejects all requests")
                .help(match ports.as_slice() {
                    [] => "its containers name no ports".to_string(),
                    _ => format!("its containers' ports are named: {}", ports.join(", ")),
                }),
        )
    }
}
