//! Pages that are kept from one sample of a process to the next. Each sample reads all of them again and finds out
//! which of the bytes that answers depend on have changed; answers that depend on none of those need not be recomputed.
//!
//! A `View` over a store takes its pages from here, and the bytes that a step of a walk has used ([`Touched`]) are
//! turned into [`Lines`]: the pages and their lines of 64 bytes. While the lines are held, the pages are kept and read
//! again.
//!
//! INVARIANT: a change is never cleared before every holder of the line has checked for it. Every reading of a page
//! compares it with the old contents; the marks stay until [`Store::forget_changes`], which is called once every holder
//! has checked.

mod pages;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use self::pages::{CALL_PAGES, LINE, MAX_BYTES, PAGE_BYTES, Pages, WordMask};
pub use self::pages::{Lines, Words};
use super::addr::{Addr, Span};
use super::memory::{Memory, ReadError};
use super::view::{PAGE, Touched};

/// The error of a page for which there is no room.
pub const FULL: ReadError = ReadError::Limit("kept pages");

/// Pages of one process, kept.
pub struct Store {
    memory: Box<dyn Memory>,
    pages: RefCell<Pages>,
}

impl Store {
    /// An empty store over a process's memory.
    pub fn new(memory: Box<dyn Memory>) -> Self {
        Self { memory, pages: RefCell::new(Pages::new(MAX_BYTES)) }
    }

    /// Sets how many bytes of pages it may keep; no more than usual. What it keeps by then stays.
    pub fn limit(&self, bytes: u64) {
        self.pages.borrow_mut().limit = usize::try_from(bytes).unwrap_or(MAX_BYTES).min(MAX_BYTES);
    }

    /// The memory itself.
    pub fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// Number of pages kept.
    pub fn len(&self) -> usize {
        self.pages.borrow().index.len()
    }

    /// Whether no page is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of pages for which memory is allocated.
    pub fn capacity(&self) -> usize {
        self.pages.borrow().slots.len()
    }

    /// Drops all pages and their memory. Earlier lines and words are no longer valid.
    pub fn clear(&self) {
        let pages = &mut *self.pages.borrow_mut();
        *pages = Pages { read: pages.read, reading: pages.reading, ..Pages::new(pages.limit) };
    }

    /// From now on pages are read afresh when they are needed.
    pub fn renew_pages(&self) {
        let pages = &mut *self.pages.borrow_mut();
        pages.reading = pages.reading.wrapping_add(1);
    }

    /// Pages read since the store was created.
    pub fn pages_read(&self) -> u64 {
        self.pages.borrow().read
    }

    /// Reads every page again and marks what has changed.
    ///
    /// # Errors
    /// Those after which nothing more can be read. A page that has become unreadable counts as a change.
    pub fn refresh(&self) -> Result<(), ReadError> {
        let pages = &mut *self.pages.borrow_mut();
        pages.reading = pages.reading.wrapping_add(1);
        // Nearly sorted from the last time, which this sort handles well.
        pages.order.sort();
        let order = std::mem::take(&mut pages.order);
        let mut outcome = Ok(());
        for call in order.chunks(CALL_PAGES) {
            outcome = pages.fetch(&*self.memory, call.iter().map(|(page, _)| *page));
            if outcome.is_err() {
                break;
            }
        }
        pages.order = order;
        outcome
    }

    /// Turns used bytes into lines, and watches them from now on.
    pub fn watch(&self, touched: &[(u64, u32)], lines: &mut Lines) {
        let pages = &mut *self.pages.borrow_mut();
        let mut last = (u64::MAX, 0);
        for_each_page(touched, |page, first, end| {
            if last.0 != page {
                let Some(&slot) = pages.index.get(&page) else { return };
                last = (page, slot);
            }
            set_bits(&mut pages.slots[last.1 as usize].watched, first / 8, end.div_ceil(8));
            let (line, end) = (first / LINE, end.div_ceil(LINE));
            let mask = (u64::MAX >> (64 - (end - line))) << line;
            lines.add(last.1, mask);
        });
    }

    /// Turns used bytes into words, watches them, and holds their pages.
    pub fn watch_words(&self, touched: &[(u64, u32)], words: &mut Words) {
        let pages = &mut *self.pages.borrow_mut();
        for_each_page(touched, |page, first, end| {
            let Some(&slot) = pages.index.get(&page) else { return };
            let entry = &mut pages.slots[slot as usize];
            set_bits(&mut entry.watched, first / 8, end.div_ceil(8));
            let mask = words.0.entry(slot).or_insert_with(|| {
                entry.holders += 1;
                WordMask::default()
            });
            set_bits(mask, first / 8, end.div_ceil(8));
        });
    }

    /// Keeps the pages of these lines.
    pub fn hold(&self, lines: &Lines) {
        let pages = &mut *self.pages.borrow_mut();
        lines.0.iter().for_each(|(slot, _)| pages.slots[*slot as usize].holders += 1);
    }

    /// Releases what [`Store::hold`] holds.
    pub fn release(&self, lines: &Lines) {
        let pages = &mut *self.pages.borrow_mut();
        lines.0.iter().for_each(|(slot, _)| pages.release(*slot));
    }

    /// Releases the pages of these words.
    pub fn release_words(&self, words: &Words) {
        let pages = &mut *self.pages.borrow_mut();
        words.0.keys().for_each(|slot| pages.release(*slot));
    }

