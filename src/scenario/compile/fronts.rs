//! Through which container requests reach the one that serves: a mesh's sidecar, or what `apps[].fronts` names.

use crate::api::{Front, TemplateId};
use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::AppEntry;
use crate::scenario::manifests::TemplateManifest;
use crate::scenario::profiles::{self, Mesh, ProxyManifest};
use crate::scenario::source::Spanned;
use crate::simulation::setup::App;

impl Compiler<'_> {
    /// Finds it for every template to which a Service leads.
    pub(super) fn fronts(&mut self) {
        for id in self.template_ids() {
            let template = &self.setup.templates[id.index()];
            let has_service = self.setup.services.iter().any(|service| {
                let selects = service.selector.as_ref().is_some_and(|s| s.matches(&template.labels));
                selects && service.namespace == template.namespace
            });
            let count = u8::try_from(template.container_count()).unwrap_or(u8::MAX);
            let mut front: Option<u8> = None;
            for container in (0..count).filter(|c| !template.runs_to_completion(*c)) {
                let said = self.fronts_entry(id, container).map(|entry| entry.fronts.clone().expect("it says so"));
                let serves = container == self.setup.templates[id.index()].serving;
                match said {
                    Some(Spanned { value: true, span }) if serves => {
                        let name = &self.setup.templates[id.index()].container(container).name;
                        self.problems.push(
                            Diagnostic::error(format!("there is nothing behind the container `{name}`"))
                                .at(&span, "the Service leads to this container itself")
                                .help("leave `fronts` out, or let the Service's targetPort be the application's"),
                        );
                    }
                    Some(Spanned { value: true, span }) if front.is_some() => self.problems.push(
                        Diagnostic::error("a pod has one front only")
                            .at(&span, "requests already come through another container of these pods")
                            .help("set `fronts: false` for that one"),
                    ),
                    Some(Spanned { value: false, .. }) => {}
                    Some(_) => front = Some(container),
                    None if !serves && front.is_none() && self.mesh_of(id, container).is_some() => {
                        front = Some(container);
                    }
                    None => {}
                }
            }
            if front.is_none() && has_service && (0..count).all(|c| self.mesh_of(id, c).is_none()) {
                self.state_injection(id);
            }
            let Some(container) = front.filter(|_| has_service) else { continue };
            self.setup.templates[id.index()].front = Some(Front { container, app: 0 });
            self.state_front(id, container);
        }
    }

    /// A pod that was found may have a mesh's sidecar which its template has not, for it is injected into pods as they are
    /// created: then all of them have it.
    pub(super) fn take_injected(&mut self, id: TemplateId, pod: &TemplateManifest) {
        let found = &pod.template;
        let count = u8::try_from(found.container_count()).unwrap_or(u8::MAX);
        for number in (0..count).filter(|number| !found.runs_to_completion(*number)) {
            let container = found.container(number);
            let (template, origin) = (&mut self.setup.templates[id.index()], &mut self.templates[id.index()]);
            let known = template.all_containers().any(|c| c.name == container.name);
            if known || profiles::recognise_proxy(&container.name, &container.image).is_none() {
                continue;
            }
            // Ordinary containers come last, native sidecars first, before what may need the network.
            let at = template.containers.len();
            if container.sidecar {
                template.init_containers.insert(0, container.clone());
            } else {
                template.containers.push(container.clone());
            }
            origin.containers.insert(at, pod.containers[usize::from(number)].clone());
            origin.annotations.extend(pod.annotations.clone());
            template.requests = template.requests.at_least(found.requests);
            let (title, name) = (origin.title(), container.name.clone());
            let sentence =
                format!("{title}: its pods have a container {name} that its template has not; new ones get it, too");
            let of_many = "found in pods and not in their template, taken to be in new ones, too".to_string();
            self.assume_of(&format!("{title}, container {name}"), of_many, sentence);
        }
    }

    /// States it: nothing in the manifest says that the network of the pod is led through this container.
    fn state_front(&mut self, id: TemplateId, container: u8) {
        if self.fronts_entry(id, container).is_some() {
            return;
        }
        let template = &self.setup.templates[id.index()];
        let (front, serving) = (template.container(container).name.clone(), template.serving().name.clone());
        let title = self.templates[id.index()].title();
        let sentence = format!(
            "{title}: requests come to container {front}, which hands them to container {serving} (`apps[].fronts`)"
        );
        let of_many = "taken to stand before the container to which the Service leads".to_string();
        self.assume_of(&format!("{title}, container {front}"), of_many, sentence);
    }

    /// States that a sidecar is missing which the mesh will put into these pods.
    fn state_injection(&mut self, id: TemplateId) {
        let (template, origin) = (&self.setup.templates[id.index()], &self.templates[id.index()]);
        let istio = "sidecar.istio.io/inject";
        let says = |key: &str, value: &str| origin.annotations.get(key).is_some_and(|said| said == value);
        let label = template.labels.get(istio).is_some_and(|said| said == "true");
        let why = match () {
            () if label || says(istio, "true") => istio,
            () if says("linkerd.io/inject", "enabled") => "linkerd.io/inject",
            () => return,
        };
        let title = origin.title();
        let sentence = format!(
            "{title}: {why} puts a sidecar into its pods that is not in the manifest, and not simulated; requests are taken to \
             reach the application without it (`istioctl kube-inject` and `linkerd inject` write manifests with it)"
        );
        let who = format!("{title}, container {}", template.serving().name);
        let of_many = "taken to be reached without the sidecar that is injected into their pods".to_string();
        self.assume_of(&who, of_many, sentence);
    }

    /// The first entry that says of this container whether it is a front.
    fn fronts_entry(&self, id: TemplateId, container: u8) -> Option<&AppEntry> {
        let name = &self.setup.templates[id.index()].container(container).name;
        let says = |entry: &&AppEntry| {
            entry.fronts.is_some() && entry.container.as_ref().is_some_and(|wanted| wanted.value == *name)
        };
        self.spec.apps.iter().filter(says).find(|entry| self.selects(entry, id))
    }

    /// The mesh whose proxy a container is, and what tells so.
    pub(super) fn mesh_of(&self, id: TemplateId, container: u8) -> Option<(Mesh, String)> {
        let template = &self.setup.templates[id.index()];
        if template.runs_to_completion(container) {
            return None;
        }
        let container = template.container(container);
        profiles::recognise_proxy(&container.name, &container.image)
    }

    /// How a proxy of this mesh behaves by what the manifest says of it.
    pub(super) fn proxy(&self, id: TemplateId, container: u8, mesh: Mesh) -> App {
        let origin = &self.templates[id.index()];
        let manifest = &origin.containers[usize::from(container)];
        mesh.app(&ProxyManifest {
            annotations: &origin.annotations,
            env: &manifest.env,
            drains_in_hook: manifest.drains_in_hook,
        })
    }

    /// How front and serving container together meet clients.
    pub(super) fn entrance(&mut self, id: TemplateId) {
        let template = &self.setup.templates[id.index()];
        let Some(Front { container, .. }) = template.front else { return };
        let app_of = |number: u32| &self.setup.apps[number as usize];
        let (proxy, behind) = (app_of(template.container(container).app), app_of(template.serving().app));
        let entrance = App {
            service_time: behind.service_time.clone(),
            capacity: behind.capacity,
            nobody_behind: Some(profiles::nobody_behind(&proxy.profile)),
            ..proxy.clone()
        };
        let app = self.number_of(entrance, None);
        self.setup.templates[id.index()].front = Some(Front { container, app });
    }
}
