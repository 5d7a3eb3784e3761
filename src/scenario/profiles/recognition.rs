//! What a container's image and command tell of the application in it.
//!
//! Only what is safe: official images, whose Dockerfiles were read, and programs whose arguments tell how they behave.

use super::Profile;
use crate::api::pod::Signal;
use crate::engine::Duration;
use crate::scenario::shell_script::{Sureness, keeps_signals};
use crate::simulation::setup::{App, Reaction};

/// What image and command tell.
#[derive(Clone, PartialEq, Debug)]
pub struct Recognised {
    /// The application, if it is known.
    pub app: Option<App>,
    /// What told it: `its image is nginx:1.27`, `it runs gunicorn`.
    pub because: String,
    /// The process of the application is PID 1 of its container.
    pub pid1: bool,
    /// Where the application is not known: whether its runtime alone could make it ignore SIGTERM.
    pub may_ignore: bool,
    /// And how it would wind down, if it does.
    pub graceful: &'static str,
}

/// What a container's image and its `command` and `args` tell. `has_command`: `words` begins with a `command`, not with `args`
/// for the image's entry point.
#[must_use]
pub fn recognise(image: &str, words: &[String], has_command: bool) -> Recognised {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut told = Recognised { app: None, because: String::new(), pid1: true, may_ignore: true, graceful: "graceful" };
    let (program, args) = behind_init(&words, &mut told);
    if let Some((program, args)) = program.zip(Some(args)) {
        of_command(program, args, &mut told);
    }
    let shown = if image.is_empty() { "its image" } else { image };
    let keeps_entry_point = !has_command || program.is_some_and(|program| image_runs(image, program));
    if told.app.is_none() && keeps_entry_point {
        told.app = of_image(image);
        if told.app.is_some() {
            told.because = format!("its image is {shown}");
        }
    } else if let (Some(app), Some(of_image)) = (&mut told.app, of_image(image).filter(|_| keeps_entry_point)) {
        app.stop_signal = of_image.stop_signal;
    }
    if !told.pid1 {
        told.may_ignore = false;
    }
    told
}

/// The last part of a program's path.
fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The program that an init such as tini starts, and its arguments; without an init the words themselves.
fn behind_init<'w>(words: &'w [&'w str], told: &mut Recognised) -> (Option<&'w str>, &'w [&'w str]) {
    let Some((first, rest)) = words.split_first() else { return (None, &[]) };
    let takes_value: &[&str] = match base_name(first) {
        "tini" | "tini-static" => &["-e", "-p"],
        "dumb-init" => &[],
        "env" => {
            let program = rest.iter().position(|word| !word.contains('=') && !word.starts_with('-'));
            return program.map_or((None, &[]), |at| behind_init(&rest[at..], told));
        }
        _ => return (Some(*first), rest),
    };
    // dumb-init can make another signal of the one that it gets
    if rest.iter().take_while(|word| word.starts_with('-')).any(|word| word.starts_with("--rewrite") || *word == "-r") {
        return (None, &[]);
    }
    told.pid1 = false;
    let mut at = 0;
    while let Some(word) = rest.get(at).filter(|word| word.starts_with('-')) {
        at += if takes_value.contains(word) { 2 } else { 1 };
        if *word == "--" {
            break;
        }
    }
    rest.get(at).map_or((None, &[]), |program| (Some(*program), &rest[at + 1..]))
}

