//! The proxies that meshes put into pods, as their agents end them.
//!
//! Versions that the sources were read at: Istio's agent of 1.27 and 1.30.3 (`pkg/envoy`, `pilot/cmd/pilot-agent`), its
//! injection template with native sidecars; Envoy's documentation of 1.32 and its main branch of 2026; linkerd2-proxy 2.366.0
//! (August 2026).
//!
//! The variable TERMINATION_DRAIN_DURATION_SECONDS, which older texts name, is not read by these agents.

use std::collections::BTreeMap;

use super::Profile;
use crate::api::pod::Signal;
use crate::engine::Duration;
use crate::scenario::source::SourceFile;
use crate::scenario::tree::{self, Node};
use crate::simulation::setup::{
    App, ConnectionClose, GoAway, IdleConnections, NobodyBehind, Reaction, Shutdown, SocketAtShutdown,
};

/// `terminationDrainDuration` (`pkg/config/mesh/mesh.go` DefaultProxyConfig).
const TERMINATION_DRAIN: Duration = Duration::from_secs(5);
/// `drainDuration`, which becomes Envoy's `--drain-time-s` (the same file).
const DRAIN: Duration = Duration::from_secs(45);
/// `MINIMUM_DRAIN_DURATION` (`pilot/cmd/pilot-agent/options/options.go`).
const MINIMUM_DRAIN: Duration = Duration::from_secs(5);
/// `activeConnectionCheckDelay` (`pkg/envoy/agent.go`).
const CHECK: Duration = Duration::from_secs(1);
/// `LINKERD2_PROXY_SHUTDOWN_GRACE_PERIOD` (linkerd2-proxy `linkerd/app/src/env.rs` DEFAULT_SHUTDOWN_GRACE_PERIOD).
const LINKERD_GRACE: Duration = Duration::from_secs(120);

const fn istio(linger: Duration) -> Reaction {
    Reaction::Drain { linger, in_flight_max: Some(Duration::ZERO), work: Duration::ZERO }
}

const fn linkerd(grace: Duration) -> Reaction {
    Reaction::Drain { linger: Duration::ZERO, in_flight_max: Some(grace), work: Duration::ZERO }
}

/// The profiles of these proxies.
pub const PROXIES: &[Profile] = &[
    Profile {
        name: "istio-proxy",
        description: "Istio's sidecar: on SIGTERM it says Connection: close for 5 s and goes on accepting, then Envoy is killed with whatever is in flight",
        source: "istio pkg/envoy/agent.go terminate (drain, terminationDrainDuration, SIGKILL), admin.go DrainListeners \
                 (drain_listeners?inboundonly&graceful), proxy.go args (--drain-strategy immediate, --drain-time-s); \
                 pkg/config/mesh/mesh.go (1.30.3); Envoy source/server/drain_manager_impl.cc, admin/listeners_handler.cc (new connections \
                 are accepted until the drain time is over); idle_timeout 1 h: config/core/v3/protocol.proto",
        stop_signal: Signal::Term,
        reactions: &[(Signal::Term, istio(TERMINATION_DRAIN)), (Signal::Int, istio(TERMINATION_DRAIN))],
        keep_alive_seconds: Some(3600),
        shutdown: Shutdown {
            listener: SocketAtShutdown::Closes,
            idle_connections: IdleConnections::ServeUntilExit,
            connection_close: ConnectionClose::OnSignal,
            go_away: GoAway::Graceful,
        },
        startup_ms: (1000, 4000),
        reaction_ms: (2, 50),
    },
    Profile {
        name: "linkerd-proxy",
        description: "Linkerd's sidecar: SIGTERM closes the listener, what is open is finished, for 2 min at most",
        source: "linkerd2-proxy linkerd2-proxy/src/main.rs, linkerd/app/core/src/serve.rs (the listener ends with the drain \
                 signal), linkerd/app/src/env.rs (shutdown grace period 2 min) (2.366.0); linkerd.io, \"Graceful Pod Shutdown\"",
        stop_signal: Signal::Term,
        reactions: &[(Signal::Term, linkerd(LINKERD_GRACE)), (Signal::Int, linkerd(LINKERD_GRACE))],
        keep_alive_seconds: None,
        shutdown: Shutdown {
            listener: SocketAtShutdown::Closes,
            idle_connections: IdleConnections::Close,
            connection_close: ConnectionClose::WithListener,
            go_away: GoAway::Graceful,
        },
        startup_ms: (300, 2000),
        reaction_ms: (2, 50),
    },
];

