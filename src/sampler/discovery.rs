//! Finds subprocesses that run an event loop, as they start, and starts a watch of each. Most subprocesses do not run
//! Python or have no event loop: they are checked now and then, at little cost, and never watched.

use std::io;
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::capture::session::{AttachError, FailureKind, attach};
use crate::remote::Process;
use crate::remote::descendants::Descendants;
use crate::remote::live::LiveMemory;
use crate::watch::loops::LoopWatch;

use super::clock::{Clock as _, SECOND, SystemClock};
use super::options::Options;
use super::watch::{Watch, start};

/// LIMIT: concurrent watches. With more, each would have less than a thousandth of a core.
pub const MAX_WATCHES: u32 = 64;
/// LIMIT: watches in total, including those that have ended: their events are kept to the end.
const MAX_TOTAL: usize = 1_000;
/// LIMIT: reports that the receiver has not taken yet; discovery waits when there are more.
const CHANNEL: usize = 8;
/// How often new processes are looked for, and at most how often a known one is checked.
const LOOK_EVERY: u64 = SECOND / 7;
const GLANCE_EVERY: u64 = SECOND / 10;
/// The part of the CPU budget for each of these: finding processes, attaching to them, finding loops in them.
const SHARE: f64 = 0.1;
/// How often a process is attached to again: it may have loaded asyncio or executed another program in the meantime.
const ATTACH_EVERY: u64 = SECOND;
/// A process counts as young for this long after it was first seen: it is probably starting, which must not be missed.
/// A few young processes are checked this often whatever the cost.
const YOUNG: u64 = 10 * SECOND;
const YOUNG_EVERY: u64 = SECOND / 4;
const FEW: usize = 4;
/// LIMIT: the longest pause, whatever the cost and the number of processes.
const MAX_PAUSE: u64 = 10 * SECOND;
/// The longest pause for a process that does not run Python.
const MAX_LEAVE: u64 = 2 * SECOND;
/// LIMIT: how long to wait for permission: a process in the middle of `exec` can appear forbidden.
const FORBIDDEN: u64 = 2 * SECOND;

/// What subprocess discovery reports.
#[derive(Debug)]
pub enum NewProcess {
    /// The process itself: its watch, or why there is none.
    Main(Result<Watch, AttachError>),
    /// A descendant runs an event loop.
    Below(Watch),
    /// A descendant may not be read; whether it runs Python is not known.
    Refused(i32, AttachError),
    /// There are more than can be watched; reported once.
    TooMany,
}

/// Watches a process, and its descendants as soon as they run an event loop, until all have exited or [`Options::stop`]
/// is requested. The channel closes when no process can be added any more.
///
/// # Errors
/// If the kernel cannot create a thread.
pub fn follow(pid: i32, options: &Options) -> io::Result<Receiver<NewProcess>> {
    let (sender, new_processes) = bounded(CHANNEL);
    let descendants = Descendants::of(pid);
    let below = Options { wait_for_python: false, ..options.clone() };
    let main = Options { stop: options.stop.for_one_of_several(), ..options.clone() };
    let from_main = sender.clone();
    // This can wait for a Python that never starts, while descendants run Python.
    Builder::new().name("asyncprof-main".into()).spawn(move || {
        // The receiver may be gone.
        let _ = from_main.send(NewProcess::Main(start(pid, &main)));
    })?;
    Builder::new().name("asyncprof-discovery".into()).spawn(move || {
        let options = below;
        Discovery { descendants, candidates: Vec::new(), options, sender, begun: 0, reported_limit: false }.run();
    })?;
    Ok(new_processes)
}

/// A process that is not watched (yet).
struct Candidate {
    process: Process,
    since: u64,
    /// Finds its loops; valid for the last attachment.
    reader: Option<LoopWatch>,
    attach_at: u64,
    glance_at: u64,
    /// How long it is left alone, because it does not run Python.
    leave: u64,
}

impl Candidate {
    fn new(process: Process, now: u64) -> Self {
        Self { process, since: now, reader: None, attach_at: now, glance_at: now, leave: GLANCE_EVERY }
    }

    /// When it is due for the next check.
    fn due(&self) -> u64 {
        if self.reader.is_some() { self.glance_at } else { self.attach_at }
    }

    fn is_young(&self, now: u64) -> bool {
        now.saturating_sub(self.since) < YOUNG
    }

    /// Attaches to it if that is due; `pause` computes the time until the next attempt from the cost of this one.
    fn attach(&mut self, clock: &SystemClock, pause: impl FnOnce(u64) -> u64) -> Result<(), AttachError> {
        let (now, before) = (clock.now_ns(), clock.thread_cpu_ns());
        if now < self.attach_at {
            return Ok(());
        }
        let attached = attach(self.process.pid());
        let pause = pause(clock.thread_cpu_ns().saturating_sub(before));
        let (least, attached) = match attached {
            Ok(attachment) => {
                self.reader = LoopWatch::new(&attachment).ok();
                self.leave = GLANCE_EVERY;
                (if self.is_young(now) { YOUNG_EVERY } else { ATTACH_EVERY }, Ok(()))
            }
            Err(error) => {
                self.reader = None;
                self.leave = (self.leave * 2).min(MAX_LEAVE);
                (self.leave, Err(error))
            }
        };
        self.attach_at = clock.now_ns() + pause.max(least);
        attached
    }

