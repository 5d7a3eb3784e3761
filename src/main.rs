//! The `drainsim` command.
fn main() {}
