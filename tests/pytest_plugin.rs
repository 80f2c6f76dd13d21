//! The pytest plugin on small test files: which tests fail, and what a person reads. These tests know only pytest's command
//! line and what it prints. pytest and pytest-asyncio come from PyPI into `target/pytest`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use support::pythons::{Interpreter, Which, oldest_and_newest};
use support::trials::missing;

support::trials::trials! {
    on each of oldest_and_newest() =>
        a_test_that_blocks_its_loop_fails_and_names_the_line,
        the_marker_does_nothing_without_the_option,
        a_misspelt_limit_is_an_error_that_names_the_nearest,
        tests_without_asyncio_pass_and_the_summary_says_that_there_was_nothing_to_judge,
        without_the_program_pytest_says_what_to_do,
        a_program_that_cannot_record_ends_the_session_with_what_it_said,
        a_test_that_computes_in_its_loop_fails,
        a_budget_of_the_command_line_holds_for_tests_without_a_marker_and_junit_tells_of_it,
        coroutine_tests_are_judged_in_the_loop_of_their_plugin_and_orphans_are_of_their_test,
        without_a_plugin_for_coroutines_pytest_itself_says_so_and_nothing_is_judged,
        workers_of_xdist_are_recorded_each_and_the_summary_has_them_all,
        the_package_that_pip_builds_registers_the_plugin,
}

/// Packages that the samples need.
const PACKAGES: [&str; 3] = ["pytest", "pytest-asyncio", "pytest-xdist"];

/// A Python that has pytest.
struct Environment {
    label: String,
    python: PathBuf,
}

/// What a run of pytest came to.
struct Outcome {
    code: i32,
    text: String,
}

impl Outcome {
    fn has(&self, text: &str) {
        assert!(self.text.contains(text), "{text:?} is not in:\n{}", self.text);
    }

    fn has_not(&self, text: &str) {
        assert!(!self.text.contains(text), "{text:?} is in:\n{}", self.text);
    }

