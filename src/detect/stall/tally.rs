//! What samples say, added up by the time they stand for, so that a stall of hours needs no more room than a short one.
//! It must not know when a stall begins or ends, nor what to make of the sums.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Evidence;
use crate::snapshot::event::{Doing, Gil, KernelLook, LoopSample, Phase};
use crate::snapshot::model::Frame;
use crate::snapshot::tables::{StackId, Tables};

/// LIMIT: stacks of one iteration that are told apart. Code that runs through more places than this is not better known
/// by more of them; the lightest are forgotten.
const PLACES: usize = 512;

/// LIMIT: stacks that outlive their tables, by iteration.
const KEPT_PLACES: usize = 64;

/// LIMIT: names of system calls in one iteration; a program that uses more in one stall gets numbers.
const CALL_NAMES: usize = 64;

/// A thread that is ready to run, and whose time on a processor stands still for longer than this, waits for one: the
/// kernel adds to the time of a running thread at every tick, which comes at least 100 times a second.
const TICKS_NS: u64 = 20_000_000;

/// What a sample says that the thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Stopped,
    Collecting { generation: Option<u8> },
    WaitingForGil,
    InCall { number: u32, fd: Option<i32> },
    Fault,
    Running { moved: bool, has_gil: Option<bool> },
    Unclear,
}

impl State {
    /// Reads one sample. `stopped` is what notes say of the whole process.
    pub(super) fn of(sample: &LoopSample, stopped: bool) -> Self {
        let doing = sample.kernel.as_ref().map(|look| &look.doing);
        if stopped || doing == Some(&Doing::Stopped) {
            return Self::Stopped;
        }
        // While another thread collects, this one waits for the GIL; then the holder is what is to be named.
        if sample.collecting && matches!(sample.gil, Gil::Own | Gil::None | Gil::Unknown) {
            return Self::Collecting { generation: sample.generation };
        }
        let leaving = sample.phase == Phase::LeavingSelector && matches!(sample.gil, Gil::Other(_));
        let running = Self::Running { moved: sample.moved || sample.torn, has_gil: has_gil(sample.gil) };
        match doing {
            _ if leaving => Self::WaitingForGil,
            Some(Doing::WaitingForGil) => Self::WaitingForGil,
            Some(Doing::Call { number, fd, .. }) => Self::InCall { number: *number, fd: *fd },
            Some(Doing::Fault) => Self::Fault,
            Some(Doing::Running) => running,
            // Without a word of the kernel: who holds the GIL may sleep with it, but hardly ever does.
            Some(Doing::Unknown) | None if sample.gil == Gil::Own => running,
            Some(Doing::Unknown) | None if sample.gil == Gil::None && sample.moved => running,
            Some(Doing::Unknown | Doing::Stopped) | None => Self::Unclear,
        }
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

/// Where the thread was, and who kept it waiting there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    stack: Option<StackRef>,
    outer: u16,
    pub(super) coroutines: u16,
    pub(super) torn: bool,
    /// Holder of the GIL while this thread waits for it.
    pub(super) holder: Option<i32>,
    holder_stack: Option<StackRef>,
}

impl Place {
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

/// Time and samples by what the thread did and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// All time that samples stand for, nanoseconds.
    pub(super) ns: u64,
    places: FxHashMap<(Place, State), u64>,
    kept: Vec<Vec<Frame>>,
}

/// A place, what was done there, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) ns: u64,
}

impl Tally {
    pub(super) fn add(&mut self, place: Place, state: State, ns: u64) {
        self.ns = self.ns.saturating_add(ns);
        if self.places.len() >= PLACES && !self.places.contains_key(&(place, state)) {
            self.keep_heaviest(PLACES / 2);
        }
        let sum = self.places.entry((place, state)).or_default();
        *sum = sum.saturating_add(ns);
    }

    /// What there is, in no order.
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

    /// The thread's frames at a place, outermost first, without the loop's machinery.
    pub(super) fn frames<'f>(&'f self, place: &Place, tables: &'f Tables) -> Vec<&'f Frame> {
        let mut frames = self.resolve(place.stack, tables);
        frames.drain(..frames.len().min(usize::from(place.outer)));
        frames
    }

