//! The memory of a process that is stopped while it is read. A guard owns the stop: the process continues when the
//! guard is dropped, when the stop has lasted as long as it may, and when asyncprof is killed. No signal of the process
//! is lost.
//!
//! What a stop does to the process cannot be avoided: some system calls that wait (`epoll_wait`, `sigtimedwait`, `semop`,
//! sockets with a timeout; man 7 signal) end with EINTR. Python repeats them (PEP 475).
//!
//! Not used for it: `remoteprocess::Thread::lock`, which attaches with SIGSTOP and takes the signals of the thread from the
//! kernel, and loses those that it cannot name; the freezer of control groups, which needs a group of the target's own
//! that we may write to, and would stop what else is in it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, gettid};
use rustc_hash::FxHashMap;

use super::access::AccessError;
use super::addr::Span;
use super::kernel_thread::ThreadState;
use super::live::LiveMemory;
use super::memory::{Memory, ReadError};
use super::process::{Process, Stat};

/// LIMIT: how long the kernel may take to end a thread.
const LONGEST_END: Duration = Duration::from_millis(500);

/// For how long stopping may take before it is checked whether it waits for us.
const BEFORE_REAPING: Duration = Duration::from_millis(1);

/// How often to ask threads whether they stand still.
const PATIENCE: Duration = Duration::from_micros(20);

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
                "a thread waits for a disk, or it starts threads all the time: leave out --blocking, or allow longer \
                 stops with --max-stop"
                    .into()
            }
            Self::Failed { .. } => "leave out --blocking: reading does not need it".into(),
        }
    }
}

/// A process that stays stopped while this lives, but not longer than the limit it was stopped with.
#[derive(Debug)]
pub struct StopGuard {
    /// Dropped to let the process continue.
    release: Option<Sender<()>>,
    tracer: Option<thread::JoinHandle<()>>,
    threads: usize,
    hold: Arc<Hold>,
}

/// A stop that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// How long the process was stopped, from the first interrupted thread on.
    pub duration: Duration,
    /// It ended at its limit, while the process was still being read.
    pub cut_short: bool,
}

/// What the tracing thread says of a stop.
#[derive(Debug, Default)]
struct Hold {
    /// The limit was reached: the process continues, or is about to.
    is_over: AtomicBool,
    /// How long it was stopped, from the first interrupted thread on; set when it continues.
    ns: AtomicU64,
    /// The threads that are traced.
    seized: Mutex<Vec<i32>>,
    /// The tracing thread, if threads of the process continue only when the kernel has ended it; else 0.
    releases_at_end: AtomicI32,
}

impl Hold {
    /// Lets go of the traced threads that have ended. A thread that executes a program waits for the end of all others, and
    /// the tracing thread, in its next `ptrace` call, for that thread: neither would ever go on.
    // Linux: fs/exec.c, de_thread; kernel/ptrace.c, ptrace_attach, which takes `cred_guard_mutex`; every thread of a tracer's
    // process can wait for its tracees.
    fn reap(&self, pid: i32) {
        let mut seized = self.seized.lock().unwrap_or_else(PoisonError::into_inner);
        seized.retain(|&tid| {
            // Nobody waits for the end of the first thread, and if the process is a child of ours, that is its exit status.
            let has_ended = tid != pid && thread_state(pid, tid) == Some(ThreadState::Exited);
            if has_ended {
                // It is a zombie: no stop, and so no signal, can be taken from it.
                let _ = waitpid(Pid::from_raw(tid), Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            }
            !has_ended
        });
    }

    /// Waits for the tracing thread to end, so that the process runs again afterwards.
    fn join(&self, tracer: thread::JoinHandle<()>) {
        // Even a panic of the thread would have released it.
        let _ = tracer.join();
        wait_for_end(self.releases_at_end.load(Ordering::SeqCst));
    }
}

/// Waits until the kernel has ended a thread of ours; 0 for none. One that was joined still has to go through the part of
/// its end that releases tracees.
fn wait_for_end(tid: i32) {
    let itself = format!("/proc/self/task/{tid}");
    let deadline = Instant::now() + LONGEST_END;
    while tid != 0 && Path::new(&itself).exists() && Instant::now() < deadline {
        thread::sleep(PATIENCE);
    }
}

impl StopGuard {
    /// Stops every thread of `process`. It continues after `limit` at the latest, counted from the first thread that is
    /// interrupted, whether or not this guard is still there. The kernel ties a trace to the thread that requested it,
    /// so a dedicated thread holds it.
    ///
    /// # Errors
    /// If not all threads stop within the limit, or the process cannot be traced.
    pub fn stop(process: &Process, limit: Duration) -> Result<Self, StopError> {
        let pid = process.pid();
        let failed = |reason: String| StopError::Failed { pid, reason };
        let (release, released) = bounded::<()>(0);
        let (answer, answered) = bounded(1);
        let (target, hold) = (process.clone(), Arc::<Hold>::default());
        let holds = Arc::clone(&hold);
        let tracer = thread::Builder::new()
            .name("asyncprof-stop".into())
            .spawn(move || hold_until_released(&target, limit, &answer, &released, &holds))
            .map_err(|error| failed(error.to_string()))?;
        let answer = loop {
            match answered.recv_timeout(BEFORE_REAPING) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Timeout) => hold.reap(pid),
                Err(RecvTimeoutError::Disconnected) => break Err(failed("the tracing thread ended early".into())),
            }
        };
        match answer {
            Ok(threads) => Ok(Self { release: Some(release), tracer: Some(tracer), threads, hold }),
            Err(error) => {
                hold.join(tracer);
                Err(error)
            }
        }
    }

    /// Number of stopped threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether the limit was reached. What was read before this returned `false` was read while the process was stopped.
    pub fn is_over(&self) -> bool {
        self.hold.is_over.load(Ordering::SeqCst)
    }

    /// Lets the process continue.
    pub fn end(mut self) -> Stopped {
        let cut_short = self.is_over();
        self.release();
        Stopped { duration: Duration::from_nanos(self.hold.ns.load(Ordering::SeqCst)), cut_short }
    }

    fn release(&mut self) {
        self.release = None;
        if let Some(tracer) = self.tracer.take() {
            self.hold.join(tracer);
        }
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.release();
    }
}

