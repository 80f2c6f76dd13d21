//! The pieces of one call that reads a whole stack, their places in the buffer, and what they show of a frame.

use crate::python::frame::{RawFrame, decode_running, header_len};
use crate::python::layout::{FrameHead, Frames, Layout, Offset};
use crate::remote::{Addr, Memory, ReadError, Span};

/// Largest gap between two frames that are read as one piece, in bytes: reading it costs as much as a further piece. A
/// cache line that the target has just written costs more than an unchanged one, both for us and for the target.
const GAP: u64 = 256;

/// Bytes that are read after the last frame of the thread's own stack, where the next frame will be.
const AHEAD: u64 = 512;

const PAGE: u64 = 4096;

/// LIMIT: bytes of locals that are read with the headers of wanted frames, innermost first. A loop's iteration is on a
/// stack once, or a few times if loops are nested; a target that recurses in such code must not make us read gigabytes.
const MAX_LOCALS: usize = 1 << 20;

/// A frame of a sampled stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedFrame {
    /// Its address.
    pub addr: Addr,
    /// The frame; `None` for a shim of the interpreter.
    pub frame: Option<RawFrame>,
}

/// A frame of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) addr: Addr,
    pub(super) frame: Option<RawFrame>,
    pub(super) previous: u64,
    /// Positions of its header in the buffer, in the first and second reading.
    pub(super) at: (usize, usize),
}

/// The pieces of a call and their positions in the buffer.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) spans: Vec<Span>,
    /// Frames' pieces by address: (piece, offset of the first reading, of the second).
    pub(super) pieces: Vec<(Span, usize, usize)>,
    /// Offset and length of each piece of the caller's: those read first, those read in the middle.
    pub(super) beside: Vec<(usize, usize)>,
    pub(super) amid: Vec<(usize, usize)>,
    pub(super) behind: Vec<(usize, usize)>,
    pub(super) head_at: usize,
    /// The second reading of the thread state, for versions that store the current frame elsewhere.
    pub(super) head_again: Option<usize>,
    /// Pieces that contain the pointer to the current frame, with their offsets.
    pub(super) c_frames: Vec<(Span, usize)>,
    /// The same for all remembered places, read further from the middle.
    pub(super) other_notes: Vec<(Span, usize)>,
    pub(super) out: Vec<u8>,
    pub(super) results: Vec<Result<(), ReadError>>,
    /// Start positions of the pieces that failed in the last call, ascending.
    pub(super) failed: Vec<usize>,
    /// The wanted pieces have changed: the plan must be made again.
    pub(super) stale: bool,
    /// The caller's pieces, to detect changes.
    pub(super) given: [Vec<Span>; 3],
}

impl Link {
    pub(super) fn watched(&self) -> WatchedFrame {
        WatchedFrame { addr: self.addr, frame: self.frame }
    }
}

