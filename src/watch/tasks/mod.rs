//! Samples all tasks: each sample reads the memory that the last one used, finds what has changed in it, and recomputes
//! only the tasks that depend on that.
//!
//! INVARIANT: a task is reported as it was proved to be at one moment, or as torn. A task that is not read again is
//! unchanged because every byte that its last reading depends on is unchanged: the same proof, one sample apart. An
//! address alone never stands for what was once found there.

mod contexts;
mod edges;
mod entry;
mod knowledge;
mod reading;
mod registry;
mod state;

use rustc_hash::FxHashMap;

use self::entry::TaskEntry;
use self::knowledge::Knowledge;
use self::registry::Registry;
pub use self::state::{TaskWatch, TaskWatchStats};
use crate::model::event::TaskChanges;
use crate::model::tables::{Tables, TaskNo};
use crate::remote::store::Store;
use crate::remote::{Addr, Memory, MemoryLimit, ReadError, View};
use crate::runtime::layouts::Layouts;

/// LIMIT: unused pages are kept, after the tasks that needed them are gone, up to this number; from there on, if less
/// than a quarter is in use, everything is read again into less memory.
const SPARE_PAGES: usize = 16 << 10;

impl TaskWatch {
    /// A watch over the tasks of the process behind `memory`; `runtime` is the address of its `_PyRuntime`
    /// (`Facts::runtime`). Nothing is read yet.
    ///
    /// # Errors
    /// If `runtime` is not an address.
    pub fn new(memory: Box<dyn Memory>, runtime: u64, layouts: Layouts) -> Result<Self, ReadError> {
        Ok(Self {
            store: Store::new(memory),
            runtime: Addr::new(runtime).ok_or(ReadError::BadPointer(runtime))?,
            knowledge: Knowledge::new(&layouts),
            layout: layouts.python,
            registry: Registry::default(),
            tasks: Vec::new(),
            index: FxHashMap::default(),
            futures: FxHashMap::default(),
            looks: 0,
            listing: 0,
            is_first: true,
            forget_next: false,
            unreadable: 0,
            memory_limit: MemoryLimit::NONE,
            most: usize::MAX,
            stats: TaskWatchStats::default(),
            switches: None,
        })
    }

    /// Sets how much memory asyncprof may use. Tasks for which there is none are not watched.
    pub fn limit_memory(&mut self, limit: MemoryLimit) {
        self.memory_limit = limit;
    }

    /// Statistics of the samples so far.
    pub fn stats(&self) -> TaskWatchStats {
        TaskWatchStats { pages_read: self.store.pages_read(), pages: self.store.len() as u64, ..self.stats }
    }

    /// The tables were reset: the next sample reports every task under a new number and costs as much as the first one.
    pub fn on_tables_reset(&mut self) {
        self.tasks.iter_mut().for_each(TaskEntry::forget_number);
        self.knowledge.on_tables_reset();
    }

