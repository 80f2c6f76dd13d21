//! What the scripts that measure say to a wrong command line, and the examples in the documentation of the pytest plugin.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::pythons::newest;

support::trials::trials! {
    a_python_that_is_unknown_to_a_script_ends_it_and_those_found_are_named,
    the_examples_of_the_pytest_plugin_are_right,
}

/// Scripts that run on any Python, and the option that names one.
const SCRIPTS: [(&str, &[&str]); 10] = [
    ("bench-dump", &["--python"]),
    ("bench-peers", &["--python"]),
    ("bench-recording", &["--python"]),
    ("bench-sampler", &["--python"]),
    ("bench-tasks", &[]),
    ("healthy", &["--python"]),
    ("impossible-stacks", &["--python"]),
    ("load-test", &["--python"]),
    ("server-matrix", &["--python"]),
    ("stall-truth", &["--python"]),
];

fn python(arguments: &[&str]) -> Output {
    let mut command = Command::new(&newest().path);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).stdin(Stdio::null());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", "pytest-plugin").args(arguments).output().unwrap()
}

fn a_python_that_is_unknown_to_a_script_ends_it_and_those_found_are_named() {
    let known = newest().path.to_str().unwrap();
    for (script, option) in SCRIPTS {
        let path = format!("scripts/{script}");
        // One that is known does not make up for one that is not.
        let (first, second) = ([option, &[known]].concat(), [option, &["no-such-python"]].concat());
        let output = python(&[&[path.as_str()], &*first, &second].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{script}: {said}");
        let (unknown, found) = said.split_once("; found: ").unwrap_or_else(|| panic!("{script}: {said}"));
        assert!(unknown.starts_with(&format!("{script}: ")) && unknown.ends_with(": no-such-python"), "{said}");
        assert!(found.contains("3."), "{said}");
    }
}

fn the_examples_of_the_pytest_plugin_are_right() {
    let script = "import doctest, sys; from pytest_asyncprof import judge
result = doctest.testmod(judge)
sys.exit(result.failed or not result.attempted)";
    let output = python(&["-c", script]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
