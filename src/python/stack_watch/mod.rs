//! Samples a thread's stack repeatedly, as fast as the kernel allows: the memory that the last sample used is read
//! ahead in one call, so that a sample in which nothing changed is one system call. A caller that needs other memory of
//! the same moment passes its pieces along.
//!
//! # What a sample proves
//!
//! The target runs while it is read, so frames read one after the other need not belong together. Every call reads the
//! frames twice, around the pointer to the current frame: from the outermost frame inwards, then that pointer, then
//! outwards again. So for each pair of neighbours the caller is read before and after its callee. To show a pair that
//! never existed, the caller would have to leave its call, make another one, and return to the first one in the
//! meantime; that takes more steps the further out the pair is, and the time between its two readings grows no faster.
//! A stack whose functions and lines have never been seen together is accepted only if further calls show them again.
//!
//! The instruction of the innermost frame is not part of the proof: it changes all the time and only gives the line.
//! Requiring it to be unchanged would keep idle moments only.

use rustc_hash::FxHashSet;

mod attempt;
mod compiled;
mod frame_cache;
mod jitter;
mod path;
mod plan;
#[cfg(test)]
mod tests;

use super::cycle::CycleDetector;
use super::exception_stack::links_are_consistent;
use super::frame::{FRAME_OBJECT_HEADER, header_len};
use super::layout::{FrameHead, Frames, Layout, Offset};
use crate::remote::{Addr, Memory, ReadError, Span, View};
use attempt::{Attempt, Head};
use compiled::Compiled;
use frame_cache::FrameCache;
use jitter::Jitter;
use path::fingerprints;
pub use plan::WatchedFrame;
use plan::{Link, Plan, decode, head_span, notes_of, pieces_of, word};

/// LIMIT: calls of one sample that read the whole stack. A smaller limit for calls that mostly fail does not pay: on a
/// saturated server as many samples were kept, in the same time, with 8, 16 and 32.
const ATTEMPTS: u32 = 32;

/// Calls in a row that must show a stack whose path is new.
const SHOWN: u32 = 3;

/// Attempts with as few pieces as possible. Frames that change even faster are caught only by the later attempts, which
/// read all frames met so far.
const LEAN_ATTEMPTS: u32 = 8;

/// After this number of unchanged samples, only the unchanged stack is read.
const STILL: u32 = 4;

/// LIMIT: places of the current frame that are remembered.
const C_FRAMES: usize = 32;

/// Upper bound for the size of a thread state.
const TSTATE: u64 = 4096;

/// LIMIT: frames of one thread. The interpreter's own limit is 1,000 by default; programs raise it up to where the C
/// stack ends, some ten thousand.
const MAX_FRAMES: usize = 50_000;

/// LIMIT: paths known to be possible; beyond this they must be shown again.
const MAX_KNOWN: usize = 16_384;

/// The result of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// The whole stack shows a single moment. `same`: it equals that of the previous sample, except for the innermost
    /// instruction.
    Complete {
        /// Nothing but the innermost instruction can have changed.
        same: bool,
    },
    /// The outer frames held; the inner ones changed in every attempt.
    Partial,
    /// Nothing held.
    Lost,
}

/// Samples the stack of one thread.
pub struct StackWatch {
    tstate: Addr,
    /// The part of the thread state that is read in the middle of a call.
    head: Span,
    /// The frame with which every stack of the thread begins, 3.15+, except for those of greenlets.
    base: Option<u64>,
    has_greenlets: bool,
    /// Frames that are marked as a generator's and are not: all frames of a compiled program (Nuitka) are.
    compiled: Compiled,
    plan: Plan,
    /// The stack of the last complete sample, innermost first, with its proof.
    last: Vec<Link>,
    /// The stack of the current attempt.
    links: Vec<Link>,
    best: Vec<Link>,
    /// The part that held of the last attempt that was torn.
    outer: Vec<Link>,
    frames: Vec<WatchedFrame>,
    /// Fingerprint of `frames`.
    fingerprint: u64,
    /// Paths known to be possible.
    known: FxHashSet<u64>,
    /// Frames that are read in each call because they may be in the next stack.
    cache: FrameCache,
    /// All known frames are read, not only those that are likely to be needed.
    is_wide: bool,
    /// The current frame of the last call, which determines the order of the frames.
    current: Option<Addr>,
    /// For frames of this code object, this number of locals is read with the header.
    wanted_locals: Option<(Addr, u32)>,
    torn: u64,
    calls: u64,
    /// Recent places of the pointer to the current frame, for versions that keep it on the C stack: one place per level
    /// of calls from C to Python.
    c_frames: Vec<Addr>,
    /// Its last place.
    c_frame: Option<Addr>,
    /// Samples in a row in which nothing changed.
    still: u32,
    jitter: Jitter,
}

