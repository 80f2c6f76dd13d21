//! What a sleeping thread waits for, according to its system call and the Python frames above it, and the remedy.
//! Shared by the rule `blocking-call`, which sees one instant, and by the stall detector.

use crate::model::origin::{GREENLET_FILE, Origin, origin_of};
use crate::model::snapshot::{Frame, Severity};

/// What a thread sleeping in the kernel waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockingKind {
    Sleep,
    /// A sleep that is not `time.sleep`.
    NativeSleep,
    Child,
    /// A new thread has not yet said that it runs.
    ThreadStart,
    Lock,
    Queue,
    Dns,
    Network,
    File,
}

/// Calls of the standard library that reveal the reason for waiting better than their system calls do: the end of the
/// file's path, the functions (empty for all), and the kind.
const CALLS: &[(&str, &[&str], BlockingKind)] = &[
    ("/socket.py", &["getaddrinfo", "getfqdn"], BlockingKind::Dns),
    ("/subprocess.py", &[], BlockingKind::Child),
    ("/multiprocessing/popen_fork.py", &[], BlockingKind::Child),
    ("/queue.py", &[], BlockingKind::Queue),
    ("/multiprocessing/queues.py", &[], BlockingKind::Queue),
    ("/threading.py", &["start"], BlockingKind::ThreadStart),
    ("/threading.py", &["wait", "join", "_wait_for_tstate_lock", "acquire", "wait_for"], BlockingKind::Lock),
    ("/concurrent/futures/_base.py", &[], BlockingKind::Lock),
];

impl BlockingKind {
    /// `synchronous`: the frames called by the innermost coroutine, outermost first. Other frames do no harm.
    pub(super) fn from_call(call: &str, synchronous: &[&Frame]) -> Self {
        // Host names are resolved deep inside other calls, so for those the innermost frame decides; queues are built
        // on locks, so otherwise the outermost decides.
        let is = |row: &&(&str, &[&str], Self), frame: &Frame| {
            origin_of(&frame.file) == Origin::Python
                && frame.file.ends_with(row.0)
                && (row.1.is_empty() || row.1.iter().any(|function| last_name(&frame.function) == *function))
        };
        let known = |frame: &&&Frame| CALLS.iter().find(|row| is(row, frame)).map(|row| row.2);
        if synchronous.iter().rev().find_map(|frame| known(&frame)) == Some(Self::Dns) {
            return Self::Dns;
        }
        if let Some(kind) = synchronous.iter().find_map(|frame| known(&frame)) {
            return kind;
        }
        match call {
            "clock_nanosleep" => Self::Sleep,
            // `time.sleep` never makes these: it sleeps until a time of the monotonic clock, and before 3.11 in a select.
            "nanosleep" | "clock_nanosleep(CLOCK_REALTIME)" | "pause" => Self::NativeSleep,
            "wait4" | "waitid" | "waitpid" => Self::Child,
            call if call.starts_with("futex") => Self::Lock,
            // Before 3.11, `time.sleep` is a select without descriptors.
            "select" | "pselect6" if !synchronous.last().is_some_and(|frame| is_about_descriptors(frame)) => {
                Self::Sleep
            }
            "connect" | "accept" | "accept4" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto" | "sendmsg"
            | "sendmmsg" => Self::Network,
            call if is_poll(call) => Self::Network,
            _ => Self::File,
        }
    }

    /// One instant does not show how long the call takes. Sleeping, or waiting for a child, is never right in an event
    /// loop; locks that are held for a moment are in every program with threads, so that only a wait that `lasted` is
    /// worth a warning.
    pub(super) fn severity(self, lasted: bool) -> Severity {
        match self {
            Self::Sleep | Self::Child => Severity::Error,
            Self::NativeSleep | Self::Dns | Self::Network | Self::File => Severity::Warning,
            Self::ThreadStart | Self::Lock | Self::Queue if lasted => Severity::Warning,
            Self::ThreadStart | Self::Lock | Self::Queue => Severity::Info,
        }
    }

