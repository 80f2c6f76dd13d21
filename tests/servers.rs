//! `asyncprof dump` on real servers while requests are in flight: aiohttp, and uvicorn with FastAPI and uvloop, on every
//! Python whose packages are there (`scripts/load-test --install-only` installs them). The servers in `tests/servers` know
//! nothing of asyncprof; these tests know only what it prints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use support::pythons::{Interpreter, every};
use support::target::{Program, Target, dump};
use support::trials::missing;

support::trials::trials! {
    on each of every() =>
        an_aiohttp_server_shows_its_requests_its_background_and_its_orphan,
        uvicorn_with_fastapi_and_uvloop_shows_its_requests_its_background_and_its_orphan,
}

/// LIMIT: an answer that takes this long never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of server.
struct Kind {
    name: &'static str,
    /// Packages that it needs.
    packages: &'static [&'static str],
    /// Class of its event loop.
    event_loop: &'static str,
    /// Whether it runs handlers in a task of their own, for which the connection's task waits.
    connection_waits: bool,
}

const AIOHTTP: Kind = Kind {
    name: "aiohttp",
    packages: &["aiohttp"],
    event_loop: "asyncio.unix_events._UnixSelectorEventLoop",
    connection_waits: true,
};

const UVICORN: Kind = Kind {
    name: "uvicorn",
    packages: &["uvicorn", "fastapi", "uvloop"],
    event_loop: "uvloop.Loop",
    connection_waits: false,
};

/// A server with two requests that it cannot answer yet.
struct Server {
    target: Target,
    source: String,
    port: u16,
    /// The requests: `/slow`, then `/executor`.
    in_flight: Vec<BufReader<TcpStream>>,
}

impl Server {
    fn start(kind: &Kind, interpreter: &Interpreter, packages: &Path) -> Self {
        let path = folder().join("tests").join("servers").join(format!("{}_server.py", kind.name));
        let source = fs::read_to_string(&path).unwrap();
        let mut program = Program::read(path);
        program.environment.push(("PYTHONPATH".to_owned(), packages.to_str().unwrap().to_owned()));
        let target = Target::start(interpreter, &program, &[]).unwrap_or_else(|error| panic!("{error}"));
        let port = u16::try_from(target.said().unwrap()["port"].as_u64().unwrap()).unwrap();
        let mut server = Self { target, source, port, in_flight: Vec::new() };
        server.get("/orphan");
        server.in_flight = ["/slow", "/executor"].map(|path| send(port, path)).into();
        server.get("/both");
        server
    }

    fn get(&self, path: &str) {
        assert_answered(&mut send(self.port, path), path);
    }

    /// Lets the requests go on; they must be answered as if nobody had looked.
    fn finish(mut self) {
        self.get("/release");
        for mut request in std::mem::take(&mut self.in_flight) {
            assert_answered(&mut request, "a request that was in flight during the dump");
        }
        assert!(self.target.is_alive());
    }

    /// The number of the only line of the server's source that contains `text`.
    fn line(&self, text: &str) -> usize {
        let found: Vec<usize> =
            (1..).zip(self.source.lines()).filter(|(_, line)| line.contains(text)).map(|(n, _)| n).collect();
        assert_eq!(found.len(), 1, "{text}");
        found[0]
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Sends a request and leaves the answer unread.
fn send(port: u16, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    BufReader::new(stream)
}

fn assert_answered(stream: &mut BufReader<TcpStream>, what: &str) {
    let mut status = String::new();
    stream.read_line(&mut status).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(status.starts_with("HTTP/1.1 200"), "{what}: {status}");
    stream.read_to_string(&mut String::new()).unwrap();
}

/// Judges the dump of a server of this kind; without its packages the test is ignored.
fn assert_dump_is_right(kind: &Kind, python: &Interpreter) {
    let packages = python.site_packages();
    if let Some(package) = kind.packages.iter().find(|package| !packages.join(package).is_dir()) {
        missing(&format!("no {package}; scripts/load-test --install-only installs it"));
    }
    let server = Server::start(kind, python, &packages);
    let dump = dump(server.target.pid()).unwrap_or_else(|error| panic!("{error}"));
    assert_requests_are_shown(kind, &server, &dump);
    assert_background_is_shown(&dump);
    assert_orphan_is_reported(&dump);
    assert_loop_and_job_are_shown(kind, &dump);
    server.finish();
}

fn functions(holder: &Value) -> Vec<&str> {
    holder["stack"].as_array().unwrap().iter().map(|frame| frame["function"].as_str().unwrap()).collect()
}

fn tasks(dump: &Value) -> &[Value] {
    dump["tasks"].as_array().unwrap()
}

/// The only task with this function in its stack.
fn task<'d>(dump: &'d Value, function: &str) -> &'d Value {
    let found: Vec<&Value> = tasks(dump).iter().filter(|task| functions(task).contains(&function)).collect();
    assert_eq!(found.len(), 1, "tasks with {function} in {dump:#}");
    found[0]
}

