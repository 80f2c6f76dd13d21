//! `-s`: a program's workers are watched too, those that are there and those that start later. What is seen in one process is
//! tested elsewhere; here it is who is watched, under which name, and what the exit code says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use support::pythons::{Interpreter, newest};

support::trials::trials! {
    each_worker_of_a_supervisor_without_a_loop_has_a_recording,
    a_worker_that_starts_later_is_followed_and_the_end_of_all_ends_the_watch,
    attach_names_the_process_of_each_stall_and_sums_each_up,
    a_program_that_was_started_is_recorded_with_its_workers_whatever_it_is,
    without_the_option_the_hint_names_the_workers,
    nobody_with_a_loop_is_exit_5_and_leaves_no_file,
    a_file_that_exists_is_an_error_for_the_process_and_a_note_for_its_workers,
}

/// Forks a worker for each line on stdin, and ends with the workers when stdin does. With `too` it has an event loop itself.
/// Loops are blocked for 150 ms again and again.
const PROGRAM: &str = r#"
import asyncio, os, sys, threading, time

async def serve(over):
    while not over.is_set():
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # the line to change

def end_with_parent():
    os.read(alive, 1)
    os._exit(0)

def work():
    os.close(held)
    threading.Thread(target=end_with_parent, daemon=True).start()
    print("worker", os.getpid(), flush=True)
    asyncio.run(serve(threading.Event()))

def supervise(over):
    print("ready", os.getpid(), flush=True)
    # Not through a buffer, which a child would share.
    while os.read(0, 1):
        if os.fork() == 0:
            work()
    over.set()

alive, held = os.pipe()
over = threading.Event()
if "too" in sys.argv:
    threading.Thread(target=supervise, args=(over,), daemon=True).start()
    asyncio.run(serve(over))
else:
    supervise(over)
sys.exit(3)
"#;

fn line_to_change() -> usize {
    PROGRAM.lines().position(|line| line.contains("the line to change")).unwrap() + 1
}

fn asyncprof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASYNCPROF_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    asyncprof(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn assert_exit(output: &Output, code: i32) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
}

fn write_program(folder: &Path) -> PathBuf {
    let path = folder.join("program.py");
    fs::write(&path, PROGRAM).unwrap();
    path
}

/// The id at the end of a line that the program says.
fn said(stdout: &mut impl std::io::BufRead, word: &str) -> u32 {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim().strip_prefix(word).unwrap_or_else(|| panic!("{word}: {line}")).trim().parse().unwrap()
}

