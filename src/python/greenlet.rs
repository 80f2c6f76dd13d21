//! The greenlet package, by which one thread has several stacks: a greenlet that waits keeps the frames of its own, from the
//! function that it runs to the call in which it went over to another.

use super::block::Block;
use super::caches::Caches;
use super::frame::{EMBEDDED_HEADER, FRAME_OBJECT_HEADER, RawFrame, decode_embedded, decode_frame_object, untag};
use super::greenlet_cache::TopFrame;
use super::layout::{Frames, Layout};
use super::reader::{Reader, optional};
use super::text::read_c_str;
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: frames of one greenlet; the interpreter's own limit is 1,000 by default.
const MAX_FRAMES: usize = 10_000;

/// LIMIT: bases of a class that are followed to `greenlet.greenlet`.
const MAX_BASES: usize = 16;

/// LIMIT: words of a greenlet, and of the state that it points to, that are searched for its frame.
const MAX_WORDS: u64 = 40;

/// Whether an interpreter has imported greenlet, so that its threads can have stacks of greenlets.
///
/// # Errors
/// If no more reads can succeed.
pub fn has_greenlets(reader: &mut Reader<'_, '_>, interpreter: Addr) -> Result<bool, ReadError> {
    Ok(optional(reader.module(interpreter, "greenlet"))?.flatten().is_some())
}

/// The frames of a greenlet that waits.
#[derive(Debug, Default)]
pub struct Suspended {
    /// Outermost first.
    pub frames: Vec<RawFrame>,
    /// If these are unchanged when read again, the frames are still these.
    pub anchors: Vec<Span>,
}

/// The frames of the one greenlet that waits among the local variables of a suspended frame; `None` if there is none, or
/// several, of which it is not known which one the frame goes on in.
///
/// # Errors
/// If something cannot be read as the expected object.
pub fn read_greenlet_of(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    frame: &RawFrame,
) -> Result<Option<(Addr, Suspended)>, ReadError> {
    let locals = caches.codes.get(view, layout, &mut caches.types, frame.code)?.locals;
    let mut found: Option<(Addr, Suspended)> = None;
    for index in 0..locals.min(frame.live_slots) {
        let raw = frame.slot(view, index)?;
        let Some(object) = untag(layout, raw) else { continue };
        let ty = view.object(object, layout.object.ob_type)?;
        let is_known = found.as_ref().is_some_and(|(greenlet, _)| *greenlet == object);
        if is_known || !is_greenlet(view, layout, caches, ty)? {
            continue;
        }
        if let Some(suspended) = read_suspended(view, layout, caches, object, ty)? {
            if found.is_some() {
                return Ok(None);
            }
            found = Some((object, suspended));
        }
    }
    Ok(found)
}

fn is_greenlet(view: &mut View<'_>, layout: &Layout, caches: &mut Caches, ty: Addr) -> Result<bool, ReadError> {
    if let Some(known) = caches.greenlets.types.get(&ty) {
        return Ok(*known);
    }
    let (mut at, mut is_greenlet) = (Some(ty), false);
    for _ in 0..MAX_BASES {
        let Some(addr) = at.filter(|_| !is_greenlet) else { break };
        let info = caches.types.get(view, layout, addr)?;
        // greenlet: src/greenlet/greenlet.c, 1.1.3; PyGreenlet.cpp, 3.5.6: tp_name.
        is_greenlet = info.name == "greenlet.greenlet";
        at = info.base;
    }
    caches.greenlets.types.insert(ty, is_greenlet);
    Ok(is_greenlet)
}

/// The frames of a greenlet; `None` if it runs, has not begun, has ended, or is the thread's own.
fn read_suspended(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    greenlet: Addr,
    ty: Addr,
) -> Result<Option<Suspended>, ReadError> {
    let place = match caches.greenlets.top_frame {
        Some(place) => place,
        None => {
            let size = caches.types.get(view, layout, ty)?.basicsize.unsigned_abs();
            let Some(place) = find_top_frame(view, layout, greenlet, size)? else { return Ok(None) };
            caches.greenlets.top_frame = Some(place);
            place
        }
    };
    let holder = match place.state {
        Some(at) => view.object(greenlet, at)?,
        None => greenlet,
    };
    let Some(frame_object) = view.pointer(holder, place.at)? else { return Ok(None) };
    if !is_frame(view, layout, frame_object)? {
        return Err(ReadError::Invalid("greenlet"));
    }
    let mut suspended = Suspended::default();
    suspended.anchors.extend(holder.add(place.at).map(|at| Span::new(at, 8)));
    match &layout.frames {
        Frames::Objects(_) => suspended.follow_frame_objects(view, layout, frame_object)?,
        Frames::Embedded(_) => {
            // f_back, then f_frame. CPython: Include/internal/pycore_frame.h, 3.11 to 3.15: struct _frame.
            let at = layout.object.size + 8;
            suspended.anchors.extend(frame_object.add(at).map(|at| Span::new(at, 8)));
            let frame = view.object(frame_object, at)?;
            suspended.follow_embedded(view, layout, frame)?;
        }
    }
    suspended.frames.reverse();
    // The thread's own stack is not that of a function which some coroutine runs.
    let Some(outermost) = suspended.frames.first() else { return Ok(None) };
    let code = caches.codes.get(view, layout, &mut caches.types, outermost.code)?;
    Ok((!code.begins_a_thread()).then_some(suspended))
}