impl Plan {
    /// Lays out the pieces of a call in reading order: those of frames elsewhere, then the windows into the thread's own stack,
    /// around the pointer to the current frame. `notes`: the pieces with that pointer near its last place, and all.
    pub(super) fn lay_out(
        &mut self,
        mut pieces: Vec<Span>,
        windows: Vec<Span>,
        [notes, other_notes]: [Vec<Span>; 2],
        head: Span,
    ) {
        // The pieces next to the middle, on both sides of it.
        let core = windows.len().max(1);
        pieces.extend(windows);
        let mut at = 0;
        self.spans.clear();
        self.pieces.clear();
        let mut add = |spans: &mut Vec<Span>, span: Span| {
            spans.push(span);
            at += span.len;
            at - span.len
        };
        self.beside = self.given[0].iter().map(|span| (add(&mut self.spans, *span), span.len)).collect();
        // If the thread state only has the place where the current frame is stored, that place is read in the middle,
        // and the thread state around the pieces next to the middle.
        let is_noted = !notes.is_empty();
        let outer = pieces.len() - core.min(pieces.len());
        self.pieces = pieces[..outer].iter().map(|span| (*span, add(&mut self.spans, *span), 0)).collect();
        self.other_notes = other_notes.iter().map(|span| (*span, add(&mut self.spans, *span))).collect();
        if is_noted {
            self.head_at = add(&mut self.spans, head);
        }
        self.pieces.extend(pieces[outer..].iter().map(|span| (*span, add(&mut self.spans, *span), 0)));
        self.c_frames = notes.iter().map(|span| (*span, add(&mut self.spans, *span))).collect();
        if is_noted {
            self.head_again = None;
        } else {
            self.head_at = add(&mut self.spans, head);
        }
        for (span, _, second) in self.pieces.iter_mut().rev().take(core) {
            *second = add(&mut self.spans, *span);
        }
        if is_noted {
            self.head_again = Some(add(&mut self.spans, head));
        }
        self.amid = self.given[1].iter().map(|span| (add(&mut self.spans, *span), span.len)).collect();
        for (span, _, second) in self.pieces.iter_mut().rev().skip(core) {
            *second = add(&mut self.spans, *span);
        }
        self.behind = self.given[2].iter().map(|span| (add(&mut self.spans, *span), span.len)).collect();
        self.pieces.sort_by_key(|(span, _, _)| span.addr);
        self.out.resize(at, 0);
        self.stale = false;
    }

    /// Positions of the `len` bytes at `addr` in the buffer, in the first and second reading; `None` if they were not
    /// read.
    pub(super) fn places(&self, addr: Addr, len: usize) -> Option<(usize, usize)> {
        let behind = self.pieces.partition_point(|(span, _, _)| span.addr <= addr);
        // Pieces of frames that are gone can overlap others.
        self.pieces[..behind].iter().rev().take(4).find_map(|&(span, first, second)| {
            let within = (addr.raw() - span.addr.raw()) as usize;
            let fits = within + len <= span.len && self.is_read(first) && self.is_read(second);
            fits.then_some((first + within, second + within))
        })
    }

    /// Position in the buffer of the word at `addr` that points to the current frame.
    pub(super) fn note(&self, addr: Addr) -> Option<usize> {
        self.word_in(&self.c_frames, addr)
    }

    /// The same, if it is read further from the middle.
    pub(super) fn other_note(&self, addr: Addr) -> Option<usize> {
        self.word_in(&self.other_notes, addr)
    }

    fn word_in(&self, pieces: &[(Span, usize)], addr: Addr) -> Option<usize> {
        pieces.iter().find_map(|&(span, at)| {
            let within = addr.raw().checked_sub(span.addr.raw())? as usize;
            (within + 8 <= span.len && self.is_read(at)).then_some(at + within)
        })
    }

    /// Records which pieces of a call have failed.
    pub(super) fn note_failures(&mut self) {
        self.failed.clear();
        if self.results.iter().all(Result::is_ok) {
            return;
        }
        let mut at = 0;
        for (span, result) in self.spans.iter().zip(&self.results) {
            if result.is_err() {
                self.failed.push(at);
            }
            at += span.len;
        }
    }

    /// Whether the piece that starts at `at` was read.
    pub(super) fn is_read(&self, at: usize) -> bool {
        self.failed.is_empty() || self.failed.binary_search(&at).is_err()
    }

    pub(super) fn given_bytes(&self, (at, len): (usize, usize)) -> Option<&[u8]> {
        self.out.get(at..at + len).filter(|_| self.is_read(at))
    }

    /// Whether a piece contains the whole frame at `addr`; a piece with only its beginning, such as a window ahead of
    /// the stack, is not enough.
    pub(super) fn has(&self, layout: &Layout, addr: Addr) -> bool {
        let len = header_len(layout) as u64;
        self.pieces
            .iter()
            .any(|(span, _, _)| span.addr <= addr && addr.raw() + len <= span.addr.raw() + span.len as u64)
    }