    /// The words after `the thread is`.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Sleep => "sleeping",
            Self::NativeSleep => "sleeping in native code",
            Self::Child => "waiting for a child process",
            Self::ThreadStart => "waiting for a new thread to start",
            Self::Lock => "waiting for a thread lock",
            Self::Queue => "waiting on a thread queue",
            Self::Dns => "resolving a host name",
            Self::Network => "waiting for the network",
            Self::File => "waiting for a file or pipe",
        }
    }

    /// The words before the system call.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::NativeSleep => "sleep in native code",
            Self::Child => "child process",
            Self::ThreadStart => "start of a thread",
            Self::Lock => "thread lock",
            Self::Queue => "thread queue",
            Self::Dns => "host name lookup",
            Self::Network => "network",
            Self::File => "file or pipe",
        }
    }

    /// What to do; specific to the library that made the call if it is a well-known one.
    pub(super) fn advice(self, synchronous: &[&Frame]) -> &'static str {
        if is_in_greenlet(synchronous) {
            return IN_GREENLET;
        }
        if synchronous.iter().any(|frame| frame.file.ends_with("/asyncio/unix_events.py")) && self == Self::Child {
            return STARTS_PROCESS;
        }
        library_advice(synchronous).unwrap_or(match self {
            Self::Sleep => "Use await asyncio.sleep() instead of time.sleep().",
            Self::NativeSleep => {
                "It is not time.sleep() but a C library that sleeps, as SQLite does while another connection holds a lock: \
                 shorten its timeout, or call it with await asyncio.to_thread()."
            }
            Self::Child => "Use asyncio.create_subprocess_exec() and await its communicate() or wait().",
            Self::ThreadStart => {
                "Start threads once and keep them, as a pool does. A new thread needs the GIL and a processor before it \
                 runs: if that takes long, see what keeps them."
            }
            Self::Lock => {
                "Use asyncio's own locks between tasks; acquire a lock that is shared with other threads with \
                 await asyncio.to_thread()."
            }
            Self::Queue => {
                "Use asyncio.Queue between tasks; get from a queue that other threads fill with \
                 await asyncio.to_thread()."
            }
            Self::Dns => "Resolve host names with await loop.getaddrinfo().",
            Self::Network => {
                "Use an async client (aiohttp or httpx for HTTP, an async driver for the database), or call the \
                 blocking one with await asyncio.to_thread()."
            }
            Self::File => "Do blocking reads and writes with await asyncio.to_thread().",
        })
    }
}

/// A system call that waits for descriptors, as selectors do.
pub(super) fn is_poll(call: &str) -> bool {
    call.starts_with("epoll_") || matches!(call, "poll" | "ppoll" | "select" | "pselect6")
}

fn is_about_descriptors(frame: &Frame) -> bool {
    origin_of(&frame.file) != Origin::Program
}

/// `get` of `Queue.get`.
fn last_name(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

const STARTS_PROCESS: &str = "Starting a process blocks the event loop while it is forked, for longer if the program has much \
                              memory or the machine is busy: start fewer of them, or keep some running.";

const IMPORT: &str = "Import the module at startup, before the event loop runs.";

/// The remedy for code that a greenlet runs for a coroutine: it cannot await, whatever it calls.
pub(super) const IN_GREENLET: &str = "This is synchronous code that a coroutine runs in a greenlet (SQLAlchemy's events and \
     hooks, for example): it cannot await. Do the slow part before or after, in the coroutine, or in another thread.";

/// Whether these frames, outermost first, pass from a coroutine into a greenlet, or through SQLAlchemy's way into one.
pub(super) fn is_in_greenlet(frames: &[&Frame]) -> bool {
    frames.iter().any(|frame| &*frame.file == GREENLET_FILE || last_name(&frame.function) == "greenlet_spawn")
}

/// The remedy for a module being imported.
pub(super) fn import_advice(synchronous: &[&Frame]) -> Option<&'static str> {
    library_advice(synchronous).filter(|advice| *advice == IMPORT)
}

