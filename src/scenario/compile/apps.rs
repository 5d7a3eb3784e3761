//! The application in each container: what `apps` says, else what the image tells, else an assumption that is stated.

use crate::api::pod::{Hook, Signal};
use crate::api::{Selector, TemplateId};
use crate::engine::{Distribution, Duration};
use crate::scenario::compile::capacity::capacity;
use crate::scenario::compile::{Compiler, instant, is_named, show_labels};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::AppEntry;
use crate::scenario::manifests::HookManifest;
use crate::scenario::profiles::{self, Profile};
use crate::scenario::source::Spanned;
use crate::scenario::suggest;
use crate::scenario::unknown_apps::UnknownApp;
use crate::simulation::setup::{App, Life, Reaction};

/// What is assumed of an image that nobody knows and nobody has said anything about.
const PROFILE_UNKNOWN: &str = "exits-at-once";
/// What it may do as well.
const PROFILE_IGNORES: &str = "ignores-term";

/// A container that has run for longer begins anew with its restarts (`pkg/kubelet/kubelet.go`, the HasExpiredFunc of
/// crashLoopBackOff, v1.36).
const CRASH_LOOP_FORGOTTEN: Duration = Duration::from_secs(600);

impl Compiler<'_> {
    pub(super) fn apps(&mut self) {
        let spec = self.spec;
        let mut uses = vec![Use::default(); spec.apps.len()];
        for id in self.template_ids() {
            for container in 0..self.setup.templates[id.index()].container_count() {
                self.container(id, u8::try_from(container).unwrap_or(u8::MAX), &mut uses);
            }
            self.entrance(id);
        }
        for (entry, usage) in spec.apps.iter().zip(&uses) {
            self.check_entry(entry, usage);
            self.check_capacity(entry);
        }
    }

    /// Works out the application of one container.
    fn container(&mut self, id: TemplateId, c: u8, uses: &mut [Use]) {
        let spec = self.spec;
        let completes = self.setup.templates[id.index()].runs_to_completion(c);
        let only_by_name = completes || self.mesh_of(id, c).is_some();
        let mut entry = None;
        for (candidate, usage) in spec.apps.iter().zip(uses.iter_mut()) {
            if self.selects(candidate, id) {
                usage.selected = true;
                let container = &self.setup.templates[id.index()].container(c).name;
                // an init container is meant only where it is named, and so is a mesh's sidecar
                if candidate.container.as_ref().map_or(!only_by_name, |wanted| wanted.value == *container) {
                    usage.fits = true;
                    if entry.is_none() {
                        usage.counts = true;
                        entry = Some((candidate, usage));
                    }
                }
            }
        }
        let (entry, usage) = entry.unzip();
        let (mut app, mut unknown) =
            if completes { (self.init_app(id, c, entry), None) } else { self.app(id, c, entry) };
        app.life = self.life(id, c, entry);
        self.hook(id, c, entry, usage);
        if let Some(unknown) = &mut unknown {
            for other in [Some(&mut unknown.winds_down), unknown.ignores.as_mut()].into_iter().flatten() {
                other.life = app.life.clone();
            }
        }
        let index = self.number_of(app, unknown);
        self.setup.templates[id.index()].container_mut(c).app = index;
    }

    /// The index of an app; one that nobody knows shares it with its like only.
    pub(super) fn number_of(&mut self, app: App, unknown: Option<UnknownApp>) -> u32 {
        let unknown_apps = &mut self.unknown_apps.0;
        if let Some(mut unknown) = unknown {
            let same = |u: &&mut UnknownApp| {
                self.setup.apps[u.app as usize] == app
                    && (&u.winds_down, &u.ignores) == (&unknown.winds_down, &unknown.ignores)
            };
            if let Some(known) = unknown_apps.iter_mut().find(same) {
                known.containers.append(&mut unknown.containers);
                return known.app;
            }
            self.setup.apps.push(app);
            unknown.app = u32::try_from(self.setup.apps.len() - 1).unwrap_or(u32::MAX);
            let number = unknown.app;
            unknown_apps.push(unknown);
            return number;
        }
        let taken = |index: usize| unknown_apps.iter().any(|u| u.app as usize == index);
        let index = (0..self.setup.apps.len()).find(|&index| self.setup.apps[index] == app && !taken(index));
        let index = index.unwrap_or_else(|| {
            self.setup.apps.push(app);
            self.setup.apps.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Whether an entry is for pods of this template, whatever the container.
    pub(super) fn selects(&self, entry: &AppEntry, id: TemplateId) -> bool {
        let (origin, template) = (&self.templates[id.index()], &self.setup.templates[id.index()]);
        let by_name = entry
            .deployment
            .as_ref()
            .is_none_or(|name| origin.kind == "Deployment" && is_named(&name.value, &origin.namespace, &origin.name));
        let by_labels = entry.selector.as_ref().is_none_or(|labels| {
            let labels = labels.value.0.iter().map(|(key, value)| (key.value.clone(), value.clone()));
            Selector::labels(labels).matches(&template.labels)
        });
        by_name && by_labels
    }

    /// The application, from the entry, the command, the image and the profile, in this order; and what else it may be if
    /// none of them tells.
    fn app(&mut self, id: TemplateId, c: u8, entry: Option<&AppEntry>) -> (App, Option<UnknownApp>) {
        let image = self.setup.templates[id.index()].container(c).image.clone();
        let manifest = &self.templates[id.index()].containers[usize::from(c)];
        let mut told = profiles::recognise(&image, &manifest.command, manifest.has_command);
        if let Some((mesh, because)) = self.mesh_of(id, c) {
            (told.app, told.because, told.pid1) = (Some(self.proxy(id, c, mesh)), because, true);
        }
        let is_pid1 = entry.and_then(|e| e.pid1).unwrap_or(told.pid1 && !manifest.shares_pids);
        let stop_signal = entry.and_then(|e| e.stop_signal).or(manifest.stop_signal);
        // The stop signal is the image's, whatever runs in it.
        let stop_signal = stop_signal.or_else(|| Some(told.app.as_ref()?.stop_signal));
        let named = entry.and_then(|e| e.profile.as_ref()).and_then(|name| Profile::by_name(&name.0));
        let says_signals = entry.is_some_and(|e| !e.signals.0.is_empty());
        let mut said = Said::default();
        let mut made = |mut app: App| {
            if let Some(signal) = stop_signal {
                app.stop_signal = signal;
            }
            if says_signals && named.is_none() && told.app.is_none() {
                app.profile = "custom".into();
                app.reactions.clear();
            }
            said = entry.map(|entry| override_by(&mut app, entry)).unwrap_or_default();
            if !is_pid1 {
                as_another_pid(&mut app);
            }
            app
        };
        let by_name = |name: &str| Profile::by_name(name).expect("it is in the table").app();
        let (app, unknown) = match (named, &told.app) {
            (Some(profile), _) => (made(profile.app()), None),
            (None, Some(app)) => (made(app.clone()), None),
            (None, None) => {
                let unknown = UnknownApp {
                    app: 0,
                    containers: vec![self.who(id, c)],
                    stop_signal: stop_signal.unwrap_or(Signal::Term).name(),
                    winds_down: made(by_name(told.graceful)),
                    ignores: (told.may_ignore && is_pid1).then(|| made(by_name(PROFILE_IGNORES))),
                };
                (made(by_name(PROFILE_UNKNOWN)), (!says_signals).then_some(unknown))
            }
        };
        if named.is_none() && !says_signals {
            self.state_profile(id, c, &image, &app, told.app.is_some().then_some(&told.because));
        }
        if !is_pid1 && entry.is_none_or(|e| e.pid1.is_none()) {
            self.state_pid(id, c, &app);
        }
        self.state_times(id, c, &app, said);
        (app, unknown)
    }

    /// States that signals without a handler end the process, since it is not PID 1.
    fn state_pid(&mut self, id: TemplateId, c: u8, app: &App) {
        let who = self.who(id, c);
        let stop = app.stop_signal.name();
        let sentence = format!(
            "{who}: it is not PID 1 (an init such as tini starts it, or the pod's processes share a namespace), so that \
             {stop} ends it even without a handler (`apps[].pid1`)"
        );
        self.assume_of(&who, "taken not to be PID 1".into(), sentence);
    }

    /// An init container that runs to completion. Nobody speaks to it; what it does on a signal matters when its pod is
    /// deleted meanwhile. A shell as PID 1 has no handler for SIGTERM, and so does not get it (pid_namespaces(7)).
    fn init_app(&mut self, id: TemplateId, c: u8, entry: Option<&AppEntry>) -> App {
        let command = &self.templates[id.index()].containers[usize::from(c)].command;
        let in_shell = matches!(command.as_slice(), [_, flag, script, ..]
            if flag.starts_with('-') && flag.ends_with('c') && !script.trim_start().starts_with("exec "));
        let named = entry.and_then(|e| e.profile.as_ref()).and_then(|name| Profile::by_name(&name.0));
        let mut app = named.unwrap_or_else(|| Profile::by_name(PROFILE_UNKNOWN).expect("it is in the table")).app();
        app.startup = Distribution::constant(Duration::ZERO);
        if named.is_none() && in_shell {
            app.profile = "shell".into();
            app.reactions.clear();
        }
        if let Some(entry) = entry {
            override_by(&mut app, entry);
        }
        app
    }

    /// What the process does without being asked.
    fn life(&mut self, id: TemplateId, c: u8, entry: Option<&AppEntry>) -> Life {
        let template = &self.setup.templates[id.index()];
        let (completes, restarts) = (template.runs_to_completion(c), template.restarts(c, 0));
        let Some(entry) = entry else {
            let waits_for = if completes { self.waits_by_command(id, c) } else { None };
            return Life { waits_for, ..Life::default() };
        };
        let exits_after = entry.exits_after.as_ref().map(|e| e.value);
        let well = exits_after.is_some() && !restarts;
        let life = Life {
            waits_for: match &entry.waits_for {
                Some(named) => self.waits_for(named),
                None if completes => self.waits_by_command(id, c),
                None => None,
            },
            exits_after,
            exit_code: entry.exit_code.as_ref().map_or(u32::from(!well), |code| u32::from(code.value)),
            crashes_at: entry.crashes_at.as_ref().map(|at| instant(at.value)),
            hangs_at: entry.hangs_at.as_ref().map(|at| instant(at.value)),
        };
        if let Some(after) = exits_after
            && self.setup.templates[id.index()].restarts(c, life.exit_code)
            && !completes
            && after <= CRASH_LOOP_FORGOTTEN
        {
            let who = self.who(id, c);
            self.assume(format!(
                "{who}: it exits {after} after each start, so at the start of the run it has long been waiting in \
                 CrashLoopBackOff, and is tried again within 5 minutes (`apps[].exitsAfter`)"
            ));
        }
        life
    }

    /// States which profile was taken without being named.
    fn state_profile(&mut self, id: TemplateId, c: u8, image: &str, app: &App, because: Option<&String>) {
        let who = self.who(id, c);
        let stop = app.stop_signal.name();
        if let Some(because) = because {
            let sentence = format!(
                "{who} behaves as the profile `{}` does and is stopped by {stop}, since {because} (`apps[].profile`, \
                 `apps[].stopSignal`)",
                app.profile
            );
            let by = if because.contains("image") { "by the image" } else { "by the command" };
            let of_many = format!("taken to behave as the profile `{}` does, {by}", app.profile);
            return self.assume_of(&who, of_many, sentence);
        }
        let image = if image.is_empty() { "its image" } else { image };
        let sentence = format!(
            "{who}: how {image} takes {stop} is not known; taken to exit at once, cutting what is in flight \
             (profile `{}`; `apps[].profile` or `apps[].signals` says otherwise)",
            app.profile
        );
        let of_many =
            format!("taken to exit at once on {stop}, cutting what is in flight, since nothing is known of the image");
        self.assume_of(&who, of_many, sentence);
    }

    /// States the times that were taken from the profile. Requests go to one container only.
    fn state_times(&mut self, id: TemplateId, c: u8, app: &App, said: Said) {
        let mut taken = Vec::new();
        if !said.startup {
            taken.push(format!("startup {}", app.startup));
        }
        if !said.service_time && c == self.setup.templates[id.index()].serving {
            taken.push(format!("serviceTime {}", app.service_time));
        }
        if !taken.is_empty() {
            let who = self.who(id, c);
            let taken = taken.join(", ");
            self.assume_of(&who, format!("taken to have {taken}"), format!("{who}: {taken} (`apps[]`)"));
        }
    }

    /// Fills in what a hook does whose manifest does not tell.
    fn hook(&mut self, id: TemplateId, c: u8, entry: Option<&AppEntry>, usage: Option<&mut Use>) {
        let hook = self.templates[id.index()].containers[usize::from(c)].hook.clone();
        let grace = self.setup.templates[id.index()].termination_grace_period_seconds;
        if let Some(steps) = entry.and_then(|e| e.pre_stop.as_ref()) {
            if let Some(usage) = usage {
                usage.hook_set |= !matches!(hook, HookManifest::None | HookManifest::Sleep(_));
            }
            if let Some(warning) =
                crate::scenario::manifests::hook_longer_than_grace(&steps.value.0, grace, &steps.span)
            {
                self.push(warning);
            }
            let pre_stop = &mut self.setup.templates[id.index()].container_mut(c).pre_stop;
            match pre_stop {
                Some(Hook::Exec(old) | Hook::HttpGet(old)) => old.clone_from(&steps.value.0),
                Some(Hook::Sleep(_)) | None => {}
            }
            return;
        }
        let who = self.who(id, c);
        match hook {
            HookManifest::Unknown(span, unknown) => {
                let parts: Vec<String> = unknown.iter().map(|part| format!("`{}`", shorten(part))).collect();
                let what = parts.join(" and ");
                let sentence = format!(
                    "{who}: what {what} in its preStop hook does is not known; taken to do nothing, at once (`apps[].preStop`)"
                );
                self.assume_of(&who, format!("with {what} in the preStop hook, taken to do nothing, at once"), sentence);
                self.push(
                    Diagnostic::warning("this preStop command is not understood")
                        .at(&span, format!("{} is taken to do nothing, at once", parts.join(" and ")))
                        .help("say what it does: `preStop: 5s` or `preStop: [{wait: 5s}, {signal: SIGTERM}]` under `apps`"),
                );
            }
            HookManifest::HttpGet(_) => self.assume_of(
                &who,
                "whose preStop request is taken to be answered at once, and to change nothing".into(),
                format!(
                    "{who}: its preStop request is answered as soon as it arrives, and changes nothing (`apps[].preStop`)"
                ),
            ),
            HookManifest::None | HookManifest::Sleep(_) | HookManifest::Known(_) => {}
        }
    }

    /// `Deployment default/web, container app`.
    fn who(&self, id: TemplateId, c: u8) -> String {
        format!(
            "{}, container {}",
            self.templates[id.index()].title(),
            self.setup.templates[id.index()].container(c).name
        )
    }

    /// An entry that is for nobody is a mistake.
    fn check_entry(&mut self, entry: &AppEntry, usage: &Use) {
        if let Some(name) = &entry.deployment
            && self.deployment(name).is_none()
        {
            return;
        }
        if !usage.selected {
            let Some(Spanned { span, .. }) = &entry.selector else { return };
            let mut labels: Vec<String> = self.setup.templates.iter().map(|t| show_labels(&t.labels)).collect();
            labels.sort();
            labels.dedup();
            self.push(
                Diagnostic::error("this selector of `apps` selects no pod")
                    .at(span, "no pod template has these labels")
                    .help(match labels.len() {
                        0 => "there are no pods in the manifests".to_string(),
                        _ => format!("the labels of the pods are: {}", labels.join("; ")),
                    }),
            );
        } else if let (Some(name), false) = (&entry.container, usage.fits) {
            let ids: Vec<_> = self.template_ids().filter(|&id| self.selects(entry, id)).collect();
            let containers = ids.iter().flat_map(|id| self.setup.templates[id.index()].all_containers());
            let help = suggest::help(&name.value, "containers", containers.map(|c| c.name.as_str()));
            let problem = Diagnostic::error(format!("there is no container `{}` in these pods", name.value));
            self.push(problem.at(&name.span, "unknown container").help(help));
        } else if !usage.counts {
            let span = entry_span(entry);
            if let Some(span) = span {
                self.push(
                    Diagnostic::warning("this entry of `apps` never counts")
                        .at(&span, "an entry before it fits the same containers")
                        .help("the first entry that fits counts: put special entries before general ones"),
                );
            }
        } else if let (Some(steps), false) = (&entry.pre_stop, usage.hook_set) {
            self.push(
                Diagnostic::error("`preStop` says what a hook does, and none of these containers has one to say it of")
                    .at(&steps.span, "no `exec` or `httpGet` hook")
                    .help("add the hook to the manifest: `lifecycle: {preStop: {exec: {command: [sleep, \"5\"]}}}`"),
            );
        }
    }
}

/// What became of an entry of `apps`.
#[derive(Clone, Copy, Default)]
struct Use {
    /// It selects pods.
    selected: bool,
    /// And a container of them.
    fits: bool,
    /// For which no entry before it counts.
    counts: bool,
    /// And one of them has a hook of which it says what it does.
    hook_set: bool,
}

/// What an entry says itself.
#[derive(Clone, Copy, Default)]
struct Said {
    startup: bool,
    service_time: bool,
}

fn override_by(app: &mut App, entry: &AppEntry) -> Said {
    let said = Said { startup: entry.startup.is_some(), service_time: entry.service_time.is_some() };
    for (own, other) in [
        (&mut app.startup, &entry.startup),
        (&mut app.service_time, &entry.service_time),
        (&mut app.reaction, &entry.reaction),
    ] {
        if let Some(other) = other {
            own.clone_from(other);
        }
    }
    if let Some(timeout) = entry.keep_alive_timeout {
        app.keep_alive_timeout = timeout.0;
    }
    if let Some(shutdown) = &entry.shutdown {
        shutdown.change(&mut app.shutdown);
    }
    app.capacity = capacity(entry);
    for (name, reaction) in &entry.signals.0 {
        if let Some(signal) = signal_key(&name.value) {
            app.reactions.insert(signal, reaction.0);
        }
    }
    said
}

/// The process is not PID 1: signals that it has no handler for have their default action, which ends it (signal(7); SIGWINCH is
/// ignored by default).
fn as_another_pid(app: &mut App) {
    for signal in [Signal::Term, Signal::Int, Signal::Quit, Signal::Hup, Signal::Usr1] {
        app.reactions.entry(signal).or_insert(Reaction::ExitNow);
    }
}

/// A signal as a key of `signals`; unknown ones have been told of when the file was read.
fn signal_key(name: &str) -> Option<Signal> {
    crate::scenario::hook_command::signal_by_name(name)
}

fn entry_span(entry: &AppEntry) -> Option<crate::scenario::source::Span> {
    let selector = entry.selector.as_ref().map(|s| s.span.clone());
    let deployment = entry.deployment.as_ref().map(|s| s.span.clone());
    let container = entry.container.as_ref().map(|s| s.span.clone());
    deployment.or(selector).or(container)
}

/// A command cut to a length that fits a line.
fn shorten(command: &str) -> String {
    const SHOWN_MAX: usize = 60;
    if command.chars().count() <= SHOWN_MAX {
        return command.to_string();
    }
    command.chars().take(SHOWN_MAX).chain(['…']).collect()
}
