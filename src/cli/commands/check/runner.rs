//! Makes one run: starts a program, watches it to its end, and measures its resources.

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

use super::environment;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::watch::WatchArgs;
use crate::cli::input::units::nanos;
use crate::cli::output::recording_file::{Recording, check_place};
use crate::cli::session::child::Child;
use crate::cli::session::signals::{Request, Signals};
use crate::cli::session::watch_session::{self, Listeners, error_of, has_seen};
use crate::cli::terminal::Color;
use crate::detect::analysis::Analysis;
use crate::detect::check::{Circumstances, Fingerprint, Problem, Run};
use crate::remote::kernel_thread::Schedule;
use crate::sampler::{self, End, Outcome, Stop};

/// How often the scheduling statistics of the program's threads are read: what a thread does after the last time is lost.
const SCHEDSTAT_EVERY: Duration = Duration::from_millis(50);
/// How often a full snapshot is taken: in a short run problems are short-lived.
const FINDINGS_EVERY: Duration = Duration::from_millis(200);
/// A program that was asked to end is killed after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a core does in a few milliseconds.
const SPIN: u64 = 4_000_000;
/// The fastest of these spins counts, because one may be disturbed.
const SPINS: usize = 3;

/// Makes runs.
pub(crate) struct Runner {
    signals: Signals,
    watch: WatchArgs,
    /// Stalls of this length or longer count, nanoseconds.
    threshold_ns: u64,
    keep: Option<PathBuf>,
    color: Color,
    made: usize,
}

pub(crate) struct Made {
    pub(crate) run: Run,
    pub(crate) took: Duration,
    /// `None` if nothing was seen.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// What was measured from outside a program.
struct Around {
    cpu_ns: u64,
    wall: Duration,
    delay_ns: u64,
    status: std::process::ExitStatus,
    /// It was asked to end after --duration.
    ended_by_us: bool,
}

impl Runner {
    /// `watch` has the threshold to watch with, `threshold_ns` is the length from which stalls count.
    pub(crate) fn new(watch: WatchArgs, threshold_ns: u64, keep: Option<&Path>, color: Color) -> Result<Self, Failure> {
        if let Some(folder) = keep {
            let failed = |error| Failure::internal(format!("cannot create {}: {error}", folder.display()));
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Before the first start: otherwise a Ctrl-C in between would leave a program that nobody waits for.
        let signals = Signals::listen()?;
        Ok(Self { signals, watch, threshold_ns, keep: keep.map(Path::to_owned), color, made: 0 })
    }

    /// Runs a program once.
    pub(crate) fn run(&mut self, command: &[OsString]) -> Result<Made, Failure> {
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
            wall_ns: Some(nanos(around.wall)),
            delay_ns: Some(around.delay_ns),
            spin_ns: Some(spin_ns),
            problem,
            cut_off_ns: self.watch.duration.filter(|_| around.ended_by_us).map(nanos),
        };
        let Some(analysis) = analysis else {
            let problem = circumstances.problem.unwrap_or_else(|| Problem::Unseen("nothing was seen in it".into()));
            return Ok(Made { run: Run::without_data(problem), took, fingerprint: None });
        };
        let fingerprint = environment::fingerprint(&analysis, self.threshold_ns, command);
        Ok(Made { run: Run::of(&analysis, self.threshold_ns, circumstances), took, fingerprint: Some(fingerprint) })
    }

