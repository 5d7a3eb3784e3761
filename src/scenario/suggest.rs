//! "Did you mean …?": the nearest of the valid names.

/// The candidate that is most like `name`, if one is near enough to be what was meant.
///
/// Near is: equal but for case and for what separates words, or at most a third of the letters (and never more than
/// three) changed. Of equally near ones the first.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    let limit = (wanted.len().div_ceil(3)).min(3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&wanted, &folded(candidate));
            (distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The help line for an unknown name: the nearest candidate, or the whole list if it is short enough to read.
#[must_use]
pub fn help<'a>(name: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    const LISTED_MAX: usize = 24;
    let mut all: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(name, all.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    all.dedup();
    match all.len() {
        0 => format!("there are no {what}"),
        1..=LISTED_MAX => format!("the {what} are: {}", all.join(", ")),
        more => format!("the {what} are: {}, … ({more} in all)", all[..LISTED_MAX].join(", ")),
    }
}

/// Lower case, without what separates words.
fn folded(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        const FIELDS: [&str; 5] = ["duration", "nodes", "traffic", "serviceTime", "kubernetes"];
        for (typed, expected) in [
            ("duraton", Some("duration")),
            ("Duration", Some("duration")),
            ("service_time", Some("serviceTime")),
            ("node", Some("nodes")),
            ("trafifc", Some("traffic")),
            ("kubernets", Some("kubernetes")),
            ("x", None),
            ("replicas", None),
        ] {
            assert_eq!(nearest(typed, FIELDS), expected, "{typed}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_change() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn without_a_near_name_the_help_lists_all() {
        assert_eq!(help("zzz", "nodes", ["node-1", "node-2"]), "the nodes are: node-1, node-2");
        assert_eq!(help("zzz", "nodes", []), "there are no nodes");
    }
}
