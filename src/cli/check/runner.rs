//! Makes one run: starts a program, watches it to its end, and measures around it. It must not know what the run is for.

use std::ffi::OsString;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, never, select, tick};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};
use rustc_hash::FxHashMap;

use super::{Exit, Failure, surroundings};
use crate::cli::args::{Color, WatchArgs};
use crate::cli::child::Child;
use crate::cli::recording::{Place, Recording};
use crate::cli::signals::{Request, Signals};
use crate::cli::watching::{self, Listeners};
use crate::detect::analysis::Analysis;
use crate::detect::check::{Circumstances, Fingerprint, Problem, Run};
use crate::remote::kernel_thread::Schedule;
use crate::sampler::{self, End, Outcome, Stop};

/// How often the accounts of the program's threads are read: what a thread does after the last time is not known.
const ACCOUNTS_EVERY: Duration = Duration::from_millis(50);
/// How often everything is looked at: what a check must find lives shorter than what a person looks for.
const FINDINGS_EVERY: Duration = Duration::from_millis(200);
/// A program that was asked to end and does not is killed after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a core does in some milliseconds.
const SPIN: u64 = 4_000_000;
/// The fastest of so many spins counts: a single one may be disturbed.
const SPINS: usize = 3;

/// Makes runs.
pub(super) struct Runner {
    signals: Signals,
    watch: WatchArgs,
    /// Stalls from this length on count, nanoseconds.
    threshold_ns: u64,
    keep: Option<PathBuf>,
    color: Color,
    made: usize,
}

/// A run that was made.
pub(super) struct Made {
    pub(super) run: Run,
    pub(super) took: Duration,
    /// `None` where nothing was seen.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// What was measured around a program.
struct Around {
    cpu_ns: u64,
    wall: Duration,
    delay_ns: u64,
    status: std::process::ExitStatus,
    /// We asked it to end.
    ended_by_us: bool,
}

impl Runner {
    /// `watch` says with what threshold to look, `threshold_ns` from where on stalls count.
    pub(super) fn new(watch: WatchArgs, threshold_ns: u64, keep: Option<&Path>, color: Color) -> Result<Self, Failure> {
        if let Some(folder) = keep {
            let failed = |error| Failure::new(Exit::Own, format!("cannot make {}: {error}", folder.display()));
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Before the first start: a Ctrl-C in between would leave a program that nobody waits for.
        let signals = Signals::listen()?;
        Ok(Self { signals, watch, threshold_ns, keep: keep.map(Path::to_owned), color, made: 0 })
    }

    /// Runs a program once.
    pub(super) fn run(&mut self, command: &[OsString]) -> Result<Made, Failure> {
        self.made += 1;
        let before = spin();
        let mut analysis = None;
        let (around, seen) = self.start(command, &mut analysis)?;
        let spin_ns = before.max(spin());
        let problem = match (how_it_failed(&around), seen) {
            (Some(how), _) => Some(Problem::Failed(how)),
            (None, Err(why)) => Some(Problem::Unseen(why)),
            (None, Ok(())) => None,
        };
        let took = around.wall;
        let circumstances = Circumstances {
            cpu_ns: Some(around.cpu_ns),
            wall_ns: Some(u64::try_from(around.wall.as_nanos()).unwrap_or(u64::MAX)),
            delay_ns: Some(around.delay_ns),
            spin_ns: Some(spin_ns),
            problem,
        };
        let Some(analysis) = analysis else {
            let problem = circumstances.problem.unwrap_or_else(|| Problem::Unseen("nothing was seen of it".into()));
            return Ok(Made { run: Run::without_data(problem), took, fingerprint: None });
        };
        let fingerprint = surroundings::fingerprint(&analysis, self.threshold_ns, command);
        Ok(Made { run: Run::of(&analysis, self.threshold_ns, circumstances), took, fingerprint: Some(fingerprint) })
    }

    /// Starts the program, watches it, and waits for its end. What was seen is in `analysis`; the error says why not all was.
    fn start(
        &self,
        command: &[OsString],
        analysis: &mut Option<Analysis>,
    ) -> Result<(Around, Result<(), String>), Failure> {
        let cpu_before = cpu_of_children();
        let began = Instant::now();
        let child = Child::start(command)?;
        let (stop, interrupted, ended_by_us) = (Stop::default(), AtomicBool::new(false), AtomicBool::new(false));
        let (delay_ns, seen) = thread::scope(|scope| {
            let delay = scope.spawn(|| self.attend(&child, &stop, &interrupted, &ended_by_us));
            let seen = self.watch(&child, &stop, analysis);
            // Closed when it has ended; nothing is ever sent.
            let _ = child.ended.recv();
            (delay.join().unwrap_or(0), seen)
        });
        let wall = began.elapsed();
        let status = child.wait()?;
        if interrupted.load(Ordering::Relaxed) {
            // The same as a shell says of Ctrl-C.
            return Err(Failure::new(Exit::Child(130), "the check was interrupted"));
        }
        let cpu_ns = cpu_of_children().saturating_sub(cpu_before);
        let around = Around { cpu_ns, wall, delay_ns, status, ended_by_us: ended_by_us.into_inner() };
        Ok((around, seen?))
    }

    fn watch(
        &self,
        child: &Child,
        stop: &Stop,
        analysis: &mut Option<Analysis>,
    ) -> Result<Result<(), String>, Failure> {
        let options = sampler::Options {
            wait_for_python: true,
            findings_every: FINDINGS_EVERY,
            ..watching::options(&self.watch, stop)
        };
        let watch = match sampler::start(child.pid(), &options) {
            Ok(watch) => watch,
            Err(error) => {
                let failure = Failure::from(error);
                return match failure.exit {
                    Exit::Own => Err(failure),
                    Exit::Gone => Ok(Err("the program ended before a Python could be seen in it".into())),
                    _ if child.has_ended() => Ok(Err("the program ended before a Python could be seen in it".into())),
                    _ => Err(failure),
                };
            }
        };
        let header = watch.header.clone();
        let mut listeners = Listeners::silent(&header, self.color, Analysis::new(header.clone()));
        // The program uses this terminal too.
        listeners.quiet = true;
        if let Some(folder) = &self.keep {
            let place = Place::check(&folder.join(format!("run-{}.aprof", self.made)), true)?;
            listeners.recording = Some(Recording::create(&place, &header)?);
        }
        // The end after --duration is the program's end, which `attend` asks for.
        let outcome = listeners.follow(watch, &WatchArgs { duration: None, ..self.watch.clone() });
        *analysis = listeners.analysis.take();
        if let Some(recording) = &listeners.recording {
            recording.verdict()?;
        }
        how_it_was_seen(&outcome)
    }

    /// Until the program has ended: hands on who wants an end, ends it when its time is over, and reads the accounts of its
    /// threads. Answers how long they were ready without a processor, nanoseconds.
    fn attend(&self, child: &Child, stop: &Stop, interrupted: &AtomicBool, ended_by_us: &AtomicBool) -> u64 {
        let accounts = tick(ACCOUNTS_EVERY);
        let mut time_is_over: Receiver<Instant> = self.watch.duration.map_or_else(never, after);
        let mut patience_is_over = never();
        let mut waited: FxHashMap<i32, u64> = FxHashMap::default();
        let ours = |signal| Request { signal, from_terminal: false };
        loop {
            select! {
                recv(child.ended) -> _ => break,
                recv(accounts) -> _ => read_accounts(child.pid(), &mut waited),
                recv(self.signals.requests) -> request => {
                    interrupted.store(true, Ordering::Relaxed);
                    if let Ok(request) = request {
                        child.hand_on(request);
                    }
                },
                recv(time_is_over) -> _ => {
                    time_is_over = never();
                    patience_is_over = after(PATIENCE);
                    ended_by_us.store(true, Ordering::Relaxed);
                    // What it does while it ends is not what is checked.
                    stop.ask();
                    child.hand_on(ours(Signal::SIGTERM));
                },
                recv(patience_is_over) -> _ => {
                    patience_is_over = never();
                    child.hand_on(ours(Signal::SIGKILL));
                },
            }
        }
        // The main thread's account is there until the program is waited for.
        read_accounts(child.pid(), &mut waited);
        stop.ask();
        waited.values().sum()
    }
}

/// Why the program did not end well, if it did not.
fn how_it_failed(around: &Around) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    match (around.status.code(), around.status.signal()) {
        _ if around.ended_by_us => None,
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program failed: it exited with status {code}")),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.to_string());
            Some(format!("the program failed: it was ended by {name}"))
        }
        (None, None) => Some("the program failed: nobody knows how it ended".into()),
    }
}

