//! The memory of a process that is stopped while it is read. A guard owns the stop: the process continues when the
//! guard is dropped, and when asyncprof is killed.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::errno::Errno;
use rustc_hash::FxHashMap;

use super::access::AccessError;
use super::addr::Span;
use super::kernel_thread::ThreadState;
use super::live::LiveMemory;
use super::memory::{Memory, ReadError};
use super::process::{Process, Stat};

/// How often to retry a thread that cannot be stopped at the moment.
const PATIENCE: Duration = Duration::from_micros(200);

/// Why a process could not be stopped. It keeps running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// The process cannot be traced at all.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A debugger or tracer is attached to it.
    #[error("process {pid} is already traced by process {tracer}")]
    Traced {
        /// The process.
        pid: i32,
        /// The process that traces it.
        tracer: i32,
    },
    /// Not all threads stopped in time.
    #[error("process {pid} did not stop within {} ms", limit.as_millis())]
    Deadline {
        /// The process.
        pid: i32,
        /// How long we waited.
        limit: Duration,
    },
    /// Another error.
    #[error("process {pid} cannot be stopped: {reason}")]
    Failed {
        /// The process.
        pid: i32,
        /// The kernel's message.
        reason: String,
    },
}

impl StopError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Access(error) => error.hint(),
            Self::Traced { .. } => "end the debugger, or leave out --blocking".into(),
            Self::Deadline { .. } => {
                "a thread waits for a disk or creates threads all the time; leave out --blocking".into()
            }
            Self::Failed { .. } => "leave out --blocking: reading does not need it".into(),
        }
    }
}

/// A process that stays stopped while this lives.
#[derive(Debug)]
pub struct StopGuard {
    /// Dropped to let the process continue.
    release: Option<Sender<()>>,
    tracer: Option<thread::JoinHandle<()>>,
    threads: usize,
}

impl StopGuard {
    /// Stops every thread of `process`, within `limit`. The kernel ties a trace to the thread that requested it, so a
    /// dedicated thread holds it; that leaves the caller free to wait no longer than `limit`.
    pub fn stop(process: &Process, limit: Duration) -> Result<Self, StopError> {
        let pid = process.pid();
        let (release, released) = bounded::<()>(0);
        let (answer, answered) = bounded(1);
        let (target, deadline) = (process.clone(), Instant::now() + limit);
        let tracer = thread::Builder::new()
            .name("asyncprof-stop".into())
            .spawn(move || hold(&target, deadline, limit, &answer, &released))
            .map_err(|error| StopError::Failed { pid, reason: error.to_string() })?;
        // The thread observes the deadline itself. Only a thread of the target that enters an uninterruptible wait just
        // while it is being stopped can delay it further, and it is released as soon as that wait ends.
        match answered.recv_timeout(limit + limit / 4 + PATIENCE) {
            Ok(Ok(threads)) => Ok(Self { release: Some(release), tracer: Some(tracer), threads }),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Err(StopError::Deadline { pid, limit }),
            Err(RecvTimeoutError::Disconnected) => {
                Err(StopError::Failed { pid, reason: "the tracing thread ended early".into() })
            }
        }
    }

    /// Number of stopped threads.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.release = None;
        if let Some(tracer) = self.tracer.take() {
            // Joined, so that the process runs again when the guard is gone. The thread cannot panic in a way that
            // would not also have released the process.
            let _ = tracer.join();
        }
    }
}

/// The tracing thread: stops, replies, holds until released. Leaving it in any way releases the process.
fn hold(
    process: &Process,
    deadline: Instant,
    limit: Duration,
    answer: &Sender<Result<usize, StopError>>,
    released: &Receiver<()>,
) {
    match stop_all(process, deadline, limit) {
        Ok(locks) => {
            if answer.send(Ok(locks.len())).is_ok() {
                // Ends with an error when the guard drops its end: that is the signal.
                let _ = released.recv();
            }
        }
        Err(error) => {
            let _ = answer.send(Err(error));
        }
    }
}

/// A stopped thread: stopped by us, or by job control before us.
type Held = FxHashMap<i32, Option<remoteprocess::ThreadLock>>;

