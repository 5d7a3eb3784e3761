//! The profiles, one by one. Versions that the sources were read at: nginx 1.29, httpd trunk, HAProxy 3.4-dev, Tomcat 11,
//! gunicorn 26.1, uvicorn 0.35, Puma 8.0, unicorn 6.1, Spring Boot 4.2-M1, all in the summer of 2026 unless said otherwise.

use super::Profile;
use crate::api::pod::Signal;
use crate::engine::Duration;
use crate::simulation::setup::{ConnectionClose, GoAway, IdleConnections, Reaction, Shutdown, SocketAtShutdown};

const fn drain(in_flight_max_seconds: Option<u64>) -> Reaction {
    let in_flight_max = match in_flight_max_seconds {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => None,
    };
    Reaction::Drain { linger: Duration::ZERO, in_flight_max, work: Duration::ZERO }
}

const DRAIN: Reaction = drain(None);
const EXIT: Reaction = Reaction::ExitNow;
const NATIVE_STARTUP_MS: (u64, u64) = (100, 1000);
const APPLICATION_STARTUP_MS: (u64, u64) = (2000, 15_000);
const JVM_STARTUP_MS: (u64, u64) = (8000, 30_000);
const REACTION_MS: (u64, u64) = (2, 50);
const JVM_REACTION_MS: (u64, u64) = (20, 200);

/// As most servers part: all that is idle is closed, and last responses say so.
const CLOSES: Shutdown = Shutdown {
    listener: SocketAtShutdown::Closes,
    idle_connections: IdleConnections::Close,
    connection_close: ConnectionClose::WithListener,
    go_away: GoAway::LastStream,
};
/// The same without HTTP/2.
const CLOSES_HTTP1: Shutdown = Shutdown { go_away: GoAway::Never, ..CLOSES };
/// The connection is closed after its last response, which does not say so.
const CLOSES_SILENTLY: Shutdown = Shutdown { connection_close: ConnectionClose::Never, ..CLOSES_HTTP1 };
/// Every response closes its connection.
const KEEPS_NONE: Shutdown = Shutdown { connection_close: ConnectionClose::Always, ..CLOSES_HTTP1 };
/// Tomcat's connector, when paused.
const TOMCAT: Shutdown = Shutdown {
    listener: SocketAtShutdown::Closes,
    idle_connections: IdleConnections::CloseOnUse,
    connection_close: ConnectionClose::Never,
    go_away: GoAway::Graceful,
};

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

const EXITS: &[(Signal, Reaction)] = &[(Signal::Term, EXIT), (Signal::Int, EXIT), (Signal::Quit, EXIT)];
const DRAINS: &[(Signal, Reaction)] = &[(Signal::Term, DRAIN), (Signal::Int, DRAIN), (Signal::Quit, EXIT)];
const DRAINS_30: &[(Signal, Reaction)] = &[(Signal::Term, drain(Some(30))), (Signal::Int, drain(Some(30)))];
/// What the Go runtime does where the program does not care.
const GO_EXITS: &[(Signal, Reaction)] =
    &[(Signal::Term, EXIT), (Signal::Int, EXIT), (Signal::Quit, EXIT), (Signal::Hup, EXIT)];
const GO_DRAINS: &[(Signal, Reaction)] =
    &[(Signal::Term, DRAIN), (Signal::Int, DRAIN), (Signal::Quit, EXIT), (Signal::Hup, EXIT)];