/// Whether the watch saw the program to its end.
fn how_it_was_seen(outcome: &Outcome) -> Result<Result<(), String>, Failure> {
    let words = || outcome.error.clone().unwrap_or_else(|| "nothing could be read any more".into());
    let seen = outcome.health.loop_samples + outcome.health.task_snapshots > 0;
    match outcome.end {
        End::Failed => Err(Failure::new(Exit::Own, words())
            .hint("this is a bug in asyncprof; please report it with the message above")),
        End::Unreadable if seen => Ok(Err(format!("the watch ended early: {}", words()))),
        End::Unreadable => Err(Failure::new(Exit::Forbidden, words())),
        End::Asked | End::Exited | End::ReceiverDropped if !seen => {
            Ok(Err("no event loop ran in the program while it was watched".into()))
        }
        End::Asked | End::Exited | End::ReceiverDropped => Ok(Ok(())),
    }
}

/// Processor time of all children that were waited for, and of theirs, nanoseconds.
fn cpu_of_children() -> u64 {
    let micros = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    u64::try_from(micros).unwrap_or(0).saturating_mul(1_000)
}

/// Adds what the kernel says of each thread: how long it was ready and had no processor. A thread that is gone stays as it was.
fn read_accounts(pid: i32, waited: &mut FxHashMap<i32, u64>) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for thread in threads.flatten() {
        let Some(tid) = thread.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        if let Some(schedule) = Schedule::parse(&text) {
            waited.insert(tid, schedule.wait_ns);
        }
    }
}

/// How long a fixed piece of work takes of a processor now, nanoseconds.
fn spin() -> u64 {
    let now = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| time.num_nanoseconds());
        u64::try_from(time).unwrap_or(0)
    };
    let once = || {
        let began = now();
        let mut number = 1_u64;
        for step in 0..SPIN {
            number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step);
        }
        black_box(number);
        now().saturating_sub(began)
    };
    (0..SPINS).map(|_| once()).min().unwrap_or(0)
}
