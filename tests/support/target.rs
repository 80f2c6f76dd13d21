//! A running test program, and the `asyncprof` program run on it.
//!
//! Nothing sleeps here: a target prints `ready`, and then the kernel is asked until all its threads stand still.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pythons::Interpreter;

/// LIMIT: a target or a dump that takes this long hangs; the slowest honest one takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A test program in its own file under `tests/programs`, with what its header comments ask for.
#[derive(Clone, Debug)]
pub struct Program {
    /// File name without ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// `# needs: 3.11`: the lowest minor version that can run it.
    pub needs_minor: u32,
    /// `# packages: NAME NAME`: what it imports beside the standard library.
    pub packages: Vec<String>,
    /// `# env: NAME=VALUE`: what its environment must have.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// Reads the header of one program.
    pub fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("a test program can be read");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let needs_minor = header(&text, "# needs: 3.").map_or(0, |minor| minor.parse().expect("a minor version"));
        let packages =
            header(&text, "# packages: ").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let environment = text
            .lines()
            .filter_map(|line| line.strip_prefix("# env: ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { name, path, needs_minor, packages, environment }
    }

    /// Whether this interpreter can run it.
    pub fn runs_on(&self, interpreter: &Interpreter) -> bool {
        interpreter.which.minor >= self.needs_minor
    }
}

fn header<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
}

/// A program that has said `ready`. Dropping it ends it.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    folder: tempfile::TempDir,
    /// What it has written to stderr, once it ended.
    errors: mpsc::Receiver<String>,
}

impl Target {
    /// Starts `program FILE ARGUMENTS…`, where the program writes what it knows to FILE, and waits for `ready`.
    pub fn start(interpreter: &Interpreter, program: &Program, arguments: &[String]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
        let file = folder.path().join("said.json");
        let mut command = Command::new(&interpreter.path);
        command.arg(&program.path).arg(&file).args(arguments);
        // What a person has set for their own Python must not change the pictures.
        for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"] {
            command.env_remove(name);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        Self::start_command(command, folder)
    }

    /// Runs a command that is such a program, and waits for `ready`. It writes what it knows into `folder`.
    pub fn start_command(mut command: Command, folder: tempfile::TempDir) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        let stdin = child.stdin.take();
        let errors = read_all(child.stderr.take().expect("stderr is piped"));
        let (lines, line) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        thread::spawn(move || {
            let mut first = String::new();
            let _ = stdout.read_line(&mut first);
            let _ = lines.send(first);
            // Kept open and read to its end, so that the target never fails to write.
            let _ = stdout.read_to_string(&mut String::new());
        });
        let mut target = Self { child, stdin, folder, errors };
        match line.recv_timeout(PATIENCE) {
            Ok(line) if line == "ready\n" => Ok(target),
            Ok(line) => Err(target.death(&format!("said {line:?} instead of `ready`"))),
            Err(_) => Err(target.death(&format!("did not say `ready` within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the interpreter says of itself.
    pub fn said(&self) -> Result<Value, String> {
        let text = fs::read(self.folder.path().join("said.json"))
            .map_err(|error| format!("cannot read what the target wrote: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("what the target wrote is not JSON: {error}"))
    }

    /// Writes a line to its stdin, and returns when it has written to its file that so many lines were done.
    #[allow(dead_code, reason = "not every test has a target that listens")]
    pub fn tell(&mut self, line: &str, step: u64) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("the target's stdin is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("the target does not listen: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        while !self.said().is_ok_and(|said| said["step"] == step) {
            if !self.is_alive() {
                return Err(self.death("ended"));
            }
            if Instant::now() > deadline {
                return Err("the target does not do what it was told".to_owned());
            }
            thread::yield_now();
        }
        self.wait_until_still()
    }

    /// Returns when the kernel says that every thread sleeps: between `ready` and that there are some instructions.
    pub fn wait_until_still(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !all_threads_sleep(self.pid()) {
            if !self.is_alive() {
                return Err(self.death("ended"));
            }
            if Instant::now() > deadline {
                return Err("the target's threads do not come to rest".to_owned());
            }
            thread::yield_now();
        }
        Ok(())
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it and says how it fared, with what it wrote to stderr.
    pub fn death(&mut self, what: &str) -> String {
        drop(self.stdin.take());
        let status = match self.child.try_wait() {
            Ok(Some(status)) => format!("{status}"),
            _ => "ended by the test".to_owned(),
        };
        let _ = self.child.kill();
        let _ = self.child.wait();
        let errors = self.errors.recv_timeout(PATIENCE).unwrap_or_default();
        format!("the target {what} ({status}); its stderr:\n{errors}")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn all_threads_sleep(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|entry| thread_sleeps(&entry.path()))
}

fn thread_sleeps(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    // The state follows the command name, which is in parentheses and may contain anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

fn read_all(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Runs `asyncprof dump PID -f json` and parses what it prints.
pub fn dump(pid: u32) -> Result<Value, String> {
    let (status, stdout, stderr) = run_asyncprof(["dump", &pid.to_string(), "-f", "json"])?;
    serde_json::from_str(&stdout).map_err(|error| {
        format!("asyncprof dump printed no JSON ({error}; {status});\nits stdout:\n{stdout}\nits stderr:\n{stderr}")
    })
}

/// Runs the program under test; exit status, stdout, stderr.
pub fn run_asyncprof<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<(String, String, String), String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_asyncprof"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start asyncprof: {error}"))?;
    let stdout = read_all(child.stdout.take().expect("stdout is piped"));
    let stderr = read_all(child.stderr.take().expect("stderr is piped"));
    let Ok(printed) = stdout.recv_timeout(PATIENCE) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("asyncprof did not finish within {} s", PATIENCE.as_secs()));
    };
    let status = child.wait().map_err(|error| format!("cannot wait for asyncprof: {error}"))?;
    Ok((status.to_string(), printed, stderr.recv_timeout(PATIENCE).unwrap_or_default()))
}
