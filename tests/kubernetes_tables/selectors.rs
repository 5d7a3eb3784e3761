//! Label selectors.

use super::table;
use drainsim::api::labels::Requirement::{self, DoesNotExist, Exists, In, NotIn};
use drainsim::api::{Labels, Selector};

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn key(text: &str) -> String {
    text.to_string()
}

fn values(list: &[&str]) -> Vec<String> {
    list.iter().map(|v| (*v).to_string()).collect()
}

/// `k8s.io/apimachinery/pkg/labels/selector.go` Requirement.Matches; `selector_test.go` TestRequirementSelectorMatching.
pub fn check() -> usize {
    const SOURCE: &str = "apimachinery selector.go Requirement.Matches";
    let rows: [((Vec<Requirement>, &str), bool); 16] = [
        ((vec![], ""), true),
        ((vec![], "x=foo"), true),
        ((vec![In(key("x"), values(&["foo"]))], "x=foo"), true),
        ((vec![In(key("x"), values(&["foo"]))], "x=bar"), false),
        ((vec![In(key("x"), values(&["foo"]))], "y=foo"), false),
        ((vec![In(key("x"), values(&["foo", "bar"]))], "x=bar"), true),
        ((vec![NotIn(key("x"), values(&["foo"]))], "x=foo"), false),
        ((vec![NotIn(key("x"), values(&["foo"]))], "x=bar"), true),
        // a label that is not there has none of the values
        ((vec![NotIn(key("x"), values(&["foo"]))], "y=foo"), true),
        ((vec![NotIn(key("x"), values(&[""]))], "y=foo"), true),
        ((vec![Exists(key("x"))], "x="), true),
        ((vec![Exists(key("x"))], "y=x"), false),
        ((vec![DoesNotExist(key("x"))], "y=x"), true),
        ((vec![DoesNotExist(key("x"))], "x="), false),
        // all of them must hold
        ((vec![In(key("x"), values(&["foo"])), NotIn(key("y"), values(&["baz"]))], "x=foo,y=bar"), true),
        ((vec![In(key("x"), values(&["foo"])), NotIn(key("y"), values(&["baz"]))], "x=foo,y=baz"), false),
    ];
    table(SOURCE, &rows, |(requirements, text)| Selector { requirements: requirements.clone() }.matches(&labels(text)))
}
