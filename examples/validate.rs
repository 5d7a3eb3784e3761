//! Prints `docs/validation.md`: the model against recordings of a real cluster. Fails if a difference has no reason.
//!
//! ```sh
//! cargo run --release --example validate > docs/validation.md
//! ```

#[path = "../tests/validation/mod.rs"]
mod validation;

use std::process::ExitCode;

fn main() -> ExitCode {
    let sections = validation::sections();
    print!("{}", validation::page(&sections));
    let unexplained = validation::unexplained(&sections);
    for comparison in &unexplained {
        eprintln!("outside without a reason: {comparison}");
    }
    if unexplained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
