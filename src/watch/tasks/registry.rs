//! Which tasks there are, at each look: the lists are walked again only when something changed in them.

use super::knowledge::Knowledge;
use crate::capture::task_list::{keep_each_once, walk_lists};
use crate::python::interpreter::{ThreadList, list_threads};
use crate::python::layout::Layout;
use crate::python::reader::Reader;
use crate::remote::store::{Lines, Store};
use crate::remote::{Addr, ReadError, View};
use crate::runtime::asyncio::registry::{AsyncioModules, list_tasks};

/// Where tasks are listed, and the tasks that were listed at the last look.
#[derive(Default)]
pub(super) struct Registry {
    /// Interpreters with asyncio's modules.
    places: Option<Vec<(ThreadList, AsyncioModules)>>,
    places_lines: Lines,
    listed: bool,
    list_lines: Lines,
    /// Every task that there is was listed.
    pub(super) complete: bool,
    /// Tasks, each once.
    pub(super) tasks: Vec<Addr>,
}

impl Registry {
    /// Asks the store what is no longer as it was.
    pub(super) fn ask(&mut self, store: &Store) {
        if store.has_changed(&self.places_lines) {
            self.forget();
        } else if store.has_changed(&self.list_lines) {
            self.listed = false;
        }
    }

    /// Everything is to be read again.
    pub(super) fn forget(&mut self) {
        (self.places, self.listed) = (None, false);
    }

    /// Everything is to be read again, and the store was cleared.
    pub(super) fn forget_all(&mut self) {
        (self.places_lines, self.list_lines) = (Lines::default(), Lines::default());
        self.forget();
    }

    /// The list may lack some: it is to be read again.
    pub(super) fn doubt(&mut self) {
        self.listed = false;
    }

    /// Lists the tasks, if they are not known to be the same; whether they were listed.
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
        let (mut all, mut complete) = (Vec::new(), true);
        for (threads, modules) in places {
            let mut reader = Reader::new(view, layout, &mut knowledge.caches);
            let mut list = list_tasks(&mut reader, threads.interpreter, &threads.threads, *modules)?;
            complete &= list.problems.is_empty();
            all.append(&mut list.tasks);
        }
        keep_each_once(&mut all, places.len());
        let lines = knowledge.take_touched(view, store);
        store.hold(&lines);
        store.release(&std::mem::replace(&mut self.list_lines, lines));
        // What was not complete is read again at the next look, whether anything changes or not.
        (self.tasks, self.complete, self.listed) = (all, complete, complete);
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
) -> Result<Vec<(ThreadList, AsyncioModules)>, ReadError> {
    let mut places = Vec::new();
    for threads in list_threads(view, layout, runtime)? {
        let mut reader = Reader::new(view, layout, &mut knowledge.caches);
        if let Some(modules) = AsyncioModules::find(&mut reader, &knowledge.shared.classes.layout, threads.interpreter)?
        {
            places.push((threads, modules));
        }
    }
    Ok(places)
}