    /// The line of pytest's summary about a test.
    fn line(&self, verdict: &str, test: &str) -> &str {
        let is_it = |line: &&str| {
            let rest = line.strip_prefix(verdict).and_then(|rest| rest.trim_start().strip_prefix(test));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let found = self.text.lines().find(is_it);
        found.unwrap_or_else(|| panic!("no {verdict} {test} in:\n{}", self.text))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn samples() -> PathBuf {
    root().join("tests").join("programs").join("pytest_samples")
}

/// The number of the only line of a sample that contains `text`.
fn line_of(sample: &str, text: &str) -> usize {
    let source = fs::read_to_string(samples().join(sample)).unwrap();
    let found: Vec<usize> = (1..).zip(source.lines()).filter(|(_, line)| line.contains(text)).map(|(n, _)| n).collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0]
}

/// This Python with pytest; where it cannot be installed the test is ignored.
fn environment(interpreter: &Interpreter) -> Environment {
    static READY: Mutex<BTreeMap<Which, bool>> = Mutex::new(BTreeMap::new());
    let label = interpreter.which.label();
    let folder = root().join("target").join("pytest").join(&label);
    let python = folder.join("bin").join("python");
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    if !*ready.entry(interpreter.which).or_insert_with(|| install(&interpreter.path, &folder, &python)) {
        missing(&format!("pytest could not be installed into {}", folder.display()));
    }
    Environment { label, python }
}

/// Whether `python`, in the virtual environment `folder`, has what the samples need; installs it if it is not there.
fn install(interpreter: &Path, folder: &Path, python: &Path) -> bool {
    let has_all = || succeeds(Command::new(python).args(["-c", "import pytest, pytest_asyncio, xdist"]));
    let install = || {
        succeeds(Command::new(interpreter).args(["-m", "venv"]).arg(folder))
            && succeeds(Command::new(python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))
    };
    has_all() || (install() && has_all())
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Runs pytest with the plugin on a sample, one run at a time: they measure time.
fn pytest(environment: &Environment, sample: &str, arguments: &[&str], binary: Option<&str>) -> Outcome {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    eprintln!("{sample} {arguments:?} on {}", environment.label);
    let mut command = Command::new(&environment.python);
    command
        .args(["-W", "ignore", "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "-rA", "-p", "no:cacheprovider"])
        .args(["-p", "pytest_asyncprof.plugin", sample])
        .args(arguments)
        .current_dir(samples())
        .stdin(Stdio::null())
        .env_remove("ASYNCPROF")
        // The summary is not cut at the width of a terminal.
        .env("CI", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", root().join("pytest-plugin"));
    if let Some(binary) = binary {
        command.env("ASYNCPROF", binary);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Outcome { code: output.status.code().unwrap(), text }
}

/// A run of a sample with this asyncprof.
fn run(python: &Interpreter, sample: &str, arguments: &[&str]) -> Outcome {
    pytest(&environment(python), sample, arguments, Some(env!("CARGO_BIN_EXE_asyncprof")))
}

fn a_test_that_blocks_its_loop_fails_and_names_the_line(python: &Interpreter) {
    let blocks = format!("blocked.py:{} blocked the event loop for", line_of("blocked.py", "# blocks"));
    let outcome = run(python, "blocked.py", &["--asyncprof"]);
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    for test in ["test_blocks_in_the_first_step", "test_blocks_later"] {
        let line = outcome.line("FAILED", &format!("blocked.py::{test}"));
        assert!(line.contains(&blocks) && line.contains("200 ms allowed (max_stall)"), "{line}");
    }
    let line = outcome.line("FAILED", "blocked.py::test_allows_no_stall");
    assert!(line.contains("1 stall of 100 ms or more, 0 allowed (max_stalls)"), "{line}");
    outcome.has("Use await asyncio.sleep() instead of time.sleep().");
    outcome.line("PASSED", "blocked.py::test_waits");
    outcome.line("PASSED", "blocked.py::test_without_a_budget");
    outcome.line("XFAIL", "blocked.py::test_is_known_to_block");
    // The summary shows also what had no budget.
    outcome.has("5 stalls in 5 tests");
}

fn the_marker_does_nothing_without_the_option(python: &Interpreter) {
    let outcome = run(python, "blocked.py", &["--strict-markers", "--deselect=blocked.py::test_is_known_to_block"]);
    assert_eq!(outcome.code, 0, "{}", outcome.text);
    outcome.has("5 passed");
    outcome.has_not("PytestUnknownMarkWarning");
    outcome.has_not("allowed");
    let outcome = run(python, "misspelt.py", &[]);
    assert_eq!(outcome.code, 0, "{}", outcome.text);
}

fn a_misspelt_limit_is_an_error_that_names_the_nearest(python: &Interpreter) {
    let outcome = run(python, "misspelt.py", &["--asyncprof"]);
    assert_eq!(outcome.code, 4, "{}", outcome.text);
    outcome.has("misspelt.py::test_passes: asyncprof(max_stal=…) is unknown; did you mean max_stall?");
}

fn tests_without_asyncio_pass_and_the_summary_says_that_there_was_nothing_to_judge(python: &Interpreter) {
    let outcome = run(python, "no_asyncio.py", &["--asyncprof", "--asyncprof-max-stall=100ms"]);
    assert_eq!(outcome.code, 0, "{}", outcome.text);
    outcome.has("2 passed");
    outcome.has("no event loop was seen in the process of the tests");
}

fn without_the_program_pytest_says_what_to_do(python: &Interpreter) {
    let environment = environment(python);
    let outcome = pytest(&environment, "no_asyncio.py", &["--asyncprof"], Some("/nowhere/asyncprof"));
    assert_eq!(outcome.code, 4, "{}", outcome.text);
    outcome.has("the variable ASYNCPROF names /nowhere/asyncprof, which is not a program that can be run");
    let arguments = ["--asyncprof", "--asyncprof-binary=/nowhere/asyncprof"];
    let outcome = pytest(&environment, "no_asyncio.py", &arguments, None);
    assert_eq!(outcome.code, 4, "{}", outcome.text);
    outcome.has("--asyncprof-binary names /nowhere/asyncprof");
}

fn a_program_that_cannot_record_ends_the_session_with_what_it_said(python: &Interpreter) {
    let environment = environment(python);
    let outcome = pytest(&environment, "no_asyncio.py", &["--asyncprof"], Some("/bin/false"));
    assert_eq!(outcome.code, 4, "{}", outcome.text);
    outcome.has("asyncprof could not record process");
}

fn a_test_that_computes_in_its_loop_fails(python: &Interpreter) {
    let outcome = run(python, "computes.py", &["--asyncprof"]);
    if outcome.text.contains("cpu starved") {
        missing("this machine gave a test that computes no processor");
    }
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    let line = outcome.line("FAILED", "computes.py::test_computes");
    assert!(line.contains("blocked the event loop for"), "{line}");
}

fn a_budget_of_the_command_line_holds_for_tests_without_a_marker_and_junit_tells_of_it(python: &Interpreter) {
    let folder = tempfile::tempdir().unwrap();
    let (junit, output) = (folder.path().join("junit.xml"), folder.path().join("recordings"));
    let junit_option = format!("--junitxml={}", junit.display());
    let output_option = format!("--asyncprof-output={}", output.display());
    let arguments =
        ["--asyncprof", "--asyncprof-max-stall=300ms", "-k", "without_a_budget", &junit_option, &output_option];
    let blocks = format!("blocked.py:{} blocked the event loop for", line_of("blocked.py", "# blocks"));
    let outcome = run(python, "blocked.py", &arguments);
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("failures=\"1\"") && xml.contains("tests=\"1\""), "{xml}");
    assert!(xml.contains(&format!("<failure message=\"{blocks}")), "{xml}");
    assert!(xml.contains("asyncprof_longest_stall_ms"), "{xml}");
    outcome.has(&format!("asyncprof report {}", output.display()));
    let recordings: Vec<PathBuf> = output.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(recordings.len() >= 2);
    for recording in recordings {
        assert!(succeeds(Command::new(env!("CARGO_BIN_EXE_asyncprof")).arg("report").arg(&recording)));
    }
}

fn coroutine_tests_are_judged_in_the_loop_of_their_plugin_and_orphans_are_of_their_test(python: &Interpreter) {
    let outcome = run(python, "coroutines.py", &["--asyncprof"]);
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    let line = outcome.line("FAILED", "coroutines.py::test_blocks");
    let blocks = format!("coroutines.py:{} blocked the event loop for", line_of("coroutines.py", "# blocks"));
    assert!(line.contains(&blocks), "{line}");
    let line = outcome.line("FAILED", "coroutines.py::test_forgets_a_task");
    assert!(line.contains("1 orphaned task, 0 allowed (max_orphans): forgotten at coroutines.py:"), "{line}");
    outcome.line("PASSED", "coroutines.py::test_keeps_its_task");
    outcome.line("PASSED", "coroutines.py::test_may_forget_one");
}

fn without_a_plugin_for_coroutines_pytest_itself_says_so_and_nothing_is_judged(python: &Interpreter) {
    let outcome = run(python, "coroutines.py", &["--asyncprof", "-p", "no:asyncio", "-p", "no:anyio"]);
    // Skipped or failed, as this pytest does it.
    outcome.has_not("PASSED");
    outcome.has_not("could not be judged");
    outcome.has_not("allowed");
    outcome.has_not("INTERNALERROR");
}

fn workers_of_xdist_are_recorded_each_and_the_summary_has_them_all(python: &Interpreter) {
    let outcome = run(python, "blocked.py", &["--asyncprof", "-n", "2"]);
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    outcome.line("FAILED", "blocked.py::test_blocks_later");
    outcome.line("FAILED", "blocked.py::test_allows_no_stall");
    outcome.line("PASSED", "blocked.py::test_waits");
    outcome.has("5 stalls in 5 tests");
}

fn the_package_that_pip_builds_registers_the_plugin(python: &Interpreter) {
    let environment = environment(python);
    let folder = tempfile::tempdir().unwrap();
    let mut pip = Command::new(&environment.python);
    if !succeeds(pip.args(["-m", "pip", "wheel", "--no-deps", "-w"]).arg(folder.path()).arg(root())) {
        missing("pip could not build the package of the plugin");
    }
    let wheel = folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
    let question = "import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
names = wheel.namelist()
print(*names)
print(next(wheel.read(name).decode() for name in names if name.endswith('entry_points.txt')))";
    let output = Command::new(&environment.python).args(["-c", question]).arg(wheel).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("pytest_asyncprof/plugin.py") && text.contains("pytest_asyncprof/judge.py"), "{text}");
    assert!(text.contains("[pytest11]\nasyncprof = pytest_asyncprof.plugin"), "{text}");
}
