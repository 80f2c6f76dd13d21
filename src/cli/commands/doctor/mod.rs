//! `asyncprof doctor`: whether a process can be read, and the smallest fix if not; without one, what this user may do and
//! which Python processes exist. The checks explain, the attempt decides.

mod abilities;

use std::io::{self, Write};

use serde::Serialize;

use crate::capture::session;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::dump::{DoctorArgs, DoctorFormat};
use crate::cli::input::find_process::{self, PythonProcess};
use crate::cli::output::destination::to_stdout;
use crate::cli::output::progress::try_snapshot;
use crate::remote::permission::{Check, Effort, Fix, Status, diagnose};
use crate::render::escape::{brief, visible};

pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    if args.target.pid().is_none() && args.target.name.is_none() {
        return look_around(args.format);
    }
    let pid = find_process::resolve(&args.target)?;
    let mut checks = diagnose(pid);
    let exit = attempt(pid, &mut checks)?;
    let report = Report {
        schema: SCHEMA,
        pid: Some(pid),
        can_attach: Some(exit == Exit::Fine),
        checks: checks.iter().map(CheckJson::of).collect(),
        processes: None,
    };
    to_stdout(|out| match args.format {
        DoctorFormat::Json => report.write_json(out),
        DoctorFormat::Text => {
            let answer = if exit == Exit::Fine { "can be read" } else { "cannot be read" };
            writeln!(out, "Process {pid} {answer}.\n")?;
            write_checks(&report.checks, out)
        }
    })?;
    Ok(exit)
}

/// Actually reads the process: the only proof.
fn attempt(pid: i32, checks: &mut Vec<Check>) -> Result<Exit, Failure> {
    let (status, detail, fix, exit) = match try_snapshot(pid, session::Options::default())? {
        Ok(snapshot) => {
            let detail = format!(
                "CPython {} read in {:.1} ms: {} tasks, {} event loops, {} threads",
                snapshot.python.version,
                snapshot.elapsed_us / 1_000.0,
                snapshot.tasks.len(),
                snapshot.loops.len(),
                snapshot.threads.len(),
            );
            (Status::Ok, detail, None, Exit::Fine)
        }
        Err(error) => (Status::Problem, error.to_string(), error.hint(), error.kind().into()),
    };
    let fix = fix.map(|text| Fix { effort: Effort::Elsewhere, text });
    checks.push(Check { name: "reading", status, detail, fix });
    Ok(exit)
}

fn look_around(format: DoctorFormat) -> Result<Exit, Failure> {
    let checks = abilities::checks();
    let processes: Vec<ProcessJson> = find_process::list().into_iter().map(ProcessJson::of).collect();
    let blocked = checks.iter().any(|check| check.status == Status::Problem);
    let report = Report {
        schema: SCHEMA,
        pid: None,
        can_attach: None,
        checks: checks.iter().map(CheckJson::of).collect(),
        processes: Some(processes),
    };
    to_stdout(|out| match format {
        DoctorFormat::Json => report.write_json(out),
        DoctorFormat::Text => {
            write_checks(&report.checks, out)?;
            write_processes(report.processes.as_deref().unwrap_or_default(), out)
        }
    })?;
    Ok(if blocked { Exit::Forbidden } else { Exit::Fine })
}

fn write_checks(checks: &[CheckJson<'_>], out: &mut dyn Write) -> io::Result<()> {
    for check in checks {
        writeln!(out, "  {:<8} {}: {}", check.status, visible(check.name), visible(check.detail))?;
        if let Some(fix) = check.fix {
            writeln!(out, "  {:<8} fix: {}", "", visible(fix))?;
        }
    }
    Ok(())
}

fn write_processes(processes: &[ProcessJson], out: &mut dyn Write) -> io::Result<()> {
    if processes.is_empty() {
        return writeln!(out, "\nNo Python process is running.");
    }
    writeln!(out, "\nPython processes:\n  {:>8}  {:<7}  {:<8}  command", "pid", "version", "readable")?;
    for process in processes {
        let version = process.version.as_deref().unwrap_or("3?");
        let readable = if process.readable { "yes" } else { "no" };
        let command = brief(&process.command, 120);
        writeln!(out, "  {:>8}  {:<7}  {readable:<8}  {command}", process.pid, visible(version))?;
    }
    Ok(())
}

const SCHEMA: &str = "asyncprof.doctor/1";

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    pid: Option<i32>,
    can_attach: Option<bool>,
    checks: Vec<CheckJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<ProcessJson>>,
}

impl Report<'_> {
    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }
}

#[derive(Serialize)]
struct CheckJson<'a> {
    name: &'a str,
    status: &'static str,
    detail: &'a str,
    fix: Option<&'a str>,
}

impl<'a> CheckJson<'a> {
    fn of(check: &'a Check) -> Self {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Problem => "problem",
            Status::Unknown => "unknown",
            Status::Note => "note",
        };
        Self { name: check.name, status, detail: &check.detail, fix: check.fix.as_ref().map(|fix| fix.text.as_str()) }
    }
}

#[derive(Serialize)]
struct ProcessJson {
    pid: i32,
    version: Option<String>,
    /// No check found a problem.
    readable: bool,
    command: String,
}

impl ProcessJson {
    fn of(process: PythonProcess) -> Self {
        let PythonProcess { pid, version, command } = process;
        let readable = !diagnose(pid).iter().any(|check| check.status == Status::Problem);
        Self { pid, version, readable, command }
    }
}
