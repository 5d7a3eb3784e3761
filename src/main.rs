//! The command line of drainsim.

fn main() -> std::process::ExitCode {
    drainsim::cli::main()
}
