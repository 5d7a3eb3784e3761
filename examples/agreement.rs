//! Prints `docs/bulk.md`: requests counted in bulk against requests one by one, with 1,000 seeds each.
//!
//! ```sh
//! cargo run --release --example agreement > docs/bulk.md
//! ```

#[path = "../tests/agreement/mod.rs"]
mod agreement;

use std::process::ExitCode;

fn main() -> ExitCode {
    const SEEDS: u64 = 1_000;
    let agreements = agreement::agreements(SEEDS);
    print!("{}", agreement::page(SEEDS, &agreements));
    let least = agreements.iter().flat_map(|a| &a.counts).map(|count| count.p).fold(1.0, f64::min);
    if least > 1e-5 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
