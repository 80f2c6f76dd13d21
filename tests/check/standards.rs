//! SARIF and JUnit XML against their schemas, by validators of other people. `scripts/install-consumers` brings both.

use std::path::Path;
use std::process::Command;

use crate::formats::{self, all, written};
use crate::support::consumers::{content, find};

/// Says every place in a log that departs from the schema, and how many logs it has looked at.
const SARIF: &str = r#"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
formats = jsonschema.Draft7Validator.FORMAT_CHECKER
assert "uri-reference" in formats.checkers
validator = jsonschema.Draft4Validator(schema, format_checker=formats)
assert not validator.is_valid({"version": "2.1.0", "runs": [{"tool": {}}]}), "the validator sees nothing"
for path in sys.argv[2:]:
    for error in validator.iter_errors(json.load(open(path))):
        print(path, error.json_path, error.message)
print("looked at", len(sys.argv) - 2)
"#;

/// The same for JUnit XML. File and line of a test case are not in this schema: they came later, and GitLab and others show them.
const JUNIT: &str = r#"
import sys
import xml.etree.ElementTree as ElementTree
import xmlschema
schema = xmlschema.XMLSchema(sys.argv[1])
assert not schema.is_valid("<testsuites><testsuite/></testsuites>"), "the validator sees nothing"
for path in sys.argv[2:]:
    tree = ElementTree.parse(path)
    for case in tree.iter("testcase"):
        case.attrib.pop("file", None)
        case.attrib.pop("line", None)
    for error in schema.iter_errors(tree.getroot()):
        print(path, error.path, error.reason)
print("looked at", len(sys.argv) - 2)
"#;

/// Every made-up result in a format, held against a schema.
fn assert_valid(format: formats::Format, schema: &str, script: &str) {
    let (validators, schema) = (find("validators"), find(schema));
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(schema).env("PYTHONPATH", validators).current_dir(folder.path());
    let made = all();
    for (name, made) in &made {
        std::fs::write(folder.path().join(name), written(made, format)).unwrap();
        command.arg(Path::new(name));
    }
    assert_eq!(content(command), format!("looked at {}\n", made.len()));
}

pub(crate) fn sarif_keeps_to_the_schema_of_the_standard() {
    assert_valid(formats::SARIF, "sarif-schema", SARIF);
}

pub(crate) fn junit_keeps_to_the_schema_that_jenkins_reads_by() {
    assert_valid(formats::JUNIT, "junit-schema", JUNIT);
}
