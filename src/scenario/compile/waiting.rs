//! What a process waits for before it does anything else: a Service, named in `apps` or read from the command.

use crate::api::{ServiceId, TemplateId};
use crate::engine::Duration;
use crate::scenario::compile::{Compiler, is_named};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::WaitsForEntry;
use crate::scenario::suggest;
use crate::scenario::wait_command;
use crate::simulation::setup::WaitsFor;

/// As the example of the documentation sleeps.
const EVERY_DEFAULT: Duration = Duration::from_secs(2);

impl Compiler<'_> {
    /// What `apps[].waitsFor` names.
    pub(super) fn waits_for(&mut self, entry: &WaitsForEntry) -> Option<WaitsFor> {
        let named: Vec<usize> = (0..self.setup.services.len())
            .filter(|&i| {
                is_named(&entry.service.value, &self.setup.services[i].namespace, &self.setup.services[i].name)
            })
            .collect();
        let every = entry.every.as_ref().map_or(EVERY_DEFAULT, |e| e.value);
        if let Some(every) = entry.every.as_ref().filter(|e| e.value.is_zero()) {
            self.push(Diagnostic::error("attempts without a pause never end").at(&every.span, "expected more than 0s"));
            return None;
        }
        match named[..] {
            [one] => Some(WaitsFor { service: ServiceId::from(one), every }),
            [] => {
                let names = self.setup.services.iter().map(|s| s.name.as_str());
                let problem = Diagnostic::error(format!("there is no Service `{}`", entry.service.value))
                    .at(&entry.service.span, "unknown Service")
                    .help(suggest::help(&entry.service.value, "Services", names));
                self.push(problem);
                None
            }
            _ => {
                let problem = Diagnostic::error(format!("there is more than one Service `{}`", entry.service.value));
                self.push(problem.at(&entry.service.span, "in several namespaces").help("write namespace/name"));
                None
            }
        }
    }

    /// What the command of an init container waits for, if it is a loop around a connection attempt.
    pub(super) fn waits_by_command(&mut self, id: TemplateId, number: u8) -> Option<WaitsFor> {
        let command = wait_command::read(&self.templates[id.index()].containers[usize::from(number)].command)?;
        let template = &self.setup.templates[id.index()];
        let (name, namespace) = command.service(&template.namespace);
        let found = self.setup.services.iter().position(|s| s.name == name && s.namespace == namespace);
        let who = format!("{}, container {}", self.templates[id.index()].title(), template.container(number).name);
        let Some(found) = found else {
            self.assume(format!(
                "{who}: it waits for {}, which is not in the input; taken to be there (`apps[].waitsFor`)",
                command.host
            ));
            return None;
        };
        let every = if command.every.is_zero() { EVERY_DEFAULT } else { command.every };
        Some(WaitsFor { service: ServiceId::from(found), every })
    }
}