/// Parts of a library's file paths, and what its users should do.
const LIBRARIES: &[(&[&str], &str)] = &[
    (
        &["-packages/boto3/", "-packages/botocore/"],
        "Use aioboto3 or aiobotocore instead of boto3, or call it with await asyncio.to_thread().",
    ),
    (
        &["-packages/redis/"],
        "Use redis.asyncio instead of the blocking redis client, or call it with await asyncio.to_thread().",
    ),
    (
        &[
            "-packages/psycopg2/",
            "-packages/psycopg/",
            "-packages/pymysql/",
            "-packages/MySQLdb/",
            "-packages/mysql/connector/",
            "-packages/pymongo/",
            "-packages/sqlalchemy/",
            "-packages/django/db/",
            "-packages/peewee.py",
        ],
        "Use an async database driver (asyncpg, psycopg's AsyncConnection, aiomysql, SQLAlchemy's asyncio extension), or \
         run the query with await asyncio.to_thread().",
    ),
    (
        &["-packages/requests/", "-packages/urllib3/", "-packages/httpx/", "/http/client.py", "/urllib/request.py"],
        "Use an async client (aiohttp, or httpx.AsyncClient) instead of the blocking one, or call it with await \
         asyncio.to_thread().",
    ),
    (
        &["/logging/__init__.py", "/logging/handlers.py"],
        "Log through logging.handlers.QueueHandler and a QueueListener, so that another thread does the writing.",
    ),
    (&["<frozen importlib._bootstrap>"], IMPORT),
];

/// The remedy for the well-known library that was called: the outermost if one calls another.
fn library_advice(synchronous: &[&Frame]) -> Option<&'static str> {
    synchronous.iter().find_map(|frame| {
        let is_theirs = |part: &&str| match part.strip_prefix("-packages") {
            Some(_) => frame.file.contains(*part),
            None => frame.file.ends_with(*part) && origin_of(&frame.file) == Origin::Python,
        };
        LIBRARIES.iter().find(|(parts, _)| parts.iter().any(is_theirs)).map(|(_, advice)| *advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(call: &str, frames: &[(&str, &str)]) -> BlockingKind {
        let frames: Vec<Frame> = frames
            .iter()
            .map(|(function, file)| Frame { function: (*function).into(), file: (*file).into(), line: None })
            .collect();
        BlockingKind::from_call(call, &frames.iter().collect::<Vec<_>>())
    }

    #[test]
    fn frames_tell_what_a_system_call_does_not() {
        const LIB: &str = "/usr/lib/python3.12/";
        let lib = |file: &str| format!("{LIB}{file}");
        assert_eq!(kind("poll", &[]), BlockingKind::Network);
        assert_eq!(kind("poll", &[("getaddrinfo", &lib("socket.py"))]), BlockingKind::Dns);
        let connects = [("create_connection", lib("socket.py")), ("getaddrinfo", lib("socket.py"))];
        assert_eq!(
            kind("recvfrom", &connects.each_ref().map(|(name, file)| (*name, file.as_str()))),
            BlockingKind::Dns
        );
        assert_eq!(kind("poll", &[("Popen._communicate", &lib("subprocess.py"))]), BlockingKind::Child);
        let gets = [("Queue.get", lib("queue.py")), ("Condition.wait", lib("threading.py"))];
        assert_eq!(kind("futex", &gets.each_ref().map(|(name, file)| (*name, file.as_str()))), BlockingKind::Queue);
        assert_eq!(kind("futex", &[("Event.wait", &lib("threading.py"))]), BlockingKind::Lock);
        assert_eq!(kind("read", &[("Thread.run", &lib("threading.py"))]), BlockingKind::File);
        assert_eq!(kind("read", &[("getaddrinfo", "/app/socket.py")]), BlockingKind::File);
    }

    #[test]
    fn a_select_that_the_program_itself_is_in_is_a_sleep_of_an_older_python() {
        assert_eq!(kind("select", &[("nap", "/app/main.py")]), BlockingKind::Sleep);
        assert_eq!(kind("pselect6", &[]), BlockingKind::Sleep);
        assert_eq!(kind("select", &[("select", "/usr/lib/python3.9/selectors.py")]), BlockingKind::Network);
    }

    #[test]
    fn of_libraries_that_call_each_other_the_one_that_the_program_called_gives_the_remedy() {
        let frame = |file: &str| Frame { function: "f".into(), file: file.into(), line: None };
        let (boto, http) = (frame("/v/site-packages/botocore/client.py"), frame("/v/site-packages/urllib3/util.py"));
        assert!(library_advice(&[&boto, &http]).unwrap().contains("aiobotocore"));
        assert!(library_advice(&[&http]).unwrap().contains("aiohttp"));
        assert_eq!(library_advice(&[&frame("/app/requests/handlers.py")]), None);
        assert_eq!(library_advice(&[]), None);
    }
}
