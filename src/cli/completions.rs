//! `drainsim completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::output::{Failure, print};

/// `drainsim completions SHELL`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  source <(drainsim completions bash)
  drainsim completions zsh > \"${fpath[1]}/_drainsim\"
  drainsim completions fish > ~/.config/fish/completions/drainsim.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "drainsim", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
