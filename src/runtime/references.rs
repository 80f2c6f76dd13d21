//! Whether anything other than the event loop holds a task. A task without other references can be collected at any
//! time, and its exceptions go unnoticed. References are counted, not compared with a constant: every reference from
//! the event loop's side or from the task itself is looked up, and if the task has more, something else holds it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::record::TaskRecord;
use crate::remote::{Addr, ReadError};

/// References to tasks from the event loop's side.
#[derive(Debug, Default)]
pub struct LoopReferences {
    counts: FxHashMap<Addr, i64>,
    /// Tasks whose next step is scheduled: by their wakeup in a future's callbacks, or by a handle in a ready queue.
    /// Futures and queues are read one after the other, so both can be seen for one task; there is always only one.
    stepped: FxHashSet<Addr>,
    /// Tasks with a reference that was read before the task's last step: it may be gone by now.
    stale: FxHashSet<Addr>,
    /// Cells, functions and groups that were already counted: several callbacks share them.
    counted: FxHashSet<(Addr, Addr)>,
    /// Futures that were already counted: several tasks can wait for the same one.
    futures: FxHashSet<Addr>,
    /// `as_completed` up to 3.12: the futures, by the queue that they report to.
    completions: FxHashMap<Addr, Vec<Addr>>,
}

/// The references held by one future; found in a wave, counted afterwards.
#[derive(Debug)]
pub struct FutureReferences {
    /// The future.
    pub future: Addr,
    /// Each of them.
    pub references: Vec<Reference>,
}

/// One reference to a task, or an object that leads to one.
#[derive(Debug)]
pub enum Reference {
    /// The wakeup of this task.
    Wakes(Addr),
    /// A direct reference to this task.
    Own(Addr),
    /// A reference from a shared object, which counts once.
    Shared {
        /// The cell, function or object.
        holder: Addr,
        /// The task.
        task: Addr,
    },
    /// The task group of the future, which refers to the task that opened it.
    Group {
        /// The group.
        group: Addr,
        /// The task that opened it.
        parent: Addr,
    },
    /// The future reports to this queue when it is done.
    ReportsTo(Addr),
}

impl FutureReferences {
    /// The task group in which the task was started, and the task that opened the group.
    pub fn group(&self) -> Option<(Addr, Addr)> {
        self.references.iter().find_map(|reference| match reference {
            Reference::Group { group, parent } => Some((*group, *parent)),
            _ => None,
        })
    }

    /// `as_completed` up to 3.12: the queues into which the future is put when it is done.
    pub fn reports_to(&self) -> impl Iterator<Item = Addr> {
        self.references.iter().filter_map(|reference| match reference {
            Reference::ReportsTo(queue) => Some(*queue),
            _ => None,
        })
    }
}

impl LoopReferences {
    /// No references yet, with room for the futures of `tasks` tasks.
    pub fn with_room(tasks: usize) -> Self {
        let mut new = Self::default();
        new.counts.reserve(tasks);
        new.stepped.reserve(tasks);
        new.futures.reserve(2 * tasks);
        new
    }

    /// Counts the references held by a future, once however often it is added. `is_stale` returns whether a task was
    /// read later than these references.
    pub fn add(&mut self, found: FutureReferences, is_stale: impl Fn(Addr) -> bool) {
        if !self.futures.insert(found.future) {
            return;
        }
        for reference in found.references {
            match reference {
                Reference::Wakes(task) => self.add_step(task),
                Reference::Own(task) | Reference::Shared { task, .. } | Reference::Group { parent: task, .. }
                    if is_stale(task) =>
                {
                    self.stale.insert(task);
                }
                Reference::Own(task) => *self.counts.entry(task).or_default() += 1,
                Reference::Shared { holder, task } | Reference::Group { group: holder, parent: task } => {
                    if self.counted.insert((holder, task)) {
                        *self.counts.entry(task).or_default() += 1;
                    }
                }
                Reference::ReportsTo(queue) => self.completions.entry(queue).or_default().push(found.future),
            }
        }
    }

    /// Records that the next step of this task is scheduled.
    pub fn add_step(&mut self, task: Addr) {
        self.stepped.insert(task);
    }

    /// Counted references to this task; `None` if some of them may be gone by now.
    pub fn of(&self, task: Addr) -> Option<i64> {
        let step = i64::from(self.stepped.contains(&task));
        if self.stale.contains(&task) { None } else { Some(self.counts.get(&task).copied().unwrap_or(0) + step) }
    }

    /// The futures that report to a queue.
    pub fn reporting_to(&self, queue: Addr) -> &[Addr] {
        self.completions.get(&queue).map_or(&[], Vec::as_slice)
    }
}

/// Strong references to a suspended task, without those of the event loop's side and its own; `None` if the count
/// cannot be known (an immortal object, or an inconsistent count because the task changed). `own` finds the task's own,
/// see `Runtime::count_own_references`; it is called only if there are any beyond the loop's.
pub fn count_other_references(
    task: &TaskRecord,
    loop_side: i64,
    own: impl FnOnce() -> Result<i64, ReadError>,
) -> Result<Option<i64>, ReadError> {
    let Some(count) = task.references else { return Ok(None) };
    let mut rest = count - loop_side;
    if rest > 0 {
        rest -= own()?;
    }
    Ok((rest >= 0).then_some(rest))
}
