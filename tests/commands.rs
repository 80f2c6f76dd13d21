//! The commands that watch over time, as a person runs them: the program itself on real Pythons, its files, its exit codes
//! and how it ends. What a watch sees is tested elsewhere.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::command::asyncprof;
use support::pythons::{Interpreter, Matrix, every, oldest};
use support::trials::{missing, missing_python};

support::trials::trials! {
    a_program_that_was_started_passes_its_status_on,
    a_program_that_was_started_has_our_stdin_and_stdout,
    a_signal_for_us_ends_the_program_that_was_started,
    a_stderr_that_takes_no_words_costs_no_result,
    a_limit_on_open_files_is_no_fact_about_the_target,
    a_destination_is_looked_at_before_the_program_is_started,
    attach_names_the_line_while_it_happens_and_in_the_summary,
    verbose_says_on_stderr_why_data_is_missing_and_stdout_stays_the_result,
    a_process_that_is_gone_before_a_sample_is_exit_4,
    the_end_of_the_target_ends_a_watch_well,
    ctrl_c_and_its_like_leave_a_complete_recording,
    a_recording_of_an_asyncprof_that_was_killed_can_be_read,
    a_recording_goes_through_a_pipe,
    a_reader_of_the_recording_that_has_seen_enough_ends_it_well,
    a_recording_does_not_go_where_it_would_do_harm,
    a_program_is_recorded_from_its_start_through_exec,
    a_thread_that_has_the_gil_to_itself_never_waits_for_it,
    the_demo_shows_what_blocks_and_ends_what_it_started,
    the_demo_without_a_python_says_what_to_do;
    on each of every() =>
        loops_that_end_with_their_only_step_have_each_its_own_stall,
}

/// Blocks its loop for 150 ms again and again, and lives until its stdin is closed.
const STALLING: &str = r#"
import asyncio, sys, threading, time

async def handler():
    while not over.is_set():
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # the line to change

def wait_for_end():
    sys.stdin.read()
    over.set()

over = threading.Event()
threading.Thread(target=wait_for_end, daemon=True).start()
print("ready", flush=True)
asyncio.run(handler())
sys.exit(3)
"#;

