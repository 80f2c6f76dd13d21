//! Time by stitched stack: the data of every flame graph.

use rustc_hash::FxHashMap;

use super::chains::{ChainId, Chains};
use super::labels::{Label, stack_labels};
use super::names::{NameId, Names};
use super::stacks::{KeptStack, Stacks};
use crate::model::snapshot::WaitKind;

/// What a flame graph is weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What event loops execute: the time in which they are busy, including callbacks.
    Run,
    /// Where tasks wait.
    Await,
    /// What tasks do with their time (running, waiting, ready), and callbacks.
    Wall,
}

/// Time spent in one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted<'p> {
    /// Outermost first.
    pub stack: Vec<Label<'p>>,
    /// Nanoseconds.
    pub time_ns: u64,
    /// Samples for code that ran, stays in one place for waits. Where fan-in splits the time, they are counted with the
    /// first part.
    pub count: u64,
}

/// The outermost level of each stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Nothing,
    /// The thread of the loop; this variant where it is not known.
    Thread(Option<NameId>),
}

/// What the time is spent on, at the innermost end of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Leaf {
    Run { torn: bool },
    Wait { kind: Option<WaitKind>, torn: bool },
    Ready,
    Unknown,
    Idle,
}

/// Where time is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TimeKey {
    /// The label of the event loop's thread; `None` where it is not known or threads are merged.
    pub(super) thread: Option<NameId>,
    /// The task's name, or the stacks of its awaiters; `None` outside of tasks.
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
    by_place: FxHashMap<TimeKey, Weight>,
}

impl Weights {
    /// LIMIT: distinct stitched stacks; the rest are merged by thread and kind of leaf, so that totals stay correct.
    const LIMIT: usize = 1 << 18;

    pub(super) fn add(&mut self, place: TimeKey, time_ns: u64, count: u64) {
        let full = self.by_place.len() >= Self::LIMIT;
        let place = match full && !self.by_place.contains_key(&place) {
            true => TimeKey { above: Some(Chains::OTHER), stack: None, ..place },
            false => place,
        };
        let weight = self.by_place.entry(place).or_default();
        weight.time_ns += time_ns;
        weight.count += count;
    }

    /// Heaviest first.
    pub(super) fn list<'p>(
        &self,
        by: By,
        front: Front,
        chains: &Chains,
        stacks: &'p Stacks,
        names: &'p Names,
    ) -> Vec<Weighted<'p>> {
        let sums = self.sums(|place| {
            let thread = match front {
                Front::Nothing => None,
                Front::Thread(unknown) => place.thread.or(unknown),
            };
            is_part_of(place.leaf, by).then_some(TimeKey { thread, ..*place })
        });
        let whole = |(place, weight): (TimeKey, Weight)| {
            let mut stack = Vec::new();
            if front != Front::Nothing {
                stack.push(Label::Thread(place.thread.map(|thread| &**names.text(thread))));
            }
            match place.above {
                Some(chain) => stack.extend(chains.labels(chain, stacks, names)),
                None if place.leaf == Leaf::Idle => {}
                None => stack.push(Label::Callback),
            }
            stack.extend(own_labels(&place, stacks));
            Weighted { stack, time_ns: weight.time_ns, count: weight.count }
        };
        sums.into_iter().map(whole).collect()
    }

    /// What was run, by stack alone, longest time first.
    pub(super) fn list_runs<'p>(&self, stacks: &'p Stacks) -> Vec<Weighted<'p>> {
        let sums = self.sums(|place| {
            matches!(place.leaf, Leaf::Run { .. }).then_some(TimeKey { thread: None, above: None, ..*place })
        });
        let own = |(place, weight): (TimeKey, Weight)| Weighted {
            stack: own_labels(&place, stacks),
            time_ns: weight.time_ns,
            count: weight.count,
        };
        sums.into_iter().map(own).collect()
    }

    /// Time by what a place counts as, in the places where it counts, longest time first.
    fn sums(&self, counts_as: impl Fn(&TimeKey) -> Option<TimeKey>) -> Vec<(TimeKey, Weight)> {
        let mut sums: FxHashMap<TimeKey, Weight> = FxHashMap::default();
        for (place, weight) in self.by_place.iter().filter(|(_, weight)| weight.time_ns > 0 || weight.count > 0) {
            let Some(place) = counts_as(place) else { continue };
            let sum = sums.entry(place).or_default();
            sum.time_ns += weight.time_ns;
            sum.count += weight.count;
        }
        let mut sums: Vec<(TimeKey, Weight)> = sums.into_iter().collect();
        sums.sort_by_key(|(place, weight)| (std::cmp::Reverse(weight.time_ns), *place));
        sums
    }
}

fn is_part_of(leaf: Leaf, by: By) -> bool {
    match by {
        By::Run => matches!(leaf, Leaf::Run { .. } | Leaf::Idle),
        By::Await => matches!(leaf, Leaf::Wait { .. }),
        By::Wall => true,
    }
}

fn own_labels<'p>(place: &TimeKey, stacks: &'p Stacks) -> Vec<Label<'p>> {
    let mut labels = stack_labels(place.stack, stacks);
    if let Leaf::Run { torn: true } | Leaf::Wait { torn: true, .. } = place.leaf {
        labels.push(Label::Torn);
    }
    match place.leaf {
        Leaf::Run { .. } => {}
        Leaf::Wait { kind: Some(kind), .. } => labels.push(Label::Await(kind)),
        Leaf::Wait { kind: None, .. } | Leaf::Unknown => labels.push(Label::Unknown),
        Leaf::Ready => labels.push(Label::Ready),
        Leaf::Idle => labels.push(Label::Idle),
    }
    labels
}
