//! Short names for what is turned most often: `--set preStop=10s`, `--vary gracePeriod=30s..90s:10s`.
//!
//! A handle stands where a path stands, alone for all objects that have such a thing or after an object:
//! `Deployment/default/web:preStop=10s`. It changes the manifests as a person would: `preStop` keeps the rest of a hook's
//! command, so `sleep 5 && nginx -s quit` becomes `sleep 10 && nginx -s quit`. Where Kubernetes has no `preStop.sleep` yet, a
//! new hook runs the program `sleep` of the image, as people do there; that the image has one is then an assumption.

use crate::api::Version;
use crate::engine::Duration;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::document::Document;
use crate::scenario::profiles::recognise_proxy;
use crate::scenario::read::Read;
use crate::scenario::source::Span;
use crate::scenario::tree::{Entry, Node, Value};

/// The handles, and what each of them changes.
pub const HANDLES: [(&str, &str); 5] = [
    (
        "preStop",
        "how long preStop hooks sleep; pods without a hook get one, and so does a mesh's sidecar among the containers",
    ),
    ("gracePeriod", "terminationGracePeriodSeconds of pod templates"),
    ("replicas", "replicas of Deployments and ReplicaSets"),
    ("minAvailable", "minAvailable of PodDisruptionBudgets; removes maxUnavailable"),
    ("maxUnavailable", "maxUnavailable of PodDisruptionBudgets; removes minAvailable"),
];

/// Whether a key is the name of a handle.
pub fn is_handle(key: &str) -> bool {
    HANDLES.iter().any(|(name, _)| *name == key)
}

/// Turns a handle of these documents, for this version of Kubernetes. What that takes for granted is added to `assumptions`.
///
/// # Errors
/// The value is not of its kind, none of the documents has such a thing, or a hook has no sleep that could be changed.
pub fn turn(
    handle: &str,
    key: &Span,
    value: &Node,
    documents: &mut [&mut Document],
    version: Version,
    assumptions: &mut Vec<String>,
) -> Result<(), Box<Diagnostic>> {
    let mut turned = 0;
    for document in documents.iter_mut() {
        let name = format!("{}/{}", document.kind, document.name());
        let template: &[&str] = match document.kind.as_str() {
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => &["spec", "template", "spec"],
            "Pod" => &["spec"],
            _ => &[],
        };
        let budget = document.kind == "PodDisruptionBudget";
        match handle {
            "preStop" if !template.is_empty() => {
                let sleep = span(value)?;
                let pod = descend(&mut document.node, template, key);
                let commands = pre_stop(pod, sleep, key, version).map_err(|why| {
                    let message = format!("the preStop hook of {name} {why}");
                    Box::new(Diagnostic::error(message).at(key, "").help("set the hook's whole path instead"))
                })?;
                let missing = format!("Kubernetes {version} has no `preStop.sleep`");
                assumptions.extend(commands.iter().map(|container| {
                    format!("{name}: the image of container {container} has the program `sleep`, which its preStop hook runs: {missing}")
                }));
            }
            "gracePeriod" if !template.is_empty() => {
                let seconds = span(value)?.as_nanos().div_ceil(1_000_000_000);
                let pod = descend(&mut document.node, template, key);
                put(pod, "terminationGracePeriodSeconds", Value::Number(seconds.to_string()), key);
            }
            "replicas" if template.len() > 1 && document.kind != "DaemonSet" => {
                put(descend(&mut document.node, &["spec"], key), "replicas", value.value.clone(), &value.span);
            }
            "minAvailable" | "maxUnavailable" if budget => {
                let spec = descend(&mut document.node, &["spec"], key);
                if let Value::Map(entries) = &mut spec.value {
                    entries.retain(|e| e.key != "minAvailable" && e.key != "maxUnavailable");
                }
                put(spec, handle, value.value.clone(), &value.span);
            }
            _ => continue,
        }
        turned += 1;
    }
    if turned == 0 {
        let what = HANDLES.iter().find(|(name, _)| *name == handle).map_or("", |(_, what)| what);
        let message = format!("there is nothing that `{handle}` could change");
        return Err(Box::new(Diagnostic::error(message).at(key, "").help(format!("it sets {what}"))));
    }
    Ok(())
}

