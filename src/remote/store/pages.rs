//! The pages of a store: where their copies are, which of their words are watched, and which of those have changed; and
//! the parts of them that an answer depends on: lines of 64 bytes, or words.

use memmap2::{Advice, MmapMut};
use rustc_hash::FxHashMap;

use crate::remote::addr::Span;
use crate::remote::memory::{Memory, ReadError};
use crate::remote::view::{PAGE, page_addr, spans_of};

/// LIMIT: bytes of all pages, unless the store is given another limit; 100,000 tasks, each 8 coroutines deep, need 210 MB.
pub(super) const MAX_BYTES: usize = 4 << 30;

/// Pages in one piece of our memory: two huge pages.
const PIECE_PAGES: usize = 1024;

/// Pages read in one call: as many as fit into the CPU cache together with the copies they are compared with.
pub(super) const CALL_PAGES: usize = 128;

pub(super) const PAGE_BYTES: usize = PAGE as usize;

/// Bytes per line, with one bit each in the mask of a page.
pub(super) const LINE: u64 = 64;

/// The lines that an answer depends on.
#[derive(Clone, Debug, Default)]
pub struct Lines(pub(super) Vec<(u32, u64)>);

impl Lines {
    pub(super) fn add(&mut self, slot: u32, mask: u64) {
        /// How far back a page is searched. The next byte used is usually near; a page that appears twice costs little,
        /// but searching all pages of a list of 100,000 tasks for each of them takes a second.
        const NEAR: usize = 16;
        match self.0.iter_mut().rev().take(NEAR).find(|(known, _)| *known == slot) {
            Some((_, lines)) => *lines |= mask,
            None => self.0.push((slot, mask)),
        }
    }

    /// Adds all lines of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(slot, mask)| self.add(*slot, *mask));
    }
}

/// Words of 8 bytes in a page, as a mask.
pub(super) type WordMask = [u64; PAGE_BYTES / 8 / 64];

/// The words that an answer depends on: exact, for data that everything depends on.
#[derive(Clone, Debug, Default)]
pub struct Words(pub(super) FxHashMap<u32, WordMask>);

/// The state of a page.
pub(super) struct Slot {
    pub(super) page: u64,
    /// Why the last reading failed.
    pub(super) error: Option<ReadError>,
    /// Number of holders of its lines.
    pub(super) holders: u32,
    /// The reading in which it was read last.
    pub(super) reading: u32,
    /// Words that are in use.
    pub(super) watched: WordMask,
    /// Those of them that have changed.
    pub(super) changed: WordMask,
}

pub(super) struct Pages {
    /// Bytes that all pages may take.
    pub(super) limit: usize,
    pub(super) index: FxHashMap<u64, u32>,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    /// By slot: lines with a changed word.
    pub(super) changed_lines: Vec<u64>,
    /// Slots with such lines.
    pub(super) changed_slots: Vec<u32>,
    /// Page and slot, in order of pages, as far as sorted.
    pub(super) order: Vec<(u64, u32)>,
    /// Slots that may have no holder.
    pub(super) loose: Vec<u32>,
    pub(super) pieces: Vec<MmapMut>,
    pub(super) buffer: Vec<u8>,
    pub(super) reading: u32,
    pub(super) read: u64,
}

