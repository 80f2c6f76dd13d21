//! What a task waits for: the kind of thing and its details. Data only; the text for it is in `render`.

/// The kind of thing a task waits for; the names are part of the output contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is asyncio's own word")]
pub enum WaitKind {
    Sleep,
    Future,
    Task,
    Gather,
    TaskGroup,
    Wait,
    Shield,
    Lock,
    Semaphore,
    Event,
    Condition,
    QueueGet,
    QueuePut,
    Executor,
    Socket,
    Subprocess,
    Other,
}

impl WaitKind {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Future => "future",
            Self::Task => "task",
            Self::Gather => "gather",
            Self::TaskGroup => "task_group",
            Self::Wait => "wait",
            Self::Shield => "shield",
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Condition => "condition",
            Self::QueueGet => "queue_get",
            Self::QueuePut => "queue_put",
            Self::Executor => "executor",
            Self::Socket => "socket",
            Self::Subprocess => "subprocess",
            Self::Other => "other",
        }
    }
}

/// Something bounded that tasks wait at: a lock, a semaphore, a limiter, a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Stable while it lives.
    pub key: u64,
    /// What is left of it: permits, or places of a queue.
    pub free: Option<u64>,
    /// How much there is of it, where it says so.
    pub bound: Option<u64>,
    /// The pool of connections that it is.
    pub pool: Option<PoolKind>,
    /// It is taken, and no task that is alive has taken it: proved. `false`: somebody has, or it is not known.
    pub is_abandoned: bool,
    /// For how long those who have taken it and those who wait for it were seen not to move at all.
    pub still_ms: Option<u64>,
}

/// A pool of connections of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// A connector of aiohttp's client.
    Aiohttp,
    /// Its connections to one host.
    AiohttpHost,
    /// A pool of asyncpg.
    Asyncpg,
    /// A queue pool of SQLAlchemy's asyncio engines.
    Sqlalchemy,
    /// A blocking pool of redis.
    Redis,
    /// The pool of a client of httpx: httpcore's.
    Httpx,
}

impl PoolKind {
    /// Whether a connection can come free without the task that has it: aiohttp gives one back as soon as the whole response
    /// has arrived.
    pub fn is_given_back_by_peers(self) -> bool {
        matches!(self, Self::Aiohttp | Self::AiohttpHost | Self::Httpx)
    }

    /// The pool in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aiohttp => "the aiohttp connector",
            Self::AiohttpHost => "the aiohttp connector to one host",
            Self::Asyncpg => "the asyncpg pool",
            Self::Sqlalchemy => "the SQLAlchemy pool",
            Self::Redis => "the redis connection pool",
            Self::Httpx => "the httpx connection pool",
        }
    }
}

/// Details of a wait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitDetail {
    /// A sleep; its whole length in nanoseconds.
    Delay(u64),
    /// Of the futures waited for, how many are done.
    Done {
        /// Done.
        done: usize,
        /// Waited for.
        total: usize,
    },
    /// Futures that are not done; the total is not known.
    NotDone(usize),
    /// Tasks of a group that have not finished.
    Unfinished(usize),
    /// A queue.
    Items {
        /// Items in it.
        len: usize,
        /// Its capacity, if it is bounded.
        max: Option<i64>,
    },
    /// Tasks that wait for the same lock or semaphore.
    Waiters(usize),
    /// The function that an executor runs.
    Function(Box<str>),
    /// The state of an executor's job, in the library's own word.
    Job(Box<str>),
    /// A file descriptor.
    Descriptor(i32),
    /// Waiting for the transport's write buffer to drain.
    WriteBufferFull,
    /// A child process.
    Process(i64),
    /// In `Queue.join`.
    QueueJoin,
    /// At a `Barrier`.
    Barrier,
    /// In `Server.serve_forever`.
    ServeForever,
    /// A wait with a timeout.
    Timeout {
        /// The whole timeout in nanoseconds; `None` for any length.
        ns: Option<u64>,
        /// Other details of the wait.
        wait: Option<Box<WaitDetail>>,
    },
    /// As text, as in recordings of earlier versions.
    Words(Box<str>),
}

impl WaitDetail {
    /// Adds a timeout in seconds, if there is one.
    pub fn with_timeout(wait: Option<Self>, seconds: Option<f64>) -> Option<Self> {
        match seconds.and_then(nanoseconds) {
            Some(ns) => Some(Self::Timeout { ns: Some(ns), wait: wait.map(Box::new) }),
            None => wait,
        }
    }

    /// The part that all waits at the same place have in common: without numbers, which differ from wait to wait.
    pub fn of_the_place(&self) -> Option<Self> {
        match self {
            Self::Delay(_)
            | Self::Done { .. }
            | Self::NotDone(_)
            | Self::Unfinished(_)
            | Self::Items { .. }
            | Self::Waiters(_)
            | Self::Descriptor(_)
            | Self::Process(_) => None,
            Self::Timeout { wait, .. } => {
                let wait = wait.as_ref().and_then(|wait| wait.of_the_place()).map(Box::new);
                Some(Self::Timeout { ns: None, wait })
            }
            Self::Function(_)
            | Self::Job(_)
            | Self::WriteBufferFull
            | Self::QueueJoin
            | Self::Barrier
            | Self::ServeForever
            | Self::Words(_) => Some(self.clone()),
        }
    }

    /// A sleep of `seconds`.
    pub fn delay(seconds: f64) -> Option<Self> {
        nanoseconds(seconds).map(Self::Delay)
    }
}

/// `None` if the value is not a valid duration.
fn nanoseconds(seconds: f64) -> Option<u64> {
    // Longer times saturate at 584 years.
    (seconds >= 0.0).then_some((seconds * 1e9).round() as u64)
}

impl From<&str> for WaitDetail {
    fn from(words: &str) -> Self {
        Self::Words(words.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_of_this_world() {
        assert_eq!(WaitDetail::delay(0.1), Some(WaitDetail::Delay(100_000_000)));
        assert_eq!(WaitDetail::delay(f64::INFINITY), Some(WaitDetail::Delay(u64::MAX)));
        assert_eq!(WaitDetail::delay(f64::NAN), None);
        assert_eq!(WaitDetail::with_timeout(None, Some(-1.0)), None);
    }
}