fn line_to_change() -> usize {
    STALLING.lines().position(|line| line.contains("the line to change")).unwrap() + 1
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    asyncprof(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn assert_exit(output: &Output, code: i32) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
}

/// The stalling program, running; it ends with this value.
struct Stalling {
    process: Child,
    folder: tempfile::TempDir,
}

impl Stalling {
    fn write(folder: &Path) -> PathBuf {
        let path = folder.join("stalling.py");
        fs::write(&path, STALLING).unwrap();
        path
    }

    fn start(python: &Interpreter) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Self::write(folder.path());
        let mut process =
            Command::new(&python.path).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        Self { process, folder }
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An asyncprof that has said that it watches.
fn start_watching(folder: &Path, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = asyncprof(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("Ctrl-C ends it"), "{line}");
    (child, stderr)
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

fn a_program_that_was_started_passes_its_status_on() {
    let folder = tempfile::tempdir().unwrap();
    let record = |name: &str, command: &[&str]| {
        run(folder.path(), &[&["record", "-o", &format!("{name}.aprof"), "--"], command].concat())
    };
    assert_exit(&record("a", &["sh", "-c", "exit 0"]), 0);
    assert_exit(&record("b", &["sh", "-c", "exit 3"]), 3);
    assert_exit(&record("c", &["sh", "-c", "kill -KILL $$"]), 137);
    assert_exit(&record("d", &["sh", "-c", "kill -TERM $$"]), 143);
    assert_exit(&record("e", &["no such program"]), 127);
    assert_exit(&record("f", &["/"]), 126);
    fs::write(folder.path().join("text"), "not a program").unwrap();
    assert_exit(&record("g", &["./text"]), 126);
}

fn a_program_that_was_started_has_our_stdin_and_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = asyncprof(folder.path(), &[])
        .args(["record", "-o", "cat.aprof", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\0\xffwhat it reads\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(output.stdout, b"\0\xffwhat it reads\n");
}

fn a_signal_for_us_ends_the_program_that_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = asyncprof(folder.path(), &[])
        .args([
            "record",
            "-o",
            "x.aprof",
            "--",
            "sh",
            "-c",
            "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    send(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

fn a_stderr_that_takes_no_words_costs_no_result() {
    let target = Stalling::start(oldest());
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let without_words = |arguments: &[&str]| asyncprof(target.folder(), arguments).stderr(full()).output().unwrap();
    let attach = without_words(&["attach", "-d", "1", &target.pid()]);
    assert_exit(&attach, 0);
    assert!(text(&attach.stdout).contains("stall"), "{}", text(&attach.stdout));
    assert_exit(&without_words(&["record", "-d", "1", "-o", "a.aprof", &target.pid()]), 0);
    assert_complete(target.folder(), "a.aprof");
    let python = oldest().path.to_str().unwrap();
    let program = "import asyncio, sys; asyncio.run(asyncio.sleep(0.5)); sys.exit(7)";
    assert_exit(&without_words(&["record", "-o", "b.aprof", "--", python, "-c", program]), 7);
    assert_complete(target.folder(), "b.aprof");
    assert_exit(&without_words(&["report", "there-is-no-such-file"]), 6);
}

fn a_limit_on_open_files_is_no_fact_about_the_target() {
    let target = Stalling::start(oldest());
    for descriptors in 5..12 {
        let command = format!("ulimit -n {descriptors}; exec \"$0\" attach -d 1 {}", target.pid());
        let sh = ["-c", &command, env!("CARGO_BIN_EXE_asyncprof")];
        let output = Command::new("sh").args(sh).current_dir(target.folder()).output().unwrap();
        let said = text(&output.stderr);
        assert!(!said.contains("exited"), "{descriptors}: {said}");
        match output.status.code() {
            Some(0) => assert!(said.contains("ended"), "{descriptors}: {said}"),
            _ => assert!(said.contains("Too many open files"), "{descriptors}: {said}"),
        }
    }
}

fn a_destination_is_looked_at_before_the_program_is_started() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.aprof"), "precious").unwrap();
    for (destination, code) in [("old.aprof", 2), ("missing/x.aprof", 2), (".", 2), ("-", 2), ("/proc/x.aprof", 125)] {
        let output = run(folder.path(), &["record", "-o", destination, "--", "touch", "started"]);
        assert_exit(&output, code);
        assert!(!folder.path().join("started").exists(), "{destination}");
    }
    assert_eq!(fs::read(folder.path().join("old.aprof")).unwrap(), b"precious");
}

fn attach_names_the_line_while_it_happens_and_in_the_summary() {
    let python = oldest();
    let target = Stalling::start(python);
    let output = run(
        target.folder(),
        &[
            "attach",
            &target.pid(),
            "-d",
            "2s",
            "-o",
            "x.aprof",
            "-o",
            "x.svg",
            "-o",
            "x.folded",
            "-o",
            "x.json",
            "-o",
            "x.md",
            "-o",
            "x.html",
        ],
    );
    assert_exit(&output, 0);
    let place = format!("stalling.py:{}", line_to_change());
    let (summary, live) = (text(&output.stdout), text(&output.stderr));
    assert!(live.lines().any(|line| line.contains("stall") && line.contains(&place)), "{live}");
    assert_eq!(live.matches("asyncio.sleep").count(), 1, "advice is given once:\n{live}");
    assert!(!live.contains('\u{1b}'), "no colours, nothing repainted, where there is no terminal:\n{live}");
    assert!(summary.contains(&place), "{summary}");
    for (file, part) in [
        ("x.svg", "<svg"),
        ("x.folded", "handler ("),
        ("x.md", &place),
        ("x.json", "asyncprof.report/1"),
        ("x.html", "time.sleep(0.15)  # the line to change"),
    ] {
        let content = fs::read_to_string(target.folder().join(file)).unwrap();
        assert!(content.contains(part), "{file}: {content}");
    }
    let again = run(target.folder(), &["report", "x.aprof"]);
    assert_exit(&again, 0);
    assert!(text(&again.stdout).contains(&place), "{}", text(&again.stdout));
    let json = run(target.folder(), &["report", "x.aprof", "-f", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["schema"], &report["complete"]), (&"asyncprof.report/1".into(), &true.into()));
    assert_eq!(report["stalls"][0]["site"]["line"], line_to_change());
    assert_eq!(report["stalls"][0]["cause"], "blocking_call");
}

/// Never rests: its task changes whenever it is read.
const SPINNING: &str = r#"
import asyncio

async def step(number):
    return number + 1

async def spin():
    print("ready", flush=True)
    number = 0
    while True:
        number = await step(number)

asyncio.run(spin())
"#;

fn verbose_says_on_stderr_why_data_is_missing_and_stdout_stays_the_result() {
    let python = oldest();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("spinning.py"), SPINNING).unwrap();
    let mut target = Command::new(&python.path)
        .arg(folder.path().join("spinning.py"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(target.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let pid = target.id().to_string();
    let dump = |level: Option<&str>, arguments: &[&str]| {
        let mut command = asyncprof(folder.path(), &[]);
        command.args(["dump", &pid, "-f", "json"]).args(arguments);
        command.envs(level.map(|level| ("ASYNCPROF_LOG", level))).output().unwrap()
    };
    let (silent, off) = (dump(None, &[]), dump(Some("off"), &[]));
    let verbose = dump(None, &["-v"]);
    // On a busy machine the target may not run while it is read, and then nothing changes.
    let very = (0..100).map(|_| dump(None, &["-vv"])).find(|output| text(&output.stderr).contains("debug: task "));
    let very = very.expect("a task that changed while it was read");
    let (info, wrong) = (dump(Some("info"), &[]), dump(Some("loud"), &[]));
    let watch = run(folder.path(), &["attach", &pid, "-v", "-d", "2s", "-r", "100k", "--cpu-budget", "1%"]);
    target.kill().unwrap();
    target.wait().unwrap();
    for output in [&silent, &off] {
        assert_exit(output, 0);
        assert_eq!(text(&output.stderr), "");
    }
    for output in [&verbose, &very, &info] {
        assert_exit(output, 0);
        let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(snapshot["schema"], "asyncprof.dump/1");
        let said = text(&output.stderr);
        assert!(
            said.contains("info: ") && said.contains("of 1 tasks changed while they were read (attempt 1 of"),
            "{said}"
        );
    }
    assert!(text(&very.stderr).contains(" changed while it was read: reading it again"), "{}", text(&very.stderr));
    assert!(!text(&verbose.stderr).contains("debug: "), "{}", text(&verbose.stderr));
    assert_exit(&wrong, 2);
    assert!(text(&wrong.stderr).contains("ASYNCPROF_LOG: it must be off, info or debug"), "{}", text(&wrong.stderr));
    let said = text(&watch.stderr);
    let why = |line: &&str| line.starts_with("info: a sample of all loops took ");
    let lowered = said.lines().find(why).unwrap_or_else(|| panic!("{said}"));
    assert!(lowered.contains(" ns of CPU time: loop rate lowered to "), "{lowered}");
}

fn a_process_that_is_gone_before_a_sample_is_exit_4() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["attach", "record", "flamegraph"] {
        assert_exit(&run(folder.path(), &[command, "2147483647"]), 4);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

fn the_end_of_the_target_ends_a_watch_well() {
    let python = oldest();
    let mut target = Stalling::start(python);
    let (child, mut stderr) = start_watching(target.folder(), &["record", &target.pid(), "-o", "x.aprof"]);
    let recording = target.folder().join("x.aprof");
    let header = fs::metadata(&recording).unwrap().len();
    // Until something is in the file.
    while fs::metadata(&recording).unwrap().len() <= header {
        std::thread::yield_now();
    }
    drop(target.process.stdin.take());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{rest}");
    assert!(rest.contains("has exited"), "{rest}");
    assert_complete(target.folder(), "x.aprof");
}

/// A report of it says that nothing is missing.
fn assert_complete(folder: &Path, recording: &str) {
    let report = run(folder, &["report", recording]);
    assert_exit(&report, 0);
    assert_eq!(text(&report.stderr), "");
}

/// Whether what we start does not hear of this signal, because we do not.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

fn ctrl_c_and_its_like_leave_a_complete_recording() {
    let python = oldest();
    let target = Stalling::start(python);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        if is_ignored(signal) {
            // Started by nohup: whoever did that wants it to go on, and asyncprof heeds it.
            eprintln!("NOT TESTED: {signal}, which is ignored here");
            continue;
        }
        let file = format!("{signal}.aprof");
        let (child, mut stderr) = start_watching(target.folder(), &["record", &target.pid(), "-o", &file]);
        send(&child, signal);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 5)), "{signal}: {:?} {rest}", output.status);
        assert!(output.stdout.is_empty());
        assert_complete(target.folder(), &file);
        let mode = fs::metadata(target.folder().join(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else can read what it saw");
    }
}

fn a_recording_of_an_asyncprof_that_was_killed_can_be_read() {
    /// At once, so that it does not take minutes.
    const TOGETHER: u64 = 5;
    const ROUNDS: u64 = 10;
    let python = oldest();
    let target = Stalling::start(python);
    let mut seen = 0;
    for round in 0..ROUNDS {
        let files: Vec<String> = (0..TOGETHER).map(|number| format!("{round}-{number}.aprof")).collect();
        let watches: Vec<_> = files
            .iter()
            .map(|file| start_watching(target.folder(), &["record", &target.pid(), "-r", "200", "-o", file]))
            .collect();
        // The moment is what is tried out here: from just begun to after the first blocks.
        std::thread::sleep(Duration::from_millis(round * 300 + u64::from(std::process::id()) % 100));
        for (mut child, _) in watches {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for file in &files {
            let report = run(target.folder(), &["report", file, "-f", "json"]);
            assert_exit(&report, 0);
            assert!(text(&report.stderr).contains("has no end"), "{}", text(&report.stderr));
            let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
            assert_eq!(report["complete"], false);
            seen += report["stalls"].as_array().unwrap().len();
        }
    }
    assert!(seen > 0, "what was seen before the end is there");
}

/// What a command makes of what it reads from stdin.
fn run_on(folder: &Path, input: &[u8], arguments: &[&str]) -> Output {
    let mut command = asyncprof(folder, &[]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read it to its end says why.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn a_recording_goes_through_a_pipe() {
    let python = oldest();
    let target = Stalling::start(python);
    let output = run(target.folder(), &["record", &target.pid(), "-d", "1s", "-o", "-"]);
    assert_exit(&output, 0);
    assert!(text(&output.stderr).contains(" to stdout"), "{}", text(&output.stderr));
    fs::write(target.folder().join("x.aprof"), &output.stdout).unwrap();
    assert_complete(target.folder(), "x.aprof");
    for arguments in [
        &["report", "-", "-f", "json"][..],
        &["export", "-", "-f", "jsonl"],
        &["export", "-", "-f", "collapsed"],
        &["flamegraph", "-"],
        &["check", "-", "-f", "json", "--max-orphans", "1"],
        &["diff", "-", "x.aprof", "-f", "json"],
    ] {
        let piped = run_on(target.folder(), &output.stdout, arguments);
        let named: Vec<&str> = arguments.iter().map(|&one| if one == "-" { "x.aprof" } else { one }).collect();
        let read = run(target.folder(), &named);
        assert_exit(&piped, read.status.code().unwrap());
        assert!(!piped.stdout.is_empty() && piped.stdout.len().abs_diff(read.stdout.len()) < 100, "{arguments:?}");
    }
    let cut = run_on(target.folder(), &output.stdout[..output.stdout.len() - 5], &["report", "-"]);
    assert_exit(&cut, 0);
    assert!(text(&cut.stderr).contains("stdin has no end"), "{}", text(&cut.stderr));
    let none = run_on(target.folder(), b"", &["report", "-"]);
    assert_exit(&none, 6);
    assert!(text(&none.stderr).starts_with("error: stdin: the recording is empty"), "{}", text(&none.stderr));
    for arguments in [&["diff", "-", "-"][..], &["flamegraph", "-", "--diff", "-"]] {
        let twice = run_on(target.folder(), &output.stdout, arguments);
        assert_exit(&twice, 2);
        assert!(text(&twice.stderr).contains("save one of them to a file"), "{}", text(&twice.stderr));
    }
}

fn a_reader_of_the_recording_that_has_seen_enough_ends_it_well() {
    let python = oldest();
    let target = Stalling::start(python);
    let (mut child, mut stderr) = start_watching(target.folder(), &["record", &target.pid(), "-o", "-"]);
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(!rest.contains("error"), "{rest}");
}

fn a_recording_does_not_go_where_it_would_do_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mixed = run(folder.path(), &["record", "-o", "-", "--", "touch", "started"]);
    assert_exit(&mixed, 2);
    assert!(text(&mixed.stderr).contains("would mix"), "{}", text(&mixed.stderr));
    assert!(!folder.path().join("started").exists());
    let on_terminal = |arguments: &str| {
        let command = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_asyncprof"));
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(folder.path()).stdin(Stdio::null()).output()
    };
    let Ok(refused) = on_terminal("record 1 -o -") else {
        missing("there is no script(1) to make a terminal with");
    };
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stdout).contains("ssh host"), "the next step: {refused:?}");
    let refused = on_terminal("report -").unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stdout).contains("asyncprof report -"), "the next step: {refused:?}");
}

fn a_program_is_recorded_from_its_start_through_exec() {
    let python = oldest();
    let folder = tempfile::tempdir().unwrap();
    let program = Stalling::write(folder.path());
    let command = format!("exec {} {}", python.path.display(), program.display());
    let mut child = asyncprof(folder.path(), &[])
        .args(["record", "-o", "x.aprof", "--", "sh", "-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
    // Once it is recorded, and has been for some time.
    let recording = folder.path().join("x.aprof");
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let header = fs::metadata(&recording).unwrap().len();
    while fs::metadata(&recording).unwrap().len() <= header {
        std::thread::yield_now();
    }
    drop(child.stdin.take());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{line}{rest}");
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let report = run(folder.path(), &["report", "x.aprof"]);
    assert_exit(&report, 0);
    assert!(text(&report.stdout).contains(&format!("stalling.py:{}", line_to_change())), "{}", text(&report.stdout));
}

/// One loop after the other in one thread, each with nothing but a first step that blocks.
const LOOPS_IN_A_ROW: &str = r#"
import asyncio, time

async def only_step():
    time.sleep(0.3)

for _ in range(4):
    asyncio.run(only_step())
"#;

fn loops_that_end_with_their_only_step_have_each_its_own_stall(python: &Interpreter) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("row.py"), LOOPS_IN_A_ROW).unwrap();
    let mut record = asyncprof(folder.path(), &[]);
    record.args(["record", "-o", "x.aprof", "--"]).arg(&python.path).arg("row.py");
    assert_exit(&record.output().unwrap(), 0);
    let report = run(folder.path(), &["report", "x.aprof", "-f", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let stalls = report["stalls"].as_array().unwrap();
    assert_eq!(stalls.len(), 4, "{stalls:#?}");
    for stall in stalls {
        assert_eq!(stall["ongoing"], false, "{stall:#}");
        assert_eq!(stall["site"]["function"], "only_step", "{stall:#}");
        assert!(stall["duration_ms_at_most"].as_f64().unwrap() >= 300.0, "{stall:#}");
    }
}

/// A loop that never rests, in steps that are all short.
const SHORT_STEPS: &str = r#"
import asyncio, time

async def main():
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        await asyncio.sleep(0)

asyncio.run(main())
"#;

fn a_thread_that_has_the_gil_to_itself_never_waits_for_it() {
    let pythons = Matrix::find().found;
    if pythons.is_empty() {
        missing_python("no Python on this machine");
    }
    let mut met = 0;
    for python in pythons {
        let label = python.which.label();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("steps.py"), SHORT_STEPS).unwrap();
        let mut record = asyncprof(folder.path(), &[]);
        record.args(["record", "-o", "x.aprof", "--"]).arg(&python.path).arg("steps.py");
        assert_exit(&record.output().unwrap(), 0);
        let events = run(folder.path(), &["export", "x.aprof", "-f", "jsonl", "-o", "-"]);
        let events = text(&events.stdout).lines().map(|line| serde_json::from_str(line).unwrap());
        let events: Vec<serde_json::Value> = events.collect();
        for event in events.iter().filter(|event| event["phase"] == "leaving_selector" && event["gil"] == "own") {
            met += 1;
            // The number of changes of hands, which would make two iterations one wait.
            assert!(event["callback"].is_null(), "{label}: {event:#}");
        }
    }
    assert!(met > 0, "nothing was tested");
}

fn the_demo_shows_what_blocks_and_ends_what_it_started() {
    let python = oldest();
    let folder = tempfile::tempdir().unwrap();
    let output = asyncprof(folder.path(), &[])
        .env("TMPDIR", folder.path())
        .args(["demo", "-d", "4s", "--python"])
        .arg(&python.path)
        .output()
        .unwrap();
    assert_exit(&output, 0);
    let stdout = text(&output.stdout);
    for part in ["print_labels", "check_stock", "send_receipt"] {
        assert!(stdout.contains(part), "{part}:\n{stdout}");
    }
    let picture = stdout.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert!(fs::read_to_string(picture).unwrap().contains("<svg"));
    let said = text(&output.stderr);
    let pid = said.split("process ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!Path::new("/proc").join(pid).exists(), "{pid} is still there");
}

fn the_demo_without_a_python_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["demo", "--python", "no such python"]);
    assert_exit(&output, 125);
    assert!(
        text(&output.stderr).contains("hint:  asyncprof demo --python /path/to/python3"),
        "{}",
        text(&output.stderr)
    );
}
