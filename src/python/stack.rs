//! The stack of a thread: the frames it is executing now, and the proof that they were all there at one moment.
//! It must not know tasks; who runs what is decided by whoever compares the generators in the stack.

use super::block::Block;
use super::circle::CircleWatch;
use super::exception_stack::is_rightly_linked;
use super::frame::{
    EMBEDDED_HEADER, FRAME_OBJECT_HEADER, OWNED_BY_GENERATOR, RawFrame, decode_embedded, decode_frame_object,
};
use super::layout::{EmbeddedFrames, FrameHead, FrameObjects, Frames, GeneratorFrame, Layout};
use super::reader::optional;
use crate::remote::{Addr, Memory, ReadError, Span, View};

/// LIMIT: frames of one thread. The interpreter's own limit is 1,000 by default; programs raise it up to where the C
/// stack ends, some ten thousand.
const MAX_FRAMES: usize = 50_000;

/// LIMIT: how often a stack that moved is read again.
const ATTEMPTS: u32 = 8;

/// A thread's frames.
#[derive(Clone, Debug, Default)]
pub struct ThreadStack {
    /// Outermost first.
    pub frames: Vec<RawFrame>,
    /// Whether `frames` reaches the innermost frame; if not, the inner part moved while being read, or did not read.
    pub complete: bool,
    /// Attempts that did not hold together.
    pub torn: u32,
}

/// Frames of one attempt, innermost first.
#[derive(Default)]
struct Attempt {
    /// The way to the current frame; the last one holds its address.
    head: Vec<Anchor>,
    frames: Vec<Link>,
    whole: bool,
}

impl Attempt {
    /// Whether the outermost frame can be a thread's first: a generator that is being resumed or left has no caller for a
    /// moment, but no thread begins with one.
    fn begins(&self) -> bool {
        self.frames.last().and_then(|link| link.frame).is_none_or(|frame| frame.generator.is_none())
    }
}

/// A frame of an attempt: where it is, what it runs (shims run nothing), and the piece that proves it.
struct Link {
    addr: Addr,
    frame: Option<RawFrame>,
    anchor: Anchor,
}

/// A piece and the bytes it had.
struct Anchor {
    span: Span,
    bytes: Vec<u8>,
}

impl Anchor {
    fn new(view: &mut View<'_>, addr: Addr, len: usize) -> Result<Self, ReadError> {
        Ok(Self { span: Span::new(addr, len), bytes: view.bytes(addr, len)? })
    }
}

/// Reads the stack of the thread whose state is at `tstate`. Accepted is only what a second reading, in one call, shows
/// unchanged between two looks at the pointer to the current frame; the innermost frame's own instruction pointer is
/// left out, because it moves all the time and only gives the line.
pub fn read_thread_stack(memory: &dyn Memory, layout: &Layout, tstate: Addr) -> Result<ThreadStack, ReadError> {
    let mut best = ThreadStack::default();
    for attempt in 0..ATTEMPTS {
        let mut view = View::new(memory);
        let read = match &layout.frames {
            Frames::Objects(fields) => read_frame_objects(&mut view, fields, tstate),
            Frames::Embedded(fields) => read_embedded(&mut view, layout, fields, tstate),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if error.is_fatal() => return Err(error),
            Err(_) => continue,
        };
        let proof = prove(memory, &read);
        let frames: Vec<RawFrame> =
            read.frames[proof.current..].iter().rev().take(proof.held).filter_map(|link| link.frame).collect();
        if read.whole && proof.current + proof.held == read.frames.len() {
            // An image may not have the exceptions.
            let top = optional(view.u64(tstate, layout.exceptions.top))?;
            let innermost_first = frames.iter().rev().copied();
            match top {
                Some(top) if !is_rightly_linked(&mut view, layout, (tstate, top), innermost_first)? => continue,
                _ => return Ok(ThreadStack { frames, complete: true, torn: attempt }),
            }
        }
        // The outer part that held, if the walk reached the outermost frame at all.
        if read.whole && frames.len() > best.frames.len() {
            best.frames = frames;
        }
    }
    best.torn = ATTEMPTS;
    Ok(best)
}

/// What a second reading showed.
struct Proof {
    /// Position of the frame that is the current one now; those before it have returned.
    current: usize,
    /// How many frames from the outermost inwards, up to the current one, were unchanged.
    held: usize,
}

