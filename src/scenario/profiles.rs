//! How well-known servers start, serve and take signals: the profiles that a scenario names, and the images from which
//! one follows without being named.
//!
//! What they do on signals is sourced. How long they take to start, to serve and to react is not the server's but the
//! application's: those numbers are assumptions, which the report states and `apps` overrides.

use std::collections::BTreeMap;

use crate::api::pod::Signal;
use crate::engine::{Distribution, Duration};
use crate::simulation::setup::{
    App, Capacity, ConnectionClose, GoAway, IdleConnections, Life, Reaction, Shutdown, SocketAtShutdown,
};

/// A named way to behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The name in a scenario.
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where its reactions to signals come from.
    pub source: &'static str,
    /// The stop signal of its usual image.
    pub stop_signal: Signal,
    reactions: &'static [(Signal, Reaction)],
    keep_alive_seconds: Option<u64>,
    shutdown: Shutdown,
    /// Median and 99th percentile of the time to listen, in milliseconds.
    startup_ms: (u64, u64),
    /// Median and 99th percentile of the time to react to a signal, in milliseconds.
    reaction_ms: (u64, u64),
}

const fn drain(in_flight_max_seconds: Option<u64>) -> Reaction {
    let in_flight_max = match in_flight_max_seconds {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => None,
    };
    Reaction::Drain { linger: Duration::ZERO, in_flight_max, work: Duration::ZERO }
}

const DRAIN: Reaction = drain(None);
/// As most servers part: all that is idle is closed, and last responses say so.
const CLOSES: Shutdown = Shutdown {
    listener: SocketAtShutdown::Closes,
    idle_connections: IdleConnections::Close,
    connection_close: ConnectionClose::WithListener,
    go_away: GoAway::LastStream,
};
const NATIVE_STARTUP_MS: (u64, u64) = (100, 1000);
const APPLICATION_STARTUP_MS: (u64, u64) = (2000, 15_000);
const REACTION_MS: (u64, u64) = (2, 50);

const BASE: Profile = Profile {
    name: "",
    description: "",
    source: "",
    stop_signal: Signal::Term,
    reactions: &[],
    keep_alive_seconds: None,
    shutdown: CLOSES,
    startup_ms: APPLICATION_STARTUP_MS,
    reaction_ms: REACTION_MS,
};

