//! A program of the cases on one interpreter and event loop, and asyncprof run on it.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::pythons::Interpreter;
use crate::support::target::{Program, Target, dump, run_asyncprof};
use crate::support::trials::missing;

/// LIMIT: an answer that takes this long never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program imports for what it is told, beside the packages that it always imports.
fn packages_of(program: &str, arguments: &[String]) -> Vec<String> {
    if program != "connection_pools" {
        return Vec::new();
    }
    let of = |argument: &String| match argument.as_str() {
        "aiohttp_host" => vec!["aiohttp".to_owned()],
        "sqlalchemy" => vec!["sqlalchemy".to_owned(), "aiosqlite".to_owned(), "greenlet".to_owned()],
        other => vec![other.to_owned()],
    };
    arguments.iter().flat_map(of).collect()
}

/// A program, how it is started, and by what.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) program: Program,
    arguments: Vec<String>,
    interpreter: Interpreter,
    source: String,
}

impl Setting {
    pub(crate) fn new(program: &str, arguments: &[&str], interpreter: &Interpreter, event_loop: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/cases");
        let path = folder.join(program).with_extension("py");
        let source = fs::read_to_string(&path).unwrap();
        let mut program = Program::read(path);
        let mut arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
        if event_loop == "uvloop" {
            program.packages.push("uvloop".to_owned());
            arguments.push("uvloop".to_owned());
        }
        program.packages.extend(packages_of(&program.name, &arguments));
        let packages = interpreter.site_packages();
        program.environment.push(("PYTHONPATH".to_owned(), packages.display().to_string()));
        Self { program, arguments, interpreter: interpreter.clone(), source }
    }

    /// `nested_loop.block`.
    pub(crate) fn name(&self) -> String {
        let told = self.arguments.iter().filter(|one| *one != "uvloop");
        [&self.program.name].into_iter().chain(told).cloned().collect::<Vec<_>>().join(".")
    }

    pub(crate) fn is_uvloop(&self) -> bool {
        self.arguments.iter().any(|one| one == "uvloop")
    }

    /// Ends the test as ignored where a package is not installed.
    pub(crate) fn require_packages(&self) {
        if let Some(name) = self.program.packages.iter().find(|name| !self.interpreter.has_package(name)) {
            let listed = include_str!("../requirements.txt").lines().any(|line| line.starts_with(name.as_str()));
            let hint = match listed {
                true => "scripts/load-test --install-only installs it".to_owned(),
                false => format!("install it into {}", self.interpreter.site_packages().display()),
            };
            missing(&format!("no {name}: {hint}"));
        }
    }

    /// The number of the only line of the program that contains `text`.
    pub(crate) fn line(&self, text: &str) -> u64 {
        let numbered = (1..).zip(self.source.lines());
        let found: Vec<u64> = numbered.filter(|(_, line)| line.contains(text)).map(|(number, _)| number).collect();
        assert_eq!(found.len(), 1, "{text}");
        found[0]
    }

    /// The program, when its situation is reached.
    pub(crate) fn start(&self) -> Running {
        let target = Target::start(&self.interpreter, &self.program, &self.arguments);
        Running { target: RefCell::new(target.unwrap_or_else(|error| panic!("{error}"))) }
    }

    /// `asyncprof check OPTIONS -- PROGRAM`: exit code, and what it printed.
    pub(crate) fn check(&self, options: &[&str]) -> (Option<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let said: PathBuf = folder.path().join("said.json");
        let output = Command::new(env!("CARGO_BIN_EXE_asyncprof"))
            .arg("check")
            .args(options)
            .arg("--")
            .arg(&self.interpreter.path)
            .arg(&self.program.path)
            .arg(said)
            .args(&self.arguments)
            .envs(self.program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// A running program; it ends with this value.
pub(crate) struct Running {
    target: RefCell<Target>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.target.borrow().pid()
    }

    /// Returns when every thread sleeps, for programs that come to rest.
    pub(crate) fn wait_until_still(&self) {
        self.target.borrow_mut().wait_until_still().unwrap();
    }

    /// Returns when a signal has stopped every thread.
    pub(crate) fn wait_until_stopped(&self) {
        let state = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next()
        };
        self.wait_for("it is stopped", || state() == Some('T'));
    }

    /// Returns when the program has written what satisfies `holds`.
    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        self.wait_for(what, || self.target.borrow().said().is_ok_and(|said| holds(&said)));
    }

    fn wait_for(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the program wrote to its file.
    pub(crate) fn said(&self) -> Value {
        self.target.borrow().said().unwrap()
    }

    pub(crate) fn dump(&self) -> Value {
        dump(self.pid()).unwrap()
    }

    pub(crate) fn dump_text(&self) -> String {
        run_asyncprof(["dump", &self.pid().to_string()]).unwrap().1
    }

    /// `attach` for some seconds: its report as JSON.
    pub(crate) fn attach(&self, seconds: u32) -> Value {
        self.attach_while(seconds, || {})
    }

    /// As [`Running::attach`], with something done to the program once it is watched.
    pub(crate) fn attach_while(&self, seconds: u32, act: impl FnOnce()) -> Value {
        let watch = Watch::begin(self.pid(), seconds);
        act();
        watch.report()
    }

    /// `attach` for some seconds: what a person reads, the live lines and the summary.
    pub(crate) fn attach_text(&self, seconds: u32) -> String {
        let (_, summary, live) =
            run_asyncprof(["attach", &self.pid().to_string(), "-d", &seconds.to_string()]).unwrap();
        live + &summary
    }

    /// The port of a server that wrote it to its file.
    pub(crate) fn port(&self) -> u16 {
        self.said()["port"].as_u64().unwrap().try_into().unwrap()
    }
}

/// An `attach` that has begun to watch; ended with this value.
struct Watch(Child);

impl Watch {
    fn begin(pid: u32, seconds: u32) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_asyncprof"))
            .args(["attach", &pid.to_string(), "-d", &seconds.to_string(), "-f", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // The first line says that it watches.
        stderr.read_line(&mut String::new()).unwrap();
        std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
        Self(child)
    }

    fn report(mut self) -> Value {
        let mut printed = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("attach printed no JSON ({error}): {printed}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends one request and reads its answer.
pub(crate) fn get(port: u16, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
}
