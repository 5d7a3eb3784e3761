//! The model against recordings of a real cluster: what `docs/validation.md` shows and `tests/validation.rs` checks.

mod cluster;
mod control_plane;
mod drain;
mod kube_proxy;
mod kubelet;
mod losses;
mod page;
mod recordings;
mod statistics;

use page::Section;

const INTRODUCTION: &str = include_str!("introduction.md");

/// All comparisons.
pub fn sections() -> Vec<Section> {
    let mut sections = vec![control_plane::single_deletes(), control_plane::bursts()];
    sections.extend([drain::retries_section(), drain::timeout_section()]);
    sections.extend(kubelet::sections());
    sections.push(kube_proxy::section());
    sections.extend(losses::sections());
    sections
}

/// The comparisons that are outside without a reason.
pub fn unexplained(sections: &[Section]) -> Vec<String> {
    let rows = sections.iter().flat_map(|s| s.rows.iter().map(move |r| (s, r)));
    rows.filter(|(_, r)| r.verdict.is_unexplained()).map(|(s, r)| format!("{}: {}", s.title, r.what)).collect()
}

/// The page.
pub fn page(sections: &[Section]) -> String {
    page::render(sections, INTRODUCTION)
}
