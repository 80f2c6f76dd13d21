//! The list of tasks at each sample: the target's lists are walked again only when something in them has changed.

use std::sync::Arc;

use super::knowledge::Knowledge;
use crate::capture::task_list::{keep_each_once, walk_lists};
use crate::python::greenlet::has_greenlets;
use crate::python::interpreter::{ThreadList, list_threads};
use crate::python::layout::Layout;
use crate::python::reader::Reader;
use crate::remote::store::{Lines, Store};
use crate::remote::{Addr, ReadError, View};
use crate::runtime::interface::Imported;
use crate::runtime::record::TaskList;

/// An interpreter's threads, and a runtime that it has imported.
type Place = (ThreadList, Arc<dyn Imported>);

/// Where tasks are listed, and the tasks listed at the last sample.
#[derive(Default)]
pub(super) struct Registry {
    places: Option<Vec<Place>>,
    places_lines: Lines,
    listed: bool,
    list_lines: Lines,
    /// There was memory for all of the list.
    pub(super) has_room: bool,
    /// Every existing task was listed.
    pub(super) complete: bool,
    /// The tasks, each once.
    pub(super) tasks: Vec<Addr>,
}

impl Registry {
    /// Asks the store what has changed.
    pub(super) fn ask(&mut self, store: &Store) {
        if store.has_changed(&self.places_lines) {
            self.forget();
        } else if store.has_changed(&self.list_lines) {
            self.listed = false;
        }
    }

    /// Marks everything to be read again.
    pub(super) fn forget(&mut self) {
        (self.places, self.listed) = (None, false);
    }

    /// Marks everything to be read again after the store was cleared.
    pub(super) fn forget_all(&mut self) {
        (self.places_lines, self.list_lines) = (Lines::default(), Lines::default());
        self.forget();
    }

    /// Marks the list to be read again, because it may lack some tasks.
    pub(super) fn doubt(&mut self) {
        self.listed = false;
    }

    /// The threads of all interpreters that run tasks, each once.
    pub(super) fn threads(&self) -> Option<Vec<Addr>> {
        let places = self.places.as_ref()?;
        let mut threads: Vec<Addr> = places.iter().flat_map(|(list, _)| list.threads.iter().copied()).collect();
        threads.sort_unstable();
        threads.dedup();
        Some(threads)
    }

    /// Lists the tasks, unless they are known to be the same. Returns whether they were listed.
    pub(super) fn list(
        &mut self,
        view: &mut View<'_>,
        store: &Store,
        layout: &Layout,
        knowledge: &mut Knowledge,
        runtime: Addr,
    ) -> Result<bool, ReadError> {
        if self.places.is_none() {
            self.find_places(view, store, layout, knowledge, runtime)?;
        }
        let Some(places) = self.places.as_ref().filter(|_| !self.listed) else { return Ok(false) };
        let (mut all, mut complete, mut has_room, mut is_limited) = (Vec::new(), true, true, false);
        for (threads, imported) in places {
            let mut reader = Reader::new(view, layout, &mut knowledge.caches);
            let mut list = TaskList::default();
            imported.list_tasks(&mut reader, threads.interpreter, &threads.threads, &mut list)?;
            complete &= list.problems.is_empty();
            has_room &= !list.problems.iter().any(|(_, error)| error.is_of_own_memory());
            is_limited |= list.problems.iter().any(|(_, error)| matches!(error, ReadError::Limit(_)));
            all.append(&mut list.tasks);
        }
        keep_each_once(&mut all, places.len());
        let lines = knowledge.take_touched(view, store);
        store.hold(&lines);
        store.release(&std::mem::replace(&mut self.list_lines, lines));
        // An incomplete list is read again at the next sample, whether anything changes or not; but one that is beyond a
        // limit will be so again.
        (self.tasks, self.complete, self.listed) = (all, complete, complete || is_limited);
        self.has_room = has_room;
        Ok(true)
    }

    fn find_places(
        &mut self,
        view: &mut View<'_>,
        store: &Store,
        layout: &Layout,
        knowledge: &mut Knowledge,
        runtime: Addr,
    ) -> Result<(), ReadError> {
        let (places, _) = walk_lists(view, |view| read_places(view, layout, knowledge, runtime))?;
        let lines = knowledge.take_touched(view, store);
        store.hold(&lines);
        store.release(&std::mem::replace(&mut self.places_lines, lines));
        (self.places, self.listed) = (Some(places), false);
        Ok(())
    }
}

fn read_places(
    view: &mut View<'_>,
    layout: &Layout,
    knowledge: &mut Knowledge,
    runtime: Addr,
) -> Result<Vec<Place>, ReadError> {
    let mut places = Vec::new();
    for threads in list_threads(view, layout, runtime)? {
        let mut reader = Reader::new(view, layout, &mut knowledge.caches);
        let found = knowledge.shared.runtimes.find(&mut reader, threads.interpreter)?;
        knowledge.shared.has_greenlets |= has_greenlets(&mut reader, threads.interpreter)?;
        places.extend(found.into_iter().map(|imported| (threads.clone(), imported)));
    }
    Ok(places)
}
