//! Totals of samples, weighted by the time they stand for, so that a stall of hours needs no more memory than a short
//! one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::record::Evidence;
use crate::model::event::{Doing, Gil, KernelLook, LoopSample, Phase};
use crate::model::snapshot::Frame;
use crate::model::tables::{StackId, Tables};

/// LIMIT: distinct stacks of one iteration. Code that runs through more places than this is not understood any better
/// with more of them; the lightest are forgotten.
const PLACES: usize = 512;

/// LIMIT: stacks that outlive their tables, by iteration.
const KEPT_PLACES: usize = 64;

/// LIMIT: names of system calls in one iteration; a program that uses more in one stall gets numbers instead.
const CALL_NAMES: usize = 64;

/// A runnable thread whose CPU time does not advance for longer than this is waiting for a CPU: the kernel adds to the
/// time of a running thread at every tick, at least 100 times a second.
pub(super) const TICKS_NS: u64 = 20_000_000;

/// What the thread does according to a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Stopped,
    Collecting,
    WaitingForGil,
    InCall { number: u32, fd: Option<i32>, has_gil: bool },
    Fault,
    Running { moved: bool, has_gil: Option<bool> },
    Unclear,
}

impl State {
    /// Interprets one sample. `stopped` is what notes say of the whole process; `before` is the previous sample, if it
    /// was of the same iteration.
    pub(super) fn of(sample: &LoopSample, stopped: bool, before: Option<Before>) -> Self {
        let state = if stopped { Self::Stopped } else { Self::of_alone(sample) };
        let Some(before) = before.filter(|before| !sample.moved && before.has_gil == has_gil(sample.gil)) else {
            return state;
        };
        // The kernel is not queried at every sample, and not for everything each time: where nothing has moved, the
        // previous answer still holds.
        let asked_all =
            sample.kernel.as_ref().is_some_and(|look| look.run_ns.is_some() || look.doing == Doing::Running);
        match (state, before.state) {
            (Self::Unclear, Self::Running { has_gil, .. }) if sample.kernel.is_none() => {
                Self::Running { moved: false, has_gil }
            }
            (Self::Unclear, known) | (Self::Running { .. }, known @ Self::Stopped) if sample.kernel.is_none() => known,
            (Self::Unclear | Self::Fault | Self::InCall { .. }, Self::Stopped) if !asked_all => Self::Stopped,
            (state, _) => state,
        }
    }

    fn of_alone(sample: &LoopSample) -> Self {
        let doing = sample.kernel.as_ref().map(|look| &look.doing);
        if doing == Some(&Doing::Stopped) {
            return Self::Stopped;
        }
        // While another thread collects garbage, this one waits for the GIL; the holder is then the one to name.
        if sample.collecting && matches!(sample.gil, Gil::Own | Gil::None | Gil::Unknown) {
            return Self::Collecting;
        }
        let leaving = sample.phase == Phase::LeavingSelector && matches!(sample.gil, Gil::Other(_));
        let running = Self::Running { moved: sample.moved || sample.torn, has_gil: has_gil(sample.gil) };
        match doing {
            _ if leaving => Self::WaitingForGil,
            Some(Doing::WaitingForGil) => Self::WaitingForGil,
            Some(Doing::Call { number, fd, .. }) => {
                Self::InCall { number: *number, fd: *fd, has_gil: sample.gil == Gil::Own }
            }
            Some(Doing::Fault) => Self::Fault,
            Some(Doing::Running) => running,
            // Without data from the kernel: the holder of the GIL may be sleeping with it, but hardly ever is.
            Some(Doing::Unknown) | None if sample.gil == Gil::Own => running,
            Some(Doing::Unknown) | None if sample.gil == Gil::None && sample.moved => running,
            Some(Doing::Unknown | Doing::Stopped) | None => Self::Unclear,
        }
    }
}

/// What the previous sample shows, needed to interpret the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) state: State,
    pub(super) has_gil: Option<bool>,
}