impl Pages {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            index: FxHashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            changed_lines: Vec::new(),
            changed_slots: Vec::new(),
            order: Vec::new(),
            loose: Vec::new(),
            pieces: Vec::new(),
            buffer: Vec::new(),
            reading: 0,
            read: 0,
        }
    }

    pub(super) fn has_changed(&self, lines: &Lines) -> bool {
        lines.0.iter().any(|(slot, mask)| self.changed_lines[*slot as usize] & mask != 0)
    }

    pub(super) fn is_fresh(&self, page: u64) -> bool {
        self.index.get(&page).is_some_and(|slot| self.slots[*slot as usize].reading == self.reading)
    }

    pub(super) fn release(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0 {
            self.loose.push(slot);
        }
    }

    pub(super) fn bytes(&self, slot: u32) -> &[u8] {
        let (piece, within) = (slot as usize / PIECE_PAGES, slot as usize % PIECE_PAGES * PAGE_BYTES);
        &self.pieces[piece][within..within + PAGE_BYTES]
    }

    /// Reads these pages (sorted, at most [`CALL_PAGES`]) from the memory in one call.
    pub(super) fn fetch(&mut self, memory: &dyn Memory, wanted: impl Iterator<Item = u64>) -> Result<(), ReadError> {
        let numbers: Vec<u64> = wanted.collect();
        let mut failed = Vec::new();
        self.read_spans(memory, &spans_of(&numbers), &mut failed)?;
        if !failed.is_empty() {
            // A run with a hole in it fails as a whole: its pages are retried one by one.
            let spans: Vec<Span> =
                failed.iter().filter_map(|page| Some(Span::new(page_addr(*page)?, PAGE_BYTES))).collect();
            failed.clear();
            self.read_spans(memory, &spans, &mut failed)?;
        }
        Ok(())
    }

    fn read_spans(&mut self, memory: &dyn Memory, spans: &[Span], failed: &mut Vec<u64>) -> Result<(), ReadError> {
        let total: usize = spans.iter().map(|span| span.len).sum();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(buffer.len().max(total), 0);
        let mut results = Vec::with_capacity(spans.len());
        memory.read_batch(spans, &mut buffer[..total], &mut results);
        self.read += (total / PAGE_BYTES) as u64;
        let (mut at, mut outcome) = (0, Ok(()));
        for (span, result) in spans.iter().zip(results) {
            let first = span.addr.raw() / PAGE;
            let bytes = &buffer[at..at + span.len];
            at += span.len;
            match result {
                Ok(()) => {
                    (first..).zip(bytes.chunks_exact(PAGE_BYTES)).for_each(|(page, bytes)| self.accept(page, Ok(bytes)))
                }
                Err(error) if error.is_fatal() => outcome = Err(error),
                Err(error) if span.len == PAGE_BYTES => self.accept(first, Err(error)),
                Err(_) => failed.extend(first..first + (span.len / PAGE_BYTES) as u64),
            }
        }
        self.buffer = buffer;
        outcome
    }

    /// Takes in the current contents of a page.
    fn accept(&mut self, page: u64, now: Result<&[u8], ReadError>) {
        let (slot, is_new) = match self.index.get(&page) {
            Some(&slot) => (slot, false),
            None => match self.add(page) {
                Some(slot) => (slot, true),
                None => return,
            },
        };
        let (piece, within) = (slot as usize / PIECE_PAGES, slot as usize % PIECE_PAGES * PAGE_BYTES);
        let then = &mut self.pieces[piece][within..within + PAGE_BYTES];
        let entry = &mut self.slots[slot as usize];
        entry.reading = self.reading;
        let changed = match (now, entry.error) {
            (Ok(now), _) if is_new => {
                then.copy_from_slice(now);
                return;
            }
            (Err(error), _) if is_new => {
                entry.error = Some(error);
                return;
            }
            (Ok(now), None) if now == then => return,
            (Ok(now), None) => {
                let changed = changed_words(then, now);
                then.copy_from_slice(now);
                changed
            }
            (Ok(now), Some(_)) => {
                entry.error = None;
                then.copy_from_slice(now);
                [u64::MAX; 8]
            }
            (Err(error), None) => {
                entry.error = Some(error);
                [u64::MAX; 8]
            }
            (Err(_), Some(_)) => return,
        };
        let mut lines = 0;
        for (group, changed) in changed.into_iter().enumerate() {
            let changed = changed & entry.watched[group];
            entry.changed[group] |= changed;
            // Eight words per line, eight lines per group.
            let of_group =
                (0..8).filter(|line| changed >> (8 * line) & 0xff != 0).fold(0, |mask, line| mask | 1 << line);
            lines |= of_group << (8 * group);
        }
        if lines != 0 {
            if self.changed_lines[slot as usize] == 0 {
                self.changed_slots.push(slot);
            }
            self.changed_lines[slot as usize] |= lines;
        }
    }

    fn add(&mut self, page: u64) -> Option<u32> {
        let entry = Slot {
            page,
            error: None,
            holders: 0,
            reading: self.reading,
            watched: WordMask::default(),
            changed: WordMask::default(),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None if (self.slots.len() + 1) * PAGE_BYTES > self.limit => return None,
            None => {
                if self.slots.len() == self.pieces.len() * PIECE_PAGES {
                    let piece = MmapMut::map_anon(PIECE_PAGES * PAGE_BYTES).ok()?;
                    // Most targets need only a small part of the first piece.
                    if !self.pieces.is_empty() {
                        // Advice only, see the arena of views.
                        let _ = piece.advise(Advice::HugePage);
                    }
                    self.pieces.push(piece);
                }
                self.slots.push(entry);
                self.changed_lines.push(0);
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert(page, slot);
        self.order.push((page, slot));
        // It has no holder yet, and may never get one.
        self.loose.push(slot);
        Some(slot)
    }
}

fn changed_words(then: &[u8], now: &[u8]) -> WordMask {
    let mut changed = WordMask::default();
    for (line, (then, now)) in then.chunks_exact(LINE as usize).zip(now.chunks_exact(LINE as usize)).enumerate() {
        if then != now {
            for (word, (then, now)) in then.chunks_exact(8).zip(now.chunks_exact(8)).enumerate() {
                changed[line / 8] |= u64::from(then != now) << (8 * (line % 8) + word);
            }
        }
    }
    changed
}
