//! A stall at the bottom of a deep stack is found with its line: 30 to 60 frames, Python and C in turn, with two gaps between
//! the parts that the sampler remembers. One test for each interpreter and event loop, such as `python3.12/uvloop`.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use support::pythons::{Interpreter, Matrix};
use support::target::{Program, Target, run_asyncprof};
use support::trials::trials_of_missing;

/// How far a reported start may be from the true one: a loop's own time can be as old as the callback before.
const NEAR_NS: u64 = 20_000_000;

/// Frames of the deepest stack at least: a shallower one would not be the case that is tested.
const DEEP: usize = 40;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Who shares a processor with another test is starved, which is another cause.
    arguments.test_threads = Some(1);
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let mut trials = trials_of_missing(&matrix);
    for interpreter in matrix.found {
        let label = interpreter.which.label();
        let packages = interpreter.site_packages();
        let has_uvloop = packages.join("uvloop").is_dir() && !interpreter.which.free_threaded;
        let other = interpreter.clone();
        trials.push(Trial::test(format!("{label}/asyncio"), move || all_are_found(&other, None)));
        let uvloop = Trial::test(format!("{label}/uvloop"), move || all_are_found(&interpreter, Some(packages)));
        trials.push(uvloop.with_ignored_flag(!has_uvloop));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The `asyncprof record` of a test; ended with it.
struct Recording(Child);

impl Recording {
    fn begin(pid: u32, file: &Path) -> Result<Self, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_asyncprof"))
            .args(["record", &pid.to_string(), "-o"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start asyncprof: {error}"))?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or("stderr is piped")?);
        let recording = Self(child);
        let mut line = String::new();
        stderr.read_line(&mut line).map_err(|error| format!("asyncprof says nothing: {error}"))?;
        std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
        if line.contains("Ctrl-C") { Ok(recording) } else { Err(format!("asyncprof does not record: {line}")) }
    }

    fn end(mut self) -> Result<(), String> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT).map_err(|error| error.to_string())?;
        let status = self.0.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("asyncprof record: {status}")) }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn all_are_found(interpreter: &Interpreter, uvloop: Option<PathBuf>) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/deep_stalls.py");
    let mut program = Program::read(path);
    let mut arguments = Vec::new();
    if let Some(packages) = uvloop {
        program.environment.push(("PYTHONPATH".to_owned(), packages.display().to_string()));
        arguments.push("--uvloop".to_owned());
    }
    let mut target = Target::start(interpreter, &program, &arguments)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("deep.aprof");
    let recording = Recording::begin(target.pid(), &file)?;
    target.tell("go", 1)?;
    recording.end()?;
    let truth = target.said()?;
    let (status, report, errors) =
        run_asyncprof(["report".as_ref(), file.as_os_str(), "-f".as_ref(), "json".as_ref()])?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("{error}; {status}; {errors}"))?;
    compare(&truth, &report)
}

fn compare(truth: &Value, report: &Value) -> Result<(), Failed> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (true_stalls, mut reported) = (list(&truth["stalls"]), list(&report["stalls"]));
    if true_stalls.is_empty() {
        return Err("the target has not stalled".into());
    }
    let mut wrong = Vec::new();
    let mut deepest = 0;
    for stall in &true_stalls {
        let start = stall["start_ns"].as_u64().ok_or("no start")?;
        let near = |one: &Value| one["start_ns"].as_u64().is_some_and(|ns| ns.abs_diff(start) <= NEAR_NS);
        let Some(position) = reported.iter().position(near) else {
            wrong.push(format!("missed: {stall}"));
            continue;
        };
        let found = reported.swap_remove(position);
        deepest = deepest.max(list(&found["stack"]).len());
        let site = &found["site"];
        let same_line = list(&stall["lines"]).contains(&site["line"]);
        if site["function"] != stall["function"] || !same_line {
            wrong.push(format!("at another place: {site} instead of {stall}"));
        }
    }
    wrong.extend(reported.iter().map(|one| format!("invented: {one}")));
    if deepest < DEEP {
        wrong.push(format!("the deepest stack has {deepest} frames only"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{}", wrong.join("\n"), report["sampling"]).into()) }
}