impl Before {
    pub(super) fn of(sample: &LoopSample, state: State) -> Self {
        Self { state, has_gil: has_gil(sample.gil) }
    }
}

fn has_gil(gil: Gil) -> Option<bool> {
    match gil {
        Gil::Own => Some(true),
        Gil::Free | Gil::Other(_) => Some(false),
        Gil::None | Gil::Unknown => None,
    }
}

/// A stack that is still in its tables, or that outlived them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum StackRef {
    Numbered(StackId),
    Kept(usize),
}

/// Where the thread was, and which thread kept it waiting there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StackPlace {
    stack: Option<StackRef>,
    outer: u16,
    pub(super) coroutines: u16,
    pub(super) torn: bool,
    /// Holder of the GIL while this thread waits for it.
    pub(super) holder: Option<i32>,
    holder_stack: Option<StackRef>,
}

impl StackPlace {
    /// Whether it is a stack of its own, with neither the loop nor a coroutine on it, as a greenlet has.
    pub(super) fn is_of_greenlet(&self) -> bool {
        self.stack.is_some() && !self.torn && (self.outer, self.coroutines) == (0, 0)
    }

    pub(super) fn of(sample: &LoopSample, state: State) -> Self {
        let waits = state == State::WaitingForGil;
        Self {
            stack: sample.stack.map(StackRef::Numbered),
            outer: sample.outer,
            coroutines: sample.coroutines,
            torn: sample.torn,
            holder: match sample.gil {
                Gil::Other(thread) if waits => thread,
                _ => None,
            },
            holder_stack: sample.holder_stack.filter(|_| waits).map(StackRef::Numbered),
        }
    }

    pub(super) fn without_stack(self) -> Self {
        Self { stack: None, holder_stack: None, ..self }
    }
}

/// Time and samples by activity and place.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// All time that samples stand for, nanoseconds.
    pub(super) ns: u64,
    places: FxHashMap<(StackPlace, State), u64>,
    kept: Vec<Vec<Frame>>,
}

/// A place, the activity there, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) place: StackPlace,
    pub(super) state: State,
    pub(super) ns: u64,
}

impl Tally {
    pub(super) fn add(&mut self, place: StackPlace, state: State, ns: u64) {
        self.ns = self.ns.saturating_add(ns);
        if self.places.len() >= PLACES && !self.places.contains_key(&(place, state)) {
            self.keep_heaviest(PLACES / 2);
        }
        let sum = self.places.entry((place, state)).or_default();
        *sum = sum.saturating_add(ns);
    }

    /// All entries, in no particular order.
    pub(super) fn shares(&self) -> impl Iterator<Item = Share> {
        self.places.iter().map(|(&(place, state), &ns)| Share { place, state, ns })
    }

    fn keep_heaviest(&mut self, count: usize) {
        let mut sums: Vec<u64> = self.places.values().copied().collect();
        if sums.len() <= count {
            return;
        }
        let (_, &mut bound, _) = sums.select_nth_unstable_by(count, |a, b| b.cmp(a));
        self.places.retain(|_, ns| *ns > bound);
    }

    /// The thread's frames in a place, outermost first, without the loop's machinery.
    pub(super) fn frames<'f>(&'f self, place: &StackPlace, tables: &'f Tables) -> Vec<&'f Frame> {
        let mut frames = self.resolve(place.stack, tables);
        frames.drain(..frames.len().min(usize::from(place.outer)));
        frames
    }

    /// Whether what ran had interrupted the selector: the innermost frame of the loop's machinery is the selector's.
    pub(super) fn interrupts_selector(&self, place: &StackPlace, tables: &Tables) -> bool {
        let frames = self.resolve(place.stack, tables);
        let outer = usize::from(place.outer);
        let last = outer.checked_sub(1).and_then(|last| frames.get(last));
        frames.len() > outer && last.is_some_and(|frame| frame.function.rsplit('.').next() == Some("select"))
    }

