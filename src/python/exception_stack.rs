//! The exceptions that a thread is handling, as evidence of which generator it executes.

use super::frame::RawFrame;
use super::layout::{Frames, Layout};
use super::reader::optional;
use crate::remote::{Addr, ReadError, View};

/// Whether the current frame can have been called by its `previous`; `frames` are the thread's, innermost first, and
/// `top` is the topmost entry in the thread state.
///
/// A call makes a frame the current one and links it to its caller, in whichever order the compiler chose. A thread
/// that is preempted between the two shows, until it runs again, a frame that is linked to the caller of an earlier
/// frame at the same place, and nothing changes. A caller on the thread's own stack is correct nevertheless, because a
/// place on it belongs to what lies below. Only generators can be missing, and the topmost entry is that of the
/// innermost of them. Only a frame that has not gone beyond its first instruction is in doubt, because extensions can
/// have generators and entries of their own.
///
/// # Errors
/// Only if no more reads can succeed.
// CPython: Python/ceval_macros.h, DISPATCH_INLINED; Python/bytecodes.c, SEND.
pub fn links_are_consistent(
    view: &mut View<'_>,
    layout: &Layout,
    (tstate, top): (Addr, u64),
    frames: impl Iterator<Item = RawFrame>,
) -> Result<bool, ReadError> {
    let mut frames = frames.peekable();
    let Some(&current) = frames.peek() else { return Ok(true) };
    // Frame objects are linked before anything else.
    if matches!(layout.frames, Frames::Objects(_)) {
        return Ok(true);
    }
    let exceptions = &layout.exceptions;
    let innermost = match frames.find_map(|frame| frame.generator) {
        Some(generator) => generator.add(exceptions.of_generator),
        None => tstate.add(exceptions.of_thread),
    };
    let is_witnessed = innermost.is_some_and(|entry| entry.raw() == top);
    if is_witnessed || current.generator.is_some() {
        return Ok(true);
    }
    Ok(optional(current.is_at_its_beginning(view, layout))? == Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::frame::Instruction;
    use crate::python::layout::{CodeBody, rows};
    use crate::remote::{Memory, Span};

    const TSTATE: u64 = 0x1000;
    const CODE: u64 = 0x2000;
    const CORO: u64 = 0x3000;
    const OUTER_CORO: u64 = 0x4000;

    /// A memory that does not contain anything that is read here.
    struct Nothing;

    impl Memory for Nothing {
        fn read_batch(&self, spans: &[Span], _: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            results.clear();
            results.extend(spans.iter().map(|span| Err(ReadError::Unmapped(span.addr))));
        }
    }

    fn addr(raw: u64) -> Addr {
        Addr::new(raw).expect("no address here is 0")
    }

    /// A frame `offset` bytes after its first instruction.
    fn frame(layout: &Layout, offset: u64, generator: Option<u64>) -> RawFrame {
        let first = match layout.code.body {
            CodeBody::Inline { adaptive, .. } => CODE + adaptive,
            CodeBody::Objects { .. } => panic!("3.11 and later"),
        };
        RawFrame {
            code: addr(CODE),
            instruction: Instruction::Pointer { at: first + offset, copy: 0 },
            generator: generator.map(addr),
            locals: addr(CODE),
            live_slots: 0,
        }
    }

    fn is_right(layout: &Layout, top: u64, frames: &[RawFrame]) -> bool {
        let mut view = View::new(&Nothing);
        links_are_consistent(&mut view, layout, (addr(TSTATE), top), frames.iter().copied()).expect("nothing is read")
    }

    #[test]
    fn a_frame_that_begins_has_the_innermost_generator_as_its_caller() {
        for layout in (11..=rows::NEWEST_MINOR).filter_map(|minor| rows::row(minor, false)) {
            let (of_thread, of_generator) = (layout.exceptions.of_thread, layout.exceptions.of_generator);
            let (begun, beginning) = (frame(&layout, 8, None), frame(&layout, 0, None));
            let (coro, outer) = (frame(&layout, 8, Some(CORO)), frame(&layout, 8, Some(OUTER_CORO)));
            // Called by the innermost generator, or by none.
            assert!(is_right(&layout, CORO + of_generator, &[beginning, coro, outer]));
            assert!(is_right(&layout, TSTATE + of_thread, &[beginning, begun]));
            // The innermost generator is missing, and perhaps others with it.
            assert!(!is_right(&layout, CORO + of_generator, &[beginning, outer]));
            assert!(!is_right(&layout, CORO + of_generator, &[beginning, begun]));
            // Extensions' own generators have entries too.
            assert!(is_right(&layout, 0x5000, &[begun, outer]));
            assert!(is_right(&layout, OUTER_CORO + of_generator, &[coro, outer]));
            assert!(is_right(&layout, TSTATE + of_thread, &[]));
        }
    }
}