impl StackWatch {
    /// Samples the thread whose state is at `tstate`. `fields` are offsets of words of the thread state that the caller
    /// needs for the moment of the stack, see [`StackWatch::thread_word`].
    ///
    /// # Errors
    /// If the thread state cannot be read.
    pub fn new(memory: &dyn Memory, layout: &Layout, tstate: Addr, fields: &[Offset]) -> Result<Self, ReadError> {
        let head = head_span(memory, layout, tstate, fields)?;
        let base = match layout.thread.base_frame {
            Some(at) => Some(memory.read_u64(tstate.add(at).ok_or(ReadError::BadPointer(tstate.raw()))?)?),
            None => None,
        };
        Ok(Self {
            tstate,
            head,
            base,
            has_greenlets: false,
            compiled: Compiled::default(),
            plan: Plan { stale: true, ..Plan::default() },
            last: Vec::new(),
            links: Vec::new(),
            best: Vec::new(),
            outer: Vec::new(),
            frames: Vec::new(),
            fingerprint: 0,
            known: FxHashSet::default(),
            cache: FrameCache::default(),
            is_wide: false,
            current: None,
            wanted_locals: None,
            torn: 0,
            calls: 0,
            c_frames: Vec::new(),
            c_frame: None,
            still: 0,
            jitter: Jitter::default(),
        })
    }

    /// Says whether the thread can have stacks of greenlets, which do not begin with the thread's own frame.
    pub fn expect_greenlets(&mut self, has_greenlets: bool) {
        self.has_greenlets = has_greenlets;
    }

    /// The thread state.
    pub fn tstate(&self) -> Addr {
        self.tstate
    }

    /// Also reads `count` locals of frames with this code object.
    pub fn want_locals(&mut self, code: Addr, count: u32) {
        self.plan.stale |= self.wanted_locals != Some((code, count));
        self.wanted_locals = Some((code, count));
    }

    /// Forgets which stacks were seen before, so that each has to be shown again.
    pub fn forget(&mut self) {
        self.known.clear();
        self.last.clear();
    }

    /// The frames of the last sample, innermost first.
    pub fn frames(&self) -> &[WatchedFrame] {
        &self.frames
    }

    /// Equal for two complete samples of the same functions at the same instructions, except for the innermost one.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Torn attempts since the beginning.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Calls that read a whole stack, since the beginning.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Takes a sample. `beside` is read before all frames, `behind` after them, `amid` right after the second reading of the
    /// frames that change first: a caller must not leave and return in the time between their two readings.
    ///
    /// # Errors
    /// Only if no more reads can succeed: the process is gone or forbidden.
    pub fn sample(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        beside: &[Span],
        amid: &[Span],
        behind: &[Span],
    ) -> Result<Sampled, ReadError> {
        self.best.clear();
        self.outer.clear();
        self.cache.begin_sample();
        self.compiled.begin_sample();
        if self.plan.given.each_ref().map(Vec::as_slice) != [beside, amid, behind] {
            self.plan.given = [beside, amid, behind].map(<[Span]>::to_vec);
            self.plan.stale = true;
        }
        let (mut candidate, mut sampled) = ((0, 0), None);
        for number in 0..ATTEMPTS {
            self.is_wide = number >= LEAN_ATTEMPTS;
            match self.attempt(memory, layout)? {
                Attempt::Whole { same: true } => {
                    self.stand_still();
                    return Ok(Sampled::Complete { same: true });
                }
                Attempt::Whole { same: false } => {
                    let (path, frames) = fingerprints(layout, &self.links);
                    let seen = if candidate.0 == frames { candidate.1 + 1 } else { 1 };
                    if self.known.contains(&path) || seen == SHOWN {
                        self.compiled.include(memory, layout, &self.links)?;
                        self.accept(path);
                        sampled = Some(Sampled::Complete { same: false });
                        break;
                    }
                    candidate = (frames, seen);
                    self.keep_outer(1);
                    self.jitter.pause();
                }
                Attempt::Torn => self.torn += 1,
                Attempt::BeginsInGenerator { frame, generator } => {
                    self.torn += 1;
                    self.compiled.suspect(memory, layout, frame, generator)?;
                }
                Attempt::Unplaced => {}
                Attempt::Unknown(addr) => self.probe(memory, layout, addr)?,
            }
        }
        let sampled = sampled.unwrap_or_else(|| self.give_up());
        self.still = 0;
        self.plan.stale |= self.cache.evict(self.frames.len(), self.current);
        Ok(sampled)
    }

