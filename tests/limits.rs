//! What is too much to read is left out, and that is said: tasks for which there is no memory, and chains that are too deep.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::command::{asyncprof, through};
use support::pythons::{Interpreter, newest, oldest};
use support::target::{Program, Target};

support::trials::trials! {
    a_dump_of_more_tasks_than_fit_reads_a_part_and_says_so,
    a_dump_of_tasks_that_fit_reads_all_of_them,
    a_watch_of_more_tasks_than_fit_watches_a_part_and_says_so,
    a_chain_that_is_too_deep_is_cut_and_said_to_be,
}

const TASKS: u32 = 100_000;

/// The tests' own tasks besides.
const OTHERS: u64 = 2;

/// MB that the program may use, and that it was seen to use; without a limit it uses several hundred.
const LITTLE: (&str, u64) = ("64M", 90);

/// Runs a command and writes its peak of memory in MB to a file: nothing else is its child.
const MEASURE: &str = "
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024))
sys.exit(status)";

/// The oldest has a registry of weak references, the newest a list: the pages of both are read.
fn targets() -> impl Iterator<Item = Target> {
    let program = program("stops/stops.py");
    let start = move |python: &Interpreter| Target::start(python, &program, &[TASKS.to_string()]).unwrap();
    [oldest(), newest()].into_iter().map(start)
}

fn program(path: &str) -> Program {
    Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(path))
}

/// Runs asyncprof in `folder`; also returns its peak of memory, MB.
fn run(folder: &Path, arguments: &[&str]) -> (Output, u64) {
    let mut measure = Command::new(&newest().path);
    measure.args(["-c", MEASURE, "peak"]);
    let output = through(measure, &asyncprof(folder, arguments)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (output, std::fs::read_to_string(folder.join("peak")).unwrap().parse().unwrap())
}

fn tasks(dump: &Value) -> u64 {
    dump["tasks"].as_array().unwrap().len() as u64
}

fn a_dump_of_more_tasks_than_fit_reads_a_part_and_says_so() {
    for target in targets() {
        let (folder, pid) = (tempfile::tempdir().unwrap(), target.pid().to_string());
        let (output, peak) = run(folder.path(), &["dump", "--max-memory", LITTLE.0, "-f", "json", &pid]);
        let dump: Value = serde_json::from_slice(&output.stdout).unwrap();
        let unread = dump["unread_tasks"].as_u64().unwrap();
        assert!(peak < LITTLE.1, "{peak} MB");
        assert!(tasks(&dump) > 1_000 && unread > 1_000, "{} and {unread}", tasks(&dump));
        let all = tasks(&dump) + unread;
        assert!((u64::from(TASKS)..=u64::from(TASKS) + OTHERS).contains(&all), "{all}");
        let gap = format!("{unread} of {all} tasks");
        assert_eq!(dump["gaps"][0]["what"], *gap, "{:#}", dump["gaps"]);
        assert!(dump["gaps"][0]["why"].as_str().unwrap().contains("--max-memory"));
        let text = String::from_utf8(run(folder.path(), &["dump", "--max-memory", LITTLE.0, &pid]).0.stdout).unwrap();
        assert!(text.contains(" of 100,00") && text.contains("--max-memory"), "{text}");
    }
}

fn a_dump_of_tasks_that_fit_reads_all_of_them() {
    for target in targets() {
        let (folder, pid) = (tempfile::tempdir().unwrap(), target.pid().to_string());
        let (output, _) = run(folder.path(), &["dump", "--max-memory", "2G", "-f", "json", &pid]);
        let dump: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(dump["unread_tasks"], 0);
        assert!(tasks(&dump) >= u64::from(TASKS), "{}", tasks(&dump));
        assert_eq!(dump["gaps"], Value::Array(Vec::new()));
    }
}

fn a_watch_of_more_tasks_than_fit_watches_a_part_and_says_so() {
    for target in targets() {
        let (folder, pid) = (tempfile::tempdir().unwrap(), target.pid().to_string());
        let watch = ["record", "--max-memory", LITTLE.0, "--cpu-budget", "400%", "-d", "5", "-o", "x.aprof", &pid];
        let (output, peak) = run(folder.path(), &watch);
        assert!(peak < LITTLE.1, "{peak} MB");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("of the tasks are watched: 64 MiB of memory are used up (--max-memory)"), "{said}");
        let report = asyncprof(folder.path(), &["report", "x.aprof", "-f", "json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let seen: Vec<&Value> = report["tasks"].as_array().into_iter().flatten().collect();
        let count = |key: &str| seen.iter().filter_map(|group| group[key].as_u64()).sum::<u64>();
        assert!((100..u64::from(TASKS)).contains(&count("seen")), "{:#}", report["tasks"]);
        // What was there all the while was not born when there was room for it.
        assert_eq!(count("born"), 0, "{:#}", report["tasks"]);
    }
}

fn a_chain_that_is_too_deep_is_cut_and_said_to_be() {
    // Older ones need more of the C stack for each level.
    let target = Target::start(newest(), &program("limits/deep_chain.py"), &["50000".to_owned()]).unwrap();
    let (folder, pid) = (tempfile::tempdir().unwrap(), target.pid().to_string());
    let (output, _) = run(folder.path(), &["dump", "-f", "json", &pid]);
    let dump: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(dump["gaps"][0]["what"], "the inner part of 1 stack", "{:#}", dump["gaps"]);
    let stack = dump["tasks"][0]["stack"].as_array().unwrap();
    assert!(stack.len() > 10_000 && stack.iter().all(|frame| frame["function"] == "level"), "{}", stack.len());
    let found = dump["findings"].as_array().unwrap().iter().any(|finding| finding["rule"] == "incomplete-reading");
    assert!(found, "{:#}", dump["findings"]);
}
