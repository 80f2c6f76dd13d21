//! asyncprof as it watches in a run: how it is started, how it may end, and what it leaves behind.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::plan::{Command as Watches, Deed, Kind, Plan};
use super::process::within;
use super::support::command::asyncprof;

/// The bound is 2 s; a machine that is busy gets five times as long.
const BOUND: Duration = Duration::from_secs(10);
/// How long a watch takes that ends by itself.
const DURATION: &str = "700ms";
const KILLED: i32 = Signal::SIGKILL as i32;

/// What happened to the target during a watch, and allows more exit codes than success.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    /// It was killed.
    pub(crate) killed: bool,
    /// It executed itself: meanwhile it is a Python without an event loop, or not yet a Python.
    pub(crate) executed: bool,
}

/// One asyncprof, with its own folder for what it writes.
pub(crate) struct Watcher {
    kind: Kind,
    number: u32,
    /// For what it writes, and nothing else.
    folder: PathBuf,
    /// For its stdout and stderr.
    logs: PathBuf,
}

impl Watcher {
    pub(crate) fn new(kind: Kind, number: u32, folder: &Path) -> Self {
        let (written, logs) = (folder.join("written"), folder.join("logs"));
        fs::create_dir_all(&written).unwrap();
        fs::create_dir_all(&logs).unwrap();
        Self { kind, number, folder: written, logs }
    }

    fn output(&self) -> String {
        format!("{}.{}", self.number, if self.kind.command == Watches::Dump { "json" } else { "aprof" })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}.{name}", self.number))
    }

    pub(crate) fn errors(&self) -> String {
        fs::read(self.log("stderr")).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The command line, up to the process or the program.
    fn command(&self, plan: &Plan) -> Command {
        let output = self.output();
        let mut arguments = match self.kind.command {
            Watches::Attach => vec!["attach", "-f", "json"],
            Watches::Record | Watches::RecordProgram => vec!["record"],
            Watches::RecordTree => vec!["record", "-s"],
            Watches::Dump => vec!["dump", "-f", "json"],
        };
        arguments.extend(["-o", &output]);
        if self.kind.blocking {
            arguments.push("--blocking");
            if self.kind.command != Watches::Dump {
                arguments.extend(["--max-stop-share", plan.share]);
            }
        }
        if plan.deed == Deed::Nothing && !matches!(self.kind.command, Watches::Dump | Watches::RecordProgram) {
            arguments.extend(["-d", DURATION]);
        }
        let mut command = asyncprof(&self.folder, &arguments);
        command.stderr(File::create(self.log("stderr")).unwrap());
        command
    }

    /// asyncprof that watches this process.
    pub(crate) fn watching(&self, plan: &Plan, pid: u32) -> Command {
        let mut command = self.command(plan);
        command.arg(pid.to_string()).stdout(File::create(self.log("stdout")).unwrap());
        command
    }

    /// asyncprof that runs this program.
    pub(crate) fn running(&self, plan: &Plan, program: &[String]) -> Command {
        let mut command = self.command(plan);
        command.arg("--").args(program);
        command
    }

    /// Waits for its end, which it was asked for.
    pub(crate) fn wait_for_end(&self, child: &mut Child) -> Result<ExitStatus, String> {
        let mut status = None;
        within(BOUND, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.ok_or_else(|| {
            let words = super::process::threads_in_words(child.id());
            let _ = child.kill();
            let _ = child.wait();
            format!("hung: asyncprof does not end:\n  {words}\n{}", self.errors())
        })
    }

    /// Checks how it ended.
    pub(crate) fn check_end(
        &self,
        status: ExitStatus,
        deed: Deed,
        circumstances: Circumstances,
        allowed: i32,
    ) -> Result<(), String> {
        let errors = self.errors();
        if status.code() == Some(101) || errors.contains("panicked") {
            return Err(format!("panicked: {status}\n{errors}"));
        }
        let is_allowed = match (status.code(), status.signal()) {
            (Some(code), _) if code == allowed => true,
            (Some(4), _) => circumstances.killed || errors.contains("now executes another program"),
            // Between `execv` and its first event loop it is like any program that just starts.
            (Some(5), _) => circumstances.executed,
            (None, Some(signal)) => self.may_end_by(signal, deed, &errors),
            _ => false,
        };
        if is_allowed {
            return Ok(());
        }
        Err(format!("wrong exit: {status} after {deed:?}, {circumstances:?}\n{errors}"))
    }

    fn may_end_by(&self, signal: i32, deed: Deed, errors: &str) -> bool {
        let asked = match deed {
            Deed::Kill => return signal == KILLED,
            Deed::Ask(signal) => signal,
            Deed::Suspend(_) | Deed::SuspendTarget(_) => Signal::SIGINT,
            Deed::Nothing | Deed::KillTarget => return false,
        };
        // Before it listens, and a dump never does.
        let listens = self.kind.command != Watches::Dump && errors.contains("note: ");
        signal == asked as i32 && !listens
    }

    /// Checks what it has left behind, and removes it.
    pub(crate) fn check_files(&self, status: ExitStatus, deed: Deed) -> Result<(), String> {
        let cut_off = status.signal().is_some();
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        if status.success() && deed != Deed::KillTarget && !names.contains(&self.output()) {
            return Err(format!("unreadable: {} is missing\n{}", self.output(), self.errors()));
        }
        for name in names {
            self.check_file(&name, cut_off)
                .map_err(|fault| format!("unreadable: {name}: {fault}\n{}", self.errors()))?;
            fs::remove_file(self.folder.join(&name)).unwrap();
        }
        if status.success() && self.kind.command == Watches::Attach {
            let said = fs::read(self.log("stdout")).unwrap();
            parsed(&said).map_err(|fault| format!("unreadable: the summary of attach: {fault}"))?;
        }
        Ok(())
    }

    fn check_file(&self, name: &str, cut_off: bool) -> Result<(), String> {
        let is_ours = name == self.output() || name.starts_with(&format!("{}.", self.number));
        if !is_ours || !name.ends_with(if self.kind.command == Watches::Dump { ".json" } else { ".aprof" }) {
            return Err("left behind".to_owned());
        }
        if self.kind.command == Watches::Dump {
            return parsed(&fs::read(self.folder.join(name)).unwrap()).map(|_| ());
        }
        let text = self.report(&["report", name])?;
        let json = self.report(&["report", name, "-f", "json"])?;
        if cut_off && is_empty(&text) && is_empty(&json) {
            return Ok(());
        }
        if !text.status.success() || !json.status.success() {
            return Err(format!("{text:?}; {json:?}"));
        }
        let complete = parsed(&json.stdout)?["complete"] == true;
        if complete || cut_off { Ok(()) } else { Err("it is not complete".to_owned()) }
    }

    fn report(&self, arguments: &[&str]) -> Result<Output, String> {
        let output = asyncprof(&self.folder, arguments).output().map_err(|error| error.to_string())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("panicked") { Err(format!("panicked: {errors}")) } else { Ok(output) }
    }
}

/// The file ended before its header did, and the report says so.
fn is_empty(output: &Output) -> bool {
    output.status.code() == Some(6) && String::from_utf8_lossy(&output.stderr).contains("is empty")
}

fn parsed(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))
}
