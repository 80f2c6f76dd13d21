//! The stack around a greenlet that runs. A coroutine that goes over to a greenlet is left in the middle of its step, with
//! everything that called it, on a stack of its own; the thread's current frame is on that of the greenlet, from which
//! nothing leads back.

use super::awaitable::AwaitableKind;
use super::caches::Caches;
use super::frame::{RawFrame, decode_running, header_len, untag};
use super::layout::{Frames, GeneratorFrame, Layout};
use super::reader::optional;
use crate::remote::{Addr, Memory, ReadError, View};

/// LIMIT: coroutines of one step, each awaited by the one before; the interpreter's own limit is 1,000 by default.
const MAX_COROUTINES: usize = 1_000;

/// LIMIT: frames of the stack.
const MAX_FRAMES: usize = 10_000;

/// LIMIT: slots of a frame in which the coroutine that it awaits is searched.
const MAX_SLOTS: usize = 64;

/// The frames of the stack on which `coroutine` is in the middle of a step, outermost first, up to the innermost coroutine
/// of that step. Functions that this one calls, and that go over to the greenlet in turn, are not among them. Empty if it
/// is not in a step, or if the greenlet whose outermost frame is `root` was not shown to run all the while.
///
/// # Errors
/// If no more reads can succeed.
pub fn read_stack_around_greenlet(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    coroutine: Addr,
    root: &RawFrame,
) -> Result<Vec<RawFrame>, ReadError> {
    let around = optional(read_around(&mut View::new(memory), layout, caches, coroutine))?.unwrap_or_default();
    // Until the greenlet has ended, its outermost frame is in the same call, and the coroutine cannot go on.
    let localsplus = match &layout.frames {
        Frames::Objects(fields) => fields.localsplus,
        Frames::Embedded(fields) => fields.localsplus,
    };
    let Some(addr) = root.locals.sub(localsplus).filter(|_| !around.is_empty()) else { return Ok(Vec::new()) };
    let now = optional(read_frame(&mut View::new(memory), layout, addr))?.and_then(|(frame, _)| frame);
    Ok(if now == Some(RawFrame { live_slots: 0, ..*root }) { around } else { Vec::new() })
}

fn read_around(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    coroutine: Addr,
) -> Result<Vec<RawFrame>, ReadError> {
    let Some(outer) = executing_frame(view, layout, caches, coroutine)? else { return Ok(Vec::new()) };
    let mut inner = outer;
    for _ in 0..MAX_COROUTINES {
        let Some(awaited) = find_awaited(view, layout, caches, inner)? else { break };
        inner = awaited;
    }
    let (mut frames, mut next, mut has_outer) = (Vec::new(), Some(inner), false);
    while let Some(addr) = next {
        if frames.len() == MAX_FRAMES {
            return Err(ReadError::Limit("frames around a greenlet"));
        }
        let (frame, caller) = read_frame(view, layout, addr)?;
        frames.extend(frame);
        has_outer |= addr == outer;
        next = caller;
    }
    frames.reverse();
    if has_outer { Ok(frames) } else { Err(ReadError::Invalid("stack around a greenlet")) }
}

fn read_frame(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<(Option<RawFrame>, Option<Addr>), ReadError> {
    let header = view.bytes(addr, header_len(layout))?;
    let (frame, caller) = decode_running(layout, addr, &header)?;
    Ok((frame, Addr::aligned(caller)))
}

/// The frame of a coroutine, generator or async generator, or of what is wrapped in this object, if it is executing.
fn executing_frame(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    object: Addr,
) -> Result<Option<Addr>, ReadError> {
    let mut kind_of = |view: &mut View<'_>, object: Addr| {
        let ty = view.object(object, layout.object.ob_type)?;
        caches.awaitables.kind(view, layout, &mut caches.types, &mut caches.attributes, ty)
    };
    let generator = match kind_of(view, object)? {
        AwaitableKind::Generator => object,
        AwaitableKind::Wrapper => {
            let wrapped = view.object(object, layout.builtin.wrapped)?;
            if kind_of(view, wrapped)? != AwaitableKind::Generator {
                return Ok(None);
            }
            wrapped
        }
        AwaitableKind::Cython { .. } | AwaitableKind::Other => return Ok(None),
    };
    match (layout.generator.frame, &layout.frames) {
        (GeneratorFrame::Embedded { state, iframe }, _) => {
            let is_executing = view.bytes(generator, state as usize + 1)?.last().map(|state| state.cast_signed())
                == Some(layout.generator.states.executing);
            Ok(generator.add(iframe).filter(|_| is_executing))
        }
        (GeneratorFrame::Object { frame, .. }, Frames::Objects(fields)) => {
            let Some(frame) = view.pointer(generator, frame)? else { return Ok(None) };
            // The state up to 3.9 is a flag of the frame: `f_executing`.
            let (at, executing) = fields.executing;
            let state = view.bytes(frame, at as usize + 1)?.last().map(|state| state.cast_signed());
            Ok((state == Some(executing)).then_some(frame))
        }
        (GeneratorFrame::Object { .. }, Frames::Embedded(_)) => Err(ReadError::Invalid("generator layout")),
    }
}

/// The frame of the coroutine that a frame in the middle of a step awaits: an executing one that was called from here.
fn find_awaited(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    frame: Addr,
) -> Result<Option<Addr>, ReadError> {
    let (Some(raw), _) = read_frame(view, layout, frame)? else { return Ok(None) };
    // How many slots are in use is not known: the last of them may lie beyond the frame.
    for index in 0..MAX_SLOTS {
        let Some(word) = raw.locals.add(8 * index as u64).map(|at| view.u64(at, 0)) else { break };
        let Some(word) = optional(word)? else { break };
        let Some(object) = untag(layout, word) else { continue };
        let Some(awaited) = optional(executing_frame(view, layout, caches, object))?.flatten() else { continue };
        if awaited != frame && optional(read_frame(view, layout, awaited))?.is_some_and(|(_, from)| from == Some(frame))
        {
            return Ok(Some(awaited));
        }
    }
    Ok(None)
}
