//! `drainsim get`.

use std::process::ExitCode;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::backend::{self, Input};
use super::output::{Failure, print, warn};
use super::{Changes, Files};
use crate::api::Selector;
use crate::engine::{Duration, Time};
use crate::report::kubectl::{Cluster, Output, Query, Resource, get, watch};

/// `drainsim get TYPE FILE…`
#[derive(Args, Debug)]
#[command(after_help = "A run starts at 2026-01-01T00:00:00Z; what is there at the start is 10 days old then.

Examples:
  drainsim get pods drain.yaml --at 42s
  drainsim get pods drain.yaml --from 10s --to 40s -w --times
  drainsim get nodes,pdb,endpointslices drain.yaml --at 15s
  drainsim get events drain.yaml
  drainsim get pod/web-7d4b9c-x2x8k drain.yaml --at 42s -o yaml

Exit codes: 0 fine, 2 wrong usage or bad input.")]
pub(super) struct GetArgs {
    #[command(flatten)]
    what: What,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    pub(super) options: GetOptions,
}

/// What is asked for.
#[derive(Args, Debug)]
pub(super) struct What {
    /// A resource (pods, nodes, pdb, endpointslices, deployments, replicasets, services, hpa, events), several with commas
    /// between them, or one object as TYPE/NAME
    #[arg(value_name = "TYPE", value_parser = TypeParser, hide_possible_values = true)]
    resource: String,
}

/// Takes anything, and offers the types for completion.
#[derive(Clone, Copy, Debug)]
struct TypeParser;

impl TypedValueParser for TypeParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Resource::ALL.into_iter().map(|resource| PossibleValue::new(resource.plural()))))
    }
}

/// How it is asked.
#[derive(Args, Debug)]
pub(super) struct GetOptions {
    /// When: the time since the start of the run [default: its end]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    at: Option<Duration>,

    /// With -w: where to begin [default: the start of the run]
    #[arg(long, value_name = "TIME", requires = "watch")]
    from: Option<Duration>,

    /// With -w: where to end [default: the end of the run]
    #[arg(long, value_name = "TIME", requires = "watch")]
    to: Option<Duration>,

    /// Print what there is, and then every change
    #[arg(short, long, conflicts_with = "at")]
    watch: bool,

    /// With -w: put the time since the start of the run before each line
    #[arg(long, requires = "watch")]
    times: bool,

    /// The namespace
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// Only objects with these labels, as in app=web,tier!=db
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// How it is printed [default: a table]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<GetFormat>,

    #[command(flatten)]
    changes: Changes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum GetFormat {
    /// A table with more columns
    Wide,
    /// The objects as JSON
    Json,
    /// The objects as YAML
    Yaml,
    /// The names
    Name,
}

pub(super) fn run(args: &GetArgs) -> Result<ExitCode, Failure> {
    run_inputs(&args.what, &args.files.inputs()?, &args.options)
}

pub(super) fn run_inputs(what: &What, inputs: &[Input], options: &GetOptions) -> Result<ExitCode, Failure> {
    let query = query(what, options)?;
    let scenario = options.changes.load(inputs)?;
    let outcome = backend::simulate(&scenario.setup, options.changes.seed(&scenario), true);
    let Some(cluster) = Cluster::new(&scenario.setup, &scenario.originals, &outcome) else {
        return Err(Failure::usage("the run kept no history"));
    };
    let time = |wanted: Option<Duration>, default: Time| {
        let time = wanted.map_or(default, |after| Time::ZERO + after);
        if time > outcome.end {
            let end = outcome.end;
            return Err(Failure::usage(format!(
                "the run ends at {end}: choose a time until then, or set spec.duration"
            )));
        }
        Ok(time)
    };
    let answer = if options.watch {
        let (from, to) = (time(options.from, Time::ZERO)?, time(options.to, outcome.end)?);
        if from > to {
            return Err(Failure::usage(format!("--from {from} is after --to {to}")));
        }
        watch(&cluster, &query, from, to)
    } else {
        get(&cluster, &query, time(options.at, outcome.end)?)
    };
    let answer = answer.map_err(Failure::usage)?;
    print(&answer.out)?;
    warn(&answer.err);
    Ok(ExitCode::SUCCESS)
}

fn query(what: &What, options: &GetOptions) -> Result<Query, Failure> {
    let (types, name) = match what.resource.split_once('/') {
        Some((resource, name)) => (resource, Some(name.to_string())),
        None => (what.resource.as_str(), None),
    };
    let resources = types.split(',').map(|name| {
        Resource::by_name(name).ok_or_else(|| {
            let known = Resource::ALL.map(Resource::plural).join(", ");
            Failure::usage(format!("a run has no resource type \"{name}\"; it has {known}"))
        })
    });
    let selector = match &options.selector {
        None => Selector::default(),
        Some(text) => crate::scenario::selector(text)
            .ok_or_else(|| Failure::usage(format!("`{text}` is not a selector; write it as in app=web,tier!=db")))?,
    };
    Ok(Query {
        resources: resources.collect::<Result<_, _>>()?,
        name,
        namespace: (!options.all_namespaces).then(|| options.namespace.clone()),
        selector,
        times: options.times,
        output: match options.output {
            None => Output::Table,
            Some(GetFormat::Wide) => Output::Wide,
            Some(GetFormat::Json) => Output::Json,
            Some(GetFormat::Yaml) => Output::Yaml,
            Some(GetFormat::Name) => Output::Name,
        },
    })
}