/// All profiles.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "exits-at-once",
        description: "SIGTERM ends it at once, whatever is in flight",
        source: "the plain case: a handler, or a runtime's default, that exits",
        reactions: EXITS,
        ..BASE
    },
    Profile {
        name: "graceful",
        description: "SIGTERM closes the listener; what is in flight is finished, then it exits",
        source: "the plain case",
        reactions: DRAINS,
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
        source: "nginx src/os/unix/ngx_process_cycle.c, ngx_http_header_filter_module.c (Connection: close while ngx_exiting), \
                 v2/ngx_http_v2.c; keepalive_timeout 75 s: ngx_http_core_module.c; STOPSIGNAL SIGQUIT: docker-nginx commit \
                 3fb70dd (2020-11-24, 1.19.5), docker-nginx-unprivileged 015ce72 (2020-12-03)",
        stop_signal: Signal::Quit,
        reactions: &[(Signal::Quit, DRAIN), (Signal::Term, EXIT), (Signal::Int, EXIT)],
        keep_alive_seconds: Some(75),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "ingress-nginx",
        description: "ingress-nginx: on SIGTERM the controller has nginx shut down gracefully, for at most 240 s, waits for it, and exits 10 s later",
        source: "kubernetes/ingress-nginx internal/ingress/controller/nginx.go Stop, with --shutdown-grace-period 0; pkg/util/process/sigterm.go \
                 HandleSigterm, pkg/flags/flags.go (--post-shutdown-grace-period 10: the controller itself stays so long); \
                 worker-shutdown-timeout 240s, keep-alive 75 s: controller/config/config.go NewDefault (controller-v1.15.1)",
        reactions: &[(
            Signal::Term,
            Reaction::Drain {
                linger: Duration::ZERO,
                in_flight_max: Some(Duration::from_secs(240)),
                work: Duration::from_secs(10),
            },
        )],
        keep_alive_seconds: Some(75),
        ..BASE
    },
    Profile {
        name: "httpd",
        description: "Apache httpd: SIGWINCH is graceful-stop, SIGTERM stops at once",
        source: "httpd docs/manual/stopping.xml; server/mpm/event/event.c (idle connections are closed), \
                 modules/http/http_protocol.c (Connection: close while stopping), modules/http2/h2_session.c (shutdown \
                 notice); GracefulShutdownTimeout 0: none; KeepAliveTimeout 5 s: mod/core.html; STOPSIGNAL SIGWINCH: \
                 docker-library/httpd commit 3ebff8d (2019-08-20), docker-library/php 9e50ad0 (2019-08-20)",
        stop_signal: Signal::Winch,
        reactions: &[(Signal::Winch, DRAIN), (Signal::Term, EXIT), (Signal::Int, EXIT)],
        keep_alive_seconds: Some(5),
        shutdown: Shutdown { go_away: GoAway::Graceful, ..CLOSES },
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "haproxy",
        description: "HAProxy: SIGUSR1 is the soft stop, SIGTERM the hard one",
        source: "HAProxy doc/management.txt section 4; doc/configuration.txt close-spread-time (idle connections are closed \
                 at once, Connection: close or GOAWAY on others), hard-stop-after: none; STOPSIGNAL SIGUSR1: \
                 docker-library/haproxy commit 063fd36 (2018-08-25)",
        stop_signal: Signal::Usr1,
        reactions: &[(Signal::Usr1, DRAIN), (Signal::Term, EXIT), (Signal::Int, EXIT)],
        shutdown: Shutdown { go_away: GoAway::Graceful, ..CLOSES },
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "envoy",
        description: "Envoy: SIGTERM closes the listeners and ends it at once; draining must be asked for before (healthcheck/fail, drain_listeners?graceful)",
        source: "Envoy docs v1.40, arch_overview/operations/draining: by default listeners are closed immediately on server \
                 shutdown; idle_timeout 1 h: api/envoy/config/core/v3/protocol.proto HttpProtocolOptions",
        reactions: &[(Signal::Term, EXIT), (Signal::Int, EXIT)],
        keep_alive_seconds: Some(3600),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "caddy",
        description: "Caddy: SIGTERM shuts servers down gracefully without a limit, SIGQUIT ends it at once",
        source: "caddy sigtrap_posix.go; modules/caddyhttp/app.go Stop (grace_period 0: eternal, shutdown_delay 0; idle 5 min), \
                 which calls net/http Server.Shutdown",
        reactions: &[(Signal::Term, DRAIN), (Signal::Int, DRAIN), (Signal::Quit, EXIT)],
        keep_alive_seconds: Some(300),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "traefik",
        description: "Traefik: SIGTERM shuts servers down gracefully, for at most 10 s",
        source: "traefik pkg/server/server_entrypoint_tcp.go Shutdown, pkg/config/static/static_config.go (graceTimeOut 10 s, \
                 requestAcceptGraceTimeout 0, idle 180 s)",
        reactions: &[(Signal::Term, drain(Some(10))), (Signal::Int, drain(Some(10))), (Signal::Quit, EXIT)],
        keep_alive_seconds: Some(180),
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "go-default",
        description: "Go net/http without a signal handler: the runtime exits on SIGTERM",
        source: "Go package os/signal, \"Default behavior of signals in Go programs\"",
        reactions: GO_EXITS,
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "go-shutdown",
        description: "Go net/http with Server.Shutdown on SIGTERM and no deadline",
        source: "Go net/http server.go Shutdown (listeners, then idle connections, then waits), doKeepAlives (Connection: \
                 close while shutting down); h2_bundle.go (frames above the last stream are discarded)",
        reactions: GO_DRAINS,
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "go-shutdown-not-awaited",
        description: "Go net/http whose main returns when ListenAndServe does, which is when Shutdown begins: what is in flight is cut",
        source: "Go package net/http, Server.Shutdown: \"make sure the program doesn't exit and waits instead for Shutdown to \
                 return\"",
        reactions: GO_EXITS,
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "grpc-go-graceful",
        description: "gRPC-Go with GracefulStop on SIGTERM",
        source: "grpc-go server.go GracefulStop, internal/transport/http2_server.go outgoingGoAwayHandler (GOAWAY, ping, GOAWAY)",
        reactions: GO_DRAINS,
        shutdown: Shutdown { go_away: GoAway::Graceful, ..CLOSES },
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "node-default",
        description: "Node.js as PID 1 without a handler: SIGTERM is ignored",
        source: "pid_namespaces(7); keepAliveTimeout 5 s: Node.js http.Server (65 s on its main branch in 2026)",
        keep_alive_seconds: Some(5),
        ..BASE
    },
    Profile {
        name: "node-close",
        description: "Node.js 19 and later with server.close on SIGTERM: idle connections are closed, those that are busy then are kept afterwards",
        source: "Node.js lib/_http_server.js Server.close, closeIdleConnections, resOnFinish (no look at whether the server \
                 is closing); http.md: since v19.0.0",
        reactions: &[(Signal::Term, DRAIN)],
        keep_alive_seconds: Some(5),
        shutdown: Shutdown {
            idle_connections: IdleConnections::CloseOnce,
            connection_close: ConnectionClose::Never,
            ..CLOSES_HTTP1
        },
        ..BASE
    },
    Profile {
        name: "node-close-18",
        description: "Node.js 18 and earlier with server.close on SIGTERM: kept connections are served on, and waited for",
        source: "Node.js issues 51677, 53939: idle connections are not closed before v19 (but for 18.19.0 to 18.20.2, by mistake)",
        reactions: &[(Signal::Term, DRAIN)],
        keep_alive_seconds: Some(5),
        shutdown: Shutdown {
            idle_connections: IdleConnections::Serve,
            connection_close: ConnectionClose::Never,
            ..CLOSES_HTTP1
        },
        ..BASE
    },
    Profile {
        name: "gunicorn",
        description: "gunicorn with sync workers, which keep no connections: SIGTERM lets workers finish for at most 30 s, SIGQUIT and SIGINT stop at once",
        source: "gunicorn arbiter.py stop (the workers hold the socket until they exit), workers/sync.py (force_close), \
                 config.py: graceful_timeout 30",
        reactions: &[(Signal::Term, drain(Some(30))), (Signal::Quit, EXIT), (Signal::Int, EXIT)],
        shutdown: Shutdown { listener: SocketAtShutdown::OpenUntilExit, ..KEEPS_NONE },
        ..BASE
    },
    Profile {
        name: "gunicorn-gthread",
        description: "gunicorn with gthread workers: as with sync ones, but kept connections are served until their timeout",
        source: "gunicorn workers/gthread.py run, handle_request (force_close when not alive), config.py: keepalive 2, \
                 graceful_timeout 30",
        reactions: &[(Signal::Term, drain(Some(30))), (Signal::Quit, EXIT), (Signal::Int, EXIT)],
        keep_alive_seconds: Some(2),
        shutdown: Shutdown {
            listener: SocketAtShutdown::OpenUntilExit,
            idle_connections: IdleConnections::Serve,
            ..CLOSES_HTTP1
        },
        ..BASE
    },
    Profile {
        name: "gunicorn-uvicorn",
        description: "gunicorn with uvicorn workers: as uvicorn, for at most 30 s",
        source: "uvicorn workers.py (timeout_keep_alive is gunicorn's keepalive, 2 s), server.py; gunicorn config.py",
        reactions: &[(Signal::Term, drain(Some(30))), (Signal::Quit, drain(Some(30))), (Signal::Int, drain(Some(30)))],
        keep_alive_seconds: Some(2),
        shutdown: CLOSES_SILENTLY,
        ..BASE
    },
    Profile {
        name: "uvicorn",
        description: "uvicorn: SIGTERM closes the listener and waits for what is in flight without limit",
        source: "uvicorn server.py shutdown; protocols/http (no Connection: close on the last response); \
                 timeout_graceful_shutdown None, timeout_keep_alive 5 s",
        reactions: &[(Signal::Term, DRAIN), (Signal::Int, DRAIN)],
        keep_alive_seconds: Some(5),
        shutdown: CLOSES_SILENTLY,
        ..BASE
    },
    Profile {
        name: "python",
        description: "plain Python or Flask's development server as PID 1: no handler for SIGTERM; SIGINT ends it",
        source: "pid_namespaces(7); Python signal module: only SIGINT has a handler; werkzeug _reloader.py (only the reloader \
                 has one for SIGTERM)",
        reactions: &[(Signal::Int, EXIT)],
        ..BASE
    },
    Profile {
        name: "puma",
        description: "Puma: SIGTERM closes the listener and finishes what is in flight without limit",
        source: "puma lib/puma/server.rb graceful_shutdown, reactor.rb (idle connections are closed), configuration.rb: \
                 force_shutdown_after -1, persistent_timeout 65 (20 before 7.0); in a cluster worker_shutdown_timeout 30",
        reactions: &[(Signal::Term, DRAIN), (Signal::Int, EXIT)],
        keep_alive_seconds: Some(65),
        shutdown: CLOSES_SILENTLY,
        ..BASE
    },
    Profile {
        name: "unicorn",
        description: "unicorn, which keeps no connections: SIGQUIT is the graceful stop, for at most 60 s, SIGTERM the quick one",
        source: "unicorn SIGNALS; lib/unicorn/http_server.rb stop, init_worker_process; http_response.rb (Connection: close)",
        reactions: &[(Signal::Term, EXIT), (Signal::Int, EXIT), (Signal::Quit, drain(Some(60)))],
        shutdown: KEEPS_NONE,
        ..BASE
    },
    Profile {
        name: "php-fpm",
        description: "PHP-FPM with process_control_timeout 0: SIGQUIT is followed by SIGTERM to the workers at once, so all signals cut what is in flight",
        source: "php-src sapi/fpm/fpm/fpm_process_ctl.c fpm_pctl_action_next; process_control_timeout 0: php-fpm.conf; \
                 STOPSIGNAL SIGQUIT: docker-library/php commit e21810a (2019-04-18)",
        stop_signal: Signal::Quit,
        reactions: EXITS,
        startup_ms: NATIVE_STARTUP_MS,
        ..BASE
    },
    Profile {
        name: "tomcat",
        description: "Tomcat: SIGTERM pauses the connector; requests have 2 s",
        source: "Tomcat StandardService.java stopInternal, Acceptor.java (paused: nobody accepts), Http11Processor.java (paused: \
                 a connection that is used is closed), StandardWrapper.java (unloadDelay 2000); keep-alive 20 s: conf/server.xml; \
                 bin/catalina.sh run: exec",
        reactions: &[(Signal::Term, drain(Some(2))), (Signal::Int, drain(Some(2)))],
        keep_alive_seconds: Some(20),
        shutdown: Shutdown { listener: SocketAtShutdown::OpenUntilExit, ..TOMCAT },
        startup_ms: JVM_STARTUP_MS,
        reaction_ms: JVM_REACTION_MS,
        ..BASE
    },
    Profile {
        name: "spring-boot",
        description: "Spring Boot from 3.4 on (or with server.shutdown: graceful), on Tomcat: at most 30 s a phase",
        source: "Spring Boot commit 814369e (graceful by default, 3.4.0); GracefulShutdown.java, timeout-per-shutdown-phase 30 s; \
                 Tomcat AbstractEndpoint.java closeServerSocketGraceful, Http11Processor.java, Http2UpgradeHandler.java; the \
                 idle timeout of 60 s is Tomcat's connectionTimeout",
        reactions: DRAINS_30,
        keep_alive_seconds: Some(60),
        shutdown: TOMCAT,
        startup_ms: JVM_STARTUP_MS,
        reaction_ms: JVM_REACTION_MS,
        ..BASE
    },
    Profile {
        name: "spring-boot-3.3",
        description: "Spring Boot before 3.4 (or with server.shutdown: immediate), on Tomcat: requests have 2 s",
        source: "Spring Boot before commit 814369e; TomcatWebServer.java stop (bindOnInit false), Tomcat StandardWrapper.java \
                 (unloadDelay 2000)",
        reactions: &[(Signal::Term, drain(Some(2))), (Signal::Int, drain(Some(2)))],
        keep_alive_seconds: Some(60),
        shutdown: TOMCAT,
        startup_ms: JVM_STARTUP_MS,
        reaction_ms: JVM_REACTION_MS,
        ..BASE
    },
    Profile {
        name: "quarkus",
        description: "Quarkus without quarkus.shutdown.timeout: SIGTERM ends it at once",
        source: "Quarkus ShutdownConfig.java: without a timeout the application exits immediately",
        reactions: EXITS,
        ..BASE
    },
    Profile {
        name: "dotnet",
        description: "ASP.NET Core on .NET 7 and later: SIGTERM stops Kestrel gracefully, for at most 30 s",
        source: "dotnet/runtime PR 63712 (HostOptions.ShutdownTimeout 30 s, January 2022: after .NET 6); Kestrel \
                 Http2Connection.cs; KeepAliveTimeout 130 s: KestrelServerLimits",
        reactions: DRAINS_30,
        keep_alive_seconds: Some(130),
        shutdown: Shutdown { go_away: GoAway::Graceful, ..CLOSES },
        ..BASE
    },
    Profile {
        name: "dotnet-6",
        description: "ASP.NET Core up to .NET 6: as `dotnet`, for at most 5 s",
        source: "dotnet/runtime issue 63709: HostOptions.ShutdownTimeout was 5 s",
        reactions: &[(Signal::Term, drain(Some(5))), (Signal::Int, drain(Some(5)))],
        keep_alive_seconds: Some(130),
        shutdown: Shutdown { go_away: GoAway::Graceful, ..CLOSES },
        ..BASE
    },
    Profile {
        name: "shell-pid1",
        description: "`sh -c app` with a shell that stays: it ignores SIGTERM, the application never hears of it",
        source: "pid_namespaces(7). dash 0.5.12 stays; bash 5.2 replaces itself by the last command of a script, if that is a \
                 simple one (tried)",
        ..BASE
    },
];