/// Reads all anchors again in one call, the head first and last. A frame is proved alive when the current frame was the
/// same before and after and is one of ours at or below it: whatever lies outwards of a live frame is alive. Frames that
/// have returned are left in memory as they were, so their being unchanged proves nothing.
fn prove(memory: &dyn Memory, attempt: &Attempt) -> Proof {
    let links = attempt.frames.iter().map(|link| &link.anchor);
    let anchors: Vec<&Anchor> = attempt.head.iter().chain(links).chain(&attempt.head).collect();
    let spans: Vec<Span> = anchors.iter().map(|anchor| anchor.span).collect();
    let mut out = vec![0; spans.iter().map(|span| span.len).sum()];
    let mut results = Vec::with_capacity(spans.len());
    memory.read_batch(&spans, &mut out, &mut results);
    let mut rest = &out[..];
    let mut now = Vec::with_capacity(spans.len());
    for (span, result) in spans.iter().zip(&results) {
        let (bytes, after) = rest.split_at(span.len);
        rest = after;
        now.push(result.is_ok().then_some(bytes));
    }
    let (heads, count) = (attempt.head.len(), attempt.frames.len());
    let nothing = Proof { current: count, held: 0 };
    let (before, after) = (&now[..heads], &now[heads + count..]);
    if before != after {
        return if count == 0 { Proof { current: 0, held: 1 } } else { nothing };
    }
    let same = |index: usize| now[index] == Some(&anchors[index].bytes[..]);
    if !(0..heads.saturating_sub(1)).all(same) {
        return nothing;
    }
    let current = before.last().copied().flatten().and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    if count == 0 {
        // A thread without a frame: proved if it still has none.
        return Proof { current: 0, held: usize::from(current != Some(0)) };
    }
    let Some(current) = attempt.frames.iter().position(|link| Some(link.addr.raw()) == current) else {
        return nothing;
    };
    let held = (current..count).rev().take_while(|index| same(heads + index)).count();
    Proof { current, held }
}

fn read_frame_objects(view: &mut View<'_>, fields: &FrameObjects, tstate: Addr) -> Result<Attempt, ReadError> {
    let head_at = tstate.add(fields.head).ok_or(ReadError::BadPointer(tstate.raw()))?;
    let mut attempt = Attempt { head: vec![Anchor::new(view, head_at, 8)?], ..Attempt::default() };
    let mut next = view.pointer(head_at, 0)?;
    let mut circle = CircleWatch::default();
    while let Some(addr) = next {
        if attempt.frames.len() >= MAX_FRAMES || circle.comes_back(addr) {
            return Ok(attempt);
        }
        let bytes: [u8; FRAME_OBJECT_HEADER] = view.array(addr)?;
        let header = decode_frame_object(fields, addr, Block(&bytes))?;
        // The innermost frame is proved by its links and code; the others also by their instruction.
        let start = addr.add(fields.back).ok_or(ReadError::BadPointer(addr.raw()))?;
        let len = if attempt.frames.is_empty() { fields.code + 8 } else { fields.lasti + 4 } - fields.back;
        let frame = RawFrame { live_slots: 0, ..header.frame };
        attempt.frames.push(Link { addr, frame: Some(frame), anchor: Anchor::new(view, start, len as usize)? });
        next = header.back;
    }
    attempt.whole = attempt.begins();
    Ok(attempt)
}

fn read_embedded(
    view: &mut View<'_>,
    layout: &Layout,
    fields: &EmbeddedFrames,
    tstate: Addr,
) -> Result<Attempt, ReadError> {
    let at = |addr: Addr, offset| addr.add(offset).ok_or(ReadError::BadPointer(addr.raw()));
    let mut attempt = Attempt::default();
    let head_at = match fields.head {
        FrameHead::ThreadState(offset) => at(tstate, offset)?,
        FrameHead::CFrame { cframe, current_frame } => {
            attempt.head.push(Anchor::new(view, at(tstate, cframe)?, 8)?);
            // The cframe lies on the C stack: aligned, but not an object.
            at(view.object(tstate, cframe)?, current_frame)?
        }
    };
    attempt.head.push(Anchor::new(view, head_at, 8)?);
    let base = layout.thread.base_frame.map(|offset| view.u64(tstate, offset)).transpose()?;
    let mut next = view.pointer(head_at, 0)?;
    let (mut last, mut circle) = (0, CircleWatch::default());
    while let Some(addr) = next {
        if attempt.frames.len() >= MAX_FRAMES || circle.comes_back(addr) {
            return Ok(attempt);
        }
        let bytes: [u8; EMBEDDED_HEADER] = view.array(addr)?;
        let header = decode_embedded(layout, fields, addr, Block(&bytes))?;
        let frame = header.frame.map(|frame| RawFrame {
            generator: owning_generator(layout, header.owner, addr),
            live_slots: 0,
            ..frame
        });
        // The innermost frame's instruction pointer and stack pointer move all the time; see above.
        let len = if attempt.frames.is_empty() { fields.instr.min(fields.localsplus) } else { fields.instr + 8 };
        attempt.frames.push(Link { addr, frame, anchor: Anchor::new(view, addr, len as usize)? });
        last = addr.raw();
        next = Addr::aligned(header.previous);
        if next.is_none() && header.previous != 0 {
            return Err(ReadError::BadPointer(header.previous));
        }
    }
    // Where the thread has a sentinel frame, a walk that ends elsewhere was led astray.
    attempt.whole = attempt.begins() && base.is_none_or(|base| base == last || attempt.frames.is_empty());
    Ok(attempt)
}

/// The generator around an embedded frame.
fn owning_generator(layout: &Layout, owner: i8, frame: Addr) -> Option<Addr> {
    match layout.generator.frame {
        GeneratorFrame::Embedded { iframe, .. } if owner == OWNED_BY_GENERATOR => frame.sub(iframe),
        _ => None,
    }
}
