//! `asyncprof record` and `report` find the stalls that there are, with their cause, line and task, and no others: one test for
//! each interpreter and event loop, such as `python3.11/asyncio`. `tests/programs/stalls` stalls on a known schedule, and
//! `scripts/stall-truth` compares; it has a longer run for people, this is a short and a long stall of each kind.

mod support;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

use support::pythons::{Interpreter, Matrix};
use support::trials::trials_of_missing;

/// What to run on, as the script names it, the packages that it needs, and the minor versions; all of them, if there are none.
/// The script's `foreign` is not among them: of stalls of loops that are neither asyncio's nor uvloop's some are still missed.
const SETTINGS: [(&str, &[&str], &[u32]); 5] = [
    ("asyncio", &[], &[]),
    ("uvloop", &["uvloop"], &[]),
    ("greenlet", &["greenlet"], &[12, 14]),
    ("greenlet-uvloop", &["greenlet", "uvloop"], &[12, 14]),
    ("nested", &["nest_asyncio"], &[12, 14]),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Stalls are measured in milliseconds: who shares a processor with another test gets other lengths.
    arguments.test_threads = Some(1);
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let mut trials = trials_of_missing(&matrix);
    let Some(runner) = matrix.found.iter().rev().find(|interpreter| !interpreter.which.free_threaded).cloned() else {
        return libtest_mimic::run(&arguments, trials).exit_code();
    };
    trials.push(Trial::test("comparison/sees_what_is_wrong", {
        let runner = runner.clone();
        move || stall_truth(&runner, &["--check-itself"])
    }));
    for interpreter in &matrix.found {
        for (event_loop, packages, minors) in SETTINGS {
            let which = interpreter.which;
            if !minors.is_empty() && (which.free_threaded || !minors.contains(&which.minor)) {
                continue;
            }
            let is_missing = packages.iter().any(|name| which.free_threaded || !interpreter.has_package(name));
            let name = format!("{}/{event_loop}", interpreter.which.label());
            let (runner, path) = (runner.clone(), interpreter.path.display().to_string());
            let test = Trial::test(name, move || {
                let binary = env!("CARGO_BIN_EXE_asyncprof");
                let which = ["--binary", binary, "--python", &path, "--loop", event_loop];
                // In a step every kind of stall is tried on the usual loops.
                let kinds: &[&str] =
                    if minors.is_empty() { &[] } else { &["--kinds", "sleep,cpu,native_sum,gil_in_step"] };
                // Lengths are judged where nothing else runs.
                stall_truth(&runner, &[&which[..], kinds, &["--quick", "--no-length-goal"]].concat())
            });
            trials.push(test.with_ignored_flag(is_missing));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the script prints is the failure's text: each stall that is missed, invented or not rightly described.
fn stall_truth(runner: &Interpreter, arguments: &[&str]) -> Result<(), Failed> {
    let output = Command::new(&runner.path)
        .arg(folder().join("scripts").join("stall-truth"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run scripts/stall-truth: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{}\n{said}{errors}", output.status).into())
}