    /// The frames of the thread that kept the GIL, outermost first.
    pub(super) fn holder_frames<'f>(&'f self, place: &Place, tables: &'f Tables) -> Vec<&'f Frame> {
        self.resolve(place.holder_stack, tables)
    }

    fn resolve<'f>(&'f self, stack: Option<StackRef>, tables: &'f Tables) -> Vec<&'f Frame> {
        match stack {
            None => Vec::new(),
            Some(StackRef::Numbered(number)) => tables.frames_outermost_first(number),
            Some(StackRef::Kept(index)) => self.kept.get(index).map_or_else(Vec::new, |frames| frames.iter().collect()),
        }
    }

    /// Makes it outlive `tables`.
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
                ((Place { stack, holder_stack, ..place }, state), ns)
            })
            .collect();
        self.places = places;
        self.kept = kept;
    }
}

/// Names of the system calls that were seen.
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

/// What the kernel's clocks of the thread say between two looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    first: Option<(u64, KernelLook)>,
    last: Option<(u64, KernelLook)>,
    /// Since when the thread is ready to run and its clocks stand still.
    standing_since: Option<u64>,
}

impl Clocks {
    /// A look inside the stall.
    pub(super) fn look(&mut self, at_ns: u64, look: &KernelLook) {
        let ready = matches!(look.doing, Doing::Running | Doing::Fault);
        let stands = self.last.as_ref().is_some_and(|(_, last)| {
            last.run_ns.is_some() && last.run_ns == look.run_ns && last.starved_ns == look.starved_ns
        });
        self.standing_since = match self.standing_since {
            Some(since) if ready && stands => Some(since),
            _ => ready.then_some(at_ns),
        };
        self.first.get_or_insert_with(|| (at_ns, look.clone()));
        self.last = Some((at_ns, look.clone()));
    }

    /// The last look, for the next iteration to begin from.
    pub(super) fn last(&self) -> Option<&(u64, KernelLook)> {
        self.last.as_ref()
    }

    /// Time from the first to the last look, nanoseconds.
    pub(super) fn window_ns(&self) -> u64 {
        match (&self.first, &self.last) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => 0,
        }
    }

    fn difference(&self, of: impl Fn(&KernelLook) -> Option<u64>) -> Option<u64> {
        of(&self.last.as_ref()?.1)?.checked_sub(of(&self.first.as_ref()?.1)?)
    }

    /// Nanoseconds on a processor.
    pub(super) fn run_ns(&self) -> Option<u64> {
        self.difference(|look| look.run_ns)
    }

    /// Nanoseconds ready to run without a processor. The kernel counts a wait when it is over; one that lasts shows in
    /// clocks that stand still.
    pub(super) fn starved_ns(&self) -> Option<u64> {
        let counted = self.difference(|look| look.starved_ns)?;
        let last = self.last.as_ref()?.0;
        let lasting = self.standing_since.map_or(0, |since| last.saturating_sub(since));
        let lasting = if lasting >= TICKS_NS { lasting } else { 0 };
        Some(counted.saturating_add(lasting).min(self.window_ns()))
    }

    /// Nanoseconds that the control group was throttled.
    pub(super) fn throttled_ns(&self) -> Option<u64> {
        // The kernel adds up the processors of the group.
        self.difference(|look| look.throttled_us).map(|us| us.saturating_mul(1_000).min(self.window_ns()))
    }
}

impl Evidence {
    pub(super) fn count(&mut self, state: State, torn: bool) {
        self.samples += 1;
        self.torn += u64::from(torn);
        *match state {
            State::Stopped => &mut self.stopped,
            State::Collecting { .. } => &mut self.collecting,
            State::WaitingForGil => &mut self.waiting_for_gil,
            State::InCall { .. } => &mut self.in_call,
            State::Fault => &mut self.faults,
            State::Running { moved: true, .. } => &mut self.running_moved,
            State::Running { moved: false, .. } => &mut self.running_still,
            State::Unclear => &mut self.unclear,
        } += 1;
    }
}