/// The program, running; it ends with this value, and its workers with it.
struct Program {
    process: Child,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(python: &Interpreter, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = write_program(folder.path());
        let mut process = Command::new(&python.path)
            .arg(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        assert_eq!(said(&mut stdout, "ready"), process.id());
        Self { process, stdout, folder }
    }

    fn fork(&mut self) -> u32 {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        said(&mut self.stdout, "worker")
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Files with this beginning and ending, but for both the process id in between; `None` for the one without.
fn ids(folder: &Path, beginning: &str, ending: &str) -> BTreeSet<Option<u32>> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| Some(name.strip_prefix(beginning)?.strip_suffix(ending)?.to_owned()))
        .map(|id| id.strip_prefix('.').map(|id| id.parse().unwrap()))
        .collect()
}

/// The recording is complete, of this process, and names the line.
fn assert_stalls_in(folder: &Path, recording: &str, pid: u32) {
    let output = run(folder, &["report", recording, "-f", "json"]);
    assert_exit(&output, 0);
    assert_eq!(text(&output.stderr), "");
    assert_stalls(&serde_json::from_slice(&output.stdout).unwrap(), pid);
}

fn assert_stalls(report: &serde_json::Value, pid: u32) {
    assert_eq!((&report["schema"], &report["pid"]), (&"asyncprof.report/1".into(), &pid.into()));
    assert_eq!(report["stalls"][0]["site"]["line"], line_to_change(), "{report}");
    assert_eq!(report["stalls"][0]["cause"], "blocking_call");
}

/// Reads lines until one has this in it.
fn read_until(stderr: &mut BufReader<ChildStderr>, part: &str) -> String {
    let mut all = String::new();
    while !all.lines().last().is_some_and(|line| line.contains(part)) {
        assert!(stderr.read_line(&mut all).unwrap() > 0, "{part} was never said:\n{all}");
    }
    all
}

/// Until more than a header is in it.
fn wait_until_seen(recording: &Path) {
    let length = || fs::metadata(recording).map_or(0, |metadata| metadata.len());
    while length() == 0 {
        std::thread::yield_now();
    }
    let header = length();
    while length() <= header {
        std::thread::yield_now();
    }
}

fn each_worker_of_a_supervisor_without_a_loop_has_a_recording() {
    let python = newest();
    let mut program = Program::start(python, &[]);
    let workers = [program.fork(), program.fork()];
    let output = run(program.folder(), &["record", "-s", &program.pid(), "-d", "4s", "-o", "app.aprof"]);
    assert_exit(&output, 0);
    assert!(output.stdout.is_empty());
    assert_eq!(ids(program.folder(), "app", ".aprof"), workers.map(Some).into());
    let said = text(&output.stderr);
    for pid in workers {
        let recording = format!("app.{pid}.aprof");
        assert_stalls_in(program.folder(), &recording, pid);
        assert!(said.lines().any(|line| line.starts_with(&format!("note: {recording}: "))), "{said}");
    }
    assert!(said.contains("has no event loop of its own"), "{said}");
    assert!(said.lines().last().unwrap().contains("; to read it: asyncprof report app."), "{said}");
}

fn a_worker_that_starts_later_is_followed_and_the_end_of_all_ends_the_watch() {
    let python = newest();
    let mut program = Program::start(python, &[]);
    let mut child = asyncprof(program.folder())
        .args(["record", "-s", &program.pid(), "-o", "app.aprof"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut stderr, "Ctrl-C ends it");
    let worker = program.fork();
    read_until(&mut stderr, &format!("recording its subprocess {worker} "));
    wait_until_seen(&program.folder().join(format!("app.{worker}.aprof")));
    drop(program.process.stdin.take());
    program.process.wait().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains(&format!("the subprocess {worker} has exited")), "{rest}");
    assert_eq!(ids(program.folder(), "app", ".aprof"), [Some(worker)].into());
    assert_stalls_in(program.folder(), &format!("app.{worker}.aprof"), worker);
}

fn attach_names_the_process_of_each_stall_and_sums_each_up() {
    let python = newest();
    let mut program = Program::start(python, &["too"]);
    let below = [program.fork(), program.fork()];
    let pid = program.process.id();
    let arguments =
        ["attach", "-s", &program.pid(), "-d", "4s", "-f", "json", "-o", "x.aprof", "-o", "x.svg", "-o", "x.pb.gz"];
    let output = run(program.folder(), &arguments);
    assert_exit(&output, 0);
    let reports: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), 3, "one line of JSON for each process");
    let (place, said) = (format!("program.py:{}", line_to_change()), text(&output.stderr));
    for pid in [pid, below[0], below[1]] {
        assert_stalls(reports.iter().find(|report| report["pid"] == pid).unwrap(), pid);
        let name = format!(" [pid {pid}] stall ");
        assert!(said.lines().any(|line| line.contains(&name) && line.contains(&place)), "{pid}: {said}");
    }
    for ending in [".aprof", ".svg", ".pb.gz"] {
        assert_eq!(ids(program.folder(), "x", ending), [None, Some(below[0]), Some(below[1])].into(), "{ending}");
    }
    let output = run(program.folder(), &["attach", "-s", &program.pid(), "-d", "3s"]);
    assert_exit(&output, 0);
    for pid in [pid, below[0], below[1]] {
        let heading = format!("Process {pid}: ");
        assert!(text(&output.stdout).lines().any(|line| line.starts_with(&heading)), "{}", text(&output.stdout));
    }
}

