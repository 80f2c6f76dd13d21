//! The state of all tasks that is kept from one sample to the next.

use rustc_hash::FxHashMap;

use super::entry::{FutureEntry, TaskEntry};
use super::knowledge::Knowledge;
use super::registry::Registry;
use crate::python::layout::Layout;
use crate::remote::store::Store;
use crate::remote::{Addr, MemoryLimit};

/// The tasks of a watch. Not `Send`: it is created on the thread that samples.
pub struct TaskWatch {
    pub(super) store: Store,
    pub(super) runtime: Addr,
    pub(super) layout: Layout,
    pub(super) knowledge: Knowledge,
    pub(super) registry: Registry,
    /// In no particular order.
    pub(super) tasks: Vec<TaskEntry>,
    /// Index in `tasks` by address.
    pub(super) index: FxHashMap<Addr, usize>,
    pub(super) futures: FxHashMap<Addr, FutureEntry>,
    pub(super) looks: u32,
    /// The sample in which tasks were listed last.
    pub(super) listing: u32,
    /// No sample is complete yet: tasks that are found now are not reported as born.
    pub(super) is_first: bool,
    /// Cached knowledge changed during the last sample: in the next one, nothing that depends on it is valid.
    pub(super) forget_next: bool,
    /// Tasks that could not be read in this sample.
    pub(super) unreadable: u32,
    pub(super) memory_limit: MemoryLimit,
    /// How many tasks are watched at most: as many as there was memory for.
    pub(super) most: usize,
    pub(super) stats: TaskWatchStats,
    /// How often each thread had entered or left a context before the last sample; `None` if that is not known.
    pub(super) switches: Option<Vec<(Addr, u64)>>,
}

/// Totals over all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskWatchStats {
    /// Samples that were completed.
    pub looks: u64,
    /// Tasks that changed while they were read, and were read again.
    pub torn: u64,
    /// Tasks that changed in every attempt: reported as torn, or not at all.
    pub dropped: u64,
    /// Tasks that were walked because something had changed, or for the first time.
    pub walked: u64,
    /// Pages read from the target.
    pub pages_read: u64,
    /// Pages kept now.
    pub pages: u64,
    /// There was no memory for some of the tasks: they are not watched.
    pub is_full: bool,
    /// How often cached knowledge about code and classes had to be discarded.
    pub forgotten: u64,
}