/// What a program is, by its name and arguments.
fn of_command(program: &str, args: &[&str], told: &mut Recognised) {
    let name = base_name(program);
    let known = |told: &mut Recognised, profile: &str, because: String| {
        told.app = Profile::by_name(profile).map(Profile::app);
        told.because = because;
    };
    match name {
        "sh" | "bash" | "ash" | "dash" => {
            let script = args.iter().position(|arg| arg.starts_with('-') && arg.ends_with('c'));
            if let Some(script) = script.and_then(|at| args.get(at + 1)) {
                of_script(name, script, told);
            }
        }
        "gunicorn" => {
            if let Some(profile) = gunicorn(args) {
                known(told, profile, "it runs gunicorn".into());
                limit(told, option(args, &["--graceful-timeout"]));
                keep_alive(told, option(args, &["--keep-alive"]));
            }
        }
        "uvicorn" => {
            known(told, "uvicorn", "it runs uvicorn".into());
            limit(told, option(args, &["--timeout-graceful-shutdown"]));
            keep_alive(told, option(args, &["--timeout-keep-alive"]));
        }
        "flask" if args.contains(&"run") => known(told, "python", "it runs Flask's development server".into()),
        "puma" | "unicorn" => known(told, name, format!("it runs {name}")),
        "bundle" => {
            if let ["exec", program, rest @ ..] = args {
                of_command(program, rest, told);
            }
        }
        "node" | "nodejs" => told.graceful = "node-close",
        "java" => told.may_ignore = false,
        "dotnet" => (told.may_ignore, told.graceful) = (false, "dotnet"),
        _ if name.starts_with("python") => match args {
            ["-m", "http.server", ..] => known(told, "python", "it runs Python's http.server".into()),
            ["-m", module @ ("gunicorn" | "uvicorn" | "flask"), rest @ ..] => of_command(module, rest, told),
            _ => {}
        },
        _ => {}
    }
}

/// What becomes of a script that a shell runs.
fn of_script(shell: &str, script: &str, told: &mut Recognised) {
    let last = script.trim().rsplit(['\n', ';']).next().unwrap_or_default();
    let last = last.rsplit("&&").next().unwrap_or_default().trim();
    let (last, execs) = last.strip_prefix("exec ").map_or((last, false), |last| (last, true));
    let stays = keeps_signals(script).map(|sure| match (sure, shell) {
        (Sureness::DependsOnShell, "bash") => None,
        (Sureness::DependsOnShell, "dash") | (Sureness::Stays, _) => Some(true),
        (Sureness::DependsOnShell, _) => Some(false),
    });
    match stays {
        Some(Some(true)) => {
            // under an init it is the shell that a signal ends, and the container with it
            let profile = if told.pid1 { "shell-pid1" } else { "exits-at-once" };
            told.app = Profile::by_name(profile).map(Profile::app);
            told.because = format!("`{shell} -c` stays between the runtime and the application");
        }
        // a handler of the shell's, or a shell of which nobody knows whether it stays
        None if !execs => {}
        Some(Some(false)) => {}
        Some(None) | None => {
            let words: Vec<&str> = last.split_whitespace().collect();
            if let Some((program, args)) = words.split_first() {
                of_command(program, args, told);
            }
        }
    }
}

/// The profile of gunicorn with these arguments, if they tell the class of its workers.
fn gunicorn(args: &[&str]) -> Option<&'static str> {
    let class = option(args, &["-k", "--worker-class"]);
    let threads = option(args, &["--threads"]).and_then(|n| n.parse::<u32>().ok()).unwrap_or(1);
    match class {
        None if args.iter().any(|arg| *arg == "-c" || arg.starts_with("--config")) => None,
        Some("gthread") => Some("gunicorn-gthread"),
        None | Some("sync") => Some(if threads > 1 { "gunicorn-gthread" } else { "gunicorn" }),
        Some(class) if class.starts_with("uvicorn") => Some("gunicorn-uvicorn"),
        Some(_) => None,
    }
}

/// The value of an option that is given as `--name value` or `--name=value`.
fn option<'w>(args: &[&'w str], names: &[&str]) -> Option<&'w str> {
    args.iter().enumerate().find_map(|(at, arg)| {
        let (name, value) = arg.split_once('=').map_or((*arg, None), |(name, value)| (name, Some(value)));
        names.contains(&name).then(|| value.or_else(|| args.get(at + 1).copied())).flatten()
    })
}

/// Puts a limit that the command names, in seconds, in the place of the profile's.
fn limit(told: &mut Recognised, seconds: Option<&str>) {
    let (Some(app), Some(seconds)) = (&mut told.app, seconds.and_then(|s| s.parse().ok())) else { return };
    for reaction in app.reactions.values_mut() {
        if let Reaction::Drain { in_flight_max, .. } = reaction {
            *in_flight_max = Some(Duration::from_secs(seconds));
        }
    }
}

fn keep_alive(told: &mut Recognised, seconds: Option<&str>) {
    if let (Some(app), Some(seconds)) = (&mut told.app, seconds.and_then(|s| s.parse().ok())) {
        app.keep_alive_timeout = Some(Duration::from_secs(seconds));
    }
}