/// All profiles.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "exits-at-once",
        description: "SIGTERM ends it at once, whatever is in flight",
        source: "the plain case: a handler, or a runtime's default, that exits",
        reactions: &[
            (Signal::Term, Reaction::ExitNow),
            (Signal::Int, Reaction::ExitNow),
            (Signal::Quit, Reaction::ExitNow),
        ],
        ..BASE
    },
    Profile {
        name: "graceful",
        description: "SIGTERM closes the listener; what is in flight is finished, then it exits",
        source: "the plain case",
        reactions: &[(Signal::Term, DRAIN), (Signal::Int, DRAIN), (Signal::Quit, Reaction::ExitNow)],
        ..BASE
    },
    Profile {
        name: "ignores-term",
        description: "no handler: as PID 1 it never sees SIGTERM and serves until SIGKILL",
        source: "pid_namespaces(7): a signal without a handler is not delivered to PID 1 of a namespace",
        ..BASE
    },
    Profile {
        name: "nginx",
        description: "nginx: SIGQUIT is the graceful shutdown, SIGTERM the fast one",
        source: "nginx src/os/unix/ngx_process_cycle.c; keepalive_timeout 75 s: src/http/ngx_http_core_module.c; STOPSIGNAL SIGQUIT: docker-nginx commit 3fb70dd (2020-11-24)",
        stop_signal: Signal::Quit,
        reactions: &[(Signal::Quit, DRAIN), (Signal::Term, Reaction::ExitNow), (Signal::Int, Reaction::ExitNow)],
        keep_alive_seconds: Some(75),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "ingress-nginx",
        description: "ingress-nginx: on SIGTERM the controller has nginx shut down gracefully and waits for it",
        source: "kubernetes/ingress-nginx internal/ingress/controller/nginx.go Stop, with --shutdown-grace-period 0; keep-alive 75 s: configuration/configmap.md",
        reactions: &[(Signal::Term, DRAIN)],
        keep_alive_seconds: Some(75),
        ..BASE
    },
    Profile {
        name: "httpd",
        description: "Apache httpd: SIGWINCH is graceful-stop, SIGTERM stops at once",
        source: "httpd manual, stopping.html; KeepAliveTimeout 5 s: mod/core.html; STOPSIGNAL SIGWINCH: docker-library/httpd",
        stop_signal: Signal::Winch,
        reactions: &[(Signal::Winch, DRAIN), (Signal::Term, Reaction::ExitNow), (Signal::Int, Reaction::ExitNow)],
        keep_alive_seconds: Some(5),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "haproxy",
        description: "HAProxy: SIGUSR1 is the soft stop, SIGTERM the hard one",
        source: "HAProxy management guide, section 4; STOPSIGNAL SIGUSR1: docker-library/haproxy",
        stop_signal: Signal::Usr1,
        reactions: &[(Signal::Usr1, DRAIN), (Signal::Term, Reaction::ExitNow), (Signal::Int, Reaction::ExitNow)],
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "go-default",
        description: "Go net/http without a signal handler: the runtime exits on SIGTERM",
        source: "Go package os/signal, \"Default behavior of signals in Go programs\"",
        reactions: &[
            (Signal::Term, Reaction::ExitNow),
            (Signal::Int, Reaction::ExitNow),
            (Signal::Quit, Reaction::ExitNow),
            (Signal::Hup, Reaction::ExitNow),
        ],
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "go-shutdown",
        description: "Go net/http with Server.Shutdown on SIGTERM and no deadline",
        source: "Go package net/http, Server.Shutdown: closes listeners, then idle connections, then waits",
        reactions: &[
            (Signal::Term, DRAIN),
            (Signal::Int, DRAIN),
            (Signal::Quit, Reaction::ExitNow),
            (Signal::Hup, Reaction::ExitNow),
        ],
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "node-default",
        description: "Node.js as PID 1 without a handler: SIGTERM is ignored",
        source: "pid_namespaces(7); keepAliveTimeout 5 s: Node.js http.Server",
        keep_alive_seconds: Some(5),
        ..BASE
    },
    Profile {
        name: "gunicorn",
        description: "gunicorn: SIGTERM lets workers finish for at most 30 s, SIGQUIT and SIGINT stop at once",
        source: "gunicorn arbiter.py, config.py: graceful_timeout 30, keepalive 2",
        reactions: &[
            (Signal::Term, drain(Some(30))),
            (Signal::Quit, Reaction::ExitNow),
            (Signal::Int, Reaction::ExitNow),
        ],
        keep_alive_seconds: Some(2),
        ..BASE
    },
    Profile {
        name: "uvicorn",
        description: "uvicorn: SIGTERM closes the listener and waits for what is in flight without limit",
        source: "uvicorn server.py shutdown; timeout_graceful_shutdown None, timeout_keep_alive 5 s",
        reactions: &[(Signal::Term, DRAIN), (Signal::Int, DRAIN)],
        keep_alive_seconds: Some(5),
        ..BASE
    },
    Profile {
        name: "spring-boot",
        description: "Spring Boot with graceful shutdown, at most 30 s a phase",
        source: "Spring Boot reference, graceful shutdown; timeout-per-shutdown-phase 30 s. The idle timeout of 60 s is Tomcat's connectionTimeout",
        reactions: &[(Signal::Term, drain(Some(30))), (Signal::Int, drain(Some(30)))],
        keep_alive_seconds: Some(60),
        startup_ms: (8000, 30_000),
        reaction_ms: (20, 200),
        ..BASE
    },
    Profile {
        name: "shell-pid1",
        description: "`sh -c app` without exec: the shell ignores SIGTERM, the application never hears of it",
        source: "pid_namespaces(7)",
        ..BASE
    },
];

