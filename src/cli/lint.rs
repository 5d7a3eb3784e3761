//! `drainsim lint`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Files;
use super::backend::{self, Version};
use super::output::{self, Failure, Format, print, print_data};
use crate::analysis::lint::{Options, RULES, Rule};
use crate::report::lint as render;
use crate::report::sarif::sarif;
use crate::scenario::Severity;

/// `drainsim lint PATH…`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  drainsim lint web.yaml
  drainsim lint manifests/ --kubernetes 1.29
  kubectl get deploy,sts,ds,svc,pdb,hpa -A -o yaml | drainsim lint -
  helm template chart/ | drainsim lint - --fail-on error
  drainsim lint manifests/ -o sarif > lint.sarif
  drainsim lint --list

Several scenario files are looked at one by one, each with the manifests that it names; everything else is taken for one \
cluster. The rules, with their reasons: docs/lint.md.

Exit codes: 0 fine, 1 a finding of the severity of --fail-on or worse, 2 wrong usage or input that cannot be read.")]
pub(super) struct LintArgs {
    /// Manifests, scenarios, or folders of them; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present_any = ["filename", "list", "explain"])]
    files: Vec<String>,

    /// Another file, as with kubectl
    #[arg(short = 'f', long, value_name = "PATH")]
    filename: Vec<String>,

    /// The Kubernetes version that rules go by [default: the scenario's, or 1.36]
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<Version>,

    /// Leave these rules out
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = rule_id)]
    disable: Vec<String>,

    /// Ask these rules only
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = rule_id)]
    only: Vec<String>,

    /// Leave out what is less severe
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "info")]
    min_severity: Level,

    /// Exit with 1 when there is a finding so severe
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,

    /// How the findings are printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: LintFormat,

    /// List all rules
    #[arg(long)]
    list: bool,

    /// Tell all about one rule
    #[arg(long, value_name = "ID", value_parser = rule_id, conflicts_with = "list")]
    explain: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Level {
    Error,
    Warning,
    Info,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    /// Whatever is found
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LintFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
}

/// A rule's name; if it is none, the nearest one is told.
fn rule_id(text: &str) -> Result<String, String> {
    match Rule::by_id(text) {
        Some(rule) => Ok(rule.id.to_string()),
        None => Err(backend::unknown_name(text, "rules", RULES.iter().map(|rule| rule.id))),
    }
}

pub(super) fn run(args: &LintArgs) -> Result<ExitCode, Failure> {
    if args.list {
        print(&render::list())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(rule) = args.explain.as_deref().and_then(Rule::by_id) {
        print(&render::explanation(rule))?;
        return Ok(ExitCode::SUCCESS);
    }
    let files = Files { files: args.files.clone(), filename: args.filename.clone() };
    let options = Options {
        version: args.kubernetes,
        only: args.only.clone(),
        disabled: args.disable.clone(),
        at_least: match args.min_severity {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Info => Severity::Info,
        },
    };
    let findings = backend::lint(&files.inputs()?, &options)
        .map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))?;
    match args.output {
        // Escapes are stripped on the way out where they are not wanted.
        LintFormat::Text => print(&render::text(&findings, true))?,
        LintFormat::Json => print_data(Format::Json, &render::LintResult::new(&findings))?,
        LintFormat::Sarif => print_data(Format::Json, &sarif(&findings))?,
        LintFormat::Github => print(&render::github(&findings))?,
    }
    if findings.unread.has_errors() {
        return Err(Failure::Rendered(findings.unread.render(output::colour_errors())));
    }
    let worst = match args.fail_on {
        FailOn::Error => Some(Severity::Error),
        FailOn::Warning => Some(Severity::Warning),
        FailOn::Info => Some(Severity::Info),
        FailOn::Never => None,
    };
    let fails = worst.is_some_and(|worst| findings.list.iter().any(|f| f.severity <= worst));
    Ok(if fails { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