/// A mesh that puts a proxy before each application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mesh {
    /// Istio, in sidecar mode.
    Istio,
    /// Linkerd.
    Linkerd,
}

/// What a manifest says of such a proxy.
#[derive(Clone, Copy, Debug)]
pub struct ProxyManifest<'a> {
    /// The annotations of its pod.
    pub annotations: &'a BTreeMap<String, String>,
    /// Its `env`: names, and values that stand there.
    pub env: &'a BTreeMap<String, String>,
    /// Its preStop hook has the agent drain: `pilot-agent request … POST drain`.
    pub drains_in_hook: bool,
}

/// Whose proxy a container is, and what tells so. Mirrors keep the images' names, or at least the container's.
#[must_use]
pub fn recognise_proxy(container: &str, image: &str) -> Option<(Mesh, String)> {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let (path, last) = image.rsplit_once('/').unwrap_or(("", image));
    let last = last.split(':').next().unwrap_or_default();
    let by_image = match last {
        "proxyv2" => Some(Mesh::Istio),
        "proxy" if path.rsplit('/').next() == Some("linkerd") => Some(Mesh::Linkerd),
        _ => None,
    };
    if let Some(mesh) = by_image {
        return Some((mesh, format!("its image is {image}")));
    }
    let by_name = match container {
        "istio-proxy" => Some(Mesh::Istio),
        "linkerd-proxy" => Some(Mesh::Linkerd),
        _ => None,
    };
    by_name.map(|mesh| (mesh, format!("it is called {container}")))
}

impl Mesh {
    /// The profile of its proxies.
    #[must_use]
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Istio => "istio-proxy",
            Self::Linkerd => "linkerd-proxy",
        }
    }

    /// Its proxy with these settings.
    #[must_use]
    pub fn app(self, manifest: &ProxyManifest<'_>) -> App {
        let mut app = Profile::by_name(self.profile()).expect("it is in the table").app();
        let reaction = match self {
            Self::Istio => istio_reaction(manifest, &mut app),
            Self::Linkerd => {
                let says = |key: &str| manifest.annotations.get(key).and_then(|text| text.parse().ok());
                let env = manifest.env.get("LINKERD2_PROXY_SHUTDOWN_GRACE_PERIOD").and_then(|text| text.parse().ok());
                linkerd(env.or_else(|| says("config.linkerd.io/shutdown-grace-period")).unwrap_or(LINKERD_GRACE))
            }
        };
        for own in app.reactions.values_mut() {
            *own = reaction;
        }
        app
    }
}

/// What pilot-agent does on SIGTERM.
///
/// Source: istio `pkg/envoy/agent.go` terminate, DrainNow: if `/drain` was called before, it is over at once; else it drains,
/// and either sleeps for terminationDrainDuration, or, with EXIT_ON_ZERO_ACTIVE_CONNECTIONS, for MINIMUM_DRAIN_DURATION and then
/// until a look, one each second, finds no connection. In the end it kills Envoy. Envoy itself closes its listeners when the
/// drain time is over.
fn istio_reaction(manifest: &ProxyManifest<'_>, app: &mut App) -> Reaction {
    if manifest.drains_in_hook {
        app.shutdown.connection_close = ConnectionClose::OnPreStop;
        return Reaction::ExitNow;
    }
    let by_annotation = manifest.annotations.get("proxy.istio.io/config").and_then(|text| yaml(text));
    let by_injection = manifest.env.get("PROXY_CONFIG").and_then(|text| yaml(text));
    let configs = [by_annotation, by_injection];
    let config = |path: &[&str]| configs.iter().flatten().find_map(|config| config.at(path)?.as_str());
    let variable = |name: &str| {
        manifest.env.get(name).map(String::as_str).or_else(|| config(&["proxyMetadata", name])).unwrap_or_default()
    };
    let span = |text: Option<&str>, default: Duration| text.and_then(|text| text.parse().ok()).unwrap_or(default);
    // strconv.ParseBool
    if matches!(variable("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"), "1" | "t" | "T" | "true" | "TRUE" | "True") {
        let least = span(Some(variable("MINIMUM_DRAIN_DURATION")), MINIMUM_DRAIN);
        return Reaction::Outlast { least, every: CHECK };
    }
    let drain = span(config(&["terminationDrainDuration"]), TERMINATION_DRAIN);
    let linger = drain.min(span(config(&["drainDuration"]), DRAIN));
    Reaction::Drain { linger, in_flight_max: Some(drain - linger), work: Duration::ZERO }
}

