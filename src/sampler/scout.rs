//! Finds the processes below one that run event loops, as they come, and begins a watch of each. Most processes that a program
//! starts are no Python or have no event loop: those cost a glance now and then, and never become a watch. It must not know
//! what becomes of the watches.

use std::io;
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::capture::session::{AttachError, FailureKind, attach};
use crate::remote::Process;
use crate::remote::descendants::Descendants;
use crate::remote::live::LiveMemory;
use crate::watch::loops::LoopWatch;

use super::clock::{Clock as _, SystemClock};
use super::{Options, SECOND, Watch, start};

/// LIMIT: watches at once. With more, each would have less than a thousandth of a core.
pub const MOST_WATCHES: u32 = 64;
/// LIMIT: watches of one scout, those that are over included: what they saw is kept to the end.
const MOST_IN_ALL: usize = 1_000;
/// LIMIT: arrivals that nobody has taken yet; the scout waits then.
const ARRIVALS: usize = 8;
/// How often it is looked for new processes, and at one that is known, at most.
const LOOK_EVERY: u64 = SECOND / 7;
const GLANCE_EVERY: u64 = SECOND / 10;
/// The part of the CPU budget that each of these may use: looking for processes, attaching to them, looking for loops in them.
const SHARE: f64 = 0.1;
/// How often a process is attached to anew: asyncio may have been loaded since, or another program be executed.
const ATTACH_EVERY: u64 = SECOND;
/// So long after it was first seen a process is young: it probably starts, which must not be missed. Each of a few young ones
/// is looked at and attached to so often, whatever it costs.
const YOUNG: u64 = 10 * SECOND;
const YOUNG_EVERY: u64 = SECOND / 4;
const FEW: usize = 4;
/// LIMIT: however much it costs, and however many there are.
const LONGEST_PAUSE: u64 = 10 * SECOND;
/// How long one that is no Python is left alone at most.
const LONGEST_LEAVE: u64 = 2 * SECOND;
/// LIMIT: how long a permission that is missing is waited for: a program that is just being executed can look so.
const FORBIDDEN: u64 = 2 * SECOND;

/// What a scout has to say.
#[derive(Debug)]
pub enum Arrival {
    /// Of the process itself: its watch, or why there is none.
    Main(Result<Watch, AttachError>),
    /// A process below it runs an event loop.
    Below(Watch),
    /// A process below it may not be read; whether it is a Python is not known.
    Refused(i32, AttachError),
    /// There are more than can be watched; said once.
    TooMany,
}

/// Watches a process, and those below it as soon as they run an event loop, until all have exited or [`Options::stop`] is
/// asked for. The channel is closed when nobody can arrive any more.
///
/// # Errors
/// When the kernel has no room for a thread.
pub fn follow(pid: i32, options: &Options) -> io::Result<Receiver<Arrival>> {
    let (sender, arrivals) = bounded(ARRIVALS);
    let descendants = Descendants::of(pid);
    let below = Options { wait_for_python: false, ..options.clone() };
    let main = Options { stop: options.stop.for_one_of_several(), ..options.clone() };
    let from_main = sender.clone();
    // This can wait for a Python that never comes, while there are some below.
    Builder::new().name("asyncprof-main".into()).spawn(move || {
        // Nobody may listen any more.
        let _ = from_main.send(Arrival::Main(start(pid, &main)));
    })?;
    Builder::new().name("asyncprof-scout".into()).spawn(move || {
        let options = below;
        Scout { descendants, prospects: Vec::new(), options, sender, begun: 0, told_limit: false }.run();
    })?;
    Ok(arrivals)
}

/// A process that is not watched (yet).
struct Prospect {
    process: Process,
    since: u64,
    /// Finds its loops, as it was attached to.
    reader: Option<LoopWatch>,
    attach_at: u64,
    glance_at: u64,
    /// How long it is left alone, as no Python.
    leave: u64,
}

impl Prospect {
    fn new(process: Process, now: u64) -> Self {
        Self { process, since: now, reader: None, attach_at: now, glance_at: now, leave: GLANCE_EVERY }
    }

    /// When it is to be looked at next.
    fn due(&self) -> u64 {
        if self.reader.is_some() { self.glance_at } else { self.attach_at }
    }

    fn is_young(&self, now: u64) -> bool {
        now.saturating_sub(self.since) < YOUNG
    }