    /// Starts the program, watches it, and waits for its end. What was seen is in `analysis`; the inner error says why it is
    /// incomplete.
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
            // As shells report Ctrl-C.
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
            ..watch_session::options(&self.watch, stop)
        };
        let watch = match sampler::start(child.pid(), &options) {
            Ok(watch) => watch,
            Err(error) => {
                let failure = Failure::from(error);
                return match failure.exit {
                    Exit::Internal => Err(failure),
                    Exit::Gone => Ok(Err("the program ended before it ran a Python".into())),
                    _ if child.has_ended() => Ok(Err("the program ended before it ran a Python".into())),
                    _ => Err(failure),
                };
            }
        };
        let header = watch.header.clone();
        let mut listeners = Listeners::silent(&header, self.color, Analysis::new(header.clone()));
        // The program uses this terminal too.
        listeners.quiet = true;
        if let Some(folder) = &self.keep {
            let place = check_place(&folder.join(format!("run-{}.aprof", self.made)), true)?;
            listeners.recording = Some(Recording::create(&place, &header)?);
        }
        // After --duration `attend` ends the program, and the watch ends with it.
        let outcome = listeners.follow(watch, &WatchArgs { duration: None, ..self.watch.clone() });
        *analysis = listeners.analysis.take();
        if let Some(recording) = &listeners.recording {
            recording.verdict()?;
        }
        how_it_was_seen(&outcome)
    }

    /// Until the program has ended: forwards signals, ends it when its time is over, and reads the scheduling statistics of its
    /// threads. Returns how long they were runnable without a CPU, nanoseconds.
    fn attend(&self, child: &Child, stop: &Stop, interrupted: &AtomicBool, ended_by_us: &AtomicBool) -> u64 {
        let schedstats = tick(SCHEDSTAT_EVERY);
        let mut time_is_over: Receiver<Instant> = self.watch.duration.map_or_else(never, after);
        let mut patience_is_over = never();
        let mut requests = self.signals.requests.clone();
        let mut waited: FxHashMap<i32, u64> = FxHashMap::default();
        let ours = |signal| Request { signal, from_terminal: false };
        loop {
            select! {
                recv(child.ended) -> _ => break,
                recv(schedstats) -> _ => read_schedstats(child.pid(), &mut waited),
                recv(requests) -> request => match request {
                    Ok(request) => {
                        interrupted.store(true, Ordering::Relaxed);
                        child.forward(request);
                    }
                    // A closed channel is always ready: selecting it again would spin.
                    Err(_) => requests = never(),
                },
                recv(time_is_over) -> _ => {
                    time_is_over = never();
                    patience_is_over = after(PATIENCE);
                    ended_by_us.store(true, Ordering::Relaxed);
                    // Its shutdown is not checked.
                    stop.ask();
                    child.forward(ours(Signal::SIGTERM));
                },
                recv(patience_is_over) -> _ => {
                    patience_is_over = never();
                    child.forward(ours(Signal::SIGKILL));
                },
            }
        }
        // The main thread's statistics exist until the program is reaped.
        read_schedstats(child.pid(), &mut waited);
        stop.ask();
        waited.values().sum()
    }
}

/// How the program failed, if it did.
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
        (None, None) => Some("the program failed: its exit status is unknown".into()),
    }
}

/// Whether the watch saw the program to its end.
fn how_it_was_seen(outcome: &Outcome) -> Result<Result<(), String>, Failure> {
    let seen = has_seen(outcome);
    match outcome.end {
        End::Failed => Err(Failure::bug(error_of(outcome))),
        End::Unreadable if seen => Ok(Err(format!("the watch ended early: {}", error_of(outcome)))),
        End::Unreadable => Err(Failure::new(Exit::Forbidden, error_of(outcome))),
        End::Asked | End::Exited | End::ReceiverDropped if !seen => {
            Ok(Err("no event loop ran in the program while it was watched".into()))
        }
        End::Asked | End::Exited | End::ReceiverDropped => Ok(Ok(())),
    }
}

/// CPU time of all reaped children and their descendants, nanoseconds.
fn cpu_of_children() -> u64 {
    let micros = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    u64::try_from(micros).unwrap_or(0).saturating_mul(1_000)
}

/// Updates how long each thread was runnable without a CPU. A thread that has ended keeps its last value.
fn read_schedstats(pid: i32, waited: &mut FxHashMap<i32, u64>) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for thread in threads.flatten() {
        let Some(tid) = thread.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        if let Some(schedule) = Schedule::parse(&text) {
            waited.insert(tid, schedule.wait_ns);
        }
    }
}

/// CPU time of a fixed piece of work now, nanoseconds.
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