    /// The frames of the thread that held the GIL, outermost first.
    pub(super) fn holder_frames<'f>(&'f self, place: &StackPlace, tables: &'f Tables) -> Vec<&'f Frame> {
        self.resolve(place.holder_stack, tables)
    }

    fn resolve<'f>(&'f self, stack: Option<StackRef>, tables: &'f Tables) -> Vec<&'f Frame> {
        match stack {
            None => Vec::new(),
            Some(StackRef::Numbered(number)) => tables.frames_outermost_first(number),
            Some(StackRef::Kept(index)) => self.kept.get(index).map_or_else(Vec::new, |frames| frames.iter().collect()),
        }
    }

    /// Makes it independent of `tables`.
    pub(super) fn keep(&mut self, tables: &Tables) {
        self.keep_heaviest(KEPT_PLACES);
        let mut kept = Vec::new();
        let mut keep = |tally: &Self, stack: Option<StackRef>| {
            stack.map(|stack| {
                kept.push(tally.resolve(Some(stack), tables).into_iter().cloned().collect());
                StackRef::Kept(kept.len() - 1)
            })
        };
        let places = (self.places.iter())
            .map(|(&(place, state), &ns)| {
                let stack = keep(self, place.stack);
                let holder_stack = keep(self, place.holder_stack);
                ((StackPlace { stack, holder_stack, ..place }, state), ns)
            })
            .collect();
        self.places = places;
        self.kept = kept;
    }
}

/// Names of the system calls seen.
#[derive(Clone, Debug, Default)]
pub(super) struct CallNames(Vec<(u32, Arc<str>)>);

impl CallNames {
    pub(super) fn learn(&mut self, sample: &LoopSample) {
        if let Some(Doing::Call { name: Some(name), number, .. }) = sample.kernel.as_ref().map(|look| &look.doing)
            && self.0.len() < CALL_NAMES
            && self.get(*number).is_none()
        {
            self.0.push((*number, Arc::clone(name)));
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, name)| &**name)
    }
}

/// A kernel clock and the time at which it was read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at_ns: u64,
    value: u64,
}

/// The first and the last reading of a clock.
#[derive(Clone, Copy, Debug)]
struct Readings {
    first: Reading,
    last: Reading,
}

impl Readings {
    fn add(readings: &mut Option<Self>, at_ns: u64, value: Option<u64>) {
        let Some(value) = value else { return };
        let last = Reading { at_ns, value };
        readings.get_or_insert(Self { first: last, last }).last = last;
    }

    fn difference(&self) -> Option<u64> {
        self.last.value.checked_sub(self.first.value)
    }

    fn window_ns(&self) -> u64 {
        self.last.at_ns.saturating_sub(self.first.at_ns)
    }
}

/// The kernel's clocks of the thread. Not every query reads all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    run: Option<Readings>,
    starved: Option<Readings>,
    throttled: Option<Readings>,
    /// Since when the thread has been runnable with its clocks not advancing.
    standing_since: Option<u64>,
    /// The runnable holder of the GIL at the last look, and its clock.
    holder: Option<(i32, Reading)>,
    held: Held,
}

/// What the runnable holders of the GIL did between two looks at the same one, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) looked_ns: u64,
    pub(super) ran_ns: u64,
}

impl Clocks {
    /// Adds the reading of a sample that shows `state`.
    pub(super) fn look(&mut self, sample: &LoopSample, state: State) {
        let Some(look) = &sample.kernel else { return };
        let at_ns = sample.at_ns;
        self.look_at_holder(sample, look);
        let ready = look.doing == Doing::Running && state != State::Stopped;
        if !ready {
            self.standing_since = None;
        } else if look.run_ns.is_some() {
            let stand = |readings: Option<Readings>, now| readings.map(|readings| readings.last.value) == now;
            let stands = stand(self.run, look.run_ns) && stand(self.starved, look.starved_ns);
            self.standing_since = self.standing_since.filter(|_| stands).or(Some(at_ns));
        }
        Readings::add(&mut self.run, at_ns, look.run_ns);
        Readings::add(&mut self.starved, at_ns, look.starved_ns);
        Readings::add(&mut self.throttled, at_ns, look.throttled_us);
    }

