//! A watch ends soon after it is asked to, however much there is to read, and loses nothing by it.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::command::asyncprof;
use support::pythons::oldest;
use support::target::{Program, Target};

support::trials::trials! {
    a_signal_ends_a_watch_of_a_hundred_thousand_tasks_within_two_seconds,
    a_watch_of_a_hundred_thousand_tasks_takes_as_long_as_it_was_told_to,
    a_second_signal_does_not_lose_the_summary,
}

/// The bound is 2 s; a machine that does other things too gets twice as long. Without a bound it took half a minute.
const BOUND: Duration = Duration::from_secs(4);

/// The oldest Python is the slowest to read.
fn start(tasks: u32) -> Target {
    let program = Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/stops/stops.py"));
    Target::start(oldest(), &program, &[tasks.to_string()]).unwrap()
}

/// Waits until something that was seen is in the file: it has a header, and has grown since.
fn wait_for(file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let length = || file.metadata().map_or(0, |found| found.len());
    let mut header = 0;
    while header == 0 || length() == header {
        if header == 0 {
            header = length();
        }
        assert!(Instant::now() < deadline, "nothing was written to {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(process: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
}

fn assert_is_complete(folder: &Path, recording: &str) {
    let report = asyncprof(folder, &["report", recording, "-f", "json"]).output().unwrap();
    assert!(report.status.success(), "{report:?}");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["complete"], true, "{:#}", report["sampling"]);
    assert!(report["sampling"]["loop_samples"].as_u64().unwrap() > 0);
}

fn a_signal_ends_a_watch_of_a_hundred_thousand_tasks_within_two_seconds() {
    let (target, folder) = (start(100_000), tempfile::tempdir().unwrap());
    let pid = target.pid().to_string();
    // In the first look at the tasks, and later.
    for (number, after_ms) in [300, 1_500, 5_000].into_iter().enumerate() {
        let file = format!("{number}.aprof");
        let mut recording = asyncprof(folder.path(), &["record", "-o", &file, &pid]).spawn().unwrap();
        wait_for(&folder.path().join(&file));
        std::thread::sleep(Duration::from_millis(after_ms));
        let asked = Instant::now();
        signal(&recording, Signal::SIGTERM);
        assert!(recording.wait().unwrap().success());
        assert!(asked.elapsed() < BOUND, "{after_ms} ms after its start it took {:?} to end", asked.elapsed());
        assert_is_complete(folder.path(), &file);
    }
}

fn a_watch_of_a_hundred_thousand_tasks_takes_as_long_as_it_was_told_to() {
    let (target, folder) = (start(100_000), tempfile::tempdir().unwrap());
    let begun = Instant::now();
    let arguments = ["record", "-d", "2", "-o", "x.aprof", &target.pid().to_string()];
    assert!(asyncprof(folder.path(), &arguments).status().unwrap().success());
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(2) + BOUND).contains(&took), "{took:?}");
    assert_is_complete(folder.path(), "x.aprof");
}

fn a_second_signal_does_not_lose_the_summary() {
    let (target, folder) = (start(20_000), tempfile::tempdir().unwrap());
    let arguments = ["attach", "-f", "json", "-o", "x.aprof", &target.pid().to_string()];
    let attached = asyncprof(folder.path(), &arguments).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(&folder.path().join("x.aprof"));
    for _ in 0..3 {
        signal(&attached, Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(30));
    }
    let output = attached.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["complete"], true);
    assert_is_complete(folder.path(), "x.aprof");
}
