//! What `drainsim test --junit` writes is valid by the schema in `docs/junit.xsd`.
//!
//! libxml2 came to the same verdicts by that schema, about the reports and about the wrong ones below; and it found the reports
//! valid by the schema of Jenkins' xUnit plugin (`junit-10.xsd`), too.

#[path = "junit/schema.rs"]
mod schema;

use std::path::Path;

use assert_cmd::Command;
use roxmltree::{Document, Node};
use schema::Schema;

const XSD: &str = include_str!("../docs/junit.xsd");

fn errors(xml: &str) -> Vec<String> {
    let xsd = Document::parse(XSD).unwrap();
    Schema::new(&xsd).unwrap().errors(&Document::parse(xml).unwrap())
}

/// The report of `drainsim test`, run in a folder with these files, and its exit code.
fn report(files: &[(&str, String)], args: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::cargo_bin("drainsim").unwrap();
    command.args(["test", "--no-shrink", "--junit", "report.xml"]).args(args).current_dir(folder.path());
    let output = command.output().unwrap();
    (output.status.code().unwrap(), std::fs::read_to_string(folder.path().join("report.xml")).unwrap())
}

/// A built-in scenario with other expectations.
fn scenario(built_in: &str, expect: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{built_in}.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("rate: 200/s", "rate: 20/s").replace("duration: 2m", "duration: 40s");
    let (before, rest) = text.split_once("  expect:\n").unwrap();
    let (_, after) = rest.split_once("---\n").unwrap();
    let lines: String = expect.iter().map(|line| format!("    - {line}\n")).collect();
    format!("{before}  expect:\n{lines}---\n{after}")
}

/// A report with cases of every kind.
fn mixed() -> (i32, String) {
    let files = [
        ("a <&> \"b\".yaml", scenario("m06-the-race", &["failedRequests == 0", "sentRequests > 0"])),
        ("broken.yaml", "kind: Scenario\nnonsense: [".to_string()),
        ("undecided.yaml", scenario("m02-drain", &["sentRequests > 806 in 60% of runs for 30 seeds"])),
    ];
    report(&files, &["."])
}

#[test]
fn reports_are_valid() {
    let (code, xml) = mixed();
    assert_eq!((code, errors(&xml)), (2, Vec::new()), "{xml}");
    let document = Document::parse(&xml).unwrap();
    let count = |of: Node<'_, '_>, name: &str| of.descendants().filter(|n| n.has_tag_name(name)).count().to_string();
    // What no schema can say: the counts count, of the whole and of each suite.
    for suite in document.descendants().filter(|n| n.has_tag_name("testsuites") || n.has_tag_name("testsuite")) {
        let counts = [("tests", "testcase"), ("failures", "failure"), ("errors", "error")];
        for (attribute, element) in counts {
            assert_eq!(suite.attribute(attribute), Some(count(suite, element).as_str()), "{attribute}: {xml}");
        }
    }
    assert_eq!(document.root_element().attribute("tests"), Some("4"));
    let types: Vec<_> = document.descendants().filter_map(|n| n.attribute("type")).collect();
    assert_eq!(types, ["failed", "broken", "undecided"]);
    let (code, xml) = report(&[("a.yaml", scenario("m02-drain", &["sentRequests > 0"]))], &["."]);
    assert_eq!((code, errors(&xml)), (0, Vec::new()), "{xml}");
}

#[test]
fn what_is_not_valid_is_found() {
    let (_, xml) = mixed();
    let changes = [
        ("<testsuites name=\"drainsim\"", "<testsuites", "<testsuites> lacks name"),
        (" tests=\"4\"", " tests=\"four\"", "tests of <testsuites> is no xs:nonNegativeInteger: four"),
        (" tests=\"4\"", " tests=\"-4\"", "tests of <testsuites> is no xs:nonNegativeInteger: -4"),
        (" tests=\"2\"", " tests=\"0\"", "tests of <testsuite> is no xs:positiveInteger: 0"),
        ("type=\"failed\"", "type=\"bad\"", "type of <failure> is no failureType: bad"),
        ("<testcase ", "<testcase seconds=\"3\" ", "<testcase> has seconds"),
        ("\"/>\n  </testsuite>", "\">text</testcase>\n  </testsuite>", "<testcase> contains text"),
        ("</testsuites>", "<skipped/></testsuites>", "<skipped> is no element of the schema"),
        (
            "</failure>",
            "</failure><failure type=\"failed\" message=\"\"/>",
            "may not contain [\"failure\", \"failure\"]",
        ),
        (
            "<testsuite ",
            "<testsuite name=\"e\" package=\"e\" tests=\"1\" failures=\"0\" errors=\"0\"/><testsuite ",
            "<testsuite> may not contain []",
        ),
    ];
    for (from, to, wanted) in changes {
        assert!(xml.contains(from), "{from}: {xml}");
        let found = errors(&xml.replacen(from, to, 1));
        assert!(found.iter().any(|error| error.contains(wanted)), "{to}: {found:?} lacks {wanted}");
    }
}

#[test]
fn a_schema_with_more_than_is_known_is_refused() {
    for (from, to) in [
        ("<xs:sequence>", "<xs:all>"),
        ("type=\"errorType\"", "type=\"noType\""),
        ("ref=\"failure\"", "ref=\"nothing\""),
        ("use=\"required\"/>", "fixed=\"x\"/>"),
        ("<xs:enumeration value=\"broken\"/>", "<xs:pattern value=\"broken\"/>"),
    ] {
        let changed = XSD
            .replace(from, to)
            .replace("</xs:sequence>", if to == "<xs:all>" { "</xs:all>" } else { "</xs:sequence>" });
        let document = Document::parse(&changed).unwrap();
        assert!(Schema::new(&document).is_err(), "{to}");
    }
}
