//! What is asked about a cluster: which nodes are drained, and how; who sends requests; how the applications behave.

use crate::api::{Labels, Selector, Version};
use crate::engine::Duration;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::profiles::{PROFILES, Profile};
use crate::scenario::read::Read;
use crate::scenario::source::SourceFile;
use crate::scenario::suggest;
use crate::scenario::tree;
use crate::scenario::values::Rate;
use crate::simulation::setup::DrainOptions;

/// A question about a cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Question {
    /// Which nodes.
    pub targets: Targets,
    /// The flags of `kubectl drain`; its nodes are those of `targets`.
    pub drain: DrainOptions,
    /// A whole upgrade, node by node, in place of one `kubectl drain`.
    pub upgrade: Option<Upgrade>,
    /// Requests per second to a Service of which nothing else is said.
    pub rate: f64,
    /// Requests per second to single Services.
    pub rates: Vec<RateOf>,
    /// How applications behave; the first that fits counts.
    pub apps: Vec<AppOf>,
    /// The Kubernetes version; that of the nodes if left out.
    pub version: Option<Version>,
}

/// Which nodes are drained.
#[derive(Clone, PartialEq, Debug)]
pub enum Targets {
    /// These.
    Named(Vec<String>),
    /// Those with these labels.
    Selected(Selector),
    /// All.
    All,
}

/// An upgrade of all nodes that are drained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upgrade {
    /// So many nodes at once.
    pub max_parallel: usize,
    /// What becomes of a drained node.
    pub then: Then,
}

/// What becomes of a drained node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Its machine goes, and one like it is Ready so long afterwards.
    Replace(Duration),
    /// It is uncordoned so long afterwards.
    Uncordon(Duration),
}

/// The rate of requests to one Service.
#[derive(Clone, PartialEq, Debug)]
pub struct RateOf {
    /// `namespace/name`.
    pub service: String,
    /// Requests per second; zero: none.
    pub rate: f64,
}

/// How some applications behave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AppOf {
    /// Pods with these labels.
    Labels(Labels, String),
    /// Containers whose image has this name: the last part of its path, or all of it, without tag and digest.
    Image(String, String),
    /// All of which nothing else is said.
    All(String),
}

impl Question {
    /// A plain `kubectl drain` of these nodes.
    #[must_use]
    pub fn drain(nodes: &[&str]) -> Self {
        Self {
            targets: Targets::Named(nodes.iter().map(ToString::to_string).collect()),
            drain: DrainOptions::default(),
            upgrade: None,
            rate: RATE_DEFAULT,
            rates: Vec::new(),
            apps: Vec::new(),
            version: None,
        }
    }

    /// Takes a `[NAMESPACE/]SERVICE=RATE`, or `*=RATE` for all others.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn traffic(&mut self, text: &str) -> Result<(), String> {
        let wanted = || format!("--traffic {text}: expected NAMESPACE/SERVICE=RATE, such as shop/web=200/s, or *=5/s");
        let (service, rate) = text.rsplit_once('=').filter(|(service, _)| !service.is_empty()).ok_or_else(wanted)?;
        let rate = match rate {
            "0" | "none" => 0.0,
            rate => value::<Rate>("--traffic", rate).ok_or_else(wanted)?.0,
        };
        match service {
            "*" => self.rate = rate,
            name if name.contains('/') => self.rates.push(RateOf { service: name.into(), rate }),
            name => self.rates.push(RateOf { service: format!("default/{name}"), rate }),
        }
        Ok(())
    }

    /// Takes a `KEY=VALUE[,…]=PROFILE`, `image:NAME=PROFILE` or `*=PROFILE`.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn app(&mut self, text: &str) -> Result<(), String> {
        let wanted = || {
            format!(
                "--app {text}: expected KEY=VALUE=PROFILE, image:NAME=PROFILE or *=PROFILE, such as app=web=graceful"
            )
        };
        let (of, profile) = text.rsplit_once('=').ok_or_else(wanted)?;
        if Profile::by_name(profile).is_none() {
            let names = PROFILES.iter().map(|p| p.name);
            return Err(format!(
                "--app {text}: there is no profile `{profile}`; {}",
                suggest::help(profile, "profiles", names)
            ));
        }
        let profile = profile.to_string();
        self.apps.push(match of.strip_prefix("image:") {
            Some(image) => AppOf::Image(image.into(), profile),
            None if of == "*" => AppOf::All(profile),
            None => {
                let pairs = of.split(',').map(|pair| pair.split_once('='));
                let labels: Option<Labels> = pairs.map(|p| p.map(|(k, v)| (k.to_string(), v.to_string()))).collect();
                AppOf::Labels(labels.ok_or_else(wanted)?, profile)
            }
        });
        Ok(())
    }
}

/// What a Service gets of which nothing is said, in requests per second.
pub(super) const RATE_DEFAULT: f64 = 10.0;

/// A value of the scenario format; `None` if it is not one.
fn value<T: Read>(name: &str, text: &str) -> Option<T> {
    let quoted = serde_json::Value::from(text).to_string();
    let node = tree::parse(&SourceFile::new(name, quoted, 0), 0).ok()?.pop()?;
    T::read(&node, &mut Diagnostics::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_services() {
        let mut question = Question::drain(&["n"]);
        for text in ["shop/web=200/s", "api=60/min", "*=1/s", "shop/batch=0"] {
            question.traffic(text).unwrap();
        }
        let rates: Vec<_> = question.rates.iter().map(|r| (r.service.as_str(), r.rate)).collect();
        assert_eq!(rates, [("shop/web", 200.0), ("default/api", 1.0), ("shop/batch", 0.0)]);
        assert_eq!(question.rate, 1.0);
        for text in ["web", "=1/s", "web=fast", "web=5"] {
            assert!(question.traffic(text).is_err(), "{text}");
        }
    }

    #[test]
    fn profiles_of_applications() {
        let mut question = Question::drain(&["n"]);
        question.app("app=web,tier=front=graceful").unwrap();
        question.app("image:api=spring-boot").unwrap();
        question.app("*=go-shutdown").unwrap();
        assert!(matches!(&question.apps[0], AppOf::Labels(l, p) if l.len() == 2 && p == "graceful"));
        assert!(matches!(&question.apps[1], AppOf::Image(i, _) if i == "api"));
        assert!(question.app("app=web=gracefull").unwrap_err().contains("did you mean `graceful`?"));
        assert!(question.app("web").is_err());
    }
}
