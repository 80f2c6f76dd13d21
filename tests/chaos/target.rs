//! The target of a run, `tests/programs/chaos/chaos.py`, and what it says of itself.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::process::{end_of, has_ended, signal, threads_in_words, unfree_threads, within};
use super::support::pythons::Interpreter;

/// Its exit code.
pub(crate) const STATUS: i32 = 7;
/// LIMIT: a target that takes this long for a step hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command line of the target.
pub(crate) fn command_line(interpreter: &Interpreter, said: &Path, seed: u64) -> [String; 4] {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/chaos/chaos.py");
    [interpreter.path.to_str().unwrap().into(), program.into(), said.to_str().unwrap().into(), seed.to_string()]
}

/// A target that has said `ready`. Dropping it ends it.
pub(crate) struct Target {
    /// The target, or asyncprof, which has started it.
    pub(crate) child: Child,
    pub(crate) pid: u32,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: PathBuf,
}

impl Target {
    /// Starts the target, or asyncprof that starts it, and waits until it is ready.
    pub(crate) fn start(mut command: Command, said: &Path) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"] {
            command.env_remove(name);
        }
        let mut child = command.env("PYTHONDONTWRITEBYTECODE", "1").spawn().map_err(|error| error.to_string())?;
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut target = Self { pid: child.id(), stdin: child.stdin.take(), child, lines, said: said.to_owned() };
        match target.lines.recv_timeout(PATIENCE) {
            Ok(line) if line == "ready" => {}
            other => return Err(format!("broken: the target said {other:?} instead of `ready`")),
        }
        target.pid = target.says()?["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap();
        Ok(target)
    }

    /// What it has written last.
    fn says(&self) -> Result<Value, String> {
        let text = fs::read(&self.said).map_err(|error| format!("broken: the target says nothing: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("broken: what the target says is not JSON: {error}"))
    }

    /// How often it has executed itself, and how often its heart has beaten.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let said = self.says().unwrap_or_default();
        let number = |name: &str| said[name].as_u64().unwrap_or(0);
        (number("generation"), number("beat"))
    }

    /// Fails unless it goes on, and nobody stops or traces it.
    pub(crate) fn check_goes_on(&self) -> Result<(), String> {
        let (_, before) = self.progress();
        if !within(PATIENCE, || self.progress().1 > before + 1 || has_ended(self.pid)) {
            return Err(format!("harmed: the target's heart does not beat:\n  {}", self.in_words()));
        }
        if has_ended(self.pid) {
            return Err(format!("harmed: the target has ended ({}); it said {}", end_of(self.pid), self.last_words()));
        }
        if !within(Duration::from_secs(2), || unfree_threads(self.pid).is_empty()) {
            return Err(format!("harmed: the target is not free: {}", unfree_threads(self.pid).join("; ")));
        }
        self.check_is_right(&self.says()?)
    }

    fn in_words(&self) -> String {
        format!("{}\n  it said {}", threads_in_words(self.pid), self.last_words())
    }

    /// What it has written last, and its stderr, where that is its own.
    fn last_words(&self) -> String {
        let errors = fs::read(self.said.with_file_name("stderr")).unwrap_or_default();
        format!("{}\n{}", self.says().unwrap_or_default(), String::from_utf8_lossy(&errors))
    }

    fn check_is_right(&self, said: &Value) -> Result<(), String> {
        match &said["wrong"] {
            Value::Array(wrong) if wrong.is_empty() => Ok(()),
            wrong => Err(format!("harmed: the target's results are wrong: {wrong}")),
        }
    }

    /// Asks it to end by closing its stdin.
    pub(crate) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end, and for its verdict.
    pub(crate) fn check_ends_well(&mut self) -> Result<(), String> {
        if !within(PATIENCE, || has_ended(self.pid)) {
            return Err(format!("harmed: the target does not end:\n  {}", self.in_words()));
        }
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            return Err(format!(
                "harmed: no verdict of the target ({}); it said {}",
                end_of(self.pid),
                self.last_words()
            ));
        };
        let verdict = serde_json::from_str(&line).map_err(|error| format!("broken: the verdict {line}: {error}"))?;
        self.check_is_right(&verdict)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !has_ended(self.pid) {
            signal(self.pid, Signal::SIGKILL);
        }
    }
}
