//! `--blocking` and `--save-image` stop the target, and do not harm it: no signal is lost, no stop lasts longer than it may,
//! and it goes on however asyncprof ends.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::command::asyncprof;
use support::pythons::newest;
use support::target::{Program, Target};

use asyncprof::remote::Process;
use asyncprof::remote::stopped::StopGuard;

support::trials::trials! {
    a_real_time_signal_arrives_while_every_sample_stops_the_process,
    who_kills_asyncprof_frees_the_target_and_loses_no_signal,
    a_suspended_asyncprof_keeps_nothing_stopped,
    no_stop_lasts_longer_than_it_may_however_many_tasks_there_are,
    stops_keep_to_their_share_of_the_time,
    a_dump_that_takes_longer_than_a_stop_says_so_and_is_whole,
    an_image_is_saved_of_what_takes_longer_than_a_stop,
    a_program_that_is_stopped_for_each_sample_is_recorded_to_its_end,
    a_process_that_executes_a_program_while_it_is_stopped_goes_on,
}

/// `tests/programs/stops/stops.py`.
fn start(tasks: u32) -> Target {
    let program = Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/stops/stops.py"));
    Target::start(newest(), &program, &[tasks.to_string()]).unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = asyncprof(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn report(folder: &Path, recording: &str) -> Value {
    serde_json::from_slice(&run(folder, &["report", recording, "-f", "json"]).stdout).unwrap()
}

/// Waits until this holds; fails if it never does.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// It receives signals from now on, and none has been lost.
fn assert_goes_on(target: &Target) {
    let said = || target.said().unwrap();
    let before = said()["received"].as_u64().unwrap();
    until("the target receives signals", || said()["received"].as_u64().unwrap() > before + 20);
    assert_eq!(said()["lost"], false);
}

fn start_recording(folder: &Path, target: &Target) -> Child {
    let pid = target.pid().to_string();
    let arguments = ["record", "--blocking", "--max-stop-share", "50%", "-o", "x.aprof", "--force", &pid];
    let recording = asyncprof(folder, &arguments).stderr(Stdio::null()).spawn().unwrap();
    until("the target is traced", || is_traced(target.pid()));
    recording
}

/// A thread of the process stands in a stop of a tracer.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| state(&thread.path()) == Some('t'))
}

fn state(thread: &Path) -> Option<char> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn signal(process: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
}

fn a_real_time_signal_arrives_while_every_sample_stops_the_process() {
    let (target, folder) = (start(10), tempfile::tempdir().unwrap());
    let pid = target.pid().to_string();
    let before = target.said().unwrap()["received"].as_u64().unwrap();
    run(folder.path(), &["record", "--blocking", "--max-stop-share", "50%", "-d", "4", "-o", "x.aprof", &pid]);
    let said = target.said().unwrap();
    assert_eq!(said["lost"], false, "{said}");
    assert!(said["received"].as_u64().unwrap() > before + 200, "too few to hit a stop: {said}");
    let stops = &report(folder.path(), "x.aprof")["sampling"]["stops"];
    assert!(stops["count"].as_u64().unwrap() > 50, "{stops}");
    assert_goes_on(&target);
}

fn who_kills_asyncprof_frees_the_target_and_loses_no_signal() {
    let (target, folder) = (start(10), tempfile::tempdir().unwrap());
    for _ in 0..10 {
        let mut recording = start_recording(folder.path(), &target);
        until("it is in a stop", || is_traced(target.pid()));
        signal(&recording, Signal::SIGKILL);
        recording.wait().unwrap();
        assert_goes_on(&target);
        assert!(!is_traced(target.pid()));
    }
}

fn a_suspended_asyncprof_keeps_nothing_stopped() {
    let (target, folder) = (start(10), tempfile::tempdir().unwrap());
    let mut recording = start_recording(folder.path(), &target);
    for _ in 0..10 {
        until("it is in a stop", || is_traced(target.pid()));
        signal(&recording, Signal::SIGTSTP);
        let itself = format!("/proc/{}", recording.id());
        until("it is suspended", || state(Path::new(&itself)) == Some('T'));
        assert!(!is_traced(target.pid()));
        assert_goes_on(&target);
        signal(&recording, Signal::SIGCONT);
    }
    signal(&recording, Signal::SIGINT);
    assert!(recording.wait().unwrap().success());
    assert_goes_on(&target);
}

fn no_stop_lasts_longer_than_it_may_however_many_tasks_there_are() {
    let (target, folder) = (start(30_000), tempfile::tempdir().unwrap());
    run(folder.path(), &["record", "--blocking", "-d", "5", "-o", "x.aprof", &target.pid().to_string()]);
    let report = report(folder.path(), "x.aprof");
    let stops = &report["sampling"]["stops"];
    assert!(stops["cut_short"].as_u64().unwrap() > 0, "the first look takes longer than a stop: {stops}");
    let longest_ns = stops["longest_ns"].as_u64().unwrap();
    // 20 ms, and what a busy machine adds.
    assert!((20_000_000..500_000_000).contains(&longest_ns), "{stops}");
    let said = target.said().unwrap();
    assert!(said["longest_pause"].as_f64().unwrap() < 1.0, "{said}");
    assert!(report["tasks"]["peak"].as_u64().unwrap_or(30_000) >= 30_000, "{report:#}");
}

fn stops_keep_to_their_share_of_the_time() {
    let (target, folder) = (start(100), tempfile::tempdir().unwrap());
    for (share, most) in [("10%", 0.1), ("1%", 0.01)] {
        let arguments = ["record", "--blocking", "--max-stop-share", share, "-d", "4", "-o", "x.aprof", "--force"];
        let pid = target.pid().to_string();
        run(folder.path(), &[&arguments[..], &[&pid]].concat());
        let stops = &report(folder.path(), "x.aprof")["sampling"]["stops"];
        // What may be used up at once in the beginning is what one second allows; then one stop more.
        let stopped = stops["stopped_ns"].as_u64().unwrap() as f64 / 1e9;
        let longest = stops["longest_ns"].as_u64().unwrap() as f64 / 1e9;
        assert!(stopped > 0.0 && stopped < most * 5.5 + longest, "{share}: {stops}");
    }
}

fn a_dump_that_takes_longer_than_a_stop_says_so_and_is_whole() {
    let (target, folder) = (start(30_000), tempfile::tempdir().unwrap());
    let pid = target.pid().to_string();
    let dump = |arguments: &[&str]| -> Value {
        let output = run(folder.path(), &[&["dump", "-f", "json", &pid][..], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let live = dump(&[]);
    assert_eq!(live["stop"], Value::Null);
    let tasks = |dump: &Value| dump["tasks"].as_array().unwrap().len();
    let short = dump(&["--blocking", "--max-stop", "5ms"]);
    assert_eq!(short["stop"]["covers_reading"], false, "{}", short["stop"]);
    assert_eq!(tasks(&short), tasks(&live));
    let long = dump(&["--blocking", "--max-stop", "10s"]);
    assert_eq!(
        (&long["stop"]["covers_reading"], &long["consistent"]),
        (&true.into(), &true.into()),
        "{}",
        long["stop"]
    );
    assert_eq!(tasks(&long), tasks(&live));
    let text = run(folder.path(), &["dump", "--blocking", "--max-stop", "5ms", &pid]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("too short to read it (--max-stop)"), "{}", text.lines().last().unwrap());
    assert_goes_on(&target);
}

fn an_image_is_saved_of_what_takes_longer_than_a_stop() {
    let (target, folder) = (start(3_000), tempfile::tempdir().unwrap());
    let pid = target.pid().to_string();
    let short = run(folder.path(), &["dump", "--save-image", "short.img", "-f", "json", &pid]);
    let words = String::from_utf8(short.stderr).unwrap();
    assert!(words.contains("the image may not be of one moment") && words.contains("--max-stop 80ms"), "{words}");
    let long = run(folder.path(), &["dump", "--save-image", "long.img", "--max-stop", "10s", "-f", "json", &pid]);
    assert!(!String::from_utf8(long.stderr).unwrap().contains("one moment"));
    for image in ["short.img", "long.img"] {
        let dump: Value =
            serde_json::from_slice(&run(folder.path(), &["dump", "--image", image, "-f", "json"]).stdout).unwrap();
        assert!(dump["tasks"].as_array().unwrap().len() > 2_900, "{image}");
    }
    assert_goes_on(&target);
}

const ENDS_BY_ITSELF: &str = "
import asyncio, sys, time

async def main():
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        await asyncio.sleep(0.01)

asyncio.run(main())
sys.exit(7)
";

fn a_program_that_is_stopped_for_each_sample_is_recorded_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ends.py"), ENDS_BY_ITSELF).unwrap();
    let mut record = asyncprof(folder.path(), &["record", "--blocking", "-o", "x.aprof", "--"]);
    let output = record.arg(&newest().path).arg("ends.py").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let report = report(folder.path(), "x.aprof");
    let watched =
        report["loops"][0]["samples"].as_u64().unwrap() as f64 / report["sampling"]["loop_rate_hz"].as_f64().unwrap();
    assert!(watched > 1.5, "{watched} s of 2: {:#}", report["sampling"]);
}

/// A thread that executes a program waits until the kernel has ended all others; one that is traced ends only when its tracer
/// has taken notice.
fn a_process_that_executes_a_program_while_it_is_stopped_goes_on() {
    const STOP: Duration = Duration::from_millis(20);
    let program = Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/stops/executes.py"));
    let target = Target::start(newest(), &program, &[]).unwrap();
    let pid = target.pid() as i32;
    let executed = || target.said().ok().and_then(|said| said.as_u64());
    let (end, ended) = std::sync::mpsc::channel();
    let stopper = std::thread::spawn(move || {
        let (begun, mut stops) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(5) {
            let stopped = Process::open(pid).ok().map(|process| StopGuard::stop(&process, STOP));
            stops += u32::from(matches!(stopped, Some(Ok(_))));
        }
        end.send(stops).unwrap();
    });
    let stops = ended.recv_timeout(Duration::from_secs(60)).expect("stopping ends");
    stopper.join().unwrap();
    let then = executed();
    until("the target executes itself again", || executed().is_some_and(|now| Some(now) != then));
    assert!(stops > 50 && then.is_some_and(|count| count > 5), "{stops} stops, executed {then:?} times");
}
