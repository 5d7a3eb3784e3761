//! From the files that a person writes to a [`Scenario`] that can be run.
//!
//! The way of a file: it is read ([`load`]), its text ([`source`]) becomes a tree with places (`tree`), documents are
//! told apart (`document`), `--set` changes the tree (`set`), the scenario (`file`) and the Kubernetes objects
//! (`manifests`) are read from it (`read`), and all of it together is checked and resolved (`compile`). Nothing stops at
//! the first problem: a [`Diagnostics`] tells all of them, with places and suggestions.
//!
//! A [`Scenario`] that exists is runnable: nothing behind it parses or checks a string again.

pub mod cluster;
mod compile;
pub mod diagnostic;
pub mod discover;
pub(crate) mod document;
mod expect_entry;
pub mod expectation;
mod expectations;
mod file;
pub mod handles;
pub mod hook_command;
mod latency;
pub mod library;
pub mod load;
mod manifests;
mod originals;
pub mod outline;
pub mod patch;
pub mod profiles;
pub(crate) mod read;
mod schema;
mod set;
pub mod shell_script;
pub mod source;
mod suggest;
pub(crate) mod tree;
pub mod unknown_apps;
pub(crate) mod values;
mod wait_command;

use crate::api::Labels;
use crate::scenario::expectation::Expectation;
use crate::scenario::unknown_apps::UnknownApps;
use crate::simulation::setup::Setup;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use load::{Disk, Files, Input, Memory};
pub use manifests::Ignored;
pub use originals::Originals;
pub use schema::schema;
pub use source::Span;
pub(crate) use suggest::help as help_with_name;
pub use values::selector;

/// A validated scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.description`.
    pub description: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.seed`.
    pub seed: Option<u64>,
    /// What a run starts from.
    pub setup: Setup,
    /// `spec.expect`, in order.
    pub expectations: Vec<SourcedExpectation>,
    /// What may not be as it was meant.
    pub warnings: Vec<Diagnostic>,
    /// What the files do not say and the model needs, one sentence each: what was taken instead, and how to say
    /// otherwise.
    pub assumptions: Vec<String>,
    /// The applications of which nothing is known, and what else they may do than what is assumed.
    pub unknown_apps: UnknownApps,
    /// Objects of the files that are not modelled, by kind.
    pub ignored: Vec<Ignored>,
    /// The Kubernetes objects as they were written.
    pub originals: Originals,
}

/// An expectation, and where it is written.
#[derive(Clone, PartialEq, Debug)]
pub struct SourcedExpectation {
    /// What must hold.
    pub expectation: Expectation,
    /// The place.
    pub span: Span,
    /// The place of its value, if that was recorded and may be written anew.
    pub recorded: Option<Span>,
}

impl Scenario {
    /// Loads a scenario and its manifests from files, and applies `sets` (`--set PATH=VALUE`).
    ///
    /// # Errors
    /// Everything that is wrong with the inputs, with warnings, in the order of files and lines.
    pub fn load(inputs: &[Input], sets: &[String]) -> Result<Self, Diagnostics> {
        Self::load_from(&Disk, inputs, sets)
    }

    /// As [`load`](Self::load), from any file system.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(files: &dyn Files, inputs: &[Input], sets: &[String]) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut documents = load::read_documents(files, inputs, &mut problems);
        let assumed = set::apply(sets, &mut documents, &mut problems);
        let scenario = compile::compile(&documents, false, &mut problems);
        problems.sort();
        match scenario {
            Some(scenario) if !problems.has_errors() => {
                let assumptions = [scenario.assumptions, assumed].concat();
                Ok(Self { warnings: problems.list, assumptions, ..scenario })
            }
            _ => Err(problems),
        }
    }

    /// The scenario among documents that have been read, if it can be run: for what looks at the documents, too.
    pub(crate) fn of_documents(documents: &[document::Document]) -> Option<Self> {
        let mut problems = Diagnostics::default();
        compile::compile(documents, false, &mut problems).filter(|_| !problems.has_errors())
    }
}
