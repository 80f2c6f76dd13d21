//! A page cache over a [`Memory`] that lives for one walk: every page is read at most once, so everything decoded from
//! a page comes from one moment, and a walk over N objects costs as many system calls as it has levels. Whether the
//! pages are consistent with each other is not checked here; that is proved afterwards by reading the anchors again.
//!
//! [`View::wave`] walks many objects at once: it runs a step for every item, collects the pages that steps found
//! missing, reads all of them in one batch, and repeats the steps that were cut short.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::addr::{Addr, Span};
use super::arena::{Arena, Part};
use super::memory::{Memory, ReadError};

pub(super) const PAGE: u64 = 4096;

/// LIMIT: bytes that one view may hold, unless it is given another limit. A target that leads us through all of its memory
/// must not exhaust ours.
const MAX_BYTES: u64 = 4 << 30;

/// Number of recent pages kept beside the map; a power of two.
const RECENT: usize = 512;

/// No page has this number.
const NO_PAGE: u64 = u64::MAX;

/// With this many items or more, one of them goes ahead of the wave.
const MANY: usize = 64;

/// LIMIT: rounds in which it goes ahead.
const ROUNDS_AHEAD: usize = 16;
/// Steps of a wave between two looks at whether it can go on.
const CHECKED_EVERY: usize = 64;

/// LIMIT: pages read ahead: 1 MiB, one of CPython's arenas (3.10+).
const MAX_AHEAD: u64 = 256;

/// LIMIT: bytes one batch may fetch, so that a single allocation stays reasonable.
const MAX_RUN_PAGES: u64 = 1024;

/// Pages of one process, read once.
pub struct View<'m> {
    /// What pages are read from.
    pages_from: &'m dyn Memory,
    /// The memory itself.
    memory: &'m dyn Memory,
    /// For each page number, the place of its copy, or why there is none.
    pages: FxHashMap<u64, Result<Part, ReadError>>,
    arena: Arena,
    /// Bytes that it may hold, bytes held now, and bytes read in total.
    limit: u64,
    held: u64,
    bytes: u64,
    batches: u64,
    pieces: u64,
    /// During a wave: the pages found missing, to be read together.
    wanted: Option<Vec<u64>>,
    /// Recently used pages, by the low bits of their number: most reads are near one of them, and this is several times
    /// faster than the map.
    recent: Box<[(u64, Part); RECENT]>,
    /// The last piece that spanned more than one page.
    joined: Vec<u8>,
    /// Pages read ahead of a miss outside waves; grows while that pays, see [`View::page_of_list`].
    ahead: u64,
    /// The memory wants to know which bytes are decoded.
    telling: bool,
    /// Set while the bytes that an answer depends on are recorded.
    touched: Option<Touched>,
}

/// The bytes that were used: addresses and lengths.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// For the object being read.
    pub own: Vec<(u64, u32)>,
    /// For data that is kept and shared with others, see [`View::sharing`].
    pub shared: Vec<(u64, u32)>,
    sharing: u32,
    passing: u32,
}

impl Touched {
    fn add(&mut self, at: u64, len: usize) {
        if self.passing == 0 {
            let list = if self.sharing > 0 { &mut self.shared } else { &mut self.own };
            list.push((at, len as u32));
        }
    }
}

impl<'m> View<'m> {
    /// An empty view of `memory`.
    pub fn new(memory: &'m dyn Memory) -> Self {
        Self::over(memory, memory)
    }

    /// An empty view of `memory` whose pages come from a memory that keeps pages. Reads that must bypass every cache go
    /// to `memory` itself.
    pub fn over(pages_from: &'m dyn Memory, memory: &'m dyn Memory) -> Self {
        Self {
            pages_from,
            memory,
            pages: FxHashMap::default(),
            arena: Arena::default(),
            limit: MAX_BYTES,
            held: 0,
            bytes: 0,
            batches: 0,
            pieces: 0,
            wanted: None,
            recent: Box::new([(NO_PAGE, Part::default()); RECENT]),
            joined: Vec::new(),
            ahead: 0,
            telling: pages_from.wants_decoded(),
            touched: None,
        }
    }

