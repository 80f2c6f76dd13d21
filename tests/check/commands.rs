//! Checks of real programs on a real Python: a run that is judged, one that failed, and what was planted into one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::pythons::{Interpreter, newest};
use crate::{assert_exit, asyncprof, check, stderr, stdout};

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/check/requests.py")
}

/// The line of the program that holds this.
fn line_of(part: &str) -> usize {
    let text = fs::read_to_string(program()).unwrap();
    text.lines().position(|line| line.contains(part)).unwrap() + 1
}

/// The program with these options, as `-- CMD`.
fn command<'a>(python: &'a Interpreter, program: &'a Path, options: &[&'a str]) -> Vec<&'a str> {
    [&["--", python.path.to_str().unwrap(), program.to_str().unwrap()], options].concat()
}

pub(crate) fn a_program_that_is_well_passes_and_one_that_blocks_fails_with_file_and_line() {
    let python = newest();
    let (folder, program) = (tempfile::tempdir().unwrap(), program());
    let budget = ["--max-stalls", "0"];
    let output = check(folder.path(), &[&budget[..], &command(python, &program, &["--requests", "800"])].concat());
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("run 1 of 1: "), "which run, and how long: {}", stderr(&output));
    assert!(stderr(&output).contains("800 requests"), "the program's own stderr: {}", stderr(&output));
    let blocking = command(python, &program, &["--requests", "800", "--block", "250"]);
    let output = check(folder.path(), &[&["--max-stall", "100ms"][..], &blocking].concat());
    assert_exit(&output, 1);
    let place = format!("requests.py:{}", line_of("the line to change"));
    assert!(stdout(&output).contains("look_it_up") && stdout(&output).contains(&place), "{}", stdout(&output));
}

pub(crate) fn a_program_that_failed_fails_the_check_whatever_its_budgets_say() {
    let python = newest();
    let (folder, program) = (tempfile::tempdir().unwrap(), program());
    let command = command(python, &program, &["--requests", "100", "--exit", "3"]);
    let output = check(folder.path(), &[&["--max-stalls", "99"][..], &command].concat());
    assert_exit(&output, 1);
    assert!(stdout(&output).contains("the program failed: it exited with status 3"), "{}", stdout(&output));
    assert_exit(&check(folder.path(), &["--max-stalls", "99", "--", "sh", "-c", "kill -TERM $$"]), 1);
}

pub(crate) fn what_could_not_be_started_or_seen_has_its_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let exit = |command: &[&str]| check(folder.path(), &[&["--max-stalls", "9", "--"][..], command].concat());
    assert_exit(&exit(&["no such program"]), 127);
    assert_exit(&exit(&["/"]), 126);
    let output = exit(&["true"]);
    assert_exit(&output, 7);
    assert!(stdout(&output).contains("the program ended before it ran a Python"), "{}", stdout(&output));
    assert!(stderr(&output).contains("hint:  only the process that is started is watched"), "{}", stderr(&output));
    let python = newest();
    let output = exit(&[python.path.to_str().unwrap(), "-c", "import time; time.sleep(0.5)"]);
    assert_exit(&output, 7);
}

pub(crate) fn what_was_planted_since_the_baseline_is_named() {
    let python = newest();
    let (folder, program) = (tempfile::tempdir().unwrap(), program());
    // The orphan lives for two thirds of it: long enough for several full snapshots on a busy machine.
    let length = ["--requests", "6000"];
    let update = [&["--update", "--runs", "1"][..], &command(python, &program, &length)].concat();
    assert_exit(&check(folder.path(), &update), 0);
    let planted = [&length[..], &["--block", "250", "--orphan"]].concat();
    let output = check(folder.path(), &[&["-f", "json"][..], &command(python, &program, &planted)].concat());
    assert_exit(&output, 1);
    let result: Value = serde_json::from_str(stdout(&output)).unwrap();
    let failed = result["items"].as_array().unwrap().iter().filter(|item| item["verdict"] == "fail");
    let sites: Vec<&Value> = failed.flat_map(|item| item["sites"].as_array().unwrap()).collect();
    let stall = sites.iter().find(|site| site["kind"] == "stall").unwrap();
    assert_eq!((&stall["function"], &stall["line"]), (&"look_it_up".into(), &line_of("the line to change").into()));
    assert!(sites.iter().any(|site| site["kind"] == "orphaned-task" && site["function"] == "lost"), "{sites:#?}");
}

pub(crate) fn two_programs_are_run_in_turns() {
    let python = newest();
    let (folder, program) = (tempfile::tempdir().unwrap(), program());
    let base = format!("'{}' '{}' --requests 300", python.path.display(), program.display());
    let head = command(python, &program, &["--requests", "300", "--block", "250"]);
    let output = check(folder.path(), &[&["--base-cmd", &base, "--runs", "2"][..], &head].concat());
    assert_exit(&output, 1);
    // A pair that noise has spoilt is made again, in the same order.
    for (pair, side) in [("pair 1 of 2", "base"), ("pair 2 of 2", "head")] {
        let first = stderr(&output).lines().find(|line| line.contains(pair)).unwrap();
        assert!(first.contains(&format!("{pair}, {side}: ")), "{}", stderr(&output));
    }
    assert!(stdout(&output).contains("new stall"), "{}", stdout(&output));
}

pub(crate) fn a_program_against_itself_tells_how_often_it_would_be_a_false_alarm() {
    let python = newest();
    let (folder, program) = (tempfile::tempdir().unwrap(), program());
    let command = command(python, &program, &["--requests", "100"]);
    let output = check(folder.path(), &[&["--self-test", "2", "--runs", "2", "-f", "json"][..], &command].concat());
    assert!(matches!(output.status.code(), Some(0 | 1 | 7)), "{}", stderr(&output));
    let result: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(result["self_test"]["trials"], 2);
    // Two of two, or none of two, say little.
    assert!(result["self_test"]["false_alarm_rate_high"].as_f64().unwrap() > 0.8);
}

pub(crate) fn a_program_that_never_ends_is_ended_when_its_time_is_over() {
    let python = newest();
    let folder = tempfile::tempdir().unwrap();
    let text = "import asyncio\nprint('mine', flush=True)\nasyncio.run(asyncio.sleep(3600))\n";
    fs::write(folder.path().join("server.py"), text).unwrap();
    let output = check(
        folder.path(),
        &["-d", "2s", "--max-stalls", "0", "--keep", "kept", "--", python.path.to_str().unwrap(), "server.py"],
    );
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("mine\nPASS  "), "{}", stdout(&output));
    let kept = asyncprof(folder.path()).args(["kept/run-1.aprof", "--max-stalls", "0"]).output().unwrap();
    assert_exit(&kept, 0);
}