/// Locked while a process is stopped: only one thread can trace it, and asyncprof must not be suspended meanwhile, because
/// then no thread of it could let the process continue.
static HOLDING: Mutex<()> = Mutex::new(());

/// The last tracing thread that releases threads only when the kernel has ended it, after it has given up the lock.
static RELEASING: AtomicI32 = AtomicI32::new(0);

/// Does `work` while asyncprof keeps no process stopped.
pub fn while_nothing_is_stopped<T>(work: impl FnOnce() -> T) -> T {
    let _none = HOLDING.lock().unwrap_or_else(PoisonError::into_inner);
    wait_for_end(RELEASING.load(Ordering::SeqCst));
    work()
}

/// The tracing thread: stops, replies, holds until released or until the limit. The process continues when this thread
/// ends, in any way: also when asyncprof is killed.
fn hold_until_released(
    process: &Process,
    limit: Duration,
    answer: &Sender<Result<usize, StopError>>,
    released: &Receiver<()>,
    hold: &Hold,
) {
    let _holding = HOLDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tracees = Tracees::default();
    let begun = Instant::now();
    let deadline = begun + limit;
    let stopped = tracees.stop_all(process, hold, deadline, limit);
    // Then some are traced that were not asked to stop.
    let has_failed = stopped.is_err();
    let count = stopped.as_ref().map_or(0, |()| tracees.stopped.len());
    if answer.send(stopped.map(|()| count)).is_ok() && count > 0 {
        // The guard drops its end to release.
        if released.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            hold.is_over.store(true, Ordering::SeqCst);
        }
    }
    if tracees.release() || has_failed {
        hold.releases_at_end.store(gettid().as_raw(), Ordering::SeqCst);
        RELEASING.store(gettid().as_raw(), Ordering::SeqCst);
    }
    // CAST: a stop of centuries does not happen.
    hold.ns.store(begun.elapsed().as_nanos() as u64, Ordering::SeqCst);
}

/// The traced threads of a process.
///
/// They are seized and interrupted, which sends no signal. Their stops are never waited for: `waitpid` would take the
/// signal that a thread is about to get, and if asyncprof died then, that signal would be lost. Instead each thread is
/// asked for the reason of its stop until it has one.
// Linux: kernel/ptrace.c, __ptrace_unlink and exit_ptrace: a tracee whose tracer ends continues with the signal in
// `exit_code`, which kernel/exit.c, wait_task_stopped, resets. Real-time signals matter: glibc runs setuid() on all threads with one.
#[derive(Debug, Default)]
struct Tracees {
    /// Seized, not known to stand still yet.
    pending: Vec<i32>,
    /// Standing still. `true`: in the stop that we asked for; `false`: about to get a signal.
    stopped: FxHashMap<i32, bool>,
}

