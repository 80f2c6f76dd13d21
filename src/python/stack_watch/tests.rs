//! What is kept of a stack that was never shown to be possible, read from a memory that changes on cue.

use std::cell::Cell;

use super::*;
use crate::python::layout::{GeneratorFrame, rows};

const TSTATE: u64 = 0x1000;
const OUTERMOST: u64 = 0x2000;
const CALLER: u64 = 0x2100;
const INNERMOST: u64 = 0x2200;
const CODE: u64 = 0x4000;
/// No frame can be read there.
const UNMAPPED: u64 = 0x9_0000;
/// The thread has no frame.
const NO_FRAME: u64 = 0;

/// Three frames on a thread's own stack. The innermost one is current only in the first calls.
struct Changing {
    bytes: Vec<u8>,
    /// Place of the pointer to the current frame.
    current: u64,
    calls_left: Cell<u32>,
    /// What is current afterwards.
    then: u64,
}

impl Changing {
    fn new(layout: &Layout, calls: u32, then: u64) -> Self {
        let Frames::Embedded(fields) = &layout.frames else { panic!("3.11 and later") };
        let FrameHead::ThreadState(current) = fields.head else { panic!("3.13 and later") };
        let mut memory = Self { bytes: vec![0; 0x8000], current: TSTATE + current, calls_left: Cell::new(calls), then };
        memory.put(TSTATE + layout.exceptions.top, TSTATE + layout.exceptions.of_thread);
        for (number, (frame, caller)) in
            [(OUTERMOST, 0), (CALLER, OUTERMOST), (INNERMOST, CALLER)].into_iter().enumerate()
        {
            memory.put(frame + fields.executable, CODE + 0x100 * number as u64);
            memory.put(frame + fields.previous, caller);
            memory.put(frame + fields.instr, CODE + 0x100 * number as u64 + 0xE0);
        }
        memory
    }

    fn put(&mut self, at: u64, word: u64) {
        self.bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_le_bytes());
    }
}

impl Memory for Changing {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        let holds_current = |span: &Span| (span.addr.raw()..span.addr.raw() + span.len as u64).contains(&self.current);
        let mut bytes = self.bytes.clone();
        if spans.iter().any(holds_current) {
            let current = if self.calls_left.get() > 0 { INNERMOST } else { self.then };
            bytes[self.current as usize..self.current as usize + 8].copy_from_slice(&current.to_le_bytes());
            self.calls_left.set(self.calls_left.get().saturating_sub(1));
        }
        results.clear();
        let mut at = 0;
        for span in spans {
            let start = span.addr.raw() as usize;
            let read = bytes.get(start..start + span.len);
            if let Some(read) = read {
                out[at..at + span.len].copy_from_slice(read);
            }
            results.push(read.map(|_| ()).ok_or(ReadError::Unmapped(span.addr)));
            at += span.len;
        }
    }
}

fn sampled(calls: u32, then: u64) -> (Sampled, Vec<u64>) {
    let layout = rows::row(13, false).expect("3.13 is known");
    // One call is made to find out what can be read.
    let memory = Changing::new(&layout, calls + 1, then);
    let tstate = Addr::new(TSTATE).expect("not 0");
    let mut watch = StackWatch::new(&memory, &layout, tstate, &[]).expect("the thread state can be read");
    let sampled = watch.sample(&memory, &layout, &[], &[], &[]).expect("nothing fails for good");
    (sampled, watch.frames().iter().map(|frame| frame.addr.raw()).collect())
}

#[test]
fn a_new_stack_is_complete_when_three_calls_show_it() {
    // The first call finds the frames.
    assert_eq!(sampled(1 + SHOWN, UNMAPPED), (Sampled::Complete { same: false }, vec![INNERMOST, CALLER, OUTERMOST]));
}

#[test]
fn what_two_calls_show_is_kept_without_its_innermost_frame() {
    assert_eq!(sampled(1 + SHOWN - 1, UNMAPPED), (Sampled::Partial, vec![CALLER, OUTERMOST]));
}

#[test]
fn what_one_call_shows_is_not_kept() {
    assert_eq!(sampled(1 + 1, UNMAPPED), (Sampled::Lost, vec![]));
}

#[test]
fn a_thread_that_loses_its_last_frame_has_none() {
    let layout = rows::row(13, false).expect("3.13 is known");
    let memory = Changing::new(&layout, 1 + 1 + SHOWN, NO_FRAME);
    let tstate = Addr::new(TSTATE).expect("not 0");
    let mut watch = StackWatch::new(&memory, &layout, tstate, &[]).expect("the thread state can be read");
    let mut sample = || watch.sample(&memory, &layout, &[], &[], &[]).expect("nothing fails for good");
    assert_eq!(sample(), Sampled::Complete { same: false });
    assert_eq!(sample(), Sampled::Complete { same: false });
    assert!(watch.frames().is_empty());
}

/// Marks the outermost frame as that of a generator, whose type has this name; `None`: what should be one is no object.
fn begins_in_generator(type_name: Option<&str>) -> (Sampled, Vec<(u64, bool)>) {
    const TYPE: u64 = 0x5000;
    const METATYPE: u64 = 0x5800;
    const NAMES: u64 = 0x6000;
    let layout = rows::row(13, false).expect("3.13 is known");
    let Frames::Embedded(fields) = &layout.frames else { panic!("3.11 and later") };
    let GeneratorFrame::Embedded { iframe, .. } = layout.generator.frame else { panic!("3.11 and later") };
    let mut memory = Changing::new(&layout, 40, UNMAPPED);
    memory.bytes[(OUTERMOST + fields.owner) as usize] = 1;
    if let Some(name) = type_name {
        let names = format!("{name}\0type\0");
        memory.bytes[NAMES as usize..NAMES as usize + names.len()].copy_from_slice(names.as_bytes());
        memory.put(OUTERMOST - iframe + layout.object.ob_type, TYPE);
        for (ty, name_at) in [(TYPE, NAMES), (METATYPE, NAMES + name.len() as u64 + 1)] {
            memory.put(ty + layout.object.ob_type, METATYPE);
            memory.put(ty + layout.types.name, name_at);
            // Py_TPFLAGS_TYPE_SUBCLASS and Py_TPFLAGS_READY.
            memory.put(ty + layout.types.flags, 1 << 31 | 1 << 12);
        }
    }
    let tstate = Addr::new(TSTATE).expect("not 0");
    let mut watch = StackWatch::new(&memory, &layout, tstate, &[]).expect("the thread state can be read");
    let sampled = watch.sample(&memory, &layout, &[], &[], &[]).expect("nothing fails for good");
    let is_of_generator = |frame: &WatchedFrame| frame.frame.is_some_and(|frame| frame.generator.is_some());
    (sampled, watch.frames().iter().map(|frame| (frame.addr.raw(), is_of_generator(frame))).collect())
}

#[test]
fn a_frame_of_compiled_code_begins_a_stack_though_it_is_marked_as_a_generators() {
    let whole = vec![(INNERMOST, false), (CALLER, false), (OUTERMOST, false)];
    assert_eq!(begins_in_generator(None), (Sampled::Complete { same: false }, whole.clone()));
    assert_eq!(begins_in_generator(Some("Nuitka_Frame")), (Sampled::Complete { same: false }, whole));
}

#[test]
fn a_generator_without_a_caller_never_begins_a_stack() {
    for name in ["generator", "coroutine", "async_generator"] {
        assert_eq!(begins_in_generator(Some(name)), (Sampled::Lost, vec![]), "{name}");
    }
}