fn a_program_that_was_started_is_recorded_with_its_workers_whatever_it_is() {
    let python = newest();
    // A Python with a loop of its own; a program that is no Python, with one below it.
    for (script, status) in [(None, 3), (Some("\"$@\"; exit 9"), 9)] {
        let folder = tempfile::tempdir().unwrap();
        let path = write_program(folder.path());
        let mut command = asyncprof(folder.path());
        command.args(["record", "-s", "-o", "app.aprof", "--"]);
        if let Some(script) = script {
            command.args(["sh", "-c", script, "sh"]);
        }
        let mut child = command
            .arg(&python.path)
            .arg(&path)
            .arg("too")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let first = said(&mut stdout, "ready");
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let second = said(&mut stdout, "worker");
        let name = |pid: u32| match script {
            None if pid == first => "app.aprof".to_owned(),
            _ => format!("app.{pid}.aprof"),
        };
        for pid in [first, second] {
            wait_until_seen(&folder.path().join(name(pid)));
        }
        drop(child.stdin.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{said}");
        for pid in [first, second] {
            assert_stalls_in(folder.path(), &name(pid), pid);
        }
        assert_eq!(ids(folder.path(), "app", ".aprof").len(), 2, "{said}");
    }
}

fn without_the_option_the_hint_names_the_workers() {
    let python = newest();
    let mut program = Program::start(python, &[]);
    let worker = program.fork();
    let hint = format!("hint:  its subprocess {worker} is Python: -s follows it");
    for arguments in [&["attach", &program.pid(), "-d", "1s"][..], &["dump", &program.pid()]] {
        let output = run(program.folder(), arguments);
        assert_exit(&output, 5);
        assert!(text(&output.stderr).contains(&hint), "{arguments:?}: {}", text(&output.stderr));
    }
    // A shell that waits for a Python is none itself.
    let mut shell = Command::new("sh")
        .args(["-c", "\"$@\"; exit 9", "sh"])
        .arg(&python.path)
        .arg(write_program(program.folder()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let below = said(&mut BufReader::new(shell.stdout.take().unwrap()), "ready");
    let output = run(program.folder(), &["attach", &shell.id().to_string(), "-d", "1s"]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_exit(&output, 5);
    assert!(text(&output.stderr).contains(&format!("its subprocess {below} is Python")), "{}", text(&output.stderr));
}

fn nobody_with_a_loop_is_exit_5_and_leaves_no_file() {
    let python = newest();
    let program = Program::start(python, &[]);
    let output = run(program.folder(), &["record", "-s", &program.pid(), "-d", "1s", "-o", "app.aprof"]);
    assert_exit(&output, 5);
    assert_eq!(ids(program.folder(), "app", ".aprof"), [].into());
    let mut shell = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
    let output = run(program.folder(), &["attach", "-s", &shell.id().to_string()]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_exit(&output, 5);
    assert_exit(&run(program.folder(), &["attach", "-s", "2147483647"]), 4);
    assert_exit(&run(program.folder(), &["attach", "-s", &program.pid(), "-f", "html"]), 2);
    assert_exit(&run(program.folder(), &["record", "-s", &program.pid(), "-o", "-"]), 2);
}

fn a_file_that_exists_is_an_error_for_the_process_and_a_note_for_its_workers() {
    let python = newest();
    let mut program = Program::start(python, &[]);
    let workers = [program.fork(), program.fork()];
    let old = format!("app.{}.aprof", workers[0]);
    fs::write(program.folder().join(&old), "precious").unwrap();
    let record = |more: &[&str]| {
        let arguments = ["record", "-s", &program.pid(), "-d", "3s", "-o", "app.aprof"];
        run(program.folder(), &[&arguments[..], more].concat())
    };
    let output = record(&[]);
    assert_exit(&output, 0);
    let said = format!("the subprocess {} is not recorded: {old} exists already", workers[0]);
    assert!(text(&output.stderr).contains(&said), "{}", text(&output.stderr));
    assert_eq!(fs::read(program.folder().join(&old)).unwrap(), b"precious");
    assert_stalls_in(program.folder(), &format!("app.{}.aprof", workers[1]), workers[1]);
    fs::write(program.folder().join("app.aprof"), "precious too").unwrap();
    assert_exit(&record(&[]), 2);
    assert_exit(&record(&["--force"]), 0);
    assert_stalls_in(program.folder(), &old, workers[0]);
}