fn kind_of_wait(task: &Value) -> Option<&str> {
    task["awaiting"]["kind"].as_str()
}

fn assert_requests_are_shown(kind: &Kind, server: &Server, dump: &Value) {
    let calls = [
        ("slow", "State.wait_at_gate", "wait_at_gate()", "event"),
        ("executor", "State.run_job", "run_job()", "executor"),
    ];
    for (handler, inner, call, wait) in calls {
        let task = task(dump, handler);
        let frames = functions(task);
        let position = frames.iter().position(|function| *function == handler).unwrap();
        assert_eq!(frames.get(position + 1), Some(&inner), "{frames:?}");
        let frame = &task["stack"][position];
        assert_eq!(frame["line"], server.line(call), "{handler} is at its await");
        assert!(frame["file"].as_str().unwrap().ends_with(&format!("{}_server.py", kind.name)), "{frame}");
        assert_eq!(kind_of_wait(task), Some(wait), "{handler}");
        assert_eq!(task["state"], "waiting");
        assert_ne!(task["orphaned"], true, "the server holds the task of {handler}");
        assert_eq!(!task["awaited_by"].as_array().unwrap().is_empty(), kind.connection_waits, "{task:#}");
    }
}

fn assert_background_is_shown(dump: &Value) {
    for (function, wait) in
        [("refresh_cache", "sleep"), ("hold_report_lock", "event"), ("wait_for_report_lock", "lock")]
    {
        let task = task(dump, function);
        assert_eq!(kind_of_wait(task), Some(wait), "{function}");
        assert_eq!(task["orphaned"], false, "the application holds the task of {function}");
    }
    // It wakes up twenty times a second, so it may be in the middle of a step.
    assert_ne!(task(dump, "heartbeat")["orphaned"], true);
}

fn assert_orphan_is_reported(dump: &Value) {
    let forgotten = task(dump, "forgotten");
    assert_eq!(forgotten["orphaned"], true);
    assert_eq!(kind_of_wait(forgotten), Some("sleep"));
    let findings = dump["findings"].as_array().unwrap();
    let names_it = |finding: &&Value| finding["tasks"].as_array().is_some_and(|tasks| tasks.contains(&forgotten["id"]));
    let rules: Vec<&Value> = findings.iter().filter(names_it).map(|finding| &finding["rule"]).collect();
    assert_eq!(rules, ["orphaned-task"]);
}

fn assert_loop_and_job_are_shown(kind: &Kind, dump: &Value) {
    let loops = dump["loops"].as_array().unwrap();
    assert_eq!(loops.len(), 1, "{loops:?}");
    assert_eq!(loops[0]["type"], kind.event_loop);
    assert_eq!(loops[0]["thread"], dump["pid"], "the loop runs in the main thread");
    let threads = dump["threads"].as_array().unwrap();
    let at_job = threads.iter().filter(|thread| {
        let functions = functions(thread);
        functions.contains(&"_worker") && functions.last().is_some_and(|last| last.ends_with("wait"))
    });
    assert_eq!(at_job.count(), 1, "one thread of the executor is in the job: {threads:#?}");
}

fn an_aiohttp_server_shows_its_requests_its_background_and_its_orphan(python: &Interpreter) {
    assert_dump_is_right(&AIOHTTP, python);
}

fn uvicorn_with_fastapi_and_uvloop_shows_its_requests_its_background_and_its_orphan(python: &Interpreter) {
    assert_dump_is_right(&UVICORN, python);
}