    /// Samples all pending tasks and returns what has changed since the last sample. Names go into `tables`, which must
    /// be the same in each call, see [`TaskWatch::on_tables_reset`]. `at_ns` is the time of the sample; the caller
    /// fills in its duration (`took_ns`, here 0).
    ///
    /// # Errors
    /// If the process is gone or forbidden, or its interpreter could not be read in several attempts. After an error
    /// that is not fatal the next sample may succeed.
    pub fn look(&mut self, tables: &mut Tables, at_ns: u64) -> Result<TaskChanges, ReadError> {
        let switches = self.read_context_switches();
        let before = std::mem::replace(&mut self.switches, switches);
        self.store.refresh()?;
        self.ask();
        self.looks = self.looks.wrapping_add(1);
        self.unreadable = 0;
        let Self { store, knowledge, registry, .. } = self;
        knowledge.begin();
        let mut view = View::over(store, store.memory());
        view.keep_touched();
        // The pages of a long list must not take the place of those of its tasks.
        let pages = self.memory_limit.bytes() / 2;
        view.limit(pages / 2);
        store.limit(pages / 2);
        let listed = registry.list(&mut view, store, &self.layout, knowledge, self.runtime)?;
        drop(view);
        store.limit(pages);

        let mut ended = Vec::new();
        let new = if listed { self.take_list() } else { Vec::new() };
        let moved = self.read_changed(tables, new, &mut ended)?;
        if moved || !ended.is_empty() {
            self.relate()?;
        }
        let changed = self.tasks.iter_mut().filter_map(TaskEntry::report).collect();
        let timers = self.tasks.iter_mut().filter_map(TaskEntry::report_timer).collect();
        let contexts = contexts::between(before.as_deref(), self.read_context_switches().as_deref());
        self.store.sweep();
        self.is_first = false;
        self.stats.looks += 1;
        let total = self.tasks.iter().filter(|task| task.number.is_some()).count() as u32;
        // A list that lacks a live task may lack others, and must be read again.
        let all_listed = (0..self.tasks.len()).all(|at| self.is_listed(at));
        if !all_listed {
            self.registry.doubt();
        }
        let complete = self.registry.complete && all_listed && self.unreadable == 0 && !self.stats.is_full;
        Ok(TaskChanges { at_ns, took_ns: 0, changed, ended, total, complete, contexts, timers })
    }

    /// Asks the store which entries no longer match the memory they depend on.
    fn ask(&mut self) {
        let Self { store, knowledge, registry, tasks, futures, .. } = self;
        let is_wasteful = store.capacity() > SPARE_PAGES && store.len() < store.capacity() / 4;
        if is_wasteful || self.forget_next || !knowledge.holds(store) {
            self.forget();
        } else {
            registry.ask(store);
            let mut changed = Vec::new();
            store.find_changed(tasks.iter().map(|task| &task.lines), |at| changed.push(at));
            changed.into_iter().for_each(|at| tasks[at].holds = false);
            for future in futures.values_mut() {
                future.holds = future.holds && !store.has_changed(&future.lines);
            }
        }
        self.store.forget_changes();
    }

    /// Marks everything to be read again; what was reported stays known.
    fn forget(&mut self) {
        self.forget_next = false;
        self.stats.forgotten += 1;
        self.knowledge.clear();
        self.registry.forget_all();
        self.futures.clear();
        for task in &mut self.tasks {
            (task.holds, task.lines) = (false, Default::default());
        }
        self.store.clear();
    }

    /// Takes over the current list of tasks; returns those that are not watched yet.
    fn take_list(&mut self) -> Vec<Addr> {
        let mut new = Vec::new();
        self.stats.is_full = !self.registry.has_room;
        for &addr in &self.registry.tasks {
            match self.index.get(&addr) {
                Some(&at) => self.tasks[at].listed = self.looks,
                None if self.tasks.len() + new.len() >= self.most => self.stats.is_full = true,
                None => new.push(addr),
            }
        }
        self.listing = self.looks;
        new
    }

    /// Watches these tasks from now on.
    fn add(&mut self, tasks: &[Addr]) {
        for &addr in tasks {
            self.index.insert(addr, self.tasks.len());
            // Where some are not watched, it may have been there for long.
            let is_born = !self.is_first && self.most == usize::MAX && !self.stats.is_full;
            self.tasks.push(TaskEntry::new(addr, self.looks, is_born));
        }
    }

    /// Whether the last list contained this task. A task that is not listed may still be alive, because lists change
    /// while they are read: it has ended only if its own memory shows that too.
    fn is_listed(&self, at: usize) -> bool {
        self.tasks[at].listed == self.listing
    }

    /// Removes tasks that are gone.
    fn remove(&mut self, ended: &mut Vec<TaskNo>, is_gone: impl Fn(&TaskEntry) -> bool) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            if !is_gone(task) {
                at += 1;
                continue;
            }
            ended.extend(task.number);
            self.store.release(&task.lines);
            self.index.remove(&task.addr);
            self.tasks.swap_remove(at);
            if let Some(task) = self.tasks.get(at) {
                self.index.insert(task.addr, at);
            }
        }
    }
}