/// A duration, or a number of seconds.
fn span(value: &Node) -> Result<Duration, Box<Diagnostic>> {
    if let Value::Number(text) = &value.value
        && let Ok(seconds) = text.parse()
    {
        return Ok(Duration::from_secs(seconds));
    }
    let mut problems = Diagnostics::default();
    Duration::read(value, &mut problems).ok_or_else(|| {
        let problem = problems.list.pop();
        Box::new(problem.unwrap_or_else(|| Diagnostic::error("this is not a duration").at(&value.span, "")))
    })
}

/// The containers whose image has to have a program `sleep` for that.
fn pre_stop(pod: &mut Node, sleep: Duration, key: &Span, version: Version) -> Result<Vec<String>, String> {
    let mut commands = Vec::new();
    let Value::Map(entries) = &mut pod.value else { return Err("is not there".to_string()) };
    let Some(containers) = entries.iter_mut().find(|e| e.key == "containers") else { return Ok(commands) };
    let Value::List(containers) = &mut containers.node.value else { return Ok(commands) };
    let has_hook = |c: &Node| c.at(&["lifecycle", "preStop"]).is_some();
    let any = containers.iter().any(has_hook);
    // whatever the others do, without it the proxy before them is gone first
    let is_proxy = |c: &Node| {
        let text = |key: &str| c.get(key).and_then(Node::as_str).unwrap_or_default();
        recognise_proxy(text("name"), text("image")).is_some()
    };
    for container in containers.iter_mut().filter(|c| !any || has_hook(c) || is_proxy(c)) {
        let name = container.get("name").and_then(Node::as_str).unwrap_or_default().to_string();
        let hook = descend(container, &["lifecycle", "preStop"], key);
        if hook.get("exec").is_some() {
            let Value::List(words) = &mut descend(hook, &["exec", "command"], key).value else {
                return Err("has no command".to_string());
            };
            in_command(words, sleep)?;
        } else if hook.get("httpGet").is_some() {
            return Err("is a request, not a sleep".to_string());
        } else if sleep.is_zero() {
            hook.value = Value::Null;
        } else if hook.get("sleep").is_none() && !version.has_sleep_action() {
            let words = ["sleep".to_string(), in_seconds(sleep)];
            let words = words.map(|word| Node { value: Value::String(word), span: key.clone() });
            put(descend(hook, &["exec"], key), "command", Value::List(words.to_vec()), key);
            commands.push(name);
        } else {
            let nanos = sleep.as_nanos();
            if !nanos.is_multiple_of(1_000_000_000) {
                return Err(format!("sleeps whole seconds, not {sleep}"));
            }
            let seconds = descend(hook, &["sleep"], key);
            put(seconds, "seconds", Value::Number((nanos / 1_000_000_000).to_string()), key);
        }
    }
    Ok(commands)
}

/// As `sleep` takes it: `5`, `1.5`.
fn in_seconds(sleep: Duration) -> String {
    let nanos = sleep.as_nanos();
    if nanos.is_multiple_of(1_000_000_000) {
        (nanos / 1_000_000_000).to_string()
    } else {
        format!("{}", sleep.as_secs_f64())
    }
}

/// Changes `sleep N` in a command, which may be a script in one word or words of their own.
fn in_command(words: &mut [Node], sleep: Duration) -> Result<(), String> {
    let seconds = in_seconds(sleep);
    if let Some(at) = words.iter().position(|w| w.as_str().is_some_and(|w| w.rsplit('/').next() == Some("sleep")))
        && let Some(amount) = words.get_mut(at + 1)
    {
        amount.value = Value::String(seconds);
        return Ok(());
    }
    for word in words.iter_mut() {
        let Value::String(script) = &mut word.value else { continue };
        if let Some(range) = sleep_in(script) {
            script.replace_range(range, &seconds);
            return Ok(());
        }
    }
    // A script without a sleep gets one in front.
    if let [_, flags, script, ..] = words
        && flags.as_str().is_some_and(|f| f.starts_with('-') && f.ends_with('c'))
        && let Value::String(script) = &mut script.value
    {
        *script = format!("sleep {seconds} && {script}");
        return Ok(());
    }
    Err("has no sleep that could be changed".to_string())
}

