//! The model against recordings of a real cluster; see `docs/validation.md`.

#[path = "validation/mod.rs"]
mod validation;

#[test]
fn the_model_agrees_with_the_recordings_as_the_page_says() {
    let sections = validation::sections();
    let unexplained = validation::unexplained(&sections);
    assert!(unexplained.is_empty(), "outside without a reason: {unexplained:#?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/validation.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == validation::page(&sections),
        "docs/validation.md is out of date: cargo run --release --example validate > docs/validation.md"
    );
}
