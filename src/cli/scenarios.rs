//! `drainsim scenarios`.

use std::process::ExitCode;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Subcommand};

use super::backend::Input;
use super::output::{Failure, print};
use super::{explain, get, run};
use crate::report::listing;
use crate::scenario::help_with_name;
use crate::scenario::library::{Builtin, GROUPS, LIBRARY, find};

/// `drainsim scenarios …`
#[derive(Subcommand, Debug)]
pub(super) enum ScenariosCommand {
    /// List the built-in scenarios
    List(Which),
    /// Print the file of a built-in scenario
    Show(Name),
    /// Run a built-in scenario
    Run(NamedRun),
    /// Explain a failed request or a pod of a built-in scenario
    Explain(NamedExplain),
    /// Show pods, nodes or other objects of a built-in scenario at any time of its run
    Get(NamedGet),
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// Only those with this in their names, such as app- or drain
    #[arg(value_name = "PART")]
    part: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Name {
    /// The scenario, or the beginning of its name if no other one begins so: see `drainsim scenarios list`
    #[arg(value_name = "NAME", value_parser = NameParser, hide_possible_values = true)]
    name: String,
}

#[derive(Args, Debug)]
pub(super) struct NamedRun {
    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    options: run::RunOptions,
}

#[derive(Args, Debug)]
pub(super) struct NamedExplain {
    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    question: explain::QuestionArgs,
}

#[derive(Args, Debug)]
pub(super) struct NamedGet {
    #[command(flatten)]
    what: get::What,

    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    options: get::GetOptions,
}

/// Names with their completions; who has mistyped one does not want to see a hundred others.
#[derive(Clone)]
struct NameParser;

impl TypedValueParser for NameParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        let wanted = value.to_string_lossy();
        whole_name(&wanted)
            .map_err(|text| clap::Error::raw(ErrorKind::InvalidValue, format!("{text}\n")).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(LIBRARY.iter().map(|b| PossibleValue::new(b.name))))
    }
}

fn whole_name(wanted: &str) -> Result<String, String> {
    let names = || LIBRARY.iter().map(|b| b.name);
    let begin: Vec<&str> = names().filter(|name| !wanted.is_empty() && name.starts_with(wanted)).collect();
    match begin[..] {
        _ if names().any(|name| name == wanted) => Ok(wanted.to_string()),
        [one] => Ok(one.to_string()),
        [] => {
            let help = help_with_name(wanted, "built-in scenarios", names());
            Err(format!("there is no built-in scenario `{wanted}`: {help}"))
        }
        _ => Err(format!("`{wanted}` is the beginning of several names: {}", begin.join(", "))),
    }
}

impl Name {
    fn find(&self) -> Result<&'static Builtin, Failure> {
        find(&self.name).ok_or_else(|| Failure::usage(format!("there is no built-in scenario `{}`", self.name)))
    }

    fn input(&self) -> Result<Input, Failure> {
        let builtin = self.find()?;
        Ok(Input::Builtin { name: builtin.name.to_string(), text: builtin.text.to_string() })
    }
}

pub(super) fn run(command: &ScenariosCommand) -> Result<ExitCode, Failure> {
    match command {
        ScenariosCommand::List(which) => print(&list(which.part.as_deref().unwrap_or_default())?)?,
        ScenariosCommand::Show(name) => print(name.find()?.text)?,
        ScenariosCommand::Run(args) => {
            let words = ["drainsim", "scenarios", "run", &args.name.name].map(str::to_string);
            return run::run_inputs(&[args.name.input()?], &args.options, &words);
        }
        ScenariosCommand::Get(args) => return get::run_inputs(&args.what, &[args.name.input()?], &args.options),
        ScenariosCommand::Explain(args) => return explain::run_inputs(&[args.name.input()?], &args.question),
    }
    Ok(ExitCode::SUCCESS)
}

/// The scenarios with this in their names, by what they are about.
fn list(part: &str) -> Result<String, Failure> {
    let mut out = String::new();
    for group in GROUPS {
        let here = LIBRARY.iter().filter(|b| b.group() == group && b.name.contains(part));
        let rows: Vec<_> = here.map(|b| (b.name, b.description())).collect();
        if !rows.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            out.push_str(&format!("{gap}# {}\n\n{}", group.title, listing(&rows)));
        }
    }
    match out.is_empty() {
        true => Err(Failure::usage(format!("no built-in scenario has `{part}` in its name"))),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_beginning() {
        assert_eq!(whole_name("m11").as_deref(), Ok("m11-two-drains-one-budget"));
        assert_eq!(whole_name("m07-prestop-sleep").as_deref(), Ok("m07-prestop-sleep"), "another one goes on after it");
        assert!(whole_name("m07").unwrap_err().contains("m07-prestop-sleep, m07-prestop-sleep-too-short"));
        assert!(whole_name("m06-the-rase").unwrap_err().contains("did you mean `m06-the-race`?"));
        assert!(whole_name("").is_err());
    }
}