    /// While nothing changes, frames do not age; if that lasts, all frames outside the stack are forgotten at once.
    fn stand_still(&mut self) {
        self.still = self.still.saturating_add(1);
        if self.still == STILL {
            self.cache.retain(&self.last);
            self.c_frames.retain(|addr| Some(*addr) == self.c_frame);
            self.plan.stale = true;
        }
    }

    /// The part that held in all attempts.
    fn give_up(&mut self) -> Sampled {
        if self.best.is_empty() {
            return Sampled::Lost;
        }
        self.frames.clear();
        self.frames.extend(self.best.iter().map(|link| self.compiled.watched(link)));
        self.last.clear();
        self.cache.mark_used(&self.best);
        Sampled::Partial
    }

    fn accept(&mut self, path: u64) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(path);
        self.fingerprint = path;
        self.frames.clear();
        self.frames.extend(self.links.iter().map(|link| self.compiled.watched(link)));
        std::mem::swap(&mut self.last, &mut self.links);
        self.cache.mark_used(&self.last);
    }

    fn attempt(&mut self, memory: &dyn Memory, layout: &Layout) -> Result<Attempt, ReadError> {
        if self.plan.stale {
            self.make_plan(layout);
        }
        let plan = &mut self.plan;
        memory.read_batch(&plan.spans, &mut plan.out, &mut plan.results);
        self.calls += 1;
        plan.note_failures();
        if let Some(Err(error)) = plan.results.iter().find(|result| result.is_err_and(ReadError::is_fatal)) {
            return Err(*error);
        }
        let Some(head) = self.current_frame(layout) else { return Ok(Attempt::Torn) };
        let head = match head {
            Head::At(addr) => addr,
            Head::Unconfirmed(addr) => return Ok(self.walk_unconfirmed(layout, addr)),
            Head::NoFrame => {
                self.links.clear();
                return Ok(Attempt::Whole { same: self.last.is_empty() && self.frames.is_empty() });
            }
            Head::CFrame(addr) => {
                let current =
                    self.plan.other_note(addr).and_then(|at| word(&self.plan.out, at)).and_then(Addr::aligned);
                let is_first = self.c_frames.is_empty();
                if !self.c_frames.contains(&addr) {
                    self.c_frames.insert(0, addr);
                    self.c_frames.truncate(C_FRAMES);
                }
                self.c_frame = Some(addr);
                self.plan.stale = true;
                let missing = if is_first { Attempt::Unplaced } else { Attempt::Torn };
                return Ok(current.map_or(missing, |addr| self.walk_unconfirmed(layout, addr)));
            }
        };
        self.current = Some(head);
        if self.is_last(layout, head) {
            return Ok(Attempt::Whole { same: true });
        }
        match self.walk(layout, head) {
            Attempt::Whole { .. } if !self.links_are_consistent(memory, layout)? => Ok(Attempt::Torn),
            attempt => Ok(attempt),
        }
    }

    /// Whether the exceptions that the thread is handling are consistent with the callers found.
    fn links_are_consistent(&self, memory: &dyn Memory, layout: &Layout) -> Result<bool, ReadError> {
        // An image saved before they were read may lack the exceptions.
        let Some(top) = self.thread_word(layout.exceptions.top) else { return Ok(true) };
        let frames = self.links.iter().filter_map(|link| link.frame);
        links_are_consistent(&mut View::new(memory), layout, (self.tstate, top), frames)
    }

    /// Follows the links from a frame that was current a moment before or after: the stack does not end there, but its
    /// outer part may hold.
    fn walk_unconfirmed(&mut self, layout: &Layout, addr: Addr) -> Attempt {
        self.current = Some(addr);
        match self.walk(layout, addr) {
            Attempt::Whole { .. } => {
                self.keep_outer(1);
                Attempt::Torn
            }
            other => other,
        }
    }

    /// Whether the call shows the stack of the last sample in both readings.
    fn is_last(&mut self, layout: &Layout, head: Addr) -> bool {
        if self.last.first().is_none_or(|link| link.addr != head) {
            return false;
        }
        for (position, link) in self.last.iter().enumerate() {
            let Some(now) = self.plan.link(layout, link.addr) else { return false };
            let same_frame = match (position, now.frame, link.frame) {
                // The innermost frame: its instruction may change.
                (0, Some(now), Some(then)) => now.code == then.code && now.generator == then.generator,
                _ => now.frame == link.frame,
            };
            if !same_frame || now.previous != link.previous || !self.plan.held(layout, &now, position == 0) {
                return false;
            }
            if position == 0 {
                self.frames[0] = self.compiled.watched(&now);
            }
        }
        true
    }

    /// Follows the links from the current frame through the bytes that were read.
    fn walk(&mut self, layout: &Layout, head: Addr) -> Attempt {
        self.links.clear();
        let (mut next, mut cycle) = (Some(head), CycleDetector::default());
        while let Some(addr) = next {
            // A cycle is always torn data: no frame is its own caller.
            if self.links.len() >= MAX_FRAMES || cycle.is_repeat(addr) {
                return Attempt::Torn;
            }
            let Some(link) = self.plan.link(layout, addr) else {
                // If a piece was read and does not contain a frame, reading it again gives nothing new.
                return if self.plan.has(layout, addr) { Attempt::Torn } else { Attempt::Unknown(addr) };
            };
            self.links.push(link);
            next = Addr::aligned(link.previous);
            if next.is_none() && link.previous != 0 {
                return Attempt::Torn;
            }
        }
        let Some(outermost) = self.links.last() else { return Attempt::Torn };
        // A generator that is being resumed or left has no caller for a moment; a thread's outermost frame is never a
        // generator's.
        if let Some(generator) = outermost.frame.and_then(|frame| frame.generator)
            && !self.compiled.contains(outermost.addr)
        {
            return Attempt::BeginsInGenerator { frame: outermost.addr, generator };
        }
        let is_base = self.base.is_none_or(|base| base == outermost.addr.raw());
        if !is_base && !self.has_greenlets {
            return Attempt::Torn;
        }
        let held = |(position, link): (usize, &Link)| self.plan.held(layout, link, position == 0);
        let moved = self.links.iter().enumerate().rposition(|(position, link)| !held((position, link)));
        let Some(moved) = moved else { return Attempt::Whole { same: false } };
        self.keep_outer(moved + 1);
        Attempt::Torn
    }

    /// In the current attempt, the frames from position `first` outwards have held. The part on which two attempts
    /// agree can be kept: one of them alone may have read a caller that had left its call and was back in another one.
    /// The innermost frame is never part of it: its caller needs the time of one call only to leave it and to be back at
    /// the line of another, and on a busy machine two attempts can hit that.
    fn keep_outer(&mut self, first: usize) {
        // A thread without frames has no innermost one.
        let now = self.links.get(first..).unwrap_or_default();
        let mut agreed = 0;
        for (now, then) in now.iter().rev().zip(self.outer.iter().rev()) {
            let same_place = now.addr == then.addr && now.previous == then.previous;
            let same_code = now.frame.map(|frame| (frame.code, frame.generator))
                == then.frame.map(|frame| (frame.code, frame.generator));
            if !same_place || !same_code {
                break;
            }
            // A frame that advances in the meantime is the last one on which both agree.
            agreed += 1;
            if now.frame != then.frame {
                break;
            }
        }
        if agreed > self.best.len() {
            self.best.clear();
            self.best.extend_from_slice(&now[now.len() - agreed..]);
        }
        self.outer.clear();
        self.outer.extend_from_slice(now);
    }

    /// Reads frames outside all pieces until the links lead to one in a piece, and includes them from now on: until
    /// this sample is taken, and longer if they turn out to be in the stack.
    fn probe(&mut self, memory: &dyn Memory, layout: &Layout, addr: Addr) -> Result<(), ReadError> {
        let mut next = Some(addr);
        let mut bytes = [0; FRAME_OBJECT_HEADER];
        let len = header_len(layout);
        // While no stack has ever been read, all frames are missing: reading whole pages takes fewer calls.
        let mut pages = self.known.is_empty().then(|| View::new(memory));
        // The links walked in this attempt are newer than the cached ones: only a chain with current links leads on to
        // the frames that were met beyond another gap.
        self.cache.refresh(&self.links);
        self.plan.stale = true;
        for _ in 0..MAX_FRAMES {
            let unread = next.filter(|addr| !self.plan.has(layout, *addr));
            let Some(addr) = unread.filter(|addr| self.cache.visit(*addr)) else { break };
            if let Some(link) = self.cache.get(addr) {
                next = Addr::aligned(link.previous);
                continue;
            }
            let header = &mut bytes[..len];
            let read = match &mut pages {
                Some(view) => view.copy(addr, header),
                None => memory.read(addr, header),
            };
            match read {
                Ok(()) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(_) => break,
            }
            let Some(link) = decode(layout, addr, &bytes[..len]) else { break };
            self.cache.insert(link);
            next = Addr::aligned(link.previous);
        }
        Ok(())
    }

    fn make_plan(&mut self, layout: &Layout) {
        let frames = self.cache.to_read(self.frames.len(), self.current, self.is_wide);
        let (elsewhere, windows) = pieces_of(layout, frames, self.wanted_locals);
        let notes = [notes_of(&self.c_frames, self.c_frame), notes_of(&self.c_frames, None)];
        self.plan.lay_out(elsewhere, windows, notes, self.head);
    }

    /// The current frame in the middle of the call; `None` if it could not be read.
    fn current_frame(&self, layout: &Layout) -> Option<Head> {
        let head = |at: Offset| self.thread_word(at);
        match &layout.frames {
            Frames::Objects(frames) => Some(Head::of(head(frames.head)?)),
            Frames::Embedded(frames) => match frames.head {
                FrameHead::ThreadState(at) => Some(Head::of(head(at)?)),
                FrameHead::CFrame { cframe, current_frame } => {
                    let noted = Addr::aligned(head(cframe)?)?.add(current_frame)?;
                    let Some(at) = self.plan.note(noted) else { return Some(Head::CFrame(noted)) };
                    let within = (self.tstate.raw() + cframe).checked_sub(self.head.addr.raw())? as usize;
                    let again = word(&self.plan.out, self.plan.head_again? + within)?;
                    let current = word(&self.plan.out, at)?;
                    let within = noted.raw().wrapping_sub(self.tstate.raw());
                    match Addr::aligned(current) {
                        Some(addr) if Some(again) != head(cframe) => Some(Head::Unconfirmed(addr)),
                        Some(addr) => Some(Head::At(addr)),
                        // Only the entry in the thread state itself can mean that there is no frame. An empty one on
                        // the C stack is one that was left.
                        // CPython: Include/cpython/pystate.h, root_cframe, 3.11 and 3.12.
                        None if within < TSTATE => Some(Head::NoFrame),
                        None => None,
                    }
                }
            },
        }
    }

    /// The word at this offset of the thread state, one of those requested at the start, as it was in the middle of the
    /// last call.
    pub fn thread_word(&self, offset: Offset) -> Option<u64> {
        let plan = &self.plan;
        if !plan.is_read(plan.head_at) {
            return None;
        }
        let within = (self.tstate.raw() + offset).checked_sub(self.head.addr.raw())? as usize;
        if within + 8 > self.head.len {
            return None;
        }
        word(&plan.out, plan.head_at + within)
    }

    /// The bytes of piece `number` of those read before the last call.
    pub fn beside(&self, number: usize) -> Option<&[u8]> {
        self.plan.given_bytes(*self.plan.beside.get(number)?)
    }

    /// The bytes of piece `number` of those read in the middle of the last call.
    pub fn amid(&self, number: usize) -> Option<&[u8]> {
        self.plan.given_bytes(*self.plan.amid.get(number)?)
    }

    /// The bytes of piece `number` of those read at the end of the last call.
    pub fn behind(&self, number: usize) -> Option<&[u8]> {
        self.plan.given_bytes(*self.plan.behind.get(number)?)
    }

    /// The word in a local's slot of a frame, if both readings of the last call agree on it.
    pub fn slot(&self, frame: &WatchedFrame, slot: u32) -> Option<u64> {
        let addr = frame.frame?.locals.add(8 * u64::from(slot))?;
        let (first, second) = self.plan.places(addr, 8)?;
        let value = word(&self.plan.out, first)?;
        (word(&self.plan.out, second)? == value).then_some(value)
    }
}