impl Suspended {
    /// Up to 3.10.
    fn follow_frame_objects(&mut self, view: &mut View<'_>, layout: &Layout, first: Addr) -> Result<(), ReadError> {
        let Frames::Objects(fields) = &layout.frames else { return Err(ReadError::Invalid("frame layout")) };
        let mut next = Some(first);
        while let Some(addr) = next {
            let bytes: [u8; FRAME_OBJECT_HEADER] = view.array(addr)?;
            let header = decode_frame_object(fields, addr, Block(&bytes))?;
            let from = addr.add(fields.back).ok_or(ReadError::BadPointer(addr.raw()))?;
            self.anchors.push(Span::new(from, FRAME_OBJECT_HEADER - fields.back as usize));
            self.push(header.frame)?;
            next = header.back;
        }
        Ok(())
    }

    /// 3.11 and later. Before it waits, greenlet takes the interpreter's entry frames out of the list: they lie on the C
    /// stack, which is copied away. greenlet: src/greenlet/TPythonState.cpp, 3.0.0: expose_frames.
    fn follow_embedded(&mut self, view: &mut View<'_>, layout: &Layout, first: Addr) -> Result<(), ReadError> {
        let Frames::Embedded(fields) = &layout.frames else { return Err(ReadError::Invalid("frame layout")) };
        let mut next = Some(first);
        while let Some(addr) = next {
            let bytes: [u8; EMBEDDED_HEADER] = view.block(addr, fields.localsplus as usize)?;
            let header = decode_embedded(layout, fields, addr, Block(&bytes))?;
            self.anchors.push(Span::new(addr, fields.localsplus as usize));
            if let Some(frame) = header.frame {
                self.push(frame)?;
            }
            next = Addr::aligned(header.previous);
        }
        Ok(())
    }

    /// A frame in a call: nothing of its evaluation stack is saved.
    fn push(&mut self, frame: RawFrame) -> Result<(), ReadError> {
        if self.frames.len() == MAX_FRAMES {
            return Err(ReadError::Limit("frames of a greenlet"));
        }
        self.frames.push(RawFrame { live_slots: 0, generator: None, ..frame });
        Ok(())
    }
}

/// Finds where greenlets keep their frame: in the first word that leads to a frame object.
// greenlet: src/greenlet/greenlet.h, 1.1.3: top_frame; greenlet_greenlet.hpp and PyGreenlet.hpp, 2.0.2 to 3.5.6: pimpl,
// PythonState::_top_frame.
fn find_top_frame(
    view: &mut View<'_>,
    layout: &Layout,
    greenlet: Addr,
    size: u64,
) -> Result<Option<TopFrame>, ReadError> {
    let words = |from: u64, end: u64| (from..end.min(from + 8 * MAX_WORDS)).step_by(8);
    let mut states = Vec::new();
    for at in words(layout.object.size, size) {
        let Some(object) = optional(view.pointer(greenlet, at))?.flatten() else { continue };
        if optional(is_frame(view, layout, object))?.unwrap_or(false) {
            return Ok(Some(TopFrame { state: None, at }));
        }
        states.push((at, object));
    }
    for (state, object) in states {
        for at in words(0, u64::MAX) {
            let Some(Some(frame)) = optional(view.pointer(object, at))? else { continue };
            if optional(is_frame(view, layout, frame))?.unwrap_or(false) {
                return Ok(Some(TopFrame { state: Some(state), at }));
            }
        }
    }
    Ok(None)
}

/// Whether this is a frame object. It need not be an object at all: nothing of it is kept.
fn is_frame(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<bool, ReadError> {
    const NAME: &str = "frame";
    let ty = view.object(addr, layout.object.ob_type)?;
    let name = view.u64(ty, layout.types.name)?;
    let name = Addr::new(name).ok_or(ReadError::BadPointer(name))?;
    Ok(read_c_str(view, name, NAME.len() + 1)? == NAME)
}
