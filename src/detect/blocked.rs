//! What a thread waits for that sleeps in the kernel, by its system call and the Python frames above it, and the remedy in
//! the words of asyncio's own patterns. It must not know who asks: a rule about one instant, or the judge of a stall.

use super::origin::{self, Origin};
use crate::model::snapshot::{Frame, Severity};

/// A kind of sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    Sleep,
    Child,
    Lock,
    Queue,
    Dns,
    Network,
    File,
}

/// Calls of the standard library that show what is waited for better than their system calls do: the end of the file's
/// path, the functions (all when there are none), what for.
const CALLS: &[(&str, &[&str], Blocked)] = &[
    ("/socket.py", &["getaddrinfo", "getfqdn"], Blocked::Dns),
    ("/subprocess.py", &[], Blocked::Child),
    ("/multiprocessing/popen_fork.py", &[], Blocked::Child),
    ("/queue.py", &[], Blocked::Queue),
    ("/multiprocessing/queues.py", &[], Blocked::Queue),
    ("/threading.py", &["wait", "join", "_wait_for_tstate_lock", "acquire", "wait_for"], Blocked::Lock),
    ("/concurrent/futures/_base.py", &[], Blocked::Lock),
];

impl Blocked {
    /// `synchronous`: the calls under the coroutines, outermost first. Frames that are not that do no harm.
    pub(super) fn from_call(call: &str, synchronous: &[&Frame]) -> Self {
        // Names are looked up deep inside other things, and queues are made of locks: the most telling one is innermost
        // for the first, outermost for the others.
        let is = |row: &&(&str, &[&str], Self), frame: &Frame| {
            origin::origin_of(&frame.file) == Origin::Python
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
            "nanosleep" | "clock_nanosleep" | "pause" => Self::Sleep,
            "wait4" | "waitid" | "waitpid" => Self::Child,
            call if call.starts_with("futex") => Self::Lock,
            // Before 3.11 `time.sleep` is a select without descriptors.
            "select" | "pselect6" if !synchronous.last().is_some_and(|frame| is_about_descriptors(frame)) => {
                Self::Sleep
            }
            "connect" | "accept" | "accept4" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto" | "sendmsg"
            | "sendmmsg" => Self::Network,
            call if is_poll(call) => Self::Network,
            _ => Self::File,
        }
    }

    /// One instant does not show how long it takes; a sleep or a child process is never right in an event loop.
    pub(super) fn severity(self) -> Severity {
        match self {
            Self::Sleep | Self::Child => Severity::Error,
            Self::Lock | Self::Queue | Self::Dns | Self::Network | Self::File => Severity::Warning,
        }
    }

    /// After the name of the thread.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Sleep => "sleeps",
            Self::Child => "waits for a child process",
            Self::Lock => "waits for a lock of another thread",
            Self::Queue => "waits at a queue between threads",
            Self::Dns => "looks a host name up",
            Self::Network => "waits for the network",
            Self::File => "waits for a file or pipe",
        }
    }

    /// What to do: as the library says it that made the call, where that is a well-known one.
    pub(super) fn advice(self, synchronous: &[&Frame]) -> &'static str {
        library_advice(synchronous).unwrap_or(match self {
            Self::Sleep => "Use await asyncio.sleep() instead of time.sleep().",
            Self::Child => "Use asyncio.create_subprocess_exec() and await its communicate() or wait().",
            Self::Lock => {
                "Use asyncio's own locks and queues between tasks; for a lock of another thread, acquire it in \
                 await asyncio.to_thread()."
            }
            Self::Queue => {
                "Use asyncio.Queue between tasks; for a queue that other threads fill, get from it in \
                 await asyncio.to_thread()."
            }
            Self::Dns => "Look host names up with await loop.getaddrinfo().",
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
    origin::origin_of(&frame.file) != Origin::Program
}

/// `get` of `Queue.get`.
fn last_name(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

const IMPORT: &str = "Import the module when the program starts, before the event loop runs.";

/// The remedy for a module that is being imported.
pub(super) fn import_advice(synchronous: &[&Frame]) -> Option<&'static str> {
    library_advice(synchronous).filter(|advice| *advice == IMPORT)
}

/// Part of the path of a library's files, and what its users are to do.
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
        "Log through logging.handlers.QueueHandler and a QueueListener, so that writing happens in another thread.",
    ),
    (&["<frozen importlib._bootstrap>"], IMPORT),
];

/// The remedy for the well-known library that was called; of several that call each other the outermost.
fn library_advice(synchronous: &[&Frame]) -> Option<&'static str> {
    synchronous.iter().find_map(|frame| {
        let is_theirs = |part: &&str| match part.strip_prefix("-packages") {
            Some(_) => frame.file.contains(*part),
            None => frame.file.ends_with(*part) && origin::origin_of(&frame.file) == Origin::Python,
        };
        LIBRARIES.iter().find(|(parts, _)| parts.iter().any(is_theirs)).map(|(_, advice)| *advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(call: &str, frames: &[(&str, &str)]) -> Blocked {
        let frames: Vec<Frame> = frames
            .iter()
            .map(|(function, file)| Frame { function: (*function).into(), file: (*file).into(), line: None })
            .collect();
        Blocked::from_call(call, &frames.iter().collect::<Vec<_>>())
    }

    #[test]
    fn frames_tell_what_a_system_call_does_not() {
        const LIB: &str = "/usr/lib/python3.12/";
        let lib = |file: &str| format!("{LIB}{file}");
        assert_eq!(kind("poll", &[]), Blocked::Network);
        assert_eq!(kind("poll", &[("getaddrinfo", &lib("socket.py"))]), Blocked::Dns);
        let connects = [("create_connection", lib("socket.py")), ("getaddrinfo", lib("socket.py"))];
        assert_eq!(kind("recvfrom", &connects.each_ref().map(|(name, file)| (*name, file.as_str()))), Blocked::Dns);
        assert_eq!(kind("poll", &[("Popen._communicate", &lib("subprocess.py"))]), Blocked::Child);
        let gets = [("Queue.get", lib("queue.py")), ("Condition.wait", lib("threading.py"))];
        assert_eq!(kind("futex", &gets.each_ref().map(|(name, file)| (*name, file.as_str()))), Blocked::Queue);
        assert_eq!(kind("futex", &[("Event.wait", &lib("threading.py"))]), Blocked::Lock);
        assert_eq!(kind("read", &[("Thread.run", &lib("threading.py"))]), Blocked::File);
        assert_eq!(kind("read", &[("getaddrinfo", "/app/socket.py")]), Blocked::File);
    }

    #[test]
    fn a_select_that_the_program_itself_is_in_is_a_sleep_of_an_older_python() {
        assert_eq!(kind("select", &[("nap", "/app/main.py")]), Blocked::Sleep);
        assert_eq!(kind("pselect6", &[]), Blocked::Sleep);
        assert_eq!(kind("select", &[("select", "/usr/lib/python3.9/selectors.py")]), Blocked::Network);
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
