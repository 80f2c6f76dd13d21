//! What was learnt about types, code objects and names, kept from look to look, and what that rests on.
//!
//! INVARIANT: knowledge is used as long as every word that was read for it is as it was. One that changed, and all of it is
//! forgotten: code and classes are rarely freed, and keeping account of who knows what from where would cost every look.

use crate::capture::task_walk::Shared;
use crate::model::snapshot::{Frame, FrameId};
use crate::model::tables::Tables;
use crate::python::attribute::AttributeCache;
use crate::python::caches::Caches;
use crate::remote::store::{Lines, Store, Words};
use crate::remote::{ReadError, View};
use crate::runtime::asyncio::layout::Layout;

/// LIMIT: frames that are kept by name. A program has fewer places in which a coroutine can be suspended; code that is made
/// at run time must not make us grow.
const MAX_FRAMES: usize = 1_000_000;

/// What many tasks have in common.
pub(super) struct Knowledge {
    pub(super) caches: Caches,
    pub(super) shared: Shared,
    /// What it rests on.
    words: Words,
    /// Numbers in the tables of the frames in `shared`.
    frame_ids: Vec<Option<FrameId>>,
}

impl Knowledge {
    pub(super) fn new(asyncio: Layout) -> Self {
        Self { caches: Caches::default(), shared: Shared::new(asyncio), words: Words::default(), frame_ids: Vec::new() }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self, store: &Store) {
        store.release_words(&self.words);
        *self = Self::new(self.shared.classes.layout);
    }

    /// Asks the store whether it all still holds, and that it does not grow without bound.
    pub(super) fn holds(&self, store: &Store) -> bool {
        self.frame_ids.len() <= MAX_FRAMES && !store.have_words_changed(&self.words)
    }

    /// As [`Knowledge::holds`], but of now.
    pub(super) fn is_confirmed(&self, store: &Store) -> Result<bool, ReadError> {
        store.confirm_words(&self.words)
    }

    /// A new reading begins.
    pub(super) fn begin(&mut self) {
        // Where attributes are is not worth watching: every object with a dict of its own would be.
        self.caches.attributes = AttributeCache::new();
        self.shared.classes.renew_allowance();
    }

    /// The tables were reset.
    pub(super) fn on_tables_reset(&mut self) {
        self.frame_ids.clear();
    }

    /// What was looked at since the last time, as lines of an answer of its own.
    pub(super) fn take_touched(&mut self, view: &mut View<'_>, store: &Store) -> Lines {
        let mut lines = Lines::default();
        self.add_touched(view, store, &mut lines);
        lines
    }

    /// Adds what was looked at since the last time to the lines of an answer.
    pub(super) fn add_touched(&mut self, view: &mut View<'_>, store: &Store, lines: &mut Lines) {
        store.watch_touched(view.touched(), lines, &mut self.words);
    }

    /// The frame with this number of ours.
    pub(super) fn frame(&self, number: u32) -> Option<Frame> {
        let frame = self.shared.frames.get(number)?;
        Some(Frame { function: frame.function.clone(), file: frame.file.clone(), line: frame.line })
    }

    /// The number in the tables of the frame with this number of ours.
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
