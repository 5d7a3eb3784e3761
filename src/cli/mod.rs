//! The command line: one file per subcommand; parses, calls, prints; no logic of its own.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 fine, 1 an expectation failed, 2 wrong usage or bad
//! input, in which case nothing is written to stdout, 70 internal error.

mod backend;
mod bound;
mod compare;
mod completions;
mod drain;
mod explain;
mod get;
mod lint;
mod output;
mod run;
mod scenarios;
mod schema;
mod sweep;
mod test;
mod tune;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use backend::{Input, Scenario};
use output::Failure;

/// What happens to client requests when Kubernetes takes pods away.
#[derive(Parser, Debug)]
#[command(
    name = "drainsim",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    long_about = "drainsim simulates node drains, evictions, rolling restarts and node loss for your own manifests, and \
                  tells which requests fail, whose fault each one is, and what would have prevented it.",
    after_help = "Examples:
  drainsim scenarios list                   what is built in
  drainsim scenarios run m02-drain          run a built-in scenario
  drainsim drain node-3 -f cluster.yaml     drain a node of your own cluster, with no scenario
  drainsim run drain.yaml                   run your own scenario, with the seed 1
  drainsim run drain.yaml --runs 1000       run it with 1,000 seeds
  drainsim test drain.yaml                  check what it expects, in CI
  drainsim compare a.yaml b.yaml            two policies under the same seeds
  drainsim sweep drain.yaml --vary preStop=0s..15s:1s
                                            the same at many points
  drainsim tune drain.yaml                  which preStop sleep and budgets, with which confidence
  drainsim bound drain.yaml                 the worst case, proved and not sampled
  drainsim explain drain.yaml --request 1   why the first failed request failed
  drainsim get pods drain.yaml --at 42s     the pods at that time, as kubectl prints them
  drainsim lint manifests/                  what is wrong with manifests, without a run
  kubectl get deploy,svc,pdb -o yaml | drainsim run scenario.yaml -

Exit codes: 0 fine, 1 an expectation failed, 2 wrong usage or bad input, 70 internal error. Where a command has others, its \
help says so."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a scenario, with one seed or with many
    Run(run::RunArgs),
    /// Ask of a cluster as it is: does `kubectl drain` end, what blocks it, what do clients lose
    Drain(drain::DrainArgs),
    /// Check the expectations of scenarios, each over as many seeds as it takes
    Test(test::TestArgs),
    /// Compare two scenarios, or two versions of one, under the same seeds
    Compare(compare::CompareArgs),
    /// Vary values of a scenario, each point under many seeds
    Sweep(sweep::SweepArgs),
    /// Join the records of a sweep's shards
    Merge(sweep::MergeArgs),
    /// Find the smallest preStop sleep and the tightest budgets that keep a promise
    Tune(tune::TuneArgs),
    /// Prove how late routes can be, whatever the order of events, and show a run that is that late
    Bound(bound::BoundArgs),
    /// Tell why a request failed, or how a pod went away, step by step
    Explain(explain::ExplainArgs),
    /// Show pods, nodes or other objects at any time of a run, as kubectl get does
    Get(get::GetArgs),
    /// Tell what is wrong with manifests, without a run
    Lint(lint::LintArgs),
    /// List, show and run the built-in scenarios
    #[command(subcommand)]
    Scenarios(scenarios::ScenariosCommand),
    /// Print the schema of scenarios or results, or the reference of expectations, latencies or profiles
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Where a scenario comes from.
#[derive(Args, Debug)]
struct Files {
    /// Scenario and manifests, YAML or JSON; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<String>,

    /// Another file, as with kubectl
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,
}

/// How requests are simulated.
#[derive(Args, Debug)]
struct Requests {
    /// How requests are simulated [default: the scenario's `spec.requests`, or auto]
    ///
    /// `individual` takes them one by one. `bulk` counts those that nothing can happen to, and draws the first failures one
    /// by one: as exact, at a cost that does not grow with the rate, for streams with Poisson arrivals and a connection for
    /// each request; any other stream is an error. `auto` counts streams that can be counted and expect a million requests
    /// or more.
    #[arg(long, value_name = "HOW", value_parser = ["auto", "individual", "bulk"])]
    requests: Option<String>,
}

impl Requests {
    /// As a `--set`.
    fn sets(&self) -> impl Iterator<Item = String> {
        self.requests.iter().map(|how| format!("spec.requests={how}"))
    }
}

/// What is changed about it.
#[derive(Args, Debug)]
struct Changes {
    /// Set a field of the scenario, such as spec.duration=5m; can be repeated, the last one wins
    ///
    /// PATH is that of a field of the scenario, or of a manifest after its name: Deployment/default/web:spec.replicas.
    /// Short names for what is changed most often are preStop, gracePeriod, replicas, minAvailable and maxUnavailable;
    /// alone they mean all objects, or one after its name: Deployment/default/web:preStop=10s. PATH- takes a field or an
    /// element away: spec.nodes[2]-.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,

    #[command(flatten)]
    requests: Requests,

    /// The seed, or the first of several: same scenario, seed and version, same result [default: the scenario's
    /// `spec.seed`, or 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Files {
    fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let mut stdin_taken = false;
        let mut inputs = Vec::new();
        for name in self.files.iter().chain(&self.filename) {
            inputs.push(match name.as_str() {
                "-" if stdin_taken => return Err(Failure::usage("standard input (`-`) can be read only once")),
                "-" => {
                    stdin_taken = true;
                    Input::Stdin(output::read_stdin()?)
                }
                path => Input::Path(path.into()),
            });
        }
        Ok(inputs)
    }

    /// The words of a command line that names the same files.
    fn words(&self) -> Vec<String> {
        self.files.iter().chain(&self.filename).cloned().collect()
    }
}

impl Changes {
    /// All that is set.
    fn sets(&self) -> Vec<String> {
        self.sets.iter().cloned().chain(self.requests.sets()).collect()
    }

    /// The seed of the command line, else the scenario's, else 1.
    fn seed(&self, scenario: &Scenario) -> u64 {
        self.seed.or(scenario.seed).unwrap_or(1)
    }

    fn load(&self, inputs: &[Input]) -> Result<Scenario, Failure> {
        backend::load(inputs, &self.sets())
            .map_err(|problems| Failure::Rendered(problems.render(output::colour_errors())))
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. A closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    guarded(|| dispatch(cli))
}

/// The exit code of an internal error: EX_SOFTWARE of sysexits.h.
const INTERNAL_ERROR: u8 = 70;

/// A panic is a bug of this program and no answer about a scenario, so it gets a code of its own.
fn guarded(run: impl FnOnce() -> ExitCode) -> ExitCode {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        output::warn("error: internal error: this is a bug of drainsim, not of its input\n");
        ExitCode::from(INTERNAL_ERROR)
    })
}

fn dispatch(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Merge(args) => sweep::merge(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Bound(args) => bound::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Scenarios(command) => scenarios::run(&command),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_panic_is_an_internal_error() {
        let code = |code: ExitCode| format!("{code:?}");
        assert_eq!(code(guarded(|| panic!("on purpose"))), code(ExitCode::from(70)));
        assert_eq!(code(guarded(|| ExitCode::from(3))), code(ExitCode::from(3)));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
