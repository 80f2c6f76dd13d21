//! The parts of pages that an answer depends on: lines of 64 bytes, or words.

use rustc_hash::FxHashMap;

use crate::remote::view::PAGE;

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
