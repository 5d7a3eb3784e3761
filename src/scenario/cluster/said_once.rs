//! Warnings that differ in names only, said once: a cluster may have hundreds of the same.

use std::collections::BTreeMap;

use crate::scenario::compile::some_of;
use crate::scenario::diagnostic::Diagnostic;

/// One sentence for each kind of warning, in the order in which they come first, with the names that it is about.
pub(super) fn merged<'a>(warnings: impl Iterator<Item = &'a Diagnostic>) -> Vec<String> {
    let mut order = Vec::new();
    let mut groups: BTreeMap<(String, &str), Vec<&Diagnostic>> = BTreeMap::new();
    for warning in warnings {
        // what is said of the place must be true of all that are named
        let label = warning.place.as_ref().map_or("", |(_, label)| label.as_str());
        let key = (split(&warning.message).0, label);
        let group = groups.entry(key.clone()).or_default();
        if group.is_empty() {
            order.push(key);
        }
        group.push(warning);
    }
    let sentence = |key: &(String, &str)| match groups[key].as_slice() {
        [one] => with_label(&one.one_line(), one),
        [first, ..] => {
            let (pattern, _) = key;
            let mut names: Vec<String> = groups[key].iter().map(|w| split(&w.message).1.join(" ")).collect();
            names.sort();
            names.dedup();
            let times = groups[key].len();
            format!("{} ({times} times: {})", with_label(pattern.trim(), first), some_of(&names))
        }
        [] => String::new(),
    };
    order.iter().map(sentence).collect()
}

fn with_label(message: &str, warning: &Diagnostic) -> String {
    match &warning.place {
        Some((_, label)) if !label.is_empty() => format!("{message}: {label}"),
        _ => message.to_string(),
    }
}

/// The words of a message without what stands in backticks, and that.
fn split(message: &str) -> (String, Vec<&str>) {
    let parts: Vec<&str> = message.split('`').collect();
    let words = parts.iter().step_by(2).copied().collect::<Vec<_>>().join("…");
    (words, parts.iter().skip(1).step_by(2).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_warning_about_many_things_is_one() {
        let warnings: Vec<Diagnostic> =
            ["the Service `a/x` selects no pod", "other", "the Service `a/y` selects no pod"]
                .into_iter()
                .map(Diagnostic::warning)
                .collect();
        assert_eq!(merged(warnings.iter()), ["the Service … selects no pod (2 times: a/x, a/y)", "other"]);
    }

    #[test]
    fn what_has_other_consequences_is_another_warning() {
        let file = crate::scenario::source::SourceFile::new("f", "x", 0);
        let place = crate::scenario::source::Span::new(&file, 0, 1);
        let warning =
            |field: &str, what: &str| Diagnostic::warning(format!("`{field}` is not modelled")).at(&place, what);
        let warnings = [warning("a", "nobody waits"), warning("b", "nobody comes"), warning("c", "nobody waits")];
        let said = ["… is not modelled: nobody waits (2 times: a, c)", "f:1:1: `b` is not modelled: nobody comes"];
        assert_eq!(merged(warnings.iter()), said);
    }
}