/// A text that is YAML, or JSON.
fn yaml(text: &str) -> Option<Node> {
    tree::parse(&SourceFile::new("proxy.istio.io/config", text, 0), 0).ok()?.pop()
}

/// What a proxy of this profile answers if it has nobody to hand a request to.
///
/// Source: Envoy, access log, response flags UF and UC (503 both); linkerd2-proxy `linkerd/app/inbound/src/http/router.rs`
/// ClientRescue (an I/O error is 502; a connect timeout would be 504) (2.366.0); HAProxy `src/http_ana.c` http_return_srv_error
/// (STRM_ET_CONN_ERR: 503) (3.5-dev5); httpd `modules/proxy/mod_proxy_http.c` (no connection: 503) (trunk, October 2024).
/// Assumption: the others say Bad Gateway, as nginx does.
///
/// Simplified: the same if the connection ends with a request unfinished. HAProxy and httpd say 502 then (termination state SH;
/// "Error reading from remote server").
#[must_use]
pub fn nobody_behind(profile: &str) -> NobodyBehind {
    match profile {
        "istio-proxy" | "envoy" | "haproxy" | "httpd" => NobodyBehind::Http503,
        _ => NobodyBehind::Http502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(annotations: &[(&str, &str)], env: &[(&str, &str)]) -> Reaction {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let (annotations, env) = (map(annotations), map(env));
        let manifest = ProxyManifest { annotations: &annotations, env: &env, drains_in_hook: false };
        Mesh::Istio.app(&manifest).reactions[&Signal::Term]
    }

    #[test]
    fn the_agent_of_istio_is_told_how_to_end_in_three_places() {
        let seconds = Duration::from_secs;
        let config = "proxy.istio.io/config";
        assert_eq!(reaction(&[], &[]), istio(seconds(5)));
        assert_eq!(reaction(&[(config, "terminationDrainDuration: 20s\n")], &[]), istio(seconds(20)));
        assert_eq!(reaction(&[], &[("PROXY_CONFIG", "{\"terminationDrainDuration\":\"7s\"}")]), istio(seconds(7)));
        let longer = Reaction::Drain { linger: seconds(45), in_flight_max: Some(seconds(15)), work: Duration::ZERO };
        assert_eq!(reaction(&[(config, "{terminationDrainDuration: 1m}")], &[]), longer);
        let outlast = |least| Reaction::Outlast { least: seconds(least), every: seconds(1) };
        let exit = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS";
        assert_eq!(reaction(&[], &[(exit, "true"), ("MINIMUM_DRAIN_DURATION", "9s")]), outlast(9));
        let metadata = format!("proxyMetadata: {{{exit}: 'true'}}");
        assert_eq!(reaction(&[(config, &metadata)], &[]), outlast(5));
        assert_eq!(reaction(&[(config, &metadata)], &[(exit, "false")]), istio(seconds(5)));
        assert_eq!(reaction(&[(config, "{")], &[]), istio(seconds(5)));
    }

    #[test]
    fn a_proxy_is_known_by_its_image_or_its_name() {
        let mesh = |container, image| recognise_proxy(container, image).map(|(mesh, _)| mesh);
        assert_eq!(mesh("istio-proxy", "auto"), Some(Mesh::Istio));
        assert_eq!(mesh("x", "docker.io/istio/proxyv2:1.27.1"), Some(Mesh::Istio));
        assert_eq!(mesh("x", "registry:5000/mesh/proxyv2@sha256:12"), Some(Mesh::Istio));
        assert_eq!(mesh("linkerd-proxy", "mirror/proxy:1"), Some(Mesh::Linkerd));
        assert_eq!(mesh("x", "cr.l5d.io/linkerd/proxy:edge-25.1.1"), Some(Mesh::Linkerd));
        assert_eq!(mesh("x", "example/proxy:1"), None);
    }
}