    /// Whether any byte in these lines has changed.
    pub fn has_changed(&self, lines: &Lines) -> bool {
        self.pages.borrow().has_changed(lines)
    }

    /// Calls `found` with the index of each of these whose lines have changed, in order.
    pub fn find_changed<'l>(&self, all: impl Iterator<Item = &'l Lines>, mut found: impl FnMut(usize)) {
        let pages = self.pages.borrow();
        if !pages.changed_slots.is_empty() {
            all.enumerate().filter(|(_, lines)| pages.has_changed(lines)).for_each(|(at, _)| found(at));
        }
    }

    /// Whether any of these words has changed.
    pub fn have_words_changed(&self, words: &Words) -> bool {
        let pages = self.pages.borrow();
        pages.changed_slots.iter().any(|slot| {
            let changed = &pages.slots[*slot as usize].changed;
            words.0.get(slot).is_some_and(|mask| mask.iter().zip(changed).any(|(mask, changed)| mask & changed != 0))
        })
    }

    /// Reads the pages of these words again. Returns whether none of the words has changed since
    /// [`Store::forget_changes`].
    ///
    /// # Errors
    /// Those after which nothing more can be read.
    pub fn confirm_words(&self, words: &Words) -> Result<bool, ReadError> {
        {
            let pages = &mut *self.pages.borrow_mut();
            let mut numbers: Vec<u64> = words.0.keys().map(|slot| pages.slots[*slot as usize].page).collect();
            numbers.sort_unstable();
            for call in numbers.chunks(CALL_PAGES) {
                pages.fetch(&*self.memory, call.iter().copied())?;
            }
        }
        Ok(!self.have_words_changed(words))
    }

    /// Clears the changes found so far, once every holder has checked its lines.
    pub fn forget_changes(&self) {
        let pages = &mut *self.pages.borrow_mut();
        for slot in pages.changed_slots.drain(..) {
            pages.changed_lines[slot as usize] = 0;
            pages.slots[slot as usize].changed = WordMask::default();
        }
    }

    /// Drops the pages that have no holder.
    pub fn sweep(&self) {
        let pages = &mut *self.pages.borrow_mut();
        let mut gone = false;
        for slot in std::mem::take(&mut pages.loose) {
            let entry = &mut pages.slots[slot as usize];
            if entry.holders > 0 || entry.page == u64::MAX {
                continue;
            }
            pages.index.remove(&entry.page);
            entry.page = u64::MAX;
            pages.changed_lines[slot as usize] = 0;
            pages.free.push(slot);
            gone = true;
        }
        if gone {
            let slots = &pages.slots;
            pages.order.retain(|(page, slot)| slots[*slot as usize].page == *page);
        }
    }
}

impl Memory for Store {
    /// Whole pages come from the store; those that are missing or must be read afresh come from the memory.
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        let pages = &mut *self.pages.borrow_mut();
        let wanted = |span: &Span| {
            let first = span.addr.raw() / PAGE;
            first..first + span.len as u64 / PAGE
        };
        let mut missing: Vec<u64> = spans.iter().flat_map(wanted).filter(|page| !pages.is_fresh(*page)).collect();
        missing.sort_unstable();
        for call in missing.chunks(CALL_PAGES) {
            if let Err(error) = pages.fetch(&*self.memory, call.iter().copied()) {
                results.resize(spans.len(), Err(error));
                return;
            }
        }
        let mut rest = out;
        for span in spans {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(span.len);
            rest = after;
            results.push(wanted(span).zip(part.chunks_exact_mut(PAGE_BYTES)).try_for_each(|(page, part)| {
                let slot = *pages.index.get(&page).ok_or(FULL)?;
                match pages.slots[slot as usize].error {
                    Some(error) => Err(error),
                    None => {
                        part.copy_from_slice(pages.bytes(slot));
                        Ok(())
                    }
                }
            }));
        }
    }

    fn renew(&self) {
        self.renew_pages();
    }

    fn keeps(&self, addr: Addr) -> bool {
        self.pages.borrow().is_fresh(addr.raw() / PAGE)
    }
}

/// Calls `each` with page, first byte and end of every part of these spans that lies in one page.
fn for_each_page(touched: &[(u64, u32)], mut each: impl FnMut(u64, u64, u64)) {
    for &(at, len) in touched {
        let (mut at, end) = (at, at.saturating_add(u64::from(len)));
        while at < end {
            let (page, first) = (at / PAGE, at % PAGE);
            let until = (first + (end - at)).min(PAGE);
            each(page, first, until);
            at += until - first;
        }
    }
}

fn set_bits(mask: &mut WordMask, first: u64, end: u64) {
    for bit in first..end {
        mask[bit as usize / 64] |= 1 << (bit % 64);
    }
}

impl Store {
    /// Watches the bytes used for a single answer, and those used for data that is shared.
    pub fn watch_touched(&self, touched: Option<&mut Touched>, lines: &mut Lines, shared: &mut Words) {
        let Some(touched) = touched else { return };
        self.watch(&touched.own, lines);
        touched.own.clear();
        if !touched.shared.is_empty() {
            self.watch_words(&touched.shared, shared);
            touched.shared.clear();
        }
    }
}