    pub(super) fn link(&self, layout: &Layout, addr: Addr) -> Option<Link> {
        let len = header_len(layout);
        let at = self.places(addr, len)?;
        let link = decode(layout, addr, self.out.get(at.0..at.0 + len)?)?;
        Some(Link { at, ..link })
    }

    /// Whether both readings of a frame agree on the words that prove it.
    pub(super) fn held(&self, layout: &Layout, link: &Link, innermost: bool) -> bool {
        let (start, end) = match &layout.frames {
            // The innermost frame is proved by its links and code; the others also by their instruction.
            Frames::Objects(fields) if innermost => (fields.back, fields.code + 8),
            Frames::Objects(fields) => (fields.back, fields.lasti + 4),
            Frames::Embedded(fields) if innermost => (0, fields.instr.min(fields.localsplus)),
            Frames::Embedded(fields) => (0, fields.instr + 8),
        };
        let part = |at: usize| self.out.get(at + start as usize..at + end as usize);
        let (first, second) = link.at;
        // The innermost frame is current from a little before it executes until a little after.
        let executes = |at| innermost || self.is_executing(layout, at);
        let lives = |at| executes(at) && self.is_referenced(layout, at);
        lives(first) && lives(second) && part(first) == part(second)
    }

    /// An unused frame object is kept for the next call, unchanged except for its reference count.
    fn is_referenced(&self, layout: &Layout, at: usize) -> bool {
        matches!(layout.frames, Frames::Embedded(_)) || word(&self.out, at).is_some_and(|count| count != 0)
    }

    fn is_executing(&self, layout: &Layout, at: usize) -> bool {
        let Frames::Objects(fields) = &layout.frames else { return true };
        let (offset, executing) = fields.executing;
        self.out.get(at + offset as usize).is_some_and(|state| state.cast_signed() == executing)
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}

pub(super) fn decode(layout: &Layout, addr: Addr, header: &[u8]) -> Option<Link> {
    let (frame, previous) = decode_running(layout, addr, header).ok()?;
    Some(Link { addr, frame, previous, at: (0, 0) })
}

/// The part of a thread state with the pointer to the current frame, the exceptions, and these fields.
pub(super) fn head_span(
    memory: &dyn Memory,
    layout: &Layout,
    tstate: Addr,
    fields: &[Offset],
) -> Result<Span, ReadError> {
    let head_at = match &layout.frames {
        Frames::Objects(frames) => frames.head,
        Frames::Embedded(frames) => match frames.head {
            FrameHead::ThreadState(at) => at,
            FrameHead::CFrame { cframe, .. } => cframe,
        },
    };
    let fields = || fields.iter().copied().chain([head_at, layout.exceptions.top]);
    let first = fields().min().unwrap_or(head_at);
    let end = fields().max().unwrap_or(head_at) + 8;
    let at = |offset| tstate.add(offset).ok_or(ReadError::BadPointer(tstate.raw()));
    let mut head = Span::new(at(first)?, (end - first) as usize);
    // A saved image may lack the exceptions, which can be on another page.
    if fields().count() == 2 && memory.read(head.addr, &mut vec![0; head.len]).is_err() {
        head = Span::new(at(head_at)?, 8);
    }
    Ok(head)
}

/// Joins spans that follow each other in the list and in memory.
pub(super) fn merge_in_order(spans: &[Span]) -> Vec<Span> {
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        if let Some(last) = merged.last_mut() {
            let (start, end) = (last.addr.raw(), last.addr.raw() + last.len as u64);
            let (other, other_end) = (span.addr.raw(), span.addr.raw() + span.len as u64);
            if other + GAP >= start && other <= end + GAP {
                let start = last.addr.min(span.addr);
                *last = Span::new(start, (end.max(other_end) - start.raw()) as usize);
                continue;
            }
        }
        merged.push(*span);
    }
    merged
}