/// Stops thread after thread until a pass over all of them finds no new one: a thread that is not stopped yet can still
/// start others.
fn stop_all(process: &Process, deadline: Instant, limit: Duration) -> Result<Held, StopError> {
    let pid = process.pid();
    let mut held = Held::default();
    loop {
        let mut news = false;
        let mut waiting = false;
        for tid in process.thread_ids() {
            if held.contains_key(&tid) {
                continue;
            }
            if Instant::now() >= deadline {
                return Err(StopError::Deadline { pid, limit });
            }
            match thread_state(pid, tid) {
                None | Some(ThreadState::Exited) => {}
                // Attaching would make us wait for it without a limit.
                Some(ThreadState::Uninterruptible) => waiting = true,
                Some(state) => {
                    if let Some(lock) = stop_one(pid, tid, state)? {
                        held.insert(tid, lock);
                        news = true;
                    }
                }
            }
        }
        if waiting {
            thread::sleep(PATIENCE);
        } else if !news {
            break;
        }
        if Instant::now() >= deadline {
            return Err(StopError::Deadline { pid, limit });
        }
    }
    if held.is_empty() { Err(AccessError::Exited { pid }.into()) } else { Ok(held) }
}

/// Stops one thread; `None` if it is gone by now.
fn stop_one(pid: i32, tid: i32, state: ThreadState) -> Result<Option<Option<remoteprocess::ThreadLock>>, StopError> {
    let locked = remoteprocess::Thread::new(tid).and_then(|thread| thread.lock());
    match locked {
        Ok(lock) => Ok(Some(Some(lock))),
        Err(remoteprocess::Error::NixError(Errno::ESRCH)) => Ok(None),
        // This is also the error for a thread that is exiting.
        Err(remoteprocess::Error::NixError(Errno::EPERM)) => match (tracer(tid), thread_state(pid, tid)) {
            (_, None | Some(ThreadState::Exited)) => Ok(None),
            (Some(tracer), _) => Err(StopError::Traced { pid, tracer }),
            (None, _) => Err(AccessError::forbidden(pid).into()),
        },
        // Job control has stopped it: it cannot be interrupted, but it is not running either.
        Err(_) if state == ThreadState::Stopped => Ok(Some(None)),
        Err(error) => Err(StopError::Failed { pid, reason: error.to_string() }),
    }
}

fn thread_state(pid: i32, tid: i32) -> Option<ThreadState> {
    let stat = Stat::parse(&std::fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)?;
    Some(ThreadState::from_letter(stat.state))
}

/// The tracer of a thread; `None` if it is not traced.
fn tracer(tid: i32) -> Option<i32> {
    super::process::status_number(tid, "TracerPid:").filter(|&tracer| tracer != 0)
}

/// The memory of a stopped process.
#[derive(Debug)]
pub struct StoppedMemory {
    memory: LiveMemory,
    guard: StopGuard,
}

impl StoppedMemory {
    /// Stops `process` within `limit`; it continues when this is dropped.
    pub fn stop(process: &Process, limit: Duration) -> Result<Self, StopError> {
        let guard = StopGuard::stop(process, limit)?;
        Ok(Self { memory: LiveMemory::new(process.pid()), guard })
    }

    /// The guard that keeps it stopped.
    pub fn guard(&self) -> &StopGuard {
        &self.guard
    }
}

impl Memory for StoppedMemory {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        self.memory.read_batch(spans, out, results);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_that_reading_works_without_stopping() {
        let limit = Duration::from_millis(500);
        let error = StopError::Deadline { pid: 4211, limit };
        assert_eq!(error.to_string(), "process 4211 did not stop within 500 ms");
        let errors =
            [error, StopError::Traced { pid: 4211, tracer: 7 }, StopError::Failed { pid: 4211, reason: "x".into() }];
        for error in errors {
            assert!(error.hint().contains("leave out --blocking"), "{error}");
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_not_stopped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id() as i32).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let pid = process.pid();
        let answer = StopGuard::stop(&process, Duration::from_secs(5)).map(|guard| guard.threads());
        assert_eq!(answer, Err(StopError::Access(AccessError::Exited { pid })));
    }
}