/// The event of a stop that was asked for, or that job control made.
// Linux: include/uapi/linux/ptrace.h, PTRACE_EVENT_STOP; in si_code, shifted by 8.
const EVENT_STOP: i32 = 128;

impl Tracees {
    /// Stops thread after thread until a pass over all of them finds no new one: a thread that is not stopped yet can
    /// still start others.
    fn stop_all(
        &mut self,
        process: &Process,
        hold: &Hold,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), StopError> {
        let pid = process.pid();
        loop {
            let news: Vec<i32> =
                process.thread_ids().into_iter().filter(|tid| !self.stopped.contains_key(tid)).collect();
            // A thread that executes a program can make this wait for long: then none is stopped yet.
            let mut seized = Vec::with_capacity(news.len());
            for tid in news {
                if seize(pid, tid)? {
                    hold.seized.lock().unwrap_or_else(PoisonError::into_inner).push(tid);
                    seized.push(tid);
                }
            }
            for tid in seized {
                self.interrupt(pid, tid)?;
            }
            if self.pending.is_empty() {
                break;
            }
            while !self.pending.is_empty() {
                self.collect(pid);
                if !self.pending.is_empty() {
                    if Instant::now() >= deadline {
                        return Err(StopError::Deadline { pid, limit });
                    }
                    thread::sleep(PATIENCE);
                }
            }
        }
        if self.stopped.is_empty() { Err(AccessError::Exited { pid }.into()) } else { Ok(()) }
    }

    /// Makes a seized thread stop soon; one that is ending does not.
    fn interrupt(&mut self, pid: i32, tid: i32) -> Result<(), StopError> {
        match ptrace::interrupt(Pid::from_raw(tid)) {
            Ok(()) => self.pending.push(tid),
            Err(Errno::ESRCH) => {}
            Err(error) => return Err(StopError::Failed { pid, reason: error.to_string() }),
        }
        Ok(())
    }

    /// Moves those that stand still by now to `stopped`, and forgets those that have ended.
    fn collect(&mut self, pid: i32) {
        let stopped = &mut self.stopped;
        self.pending.retain(|&tid| match ptrace::getsiginfo(Pid::from_raw(tid)) {
            Ok(reason) => {
                stopped.insert(tid, reason.si_code >> 8 == EVENT_STOP);
                false
            }
            // It runs, sleeps without interruption, or has ended.
            Err(_) => !matches!(thread_state(pid, tid), None | Some(ThreadState::Exited)),
        });
    }

    /// Lets those continue that were stopped by us. The others get their signal when this thread ends: whoever detaches
    /// has to pass the signal on, and nix has no real-time ones. Returns whether there are others.
    fn release(&mut self) -> bool {
        for (&tid, _) in self.stopped.iter().filter(|(_, was_asked)| **was_asked) {
            // It can only have been killed.
            let _ = ptrace::detach(Pid::from_raw(tid), None);
        }
        !self.pending.is_empty() || self.stopped.values().any(|was_asked| !was_asked)
    }
}

/// Begins to trace a thread, which goes on; `false` for one that is ending.
fn seize(pid: i32, tid: i32) -> Result<bool, StopError> {
    match ptrace::seize(Pid::from_raw(tid), Options::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        // This is also the error for a thread that is ending.
        Err(Errno::EPERM) => match (tracer(tid), thread_state(pid, tid)) {
            (_, None | Some(ThreadState::Exited)) => Ok(false),
            (Some(tracer), _) => Err(StopError::Traced { pid, tracer }),
            (None, _) => Err(AccessError::forbidden(pid).into()),
        },
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
    /// Stops `process` for `limit` at most; it continues when this is dropped.
    ///
    /// # Errors
    /// As [`StopGuard::stop`].
    pub fn stop(process: &Process, limit: Duration) -> Result<Self, StopError> {
        let guard = StopGuard::stop(process, limit)?;
        Ok(Self { memory: LiveMemory::of(process), guard })
    }

    /// What keeps the process stopped.
    pub fn guard(&self) -> &StopGuard {
        &self.guard
    }

    /// Lets the process continue.
    pub fn end(self) -> Stopped {
        self.guard.end()
    }
}

impl Memory for StoppedMemory {
    /// Fails for good when the stop is over: the process changes from then on.
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        self.memory.read_batch(spans, out, results);
        if self.guard.is_over() {
            results.fill(Err(ReadError::Continued));
        }
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
