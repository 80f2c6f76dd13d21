//! The live tasks and the last state of each: what a recording repeats from time to time, so that a reader that lost a
//! part of it can continue.

use rustc_hash::FxHashMap;

use super::names::{Translation, Translator};
use crate::model::event::{TaskChanges, TaskLook};
use crate::model::tables::{Tables, TaskNo, UndefinedError};

/// LIMIT: tasks whose last state is kept. Above that, a reader that lost a part does not get the state of all of them.
pub(super) const MAX_LIVING: usize = 1 << 18;
/// This many names may accumulate before unused ones are discarded.
const SPARE_NAMES: usize = 1 << 16;

/// The live tasks.
#[derive(Debug, Default)]
pub(super) struct Living {
    /// Names of its own: those of the source may be reset while its tasks live on.
    names: Tables,
    known: Translation,
    looks: FxHashMap<TaskNo, TaskLook>,
    /// How many tasks the last event reported, and whether it had seen all.
    total: u32,
    complete: bool,
    /// There were too many tasks.
    overflowed: bool,
    /// Greater than every number of a stack in `names`.
    stacks_end: usize,
    /// Number of entries of `names` after the last clean-up.
    needed: usize,
}

impl Living {
    /// The numbers of the source mean something else from now on.
    pub(super) fn forget_numbers(&mut self) {
        self.known = Translation::default();
    }

    /// Applies changes of tasks. Their numbers refer to `source`.
    pub(super) fn apply(&mut self, source: &Tables, changes: &TaskChanges) -> Result<(), UndefinedError> {
        let Self { names, known, looks, .. } = self;
        let mut translator = Translator { from: source, to: names, known };
        for ended in &changes.ended {
            looks.remove(&translator.task(*ended)?);
        }
        for look in &changes.changed {
            let number = translator.task(look.task)?;
            if looks.len() >= MAX_LIVING && !looks.contains_key(&number) {
                self.overflowed = true;
                continue;
            }
            let look = TaskLook { born: false, ..translator.look(look)? };
            self.stacks_end = self.stacks_end.max(look.stack.map_or(0, |stack| stack.0 as usize + 1));
            looks.insert(number, look);
        }
        (self.total, self.complete) = (changes.total, changes.complete);
        if self.entries() > 2 * self.needed + SPARE_NAMES {
            self.clear_out()?;
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.names.tasks().len() + self.stacks_end
    }

    /// Discards all names except those that live tasks use.
    fn clear_out(&mut self) -> Result<(), UndefinedError> {
        let old = std::mem::take(&mut self.names);
        self.forget_numbers();
        self.stacks_end = 0;
        let mut translator = Translator { from: &old, to: &mut self.names, known: &mut Translation::default() };
        let mut looks = FxHashMap::default();
        for look in self.looks.values() {
            let look = translator.look(look)?;
            self.stacks_end = self.stacks_end.max(look.stack.map_or(0, |stack| stack.0 as usize + 1));
            looks.insert(look.task, look);
        }
        self.looks = looks;
        self.needed = self.entries();
        Ok(())
    }

    /// All live tasks as one event, as if they had all changed at one moment, with the names they use.
    pub(super) fn as_changes(&self, at_ns: u64) -> (TaskChanges, &Tables) {
        let mut changed: Vec<TaskLook> = self.looks.values().cloned().collect();
        changed.sort_unstable_by_key(|look| look.task);
        let changes = TaskChanges {
            at_ns,
            took_ns: 0,
            changed,
            ended: Vec::new(),
            total: self.total,
            complete: self.complete && !self.overflowed,
            contexts: None,
            timers: Vec::new(),
        };
        (changes, &self.names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Frame, TaskState};
    use crate::model::tables::{StackId, TaskInfo};

    fn look(task: TaskNo, stack: Option<StackId>) -> TaskLook {
        TaskLook { task, born: true, state: TaskState::Ready, stack, torn: false, wait: None }
    }

    fn changes(changed: Vec<TaskLook>, ended: Vec<TaskNo>) -> TaskChanges {
        TaskChanges {
            at_ns: 1,
            took_ns: 1,
            changed,
            ended,
            total: 1,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        }
    }

    fn info(key: u64) -> TaskInfo {
        TaskInfo { key, name: None, coroutine: None }
    }

    fn keys(living: &Living) -> Vec<u64> {
        let (changes, names) = living.as_changes(0);
        let mut keys: Vec<u64> = changes.changed.iter().map(|look| names.task(look.task).unwrap().key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn tasks_live_on_when_the_source_numbers_them_anew() {
        let (mut living, mut source) = (Living::default(), Tables::default());
        let (a, b) = (source.add_task(&info(1)), source.add_task(&info(2)));
        living.apply(&source, &changes(vec![look(a, None), look(b, None)], vec![])).unwrap();
        living.forget_numbers();
        let mut source = Tables::default();
        let (c, b) = (source.add_task(&info(3)), source.add_task(&info(2)));
        living.apply(&source, &changes(vec![look(c, None)], vec![b])).unwrap();
        assert_eq!(keys(&living), [1, 3]);
        assert!(!living.as_changes(0).0.changed[0].born, "they are not new to who hears of them again");
    }

    #[test]
    fn names_of_the_dead_are_let_go() {
        let mut living = Living::default();
        let stays = TaskInfo { key: u64::MAX, name: Some("server".into()), coroutine: None };
        let mut before = None;
        for round in 0..300u64 {
            let mut source = Tables::default();
            living.forget_numbers();
            let serve = Frame { function: "serve".into(), file: "app.py".into(), line: Some(1) };
            let stack = source.add_frames([&serve]);
            let mut changed = vec![look(source.add_task(&stays), stack)];
            changed.extend((0..1000).map(|task| look(source.add_task(&info(round * 1000 + task)), stack)));
            let ended = changed[1..].iter().map(|look| look.task).collect();
            living.apply(&source, &changes(changed, before.take().unwrap_or_default())).unwrap();
            living.apply(&source, &changes(Vec::new(), ended)).unwrap();
        }
        assert!(living.entries() < 2 * SPARE_NAMES, "{}", living.entries());
        let (changes, names) = living.as_changes(0);
        let [kept] = &changes.changed[..] else { panic!("{changes:?}") };
        assert_eq!(names.task(kept.task), Some(&stays));
        assert_eq!(&*names.frames_outermost_first(kept.stack.unwrap())[0].function, "serve");
    }
}
