//! What tasks waited for, by await stack.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::coroutines::{CoroutineId, Coroutines};
use super::names::{NameId, Names};
use super::slices::Slices;
use super::stacks::{KeptStack, Stacks};
use crate::model::snapshot::{Frame, WaitDetail, WaitKind};

/// All waits of one kind in one await stack.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitProfile<'p> {
    /// The coroutine of the tasks that waited; `None` where it is not known.
    pub coroutine: Option<&'p Frame>,
    /// Outermost first; empty where it is not known, and for stacks beyond the limit.
    pub stack: Vec<&'p Frame>,
    /// What was waited for; `None` where it is not known.
    pub kind: Option<WaitKind>,
    /// Further details, apart from numbers that differ from wait to wait.
    pub detail: Option<&'p WaitDetail>,
    /// Time summed over all tasks, nanoseconds.
    pub wait_ns: u64,
    /// Number of waits: a wait is one stay of a task in one place.
    pub waits: u64,
    /// How the starts of the waits are spread over the watch.
    pub slices: Slices,
    /// Lower bound of the longest wait, nanoseconds.
    pub longest_ns: u64,
    /// The task with the longest wait.
    pub longest_task: Option<&'p str>,
    /// Tasks that held what was waited for, by name, with the number of waits; most first.
    pub holders: Vec<(&'p str, u64)>,
}

/// What identifies a group of waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WaitKey {
    pub(super) coroutine: CoroutineId,
    pub(super) stack: Option<KeptStack>,
    pub(super) kind: Option<WaitKind>,
    pub(super) detail: Option<WaitDetail>,
}

/// The totals of a group of waits.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitTotal {
    pub(super) wait_ns: u64,
    pub(super) waits: u64,
    pub(super) slices: Slices,
    pub(super) longest_ns: u64,
    pub(super) longest_task: Option<Arc<str>>,
    holders: Vec<(NameId, u64)>,
}

impl WaitTotal {
    pub(super) fn held_by(&mut self, holder: NameId) {
        /// LIMIT: distinct holders of what is waited for in one place.
        const HOLDERS: usize = 16;
        match self.holders.iter().position(|(name, _)| *name == holder) {
            Some(position) => self.holders[position].1 += 1,
            None if self.holders.len() < HOLDERS => self.holders.push((holder, 1)),
            None => {}
        }
    }
}

/// Waits by place.
#[derive(Debug, Default)]
pub(super) struct Waits {
    totals: FxHashMap<WaitKey, WaitTotal>,
}

impl Waits {
    /// LIMIT: distinct places of waiting; the rest are merged by kind.
    const LIMIT: usize = 1 << 16;

    pub(super) fn get(&mut self, key: WaitKey) -> &mut WaitTotal {
        let full = self.totals.len() >= Self::LIMIT;
        let key = match full && !self.totals.contains_key(&key) {
            true => WaitKey { stack: None, detail: None, ..key },
            false => key,
        };
        self.totals.entry(key).or_default()
    }

    /// Longest time first.
    pub(super) fn list<'p>(
        &'p self,
        coroutines: &'p Coroutines,
        stacks: &'p Stacks,
        names: &'p Names,
    ) -> Vec<WaitProfile<'p>> {
        let mut totals: Vec<(&'p WaitKey, &'p WaitTotal)> = self.totals.iter().collect();
        totals.sort_by_key(|&(key, total)| (std::cmp::Reverse(total.wait_ns), key));
        let whole = |(key, total): (&'p WaitKey, &'p WaitTotal)| {
            let mut holders: Vec<(&str, u64)> =
                total.holders.iter().map(|&(name, count)| (&**names.text(name), count)).collect();
            holders.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
            WaitProfile {
                coroutine: coroutines.frame(key.coroutine),
                stack: key.stack.map_or_else(Vec::new, |stack| stacks.frames(stack)),
                kind: key.kind,
                detail: key.detail.as_ref(),
                wait_ns: total.wait_ns,
                waits: total.waits,
                slices: total.slices.clone(),
                longest_ns: total.longest_ns,
                longest_task: total.longest_task.as_deref(),
                holders,
            }
        };
        totals.into_iter().map(whole).collect()
    }
}