    /// Whether it runs an event loop now.
    fn has_loop(&mut self, clock: &SystemClock, pause: impl FnOnce(u64) -> u64) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let (now, before) = (clock.now_ns(), clock.thread_cpu_ns());
        let has_loop = match reader.rediscover(&LiveMemory::of(&self.process), now) {
            Ok(()) => reader.loops() > 0,
            Err(_) => {
                // It may have executed another program or be exiting.
                self.reader = None;
                false
            }
        };
        self.glance_at = clock.now_ns() + pause(clock.thread_cpu_ns().saturating_sub(before)).max(GLANCE_EVERY);
        has_loop
    }
}

/// The pause between actions that cost `cost_ns` each, for `count` processes.
fn pause(cost_ns: u64, count: usize, cpu_budget: f64) -> u64 {
    // With a budget of zero this is infinite; the cast then yields the largest integer.
    let pause = cost_ns as f64 * count as f64 / (SHARE * cpu_budget);
    (pause as u64).min(MAX_PAUSE)
}

/// What to do with a candidate after a check.
enum Decision {
    Keep,
    Drop,
}

/// The receiver is gone.
struct ReceiverDropped;

struct Discovery {
    descendants: Descendants,
    candidates: Vec<Candidate>,
    options: Options,
    sender: Sender<NewProcess>,
    begun: usize,
    reported_limit: bool,
}

impl Discovery {
    fn run(&mut self) {
        let clock = SystemClock;
        let mut look_at = clock.now_ns();
        while !self.options.stop.is_asked() {
            let now = clock.now_ns();
            if now >= look_at {
                let before = clock.thread_cpu_ns();
                let found = self.descendants.look();
                if !self.descendants.anybody_lives() {
                    break;
                }
                self.candidates.retain(|candidate| self.descendants.has(&candidate.process));
                self.candidates.extend(found.into_iter().map(|process| Candidate::new(process, now)));
                let cost = clock.thread_cpu_ns().saturating_sub(before);
                look_at = now + pause(cost, 1, self.options.cpu_budget).max(LOOK_EVERY);
            }
            if self.check_candidates(&clock).is_err() {
                break;
            }
            let next = self.candidates.iter().map(Candidate::due).min().unwrap_or(u64::MAX);
            clock.sleep_until(next.min(look_at).min(now + LOOK_EVERY));
        }
    }

    fn check_candidates(&mut self, clock: &SystemClock) -> Result<(), ReceiverDropped> {
        let mut position = 0;
        while position < self.candidates.len() && !self.options.stop.is_asked() {
            if clock.now_ns() < self.candidates[position].due() {
                position += 1;
                continue;
            }
            match self.glance(position, clock)? {
                Decision::Drop => drop(self.candidates.swap_remove(position)),
                Decision::Keep => position += 1,
            }
        }
        Ok(())
    }

    fn glance(&mut self, position: usize, clock: &SystemClock) -> Result<Decision, ReceiverDropped> {
        let (now, count, budget) = (clock.now_ns(), self.candidates.len(), self.options.cpu_budget);
        let candidate = &mut self.candidates[position];
        let longest = if candidate.is_young(now) { YOUNG_EVERY * count.div_ceil(FEW) as u64 } else { u64::MAX };
        let pause = |cost_ns| pause(cost_ns, count, budget).min(longest);
        if let Err(error) = candidate.attach(clock, pause) {
            let is_refused = now.saturating_sub(candidate.since) > FORBIDDEN;
            return match error.kind() {
                FailureKind::Gone => Ok(Decision::Drop),
                FailureKind::Forbidden if is_refused => {
                    let pid = candidate.process.pid();
                    self.report(NewProcess::Refused(pid, error)).map(|()| Decision::Drop)
                }
                _ => Ok(Decision::Keep),
            };
        }
        if candidate.has_loop(clock, pause) { self.begin(position) } else { Ok(Decision::Keep) }
    }

    fn begin(&mut self, position: usize) -> Result<Decision, ReceiverDropped> {
        if self.options.sharing.watches() >= MAX_WATCHES || self.begun >= MAX_TOTAL {
            if !std::mem::replace(&mut self.reported_limit, true) {
                self.report(NewProcess::TooMany)?;
            }
            return Ok(Decision::Keep);
        }
        let process = &self.candidates[position].process;
        let options = Options { stop: self.options.stop.for_one_of_several(), ..self.options.clone() };
        match start(process.pid(), &options) {
            // The id can have passed to another process before we attached, but not after.
            Ok(watch) if process.is_same() => {
                self.begun += 1;
                self.report(NewProcess::Below(watch))?;
                Ok(Decision::Drop)
            }
            // If it is gone, that is noticed soon.
            _ => Ok(Decision::Keep),
        }
    }

    fn report(&self, arrival: NewProcess) -> Result<(), ReceiverDropped> {
        self.sender.send(arrival).map_err(|_| ReceiverDropped)
    }
}