    /// Sets how many bytes it may hold; no more than usual.
    pub fn limit(&mut self, bytes: u64) {
        self.limit = bytes.min(MAX_BYTES);
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Records the bytes that are used from now on, until they are taken.
    pub fn keep_touched(&mut self) {
        self.touched = Some(Touched::default());
        self.telling = true;
    }

    /// The bytes used since the last call, if they are recorded. The caller clears what it has processed.
    pub fn touched(&mut self) -> Option<&mut Touched> {
        self.touched.as_mut()
    }

    /// Reads something that is kept and that other answers will depend on too. What could not be read is not kept: only
    /// the current answer depends on it.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn sharing<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let before = self.touched.as_ref().map_or(0, |touched| touched.shared.len());
        let answer = self.in_scope(read, |touched| &mut touched.sharing);
        if let (Err(_), Some(touched)) = (&answer, &mut self.touched) {
            touched.own.extend(touched.shared.drain(before..));
        }
        answer
    }

    /// Reads something that the answer depends on only through bytes already recorded: an object that never changes,
    /// held by a reference that was read.
    pub fn passing<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.in_scope(read, |touched| &mut touched.passing)
    }

    /// Records that an answer depends on these bytes, which were read as part of a larger piece.
    pub fn touch(&mut self, addr: Addr, len: usize) {
        if let Some(touched) = &mut self.touched {
            touched.add(addr.raw(), len);
        }
    }

    fn in_scope<T>(&mut self, read: impl FnOnce(&mut Self) -> T, depth: impl Fn(&mut Touched) -> &mut u32) -> T {
        self.touched.iter_mut().for_each(|touched| *depth(touched) += 1);
        let answer = read(self);
        self.touched.iter_mut().for_each(|touched| *depth(touched) -= 1);
        answer
    }

    /// Drops every page, so that everything after this is read afresh.
    pub fn forget(&mut self) {
        self.pages_from.renew();
        self.pages.clear();
        self.arena.clear();
        self.held = 0;
        self.recent.fill((NO_PAGE, Part::default()));
    }

    /// Forgets everything if the view is half full, for a walk over more than it can hold that keeps what it has found.
    pub fn make_room(&mut self) {
        if self.held > self.limit / 2 {
            self.forget();
        }
    }

    /// Sets the size limit of the view.
    #[cfg(test)]
    pub(super) fn fill_up(&mut self) {
        self.held = self.limit;
    }

    /// The memory behind the view, for reads that must not come from the cache.
    pub fn memory(&self) -> &'m dyn Memory {
        self.memory
    }

    /// Batches read so far, which determine the number of system calls.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Pieces read so far.
    pub fn pieces(&self) -> u64 {
        self.pieces
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Reads those pages under `spans` that are missing, in one batch. Failures are kept for the pages concerned and
    /// returned to later reads of them.
    pub fn prefetch(&mut self, spans: impl IntoIterator<Item = Span>) {
        let mut missing: Vec<u64> = Vec::new();
        for span in spans {
            let first = span.addr.raw() / PAGE;
            let last = (span.addr.raw() + span.len.max(1) as u64 - 1) / PAGE;
            // LIMIT: a span is at most a run long; longer ones are read on demand, piece by piece.
            for page in first..=last.min(first + MAX_RUN_PAGES) {
                if !self.pages.contains_key(&page) {
                    missing.push(page);
                }
            }
        }
        match &mut self.wanted {
            Some(wanted) => wanted.append(&mut missing),
            None => self.fetch_sorted(missing),
        }
    }

    fn fetch_sorted(&mut self, mut missing: Vec<u64>) {
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            self.fetch(&missing);
        }
    }

    /// Runs `step` for every item until each has a final answer. A step that needs a missing page ends with
    /// [`ReadError::Pending`] (by `?`), and is run again once the missing pages of *all* items were read in one batch;
    /// it keeps its progress in its item. So the number of system calls depends on the longest chain of dependent
    /// reads, not on the number of items.
    pub fn wave<I, O>(
        &mut self,
        items: &mut [I],
        mut step: impl FnMut(&mut Self, &mut I) -> Result<O, ReadError>,
    ) -> Vec<Result<O, ReadError>> {
        let mut answers: Vec<Result<O, ReadError>> = items.iter().map(|_| Err(ReadError::Pending)).collect();
        if items.len() >= MANY {
            // The data that all items need (types, code objects, names) is met one page after the other, and every time
            // all items would have to restart. One item from the middle is usually typical, and finds these pages for
            // all.
            let mut ahead = vec![items.len() / 2];
            for _ in 0..ROUNDS_AHEAD {
                self.round(&mut ahead, items, &mut answers, &mut step);
            }
        }
        let mut open: Vec<usize> =
            (0..items.len()).filter(|&index| matches!(answers[index], Err(ReadError::Pending))).collect();
        while !open.is_empty() {
            self.round(&mut open, items, &mut answers, &mut step);
        }
        answers
    }

    /// Runs the step of each open item and reads the pages found missing.
    fn round<I, O>(
        &mut self,
        open: &mut Vec<usize>,
        items: &mut [I],
        answers: &mut [Result<O, ReadError>],
        step: &mut impl FnMut(&mut Self, &mut I) -> Result<O, ReadError>,
    ) {
        self.wanted = Some(Vec::new());
        let (mut done, mut given_up) = (0_usize, None);
        open.retain(|&index| {
            if done.is_multiple_of(CHECKED_EVERY) && given_up.is_none() {
                given_up = self.memory.check().err();
            }
            done += 1;
            answers[index] = given_up.map_or_else(|| step(self, &mut items[index]), Err);
            matches!(answers[index], Err(ReadError::Pending))
        });
        // Every page fetched here gets a result, good or bad, so each round makes progress; a step that is pending
        // without a missing page could never end.
        let wanted = self.wanted.take().unwrap_or_default();
        if wanted.is_empty() {
            open.drain(..).for_each(|index| answers[index] = Err(ReadError::Invalid("wave")));
        }
        self.fetch_sorted(wanted);
    }

    /// One item's [`View::wave`]: runs `step` until it has a final answer.
    pub fn settle<O>(&mut self, mut step: impl FnMut(&mut Self) -> Result<O, ReadError>) -> Result<O, ReadError> {
        self.wave(&mut [()], |view, ()| step(view)).pop().unwrap_or(Err(ReadError::Invalid("wave")))
    }

    /// Reads the pages of these addresses again, for a walk that found its next link changed.
    pub fn refresh(&mut self, addrs: &[Addr]) {
        for addr in addrs {
            let page = addr.raw() / PAGE;
            self.pages.remove(&page);
            self.recent[page as usize % RECENT].0 = NO_PAGE;
        }
        self.prefetch(addrs.iter().map(|addr| Span::new(*addr, 1)));
    }

    /// Makes the page at `addr` present for a walk along a linked list, whose next page is only known once this one is
    /// present: reads a window of neighbours with it, a larger one while windows keep touching each other. Neighbours
    /// in a list are mostly neighbours in memory, and a larger piece costs less than another call. Such a
    /// walk does not return to what it has passed, see [`View::make_room`].
    #[inline]
    pub fn page_of_list(&mut self, addr: Addr) {
        let page = addr.raw() / PAGE;
        if self.recent[page as usize % RECENT].0 != page && !self.pages.contains_key(&page) {
            self.make_room();
            self.fetch_window(page);
        }
    }

    fn fetch_window(&mut self, page: u64) {
        // A page that is already kept costs no call.
        if page_addr(page).is_some_and(|addr| self.pages_from.keeps(addr)) {
            self.fetch(&[page]);
            return;
        }
        // Windows are aligned, so that they meet whichever direction the list takes; the largest has the size of the
        // areas that CPython requests from the system.
        // For every window next to this page's, one of these distances leads into it.
        let touches = (0..=MAX_AHEAD.ilog2()).map(|power| 1 << power).any(|distance| {
            self.pages.contains_key(&(page + distance)) || self.pages.contains_key(&page.saturating_sub(distance))
        });
        self.ahead = if touches { (self.ahead * 2).clamp(1, MAX_AHEAD) } else { (self.ahead / 2).max(1) };
        let first = page - page % self.ahead;
        let window: Vec<u64> = (first..first + self.ahead).filter(|page| !self.pages.contains_key(page)).collect();
        if !self.fetch_whole(&window) {
            // Part of the window is not mapped: only the requested page is read.
            self.ahead = 1;
            self.fetch(&[page]);
        }
    }

    /// Reads these pages if all of them can be read.
    fn fetch_whole(&mut self, pages: &[u64]) -> bool {
        let spans = spans_of(pages);
        let fits = self.held + pages.len() as u64 * PAGE <= self.limit;
        // A window of a single page is kept even if it fails: the failure is then the result for that page.
        fits && spans.len() == runs(pages).len() && self.fetch_spans(&spans).is_empty()
    }

    fn fetch(&mut self, missing: &[u64]) {
        let wanted = missing.len() as u64 * PAGE;
        if self.held + wanted > self.limit {
            for &page in missing {
                self.pages.insert(page, Err(ReadError::Limit("memory of one view")));
            }
            return;
        }
        let failed = self.fetch_spans(&spans_of(missing));
        if failed.is_empty() {
            return;
        }
        // A run with a hole in it fails as a whole: its pages are retried one by one, still in one batch.
        let single: Vec<Span> = failed
            .iter()
            .flat_map(|run| pages_of(*run).filter_map(|page| Some(Span::new(page_addr(page)?, PAGE as usize))))
            .collect();
        self.fetch_spans(&single);
    }

    /// Reads spans of whole pages; returns the failed ones that have several pages.
    fn fetch_spans(&mut self, spans: &[Span]) -> Vec<Span> {
        let total: usize = spans.iter().map(|s| s.len).sum();
        let Some((start, buffer)) = self.arena.allocate(total) else {
            let pages = spans.iter().flat_map(|span| pages_of(*span));
            self.pages.extend(pages.map(|page| (page, Err(ReadError::Limit("our own memory")))));
            return Vec::new();
        };
        let mut results = Vec::with_capacity(spans.len());
        self.pages_from.read_batch(spans, buffer, &mut results);
        self.batches += 1;
        self.pieces += spans.len() as u64;
        self.held += total as u64;
        self.bytes += total as u64;
        let (mut offset, mut failed) = (0, Vec::new());
        for (span, result) in spans.iter().zip(&results) {
            match *result {
                Ok(()) => {
                    let parts = (offset..).step_by(PAGE as usize).map(|offset| Ok(start.at(offset)));
                    self.pages.extend(pages_of(*span).zip(parts));
                }
                Err(error) if span.len == PAGE as usize => {
                    self.pages.insert(span.addr.raw() / PAGE, Err(error));
                }
                Err(_) => failed.push(*span),
            }
            offset += span.len;
        }
        failed
    }

    /// Copies the bytes at `addr` into `out`, reading missing pages first.
    pub fn copy(&mut self, addr: Addr, out: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr.raw();
        let mut out = out;
        while !out.is_empty() {
            let within = (at % PAGE) as usize;
            let len = out.len().min(PAGE as usize - within);
            let (part, rest) = out.split_at_mut(len);
            let page = self.page(at / PAGE)?;
            part.copy_from_slice(self.arena.bytes(page.at(within), len));
            self.tell(at, len);
            out = rest;
            at += len as u64;
        }
        Ok(())
    }

    #[inline]
    fn tell(&mut self, at: u64, len: usize) {
        if self.telling {
            self.tell_all(at, len);
        }
    }

    fn tell_all(&mut self, at: u64, len: usize) {
        if let Some(touched) = &mut self.touched {
            touched.add(at, len);
        }
        if self.pages_from.wants_decoded()
            && let Some(addr) = Addr::new(at)
        {
            self.pages_from.decoded(addr, len);
        }
    }

    #[inline]
    fn page(&mut self, page: u64) -> Result<Part, ReadError> {
        match self.recent[page as usize % RECENT] {
            (recent, part) if recent == page => Ok(part),
            _ => self.find_page(page),
        }
    }

    /// The `len` bytes at `addr`, in place, for immediate decoding: copied only if they span more than one page.
    #[inline(always)]
    pub fn piece(&mut self, addr: Addr, len: usize) -> Result<&[u8], ReadError> {
        let (page, within) = (addr.raw() / PAGE, (addr.raw() % PAGE) as usize);
        let (recent, part) = self.recent[page as usize % RECENT];
        // Nearly every read takes this path.
        if recent == page && within + len <= PAGE as usize && !self.telling {
            return Ok(self.arena.bytes(part.at(within), len));
        }
        self.find_piece(addr, len)
    }

    #[inline(never)]
    fn find_piece(&mut self, addr: Addr, len: usize) -> Result<&[u8], ReadError> {
        let within = (addr.raw() % PAGE) as usize;
        if within + len <= PAGE as usize {
            let part = self.page(addr.raw() / PAGE)?;
            self.tell(addr.raw(), len);
            return Ok(self.arena.bytes(part.at(within), len));
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.resize(len, 0);
        let copied = self.copy(addr, &mut joined);
        self.joined = joined;
        copied.map(|()| &self.joined[..])
    }

    #[cold]
    fn find_page(&mut self, page: u64) -> Result<Part, ReadError> {
        let mut known = self.pages.get(&page).copied();
        if known.is_none() {
            if let Some(wanted) = &mut self.wanted {
                wanted.push(page);
                return Err(ReadError::Pending);
            }
            self.fetch(&[page]);
            known = self.pages.get(&page).copied();
        }
        let part = known.unwrap_or(Err(ReadError::BadPointer(page * PAGE)))?;
        self.recent[page as usize % RECENT] = (page, part);
        Ok(part)
    }

    /// `N` bytes at `addr` as an array.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self, addr: Addr) -> Result<[u8; N], ReadError> {
        Ok(*self.piece(addr, N)?.first_chunk().expect("a piece has the length that was asked for"))
    }

    /// An array whose first `len` bytes are those at `addr` and the rest zeros: for structures whose size differs
    /// between versions and that may be the last thing on the last page of a mapping.
    #[inline]
    pub fn block<const N: usize>(&mut self, addr: Addr, len: usize) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        let len = len.min(N);
        out[..len].copy_from_slice(self.piece(addr, len)?);
        Ok(out)
    }

    /// A copy of `len` bytes at `addr`. The caller bounds `len`.
    pub fn bytes(&mut self, addr: Addr, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = vec![0; len];
        self.copy(addr, &mut out)?;
        Ok(out)
    }

    /// The little-endian u64 at `addr + offset`.
    pub fn u64(&mut self, addr: Addr, offset: u64) -> Result<u64, ReadError> {
        self.array(at(addr, offset)?).map(u64::from_le_bytes)
    }

    /// The little-endian i64 at `addr + offset`.
    pub fn i64(&mut self, addr: Addr, offset: u64) -> Result<i64, ReadError> {
        self.array(at(addr, offset)?).map(i64::from_le_bytes)
    }

    /// The little-endian u32 at `addr + offset`.
    pub fn u32(&mut self, addr: Addr, offset: u64) -> Result<u32, ReadError> {
        self.array(at(addr, offset)?).map(u32::from_le_bytes)
    }

    /// The little-endian i32 at `addr + offset`.
    pub fn i32(&mut self, addr: Addr, offset: u64) -> Result<i32, ReadError> {
        self.array(at(addr, offset)?).map(i32::from_le_bytes)
    }

    /// The byte at `addr + offset`.
    pub fn u8(&mut self, addr: Addr, offset: u64) -> Result<u8, ReadError> {
        self.array(at(addr, offset)?).map(|[byte]| byte)
    }

    /// The signed byte at `addr + offset`.
    pub fn i8(&mut self, addr: Addr, offset: u64) -> Result<i8, ReadError> {
        self.array(at(addr, offset)?).map(i8::from_le_bytes)
    }

    /// The object pointer at `addr + offset`: `None` if null, an error if it cannot be an object's address.
    pub fn pointer(&mut self, addr: Addr, offset: u64) -> Result<Option<Addr>, ReadError> {
        match self.u64(addr, offset)? {
            0 => Ok(None),
            raw => Addr::aligned(raw).map(Some).ok_or(ReadError::BadPointer(raw)),
        }
    }

    /// The object pointer at `addr + offset`, which must not be null.
    pub fn object(&mut self, addr: Addr, offset: u64) -> Result<Addr, ReadError> {
        self.pointer(addr, offset)?.ok_or(ReadError::BadPointer(0))
    }
}

fn at(addr: Addr, offset: u64) -> Result<Addr, ReadError> {
    addr.add(offset).ok_or(ReadError::BadPointer(addr.raw().wrapping_add(offset)))
}

pub(super) fn page_addr(page: u64) -> Option<Addr> {
    Addr::new(page * PAGE)
}

/// The pages of a span of whole pages.
fn pages_of(span: Span) -> Range<u64> {
    let first = span.addr.raw() / PAGE;
    first..first + span.len as u64 / PAGE
}

/// Sorted pages as spans, one for each run of neighbours.
pub(super) fn spans_of(pages: &[u64]) -> Vec<Span> {
    let span = |(page, count)| Some(Span::new(page_addr(page)?, (count * PAGE) as usize));
    runs(pages).into_iter().filter_map(span).collect()
}

/// Sorted page numbers as (first, count) runs of neighbours.
fn runs(pages: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &page in pages {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == page && *count < MAX_RUN_PAGES => *count += 1,
            _ => runs.push((page, 1)),
        }
    }
    runs
}