    /// Finds Python in it, when that is due; `pause` says how far apart that is to be for what it cost.
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
                self.leave = (self.leave * 2).min(LONGEST_LEAVE);
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
        let has_loop = match reader.rediscover(&LiveMemory::new(self.process.pid()), now) {
            Ok(()) => reader.loops() > 0,
            Err(_) => {
                // It executes another program, perhaps, or ends.
                self.reader = None;
                false
            }
        };
        self.glance_at = clock.now_ns() + pause(clock.thread_cpu_ns().saturating_sub(before)).max(GLANCE_EVERY);
        has_loop
    }
}

/// How far apart things are to be that cost so much and of which there are so many.
fn pause(cost_ns: u64, count: usize, cpu_budget: f64) -> u64 {
    // A budget of zero makes this infinite, which is the largest number when it becomes one.
    let pause = cost_ns as f64 * count as f64 / (SHARE * cpu_budget);
    (pause as u64).min(LONGEST_PAUSE)
}

/// What becomes of a prospect after a glance.
enum Glance {
    Keep,
    Drop,
}

/// Nobody takes arrivals any more.
struct Unheard;

struct Scout {
    descendants: Descendants,
    prospects: Vec<Prospect>,
    options: Options,
    sender: Sender<Arrival>,
    begun: usize,
    told_limit: bool,
}

impl Scout {
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
                self.prospects.retain(|prospect| self.descendants.has(&prospect.process));
                self.prospects.extend(found.into_iter().map(|process| Prospect::new(process, now)));
                let cost = clock.thread_cpu_ns().saturating_sub(before);
                look_at = now + pause(cost, 1, self.options.cpu_budget).max(LOOK_EVERY);
            }
            if self.glance_at_prospects(&clock).is_err() {
                break;
            }
            let next = self.prospects.iter().map(Prospect::due).min().unwrap_or(u64::MAX);
            clock.sleep_until(next.min(look_at).min(now + LOOK_EVERY));
        }
    }

    fn glance_at_prospects(&mut self, clock: &SystemClock) -> Result<(), Unheard> {
        let mut position = 0;
        while position < self.prospects.len() && !self.options.stop.is_asked() {
            if clock.now_ns() < self.prospects[position].due() {
                position += 1;
                continue;
            }
            match self.glance(position, clock)? {
                Glance::Drop => drop(self.prospects.swap_remove(position)),
                Glance::Keep => position += 1,
            }
        }
        Ok(())
    }

    fn glance(&mut self, position: usize, clock: &SystemClock) -> Result<Glance, Unheard> {
        let (now, count, budget) = (clock.now_ns(), self.prospects.len(), self.options.cpu_budget);
        let prospect = &mut self.prospects[position];
        let longest = if prospect.is_young(now) { YOUNG_EVERY * count.div_ceil(FEW) as u64 } else { u64::MAX };
        let pause = |cost_ns| pause(cost_ns, count, budget).min(longest);
        if let Err(error) = prospect.attach(clock, pause) {
            let is_refused = now.saturating_sub(prospect.since) > FORBIDDEN;
            return match error.kind() {
                FailureKind::Gone => Ok(Glance::Drop),
                FailureKind::Forbidden if is_refused => {
                    let pid = prospect.process.pid();
                    self.tell(Arrival::Refused(pid, error)).map(|()| Glance::Drop)
                }
                _ => Ok(Glance::Keep),
            };
        }
        if prospect.has_loop(clock, pause) { self.begin(position) } else { Ok(Glance::Keep) }
    }

    fn begin(&mut self, position: usize) -> Result<Glance, Unheard> {
        if self.options.sharing.watches() >= MOST_WATCHES || self.begun >= MOST_IN_ALL {
            if !std::mem::replace(&mut self.told_limit, true) {
                self.tell(Arrival::TooMany)?;
            }
            return Ok(Glance::Keep);
        }
        let process = &self.prospects[position].process;
        let options = Options { stop: self.options.stop.for_one_of_several(), ..self.options.clone() };
        match start(process.pid(), &options) {
            // The id can have become another process's before it was attached to, but not after.
            Ok(watch) if process.is_same() => {
                self.begun += 1;
                self.tell(Arrival::Below(watch))?;
                Ok(Glance::Drop)
            }
            // If it is gone, that is seen soon.
            _ => Ok(Glance::Keep),
        }
    }

    fn tell(&self, arrival: Arrival) -> Result<(), Unheard> {
        self.sender.send(arrival).map_err(|_| Unheard)
    }
}
