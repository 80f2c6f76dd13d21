//! `asyncprof doctor`: whether a process can be read, and the smallest fix if not; without one, what this user may do and
//! which Python processes exist. The checks explain, the attempt decides.

mod abilities;

use std::io::{self, Write};

use crate::capture::session;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::dump::{DoctorArgs, DoctorFormat};
use crate::cli::input::find_process::{self, PythonProcess};
use crate::cli::output::destination::to_stdout;
use crate::cli::output::progress::try_snapshot;
use crate::remote::permission::{Check, Effort, Fix, Status, diagnose};
use crate::render::escape::{brief, visible};
use crate::render::object::object;

pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    if args.target.pid().is_none() && args.target.name.is_none() {
        return look_around(args.format);
    }
    let pid = find_process::resolve(&args.target)?;
    let mut checks = diagnose(pid);
    let exit = attempt(pid, &mut checks)?;
    to_stdout(|out| match args.format {
        DoctorFormat::Json => write_json(Some((pid, exit)), &checks, None, out),
        DoctorFormat::Text => {
            let answer = if exit == Exit::Fine { "can be read" } else { "cannot be read" };
            writeln!(out, "Process {pid} {answer}.\n")?;
            write_checks(&checks, out)
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
    let is_fine = |checks: &[Check]| checks.iter().all(|check| check.status != Status::Problem);
    let whether_readable = |process: PythonProcess| (is_fine(&diagnose(process.pid)), process);
    let processes: Vec<(bool, PythonProcess)> = find_process::list().into_iter().map(whether_readable).collect();
    to_stdout(|out| match format {
        DoctorFormat::Json => write_json(None, &checks, Some(&processes), out),
        DoctorFormat::Text => {
            write_checks(&checks, out)?;
            write_processes(&processes, out)
        }
    })?;
    Ok(if is_fine(&checks) { Exit::Fine } else { Exit::Forbidden })
}

fn write_checks(checks: &[Check], out: &mut dyn Write) -> io::Result<()> {
    for check in checks {
        writeln!(out, "  {:<8} {}: {}", word(check.status), visible(check.name), visible(&check.detail))?;
        if let Some(fix) = &check.fix {
            writeln!(out, "  {:<8} fix: {}", "", visible(&fix.text))?;
        }
    }
    Ok(())
}

/// `processes`: whether no check found a problem, and the process.
fn write_processes(processes: &[(bool, PythonProcess)], out: &mut dyn Write) -> io::Result<()> {
    if processes.is_empty() {
        return writeln!(out, "\nNo Python process is running.");
    }
    writeln!(out, "\nPython processes:\n  {:>8}  {:<7}  {:<8}  command", "pid", "version", "readable")?;
    for (is_readable, process) in processes {
        let version = process.version.as_deref().unwrap_or("3?");
        let readable = if *is_readable { "yes" } else { "no" };
        let command = brief(&process.command, 120);
        writeln!(out, "  {:>8}  {:<7}  {readable:<8}  {command}", process.pid, visible(version))?;
    }
    Ok(())
}

const SCHEMA: &str = "asyncprof.doctor/1";

/// `attempt`: the process that was tried, and the result.
fn write_json(
    attempt: Option<(i32, Exit)>,
    checks: &[Check],
    processes: Option<&[(bool, PythonProcess)]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let check = |check: &Check| {
        let fix = check.fix.as_ref().map(|fix| fix.text.clone());
        object! { name: check.name, status: word(check.status), detail: check.detail.clone(), fix }
    };
    let process = |(readable, process): &(bool, PythonProcess)| {
        let PythonProcess { pid, version, command } = process.clone();
        object! { pid, version, readable: *readable, command }
    };
    let report = object! {
        schema: SCHEMA,
        pid: attempt.map(|(pid, _)| pid),
        can_attach: attempt.map(|(_, exit)| exit == Exit::Fine),
        checks: checks.iter().map(check).collect::<Vec<_>>(),
        #[serde(flatten)]
        processes: processes.map(|all| object! { processes: all.iter().map(process).collect::<Vec<_>>() }),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Problem => "problem",
        Status::Unknown => "unknown",
        Status::Note => "note",
    }
}