    fn look_at_holder(&mut self, sample: &LoopSample, look: &KernelLook) {
        let (Gil::Other(Some(thread)), Doing::WaitingForGil) = (sample.gil, &look.doing) else {
            self.holder = None;
            return;
        };
        // Most looks read no clock.
        if look.run_ns.is_none() && look.holder_run_ns.is_none() {
            return;
        }
        let now = look.holder_run_ns.map(|value| Reading { at_ns: sample.at_ns, value });
        if let Some(((before, last), now)) = self.holder.zip(now)
            && before == thread
            && let Some(ran_ns) = now.value.checked_sub(last.value)
        {
            let looked_ns = now.at_ns.saturating_sub(last.at_ns);
            self.held.looked_ns = self.held.looked_ns.saturating_add(looked_ns);
            self.held.ran_ns = self.held.ran_ns.saturating_add(ran_ns.min(looked_ns));
        }
        self.holder = now.map(|now| (thread, now));
    }

    /// What the holders of the GIL did; `None` after so short a time that the kernel may not have counted what they ran.
    pub(super) fn held(&self) -> Option<Held> {
        (self.held.looked_ns >= TICKS_NS).then_some(self.held)
    }

    /// Turns the last readings into the first ones, as the baseline for the next iteration.
    pub(super) fn afterwards(&self) -> Self {
        let last = |readings: Option<Readings>| readings.map(|Readings { last, .. }| Readings { first: last, last });
        Self { run: last(self.run), starved: last(self.starved), ..Self::default() }
    }

    /// Whether any clock was read.
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_none() && self.starved.is_none()
    }

    /// Time from the first to the last reading, nanoseconds.
    pub(super) fn window_ns(&self) -> u64 {
        self.starved.or(self.run).map_or(0, |readings| readings.window_ns())
    }

    /// Nanoseconds on a CPU.
    pub(super) fn run_ns(&self) -> Option<u64> {
        self.run?.difference()
    }

    /// Nanoseconds runnable without a CPU. The kernel counts a wait when it is over; a wait in progress shows as clocks
    /// that do not advance.
    pub(super) fn starved_ns(&self) -> Option<u64> {
        let readings = self.starved?;
        let lasting = self.standing_since.map_or(0, |since| readings.last.at_ns.saturating_sub(since));
        let lasting = if lasting >= TICKS_NS { lasting } else { 0 };
        Some(readings.difference()?.saturating_add(lasting).min(readings.window_ns()))
    }

    /// Nanoseconds for which the control group was throttled.
    pub(super) fn throttled_ns(&self) -> Option<u64> {
        let readings = self.throttled?;
        // The kernel adds up the throttled time of all the group's CPUs.
        Some(readings.difference()?.saturating_mul(1_000).min(readings.window_ns()))
    }

    /// Nanoseconds on a CPU, and runnable without one, since readings that may be long past.
    pub(super) fn since(&self, before: &Self) -> (Option<u64>, Option<u64>) {
        let since = |now: Option<Readings>, then: Option<Readings>| now?.last.value.checked_sub(then?.last.value);
        (since(self.run, before.run), since(self.starved, before.starved))
    }
}

impl Evidence {
    pub(super) fn count(&mut self, state: State, torn: bool) {
        self.samples += 1;
        self.torn += u64::from(torn);
        *match state {
            State::Stopped => &mut self.stopped,
            State::Collecting => &mut self.collecting,
            State::WaitingForGil => &mut self.waiting_for_gil,
            State::InCall { .. } => &mut self.in_call,
            State::Fault => &mut self.faults,
            State::Running { moved: true, .. } => &mut self.running_moved,
            State::Running { moved: false, .. } => &mut self.running_still,
            State::Unclear => &mut self.unclear,
        } += 1;
    }
}
