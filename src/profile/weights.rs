//! Time by stitched stack: what every flame graph is drawn from. It must not know tasks or tables.

use rustc_hash::FxHashMap;

use super::chains::{ChainId, Chains};
use super::names::Names;
use super::stacks::{KeptStack, Stacks};
use crate::snapshot::model::{Frame, WaitKind};

/// What a flame graph is weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What event loops execute: time away from the selector, callbacks included.
    Run,
    /// Where tasks wait.
    Await,
    /// What tasks do with their time (run, wait, be ready), and callbacks.
    Wall,
}

/// One level of a stitched stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'p> {
    /// The outermost task, by name; `None` where it has none.
    Task(Option<&'p str>),
    /// The loop runs what is no task's step.
    Callback,
    /// A frame.
    Frame(&'p Frame),
    /// The inner part could not be read as one moment.
    Torn,
    /// What the task waits for.
    Await(WaitKind),
    /// The task could run, and waits for its turn.
    Ready,
    /// What the task does is not known.
    Unknown,
    /// All that is beyond the limit of distinct stacks.
    Other,
}

/// Time that was spent in one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted<'p> {
    /// Outermost first.
    pub stack: Vec<Label<'p>>,
    /// Nanoseconds.
    pub time_ns: u64,
    /// Samples for what was run, stays in one place for what was waited. Where fan-in splits the time, these count with its
    /// first part.
    pub count: u64,
}

/// What time is spent with, at the innermost end of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Leaf {
    Run { torn: bool },
    Wait { kind: Option<WaitKind>, torn: bool },
    Ready,
    Unknown,
}

/// Where time is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The task's name, or the stacks of those that wait for it; `None` outside of tasks.
    pub(super) above: Option<ChainId>,
    pub(super) stack: Option<KeptStack>,
    pub(super) leaf: Leaf,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    time_ns: u64,
    count: u64,
}

/// Time by place.
#[derive(Debug, Default)]
pub(super) struct Weights {
    by_place: FxHashMap<Place, Weight>,
}

impl Weights {
    /// LIMIT: distinct stitched stacks; the rest is one for each kind of leaf, so that totals stay true.
    const LIMIT: usize = 1 << 18;

    pub(super) fn add(&mut self, place: Place, time_ns: u64, count: u64) {
        let full = self.by_place.len() >= Self::LIMIT;
        let place = match full && !self.by_place.contains_key(&place) {
            true => Place { above: Some(Chains::OTHER), stack: None, leaf: place.leaf },
            false => place,
        };
        let weight = self.by_place.entry(place).or_default();
        weight.time_ns += time_ns;
        weight.count += count;
    }

    /// Heaviest first.
    pub(super) fn list<'p>(&self, by: By, chains: &Chains, stacks: &'p Stacks, names: &'p Names) -> Vec<Weighted<'p>> {
        let mut places: Vec<(&Place, &Weight)> = (self.by_place.iter())
            .filter(|(place, weight)| is_part_of(place.leaf, by) && (weight.time_ns > 0 || weight.count > 0))
            .collect();
        places.sort_by_key(|(place, weight)| (std::cmp::Reverse(weight.time_ns), **place));
        let whole = |(place, weight): (&Place, &Weight)| {
            let mut stack = match place.above {
                None => vec![Label::Callback],
                Some(chain) => chains.labels(chain, stacks, names),
            };
            stack.extend(own_labels(place, stacks));
            Weighted { stack, time_ns: weight.time_ns, count: weight.count }
        };
        places.into_iter().map(whole).collect()
    }

    /// What was run, by stack alone, most time first.
    pub(super) fn list_runs<'p>(&self, stacks: &'p Stacks) -> Vec<Weighted<'p>> {
        let mut runs: FxHashMap<Place, Weight> = FxHashMap::default();
        for (place, weight) in self.by_place.iter().filter(|(place, _)| is_part_of(place.leaf, By::Run)) {
            let sum = runs.entry(Place { above: None, ..*place }).or_default();
            sum.time_ns += weight.time_ns;
            sum.count += weight.count;
        }
        let mut runs: Vec<(Place, Weight)> = runs.into_iter().collect();
        runs.sort_by_key(|(place, weight)| (std::cmp::Reverse(weight.time_ns), *place));
        let own = |(place, weight): (Place, Weight)| Weighted {
            stack: own_labels(&place, stacks),
            time_ns: weight.time_ns,
            count: weight.count,
        };
        runs.into_iter().map(own).collect()
    }
}

fn is_part_of(leaf: Leaf, by: By) -> bool {
    match by {
        By::Run => matches!(leaf, Leaf::Run { .. }),
        By::Await => matches!(leaf, Leaf::Wait { .. }),
        By::Wall => true,
    }
}

fn own_labels<'p>(place: &Place, stacks: &'p Stacks) -> Vec<Label<'p>> {
    let mut labels = stack_labels(place.stack, stacks);
    if let Leaf::Run { torn: true } | Leaf::Wait { torn: true, .. } = place.leaf {
        labels.push(Label::Torn);
    }
    match place.leaf {
        Leaf::Run { .. } => {}
        Leaf::Wait { kind: Some(kind), .. } => labels.push(Label::Await(kind)),
        Leaf::Wait { kind: None, .. } | Leaf::Unknown => labels.push(Label::Unknown),
        Leaf::Ready => labels.push(Label::Ready),
    }
    labels
}

pub(super) fn stack_labels(stack: Option<KeptStack>, stacks: &Stacks) -> Vec<Label<'_>> {
    match stack {
        None => Vec::new(),
        Some(Stacks::OTHER) => vec![Label::Other],
        Some(stack) => stacks.frames(stack).into_iter().map(Label::Frame).collect(),
    }
}
