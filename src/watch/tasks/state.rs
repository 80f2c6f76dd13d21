//! What is kept of all tasks from one sample to the next.

use rustc_hash::FxHashMap;

use super::entry::{FutureEntry, TaskEntry};
use super::knowledge::Knowledge;
use super::registry::Registry;
use crate::python::layout::Layout;
use crate::remote::Addr;
use crate::remote::store::Store;

/// Tasks that are watched. Not `Send`: it is made on the thread that looks.
pub struct TaskWatch {
    pub(super) store: Store,
    pub(super) runtime: Addr,
    pub(super) layout: Layout,
    pub(super) knowledge: Knowledge,
    pub(super) registry: Registry,
    /// In no particular order.
    pub(super) tasks: Vec<TaskEntry>,
    /// Position in `tasks` by address.
    pub(super) index: FxHashMap<Addr, usize>,
    pub(super) futures: FxHashMap<Addr, FutureEntry>,
    pub(super) looks: u32,
    /// The look in which tasks were listed last.
    pub(super) listing: u32,
    /// Tasks are there that nobody was told of as born.
    pub(super) is_first: bool,
    /// What was learnt has changed during the last look: at the next one nothing that rests on it holds.
    pub(super) forget_next: bool,
    /// Tasks that could not be read in this look.
    pub(super) unreadable: u32,
    pub(super) stats: TaskWatchStats,
}

/// How the looks went, in total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskWatchStats {
    /// Looks that were finished.
    pub looks: u64,
    /// Tasks that moved while they were read, and were read again.
    pub torn: u64,
    /// Tasks that moved in every attempt: reported as torn, or not at all.
    pub dropped: u64,
    /// Tasks that were walked because something had changed, or for the first time.
    pub walked: u64,
    /// Pages read from the target.
    pub pages_read: u64,
    /// Pages kept now.
    pub pages: u64,
    /// How often what was learnt about code and classes had to be forgotten.
    pub forgotten: u64,
}