/// Where the amount of the first `sleep` of a script stands.
fn sleep_in(script: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(found) = script[from..].find("sleep") {
        let word_begins = script[..from + found].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '-');
        let after = from + found + "sleep".len();
        let blank = script[after..].len() - script[after..].trim_start_matches([' ', '\t']).len();
        let start = after + blank;
        let amount = script[start..].find(|c: char| !c.is_ascii_digit() && !".smhd".contains(c));
        let end = amount.map_or(script.len(), |length| start + length);
        if word_begins && blank > 0 && script[start..end].starts_with(|c: char| c.is_ascii_digit()) {
            return Some(start..end);
        }
        from = after;
    }
    None
}

/// The node under a path of keys, made if it is not there.
fn descend<'a>(node: &'a mut Node, path: &[&str], span: &Span) -> &'a mut Node {
    path.iter().fold(node, |node, key| {
        if !matches!(node.value, Value::Map(_)) {
            node.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut node.value else { unreachable!("made a map above") };
        let at = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
            let node = Node { value: Value::Null, span: span.clone() };
            entries.push(Entry { key: (*key).to_string(), key_span: span.clone(), node });
            entries.len() - 1
        });
        &mut entries[at].node
    })
}

fn put(node: &mut Node, key: &str, value: Value, span: &Span) {
    let node = descend(node, &[key], span);
    node.value = value;
    node.span = span.clone();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::document::unfold;
    use crate::scenario::source::SourceFile;
    use crate::scenario::tree;

    fn turned(manifest: &str, handle: &str, value: &str) -> Result<Document, String> {
        turned_in(Version::DEFAULT, manifest, handle, value).map(|(document, _)| document)
    }

    fn turned_in(
        version: Version,
        manifest: &str,
        handle: &str,
        value: &str,
    ) -> Result<(Document, Vec<String>), String> {
        let (mut documents, mut problems) = (Vec::new(), Diagnostics::default());
        for node in tree::parse(&SourceFile::new("t", manifest, 0), 0).unwrap() {
            unfold(node, &mut documents, &mut problems);
        }
        let set = SourceFile::new("--set", format!("{handle}={value}"), 1);
        let key = Span::new(&set, 0, handle.len());
        let value = tree::parse(&set, handle.len() + 1).unwrap().pop().unwrap();
        let mut assumptions = Vec::new();
        let all = &mut documents.iter_mut().collect::<Vec<_>>();
        turn(handle, &key, &value, all, version, &mut assumptions).map_err(|p| p.message.clone())?;
        Ok((documents.remove(0), assumptions))
    }

    fn deployment(lifecycle: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      \
             containers: [{{name: a{lifecycle}}}]\n"
        )
    }

    fn command(hook: &str, value: &str) -> Result<Vec<String>, String> {
        let manifest = deployment(&format!(", lifecycle: {{preStop: {{exec: {{command: {hook}}}}}}}"));
        let document = turned(&manifest, "preStop", value)?;
        let containers = document.node.at(&["spec", "template", "spec", "containers"]).unwrap().items();
        let words = containers[0].at(&["lifecycle", "preStop", "exec", "command"]).unwrap().items();
        Ok(words.iter().filter_map(|w| w.as_str().map(str::to_string)).collect())
    }

    #[test]
    fn the_sleep_of_a_command_is_changed_and_the_rest_kept() {
        let script = |text: &str| command(&format!("[/bin/sh, -c, \"{text}\"]"), "12s").map(|words| words[2].clone());
        assert_eq!(script("sleep 5 && nginx -s quit").unwrap(), "sleep 12 && nginx -s quit");
        assert_eq!(script("touch /x; sleep 5s; exit").unwrap(), "touch /x; sleep 12; exit");
        assert_eq!(script("my-sleep 5; sleep 7").unwrap(), "my-sleep 5; sleep 12");
        assert_eq!(script("nginx -s quit").unwrap(), "sleep 12 && nginx -s quit");
        assert_eq!(command("[/bin/sleep, '5']", "1500ms").unwrap(), ["/bin/sleep", "1.5"]);
        assert_eq!(
            command("[/app/stop]", "5s"),
            Err("the preStop hook of Deployment/web has no sleep that could be changed".into())
        );
    }

    #[test]
    fn a_container_without_a_hook_gets_one() {
        let document = turned(&deployment(""), "preStop", "7").unwrap();
        let containers = document.node.at(&["spec", "template", "spec", "containers"]).unwrap().items();
        let seconds = containers[0].at(&["lifecycle", "preStop", "sleep", "seconds"]).unwrap();
        assert_eq!(seconds.value, Value::Number("7".into()));
        let document = turned(&deployment(", lifecycle: {preStop: {sleep: {seconds: 3}}}"), "preStop", "0s").unwrap();
        let containers = document.node.at(&["spec", "template", "spec", "containers"]).unwrap().items();
        assert_eq!(containers[0].at(&["lifecycle", "preStop"]), None, "no hook rather than one of 0s");
        assert!(turned(&deployment(""), "preStop", "1500ms").unwrap_err().contains("whole seconds"));
    }

    #[test]
    fn where_there_is_no_sleep_action_a_new_hook_runs_a_command() {
        let hook = |version: &str, lifecycle: &str| {
            let version = version.parse().unwrap();
            let (document, assumed) = turned_in(version, &deployment(lifecycle), "preStop", "7s").unwrap();
            let containers = document.node.at(&["spec", "template", "spec", "containers"]).unwrap().items();
            let hook = containers[0].at(&["lifecycle", "preStop"]).unwrap();
            let words = hook.at(&["exec", "command"]).map_or(&[][..], Node::items);
            let words: Vec<String> = words.iter().filter_map(|w| w.as_str().map(str::to_string)).collect();
            (words, hook.get("sleep").is_some(), assumed)
        };
        let (words, is_action, assumed) = hook("1.29", "");
        assert_eq!((words, is_action), (vec!["sleep".to_string(), "7".to_string()], false));
        assert!(assumed.len() == 1 && assumed[0].contains("container a") && assumed[0].contains("1.29"), "{assumed:?}");
        assert_eq!(hook("1.30", ""), (vec![], true, vec![]));
        let asked = ", lifecycle: {preStop: {sleep: {seconds: 3}}}";
        assert_eq!(hook("1.29", asked), (vec![], true, vec![]), "what the manifest says itself is not made good");
    }

    #[test]
    fn the_sidecar_of_a_mesh_sleeps_as_long_as_what_it_stands_before() {
        let sidecar = ", lifecycle: {preStop: {sleep: {seconds: 3}}}}, {name: b}, {name: istio-proxy, image: auto";
        let document = turned(&deployment(sidecar), "preStop", "7s").unwrap();
        let containers = document.node.at(&["spec", "template", "spec", "containers"]).unwrap().items();
        let slept: Vec<bool> = containers
            .iter()
            .map(|c| {
                c.at(&["lifecycle", "preStop", "sleep", "seconds"])
                    .is_some_and(|s| s.value == Value::Number("7".into()))
            })
            .collect();
        assert_eq!(slept, [true, false, true]);
    }

    #[test]
    fn the_other_handles() {
        let document = turned(&deployment(""), "gracePeriod", "90s").unwrap();
        let grace = document.node.at(&["spec", "template", "spec", "terminationGracePeriodSeconds"]).unwrap();
        assert_eq!(grace.value, Value::Number("90".into()));
        let document = turned(&deployment(""), "replicas", "4").unwrap();
        assert_eq!(document.node.at(&["spec", "replicas"]).unwrap().value, Value::Number("4".into()));
        let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {minAvailable: 1}\n";
        let document = turned(budget, "maxUnavailable", "50%").unwrap();
        let spec = document.node.get("spec").unwrap();
        assert_eq!((spec.get("minAvailable"), spec.get("maxUnavailable").and_then(Node::as_str)), (None, Some("50%")));
        assert_eq!(turned(budget, "preStop", "5s").unwrap_err(), "there is nothing that `preStop` could change");
        assert!(turned(&deployment(""), "gracePeriod", "long").unwrap_err().contains("duration"));
    }
}