impl Profile {
    /// The profile of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|p| p.name == name)
    }

    /// An application that behaves so. Service times are p50 20 ms and p99 200 ms, an assumption.
    #[must_use]
    pub fn app(&self) -> App {
        let log_normal = |(p50, p99): (u64, u64)| {
            Distribution::log_normal(Duration::from_millis(p50), Duration::from_millis(p99)).expect("p50 < p99")
        };
        App {
            profile: self.name.to_string(),
            startup: log_normal(self.startup_ms),
            service_time: log_normal((20, 200)),
            reaction: log_normal(self.reaction_ms),
            stop_signal: self.stop_signal,
            reactions: self.reactions.iter().copied().collect::<BTreeMap<_, _>>(),
            keep_alive_timeout: self.keep_alive_seconds.map(Duration::from_secs),
            capacity: Capacity::default(),
            shutdown: self.shutdown,
            life: Life::default(),
        }
    }
}

/// The application that an official image contains, where the image tells; and what was concluded.
#[must_use]
pub fn of_image(image: &str) -> Option<App> {
    let (repository, tag) = split_image(image);
    if repository.ends_with("/ingress-nginx/controller") {
        return Some(Profile::by_name("ingress-nginx")?.app());
    }
    let name = match repository.rsplit_once('/') {
        None => repository,
        // docker.io/library/nginx, and mirrors that keep Docker Hub's path.
        Some((path, name)) if path == "library" || path.ends_with("/library") || path == "docker.io" => name,
        Some(_) => return None,
    };
    let mut app = match name {
        "nginx" | "httpd" | "haproxy" => Profile::by_name(name)?.app(),
        _ => return None,
    };
    if name == "nginx" && nginx_stops_by_term(tag) {
        app.stop_signal = Signal::Term;
    }
    Some(app)
}

/// `registry:5000/path/name:tag@digest` as (`registry:5000/path/name`, `tag`); the tag is `latest` if none is given.
fn split_image(image: &str) -> (&str, &str) {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// Whether the official nginx image of this tag still has STOPSIGNAL SIGTERM: those before 1.19.5. A tag such as `1.19`
/// means its newest patch release.
fn nginx_stops_by_term(tag: &str) -> bool {
    let version = tag.split('-').next().unwrap_or_default();
    let mut parts = version.split('.').map(|p| p.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor), patch) => (major, minor, patch.unwrap_or(u32::MAX)) < (1, 19, 5),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_tells_nginx_stop_signal() {
        for (image, expected) in [
            ("nginx:1.15", Some(Signal::Term)),
            ("nginx:1.14.2", Some(Signal::Term)),
            ("nginx:1.19.4-alpine", Some(Signal::Term)),
            ("nginx:1.19.5", Some(Signal::Quit)),
            ("nginx:1.19", Some(Signal::Quit)),
            ("nginx:1", Some(Signal::Quit)),
            ("nginx", Some(Signal::Quit)),
            ("nginx:stable-alpine", Some(Signal::Quit)),
            ("docker.io/library/nginx:1.27@sha256:0123", Some(Signal::Quit)),
            ("registry:5000/library/nginx", Some(Signal::Quit)),
            ("httpd:2.4", Some(Signal::Winch)),
            ("haproxy", Some(Signal::Usr1)),
            ("registry.k8s.io/ingress-nginx/controller:v1.12.1", Some(Signal::Term)),
            ("controller", None),
            ("bitnami/nginx", None),
            ("registry:5000/nginx", None),
            ("my-nginx:1.15", None),
        ] {
            assert_eq!(of_image(image).map(|app| app.stop_signal), expected, "{image}");
        }
    }

    #[test]
    fn names_are_different_and_every_profile_has_a_source() {
        let mut names: Vec<_> = PROFILES.iter().map(|p| p.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROFILES.len());
        assert!(PROFILES.iter().all(|p| !p.source.is_empty() && !p.description.is_empty()));
    }
}