/// The pieces that contain these frames, in reading order: outermost first, by their distance from the current frame;
/// then the windows into the thread's own stack. `wanted`: a code object, and the number of locals to read for its
/// frames.
pub(super) fn pieces_of(
    layout: &Layout,
    mut frames: Vec<(usize, Link)>,
    wanted: Option<(Addr, u32)>,
) -> (Vec<Span>, Vec<Span>) {
    frames.sort_by_key(|(depth, _)| *depth);
    let mut room = MAX_LOCALS;
    let mut span = |link: &Link| {
        let header = header_len(layout);
        let is_wanted = |(code, _): &(Addr, u32)| link.frame.is_some_and(|frame| frame.code == *code);
        let locals = wanted.filter(is_wanted).map_or(0, |(_, locals)| 8 * locals as usize);
        let start = link.frame.map_or(0, |frame| frame.locals.raw().saturating_sub(link.addr.raw()) as usize);
        if locals == 0 || locals > room {
            return Span::new(link.addr, header);
        }
        room -= locals;
        Span::new(link.addr, (start + locals).max(header))
    };
    // Frames on the thread's own stack are adjacent and change first, so they are read nearest to the middle; those of
    // generators are scattered.
    let has_stack = matches!(layout.frames, Frames::Embedded(_));
    let is_on_stack = |link: &Link| has_stack && link.frame.is_none_or(|frame| frame.generator.is_none());
    let (mut on_stack, mut elsewhere) = (Vec::new(), Vec::new());
    for (_, link) in &frames {
        if is_on_stack(link) { &mut on_stack } else { &mut elsewhere }.push(span(link));
    }
    elsewhere.reverse();
    on_stack.sort_by_key(|span| span.addr);
    let windows = merge_in_order(&on_stack).into_iter().map(|window| {
        let end = window.addr.raw() + window.len as u64;
        // Not into the next page, which may not exist.
        let ahead = AHEAD.min(end.next_multiple_of(PAGE) - end);
        Span::new(window.addr, window.len + ahead as usize)
    });
    (merge_in_order(&elsewhere), windows.collect())
}

/// The piece that contains those of these places on the C stack that share a page with the last one: they are near each
/// other, and a second page would take as long again. Without a last one, the pieces that contain all.
pub(super) fn notes_of(places: &[Addr], last: Option<Addr>) -> Vec<Span> {
    let near = places.iter().filter(|addr| last.is_none_or(|last| addr.raw() / PAGE == last.raw() / PAGE));
    let mut spans: Vec<Span> = near.map(|addr| Span::new(*addr, 8)).collect();
    spans.sort_by_key(|span| span.addr);
    merge_in_order(&spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::frame::Instruction;
    use crate::python::layout::rows;

    #[test]
    fn locals_of_a_recursion_are_read_up_to_a_limit_of_the_innermost_first() {
        let layout = rows::row(12, false).expect("3.12 is known");
        let addr = |raw| Addr::new(raw).expect("no address here is 0");
        let code = addr(0x1000);
        let locals = 10_000;
        let frames = (0..5_000).map(|depth| {
            let start = 0x10_0000_0000 - 0x10_0000 * depth as u64;
            let frame = RawFrame {
                code,
                instruction: Instruction::Offset(0),
                generator: None,
                locals: addr(start + 72),
                live_slots: 0,
            };
            (depth, Link { addr: addr(start), frame: Some(frame), previous: 0, at: (0, 0) })
        });
        let (elsewhere, windows) = pieces_of(&layout, frames.collect(), Some((code, locals)));
        assert!(elsewhere.is_empty());
        let bytes: usize = windows.iter().map(|span| span.len).sum();
        assert!(bytes < MAX_LOCALS + 5_000 * (header_len(&layout) + AHEAD as usize), "{bytes}");
        let is_whole = |depth: usize| windows[windows.len() - 1 - depth].len > 8 * locals as usize;
        assert!(is_whole(0) && is_whole(12) && !is_whole(13) && !is_whole(4_999));
    }
}