/// Whether a `command` does what the entry point of this image does as well.
fn image_runs(image: &str, program: &str) -> bool {
    let (repository, _) = split_image(image);
    let name = repository.rsplit('/').next().unwrap_or(repository);
    matches!(
        (name, base_name(program)),
        ("nginx" | "nginx-unprivileged", "nginx")
            | ("httpd", "httpd" | "httpd-foreground")
            | ("haproxy", "haproxy")
            | ("caddy", "caddy")
            | ("traefik", "traefik")
            | ("tomcat", "catalina.sh")
            | ("php", "php-fpm" | "apache2-foreground")
            | ("envoy", "envoy")
    ) || base_name(program) == "docker-entrypoint.sh"
}

/// The application that an official image contains, where the image tells.
#[must_use]
pub fn of_image(image: &str) -> Option<App> {
    let (repository, tag) = split_image(image);
    if repository.ends_with("/ingress-nginx/controller") {
        return Some(Profile::by_name("ingress-nginx")?.app());
    }
    let on_docker_hub = repository.strip_prefix("docker.io/").unwrap_or(repository);
    let name = match on_docker_hub.rsplit_once('/') {
        None => on_docker_hub,
        Some(("nginxinc", "nginx-unprivileged")) => "nginx",
        Some(("envoyproxy", "envoy")) => "envoy",
        // docker.io/library/nginx, and mirrors that keep Docker Hub's path.
        Some((path, name)) if path == "library" || path.ends_with("/library") => name,
        Some(_) => return None,
    };
    let (profile, since): (&str, &[(u32, u32, u32)]) = match name {
        // 1.18.0 was built anew when 1.19.4 became 1.19.5
        "nginx" => ("nginx", &[(1, 18, 0), (1, 19, 5)]),
        "httpd" => ("httpd", &[(2, 4, 41)]),
        "haproxy" => ("haproxy", &[(1, 5, 19), (1, 6, 14), (1, 7, 11), (1, 8, 13)]),
        "php" if tag == "apache" || tag.contains("-apache") => ("httpd", &[(7, 1, 31), (7, 2, 21), (7, 3, 8)]),
        "php" if tag == "fpm" || tag.contains("-fpm") => ("php-fpm", &[(7, 1, 28), (7, 2, 17), (7, 3, 4)]),
        "caddy" | "traefik" | "tomcat" | "envoy" => (name, &[]),
        _ => return None,
    };
    let mut app = Profile::by_name(profile)?.app();
    if !has_stop_signal(tag, since) {
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

/// Whether images of this tag have a STOPSIGNAL, which those of a version have `since` some patch release, and all later
/// versions. A tag such as `1.19` means its newest patch release, `latest` the newest of all.
fn has_stop_signal(tag: &str, since: &[(u32, u32, u32)]) -> bool {
    let version = tag.split('-').next().unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (parts.next().flatten(), parts.next().flatten()) else { return true };
    let patch = parts.next().flatten().unwrap_or(u32::MAX);
    match since.iter().find(|first| (first.0, first.1) == (major, minor)) {
        Some(first) => patch >= first.2,
        None => since.last().is_none_or(|last| (major, minor) > (last.0, last.1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_tells_the_stop_signal() {
        for (image, expected) in [
            ("nginx:1.15", Some(Signal::Term)),
            ("nginx:1.14.2", Some(Signal::Term)),
            ("nginx:1.18.0", Some(Signal::Quit)),
            ("nginx:1.19.4-alpine", Some(Signal::Term)),
            ("nginx:1.19.5", Some(Signal::Quit)),
            ("nginx:1.19", Some(Signal::Quit)),
            ("nginx:1", Some(Signal::Quit)),
            ("nginx", Some(Signal::Quit)),
            ("nginx:stable-alpine", Some(Signal::Quit)),
            ("docker.io/library/nginx:1.27@sha256:0123", Some(Signal::Quit)),
            ("docker.io/nginx:1.27", Some(Signal::Quit)),
            ("registry:5000/library/nginx", Some(Signal::Quit)),
            ("nginxinc/nginx-unprivileged:1.27", Some(Signal::Quit)),
            ("nginxinc/nginx-unprivileged:1.19.4", Some(Signal::Term)),
            ("httpd:2.4", Some(Signal::Winch)),
            ("httpd:2.4.39", Some(Signal::Term)),
            ("haproxy", Some(Signal::Usr1)),
            ("haproxy:1.8.12", Some(Signal::Term)),
            ("haproxy:1.7.11", Some(Signal::Usr1)),
            ("php:8.3-apache", Some(Signal::Winch)),
            ("php:8.3-fpm-alpine", Some(Signal::Quit)),
            ("php:8.3", None),
            ("traefik:v3.1", Some(Signal::Term)),
            ("envoyproxy/envoy:v1.31", Some(Signal::Term)),
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
    fn the_command_tells_the_server() {
        // (image, command, profile, PID 1, may ignore SIGTERM)
        type Row = (&'static str, &'static [&'static str], Option<&'static str>, bool, bool);
        let table: [Row; 24] = [
            ("a", &[], None, true, true),
            ("a", &["gunicorn", "-w", "4", "app:app"], Some("gunicorn"), true, true),
            ("a", &["gunicorn", "--threads=4", "app:app"], Some("gunicorn-gthread"), true, true),
            ("a", &["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "a:b"], Some("gunicorn-uvicorn"), true, true),
            ("a", &["gunicorn", "-k", "gevent", "a:b"], None, true, true),
            ("a", &["gunicorn", "-c", "conf.py", "a:b"], None, true, true),
            ("a", &["python3", "-m", "uvicorn", "a:b"], Some("uvicorn"), true, true),
            ("a", &["python", "app.py"], None, true, true),
            ("a", &["python", "-m", "http.server"], Some("python"), true, true),
            ("a", &["/usr/bin/tini", "-g", "-p", "SIGTERM", "--", "gunicorn", "a:b"], Some("gunicorn"), false, false),
            ("a", &["dumb-init", "--", "node", "server.js"], None, false, false),
            ("a", &["dumb-init", "--rewrite", "15:3", "--", "unicorn"], None, true, true),
            ("a", &["node", "server.js"], None, true, true),
            ("a", &["java", "-jar", "app.jar"], None, true, false),
            ("a", &["sh", "-c", "migrate && exec gunicorn a:b"], Some("gunicorn"), true, true),
            ("a", &["bash", "-c", "migrate && gunicorn a:b"], Some("gunicorn"), true, true),
            ("a", &["dash", "-c", "migrate && gunicorn a:b"], Some("shell-pid1"), true, true),
            ("a", &["sh", "-c", "gunicorn a:b"], None, true, true),
            ("a", &["sh", "-c", "gunicorn a:b | tee log"], Some("shell-pid1"), true, true),
            ("a", &["tini", "--", "sh", "-c", "gunicorn a:b | tee log"], Some("exits-at-once"), false, false),
            ("a", &["bundle", "exec", "puma", "-C", "config/puma.rb"], Some("puma"), true, true),
            ("nginx", &["nginx", "-g", "daemon off;"], Some("nginx"), true, true),
            ("nginx", &["sleep", "infinity"], None, true, true),
            ("nginx", &["env", "A=b", "nginx"], Some("nginx"), true, true),
        ];
        for (image, command, profile, pid1, may_ignore) in table {
            let words: Vec<String> = command.iter().map(|word| (*word).to_string()).collect();
            let told = recognise(image, &words, true);
            let got = (told.app.as_ref().map(|app| app.profile.as_str()), told.pid1, told.may_ignore);
            assert_eq!(got, (profile, pid1, may_ignore), "{image} {command:?}");
        }
    }

    #[test]
    fn arguments_of_the_image_leave_it_what_it_is() {
        let args = ["nginx-debug".to_string(), "-g".to_string()];
        assert_eq!(recognise("nginx", &args, false).app.map(|app| app.profile), Some("nginx".into()));
        let told = recognise("a", &["gunicorn".into(), "--graceful-timeout=5".into(), "x:y".into()], false);
        let limits: Vec<_> = told.app.unwrap().reactions.into_values().collect();
        assert!(limits.contains(&Reaction::Drain {
            linger: Duration::ZERO,
            in_flight_max: Some(Duration::from_secs(5)),
            work: Duration::ZERO
        }));
    }
}
