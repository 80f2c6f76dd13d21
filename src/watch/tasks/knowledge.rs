//! Cached knowledge about types, code objects and names, kept between samples, and the memory that it depends on.
//!
//! INVARIANT: knowledge is used only while every word that was read for it is unchanged. If one changes, all of it is
//! discarded: code and classes are rarely freed, and tracking the dependencies one by one would slow down every sample.

use crate::capture::task_walk::Shared;
use crate::model::snapshot::{Frame, FrameId};
use crate::model::tables::Tables;
use crate::python::attribute::AttributeCache;
use crate::python::caches::Caches;
use crate::python::frame_table::FrameTable;
use crate::remote::store::{Lines, Store, Words};
use crate::remote::{ReadError, View};
use crate::runtime::layouts::Layouts;

/// LIMIT: frames that are kept by name. A program has fewer places in which a coroutine can be suspended; code that is
/// created at run time must not let this grow without bound.
const MAX_FRAMES: usize = 1_000_000;

/// Data that many tasks share.
pub(super) struct Knowledge {
    pub(super) caches: Caches,
    pub(super) shared: Shared,
    /// The memory it depends on.
    words: Words,
    /// Table numbers of the frames in `shared`.
    frame_ids: Vec<Option<FrameId>>,
}

impl Knowledge {
    pub(super) fn new(layouts: &Layouts) -> Self {
        Self {
            caches: Caches::default(),
            shared: Shared::new(layouts, false),
            words: Words::default(),
            frame_ids: Vec::new(),
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self, store: &Store) {
        store.release_words(&self.words);
        self.clear();
    }

    /// Forgets everything after the store was cleared.
    pub(super) fn clear(&mut self) {
        self.shared.forget_addresses();
        self.shared.frames = FrameTable::default();
        (self.caches, self.words, self.frame_ids) = (Caches::default(), Words::default(), Vec::new());
    }

    /// Asks the store whether all of it is still valid, and whether its size is within bounds.
    pub(super) fn holds(&self, store: &Store) -> bool {
        self.frame_ids.len() <= MAX_FRAMES && !store.have_words_changed(&self.words)
    }

    /// Like [`Knowledge::holds`], but checked against the memory now.
    pub(super) fn is_confirmed(&self, store: &Store) -> Result<bool, ReadError> {
        store.confirm_words(&self.words)
    }

    /// Starts a new reading.
    pub(super) fn begin(&mut self) {
        // The places of attributes are not worth watching: that would mean watching every object with a dict of its
        // own.
        self.caches.attributes = AttributeCache::new();
        self.shared.runtimes.all().for_each(|runtime| runtime.begin());
    }

    /// The tables were reset.
    pub(super) fn on_tables_reset(&mut self) {
        self.frame_ids.clear();
    }

    /// The memory used since the last call, as lines of a separate answer.
    pub(super) fn take_touched(&mut self, view: &mut View<'_>, store: &Store) -> Lines {
        let mut lines = Lines::default();
        self.add_touched(view, store, &mut lines);
        lines
    }

    /// Adds the memory used since the last call to the lines of an answer.
    pub(super) fn add_touched(&mut self, view: &mut View<'_>, store: &Store, lines: &mut Lines) {
        store.watch_touched(view.touched(), lines, &mut self.words);
    }

    /// The frame with this number of the watch.
    pub(super) fn frame(&self, number: u32) -> Option<Frame> {
        let frame = self.shared.frames.get(number)?;
        Some(Frame { function: frame.function.clone(), file: frame.file.clone(), line: frame.line })
    }

    /// The table number of the frame with this number of the watch.
    pub(super) fn frame_id(&mut self, tables: &mut Tables, number: u32) -> Option<FrameId> {
        let at = number as usize;
        if self.frame_ids.len() <= at {
            self.frame_ids.resize(at + 1, None);
        }
        if self.frame_ids[at].is_none() {
            self.frame_ids[at] = self.frame(number).map(|frame| tables.add_frame(&frame));
        }
        self.frame_ids[at]
    }
}
