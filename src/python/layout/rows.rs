//! The rows of the layout table, oldest first: each contains only the changes from the one before.
//!
//! Offsets were read from debug information and checked on running interpreters: the [`TAGS`], and v3.13.15 for the
//! free-threaded row of 3.13; 3.14t and 3.15t come from the headers only and are marked untested.
//! What a target of 3.13+ publishes replaces the values of `runtime`, `interp`, `thread`, `frames` and `code`.

use super::fields::*;

/// The tag of CPython that each row was read from and checked against, oldest minor version first. Citations of a
/// version name it (`CPython: Include/object.h, v3.12.1`).
pub const TAGS: [&str; 8] = ["v3.8.18", "v3.9.18", "v3.10.13", "v3.11.7", "v3.12.1", "v3.13.0", "v3.14.10", "v3.15.2"];
/// Oldest minor version with a row.
pub const OLDEST_MINOR: u8 = 8;
/// Newest minor version with a row.
pub const NEWEST_MINOR: u8 = OLDEST_MINOR + TAGS.len() as u8 - 1;

/// Bytes of a frame object's header that are read in one piece, of any version.
pub(crate) const FRAME_OBJECT_HEADER: usize = 128;
/// Bytes of an embedded frame's header that are read in one piece, of any version.
pub(crate) const EMBEDDED_HEADER: usize = 80;
/// Bytes of a generator with an embedded frame that are read in one piece, of any version: both headers.
pub(crate) const GENERATOR_BLOCK: usize = 176;

/// Whether a minor version without a row is older than the oldest known one.
pub fn is_too_old(minor: u8) -> bool {
    minor < OLDEST_MINOR
}

/// The row of a minor version of CPython 3; `None` if there is none.
pub fn row(minor: u8, free_threaded: bool) -> Option<Layout> {
    let layout = match minor {
        8 => v3_8(),
        9 => v3_9(),
        10 => v3_10(),
        11 => v3_11(),
        12 => v3_12(),
        13 => v3_13(),
        14 => v3_14(),
        15 => v3_15(),
        _ => return None,
    };
    match (free_threaded, minor) {
        (false, _) => Some(layout),
        (true, 13..) => Some(free_threaded_row(layout)),
        (true, _) => None,
    }
}

fn v3_8() -> Layout {
    Layout {
        minor: 8,
        free_threaded: false,
        tested: true,
        runtime: Runtime { interpreters_head: 32, finalizing: 16, publishes_offsets: false },
        interp: Interp {
            next: 0,
            id: 16,
            threads_head: 8,
            modules: 56,
            sysdict: 72,
            gil: Gil::Runtime { locked: 1168, last_holder: 1160 },
        },
        thread: Thread {
            next: 8,
            interp: 16,
            pthread_id: 176,
            native_id: None,
            dict: 152,
            // CPython: Include/cpython/pystate.h, context_ver.
            context_switches: 248,
            state: None,
            holds_gil: None,
            gil_requested: None,
            base_frame: None,
            size: None,
        },
        gc: Gc {
            in_runtime: true,
            state: 344,
            collecting: 200,
            lists: Some(GcLists { generations: 24, permanent: 104 }),
        },
        frames: Frames::Objects(FrameObjects {
            head: 24,
            back: 24,
            code: 32,
            valuestack: 64,
            stack: StackTop::Pointer(72),
            generator: 96,
            lasti: 104,
            lasti_unit: 1,
            state: None,
            executing: (116, 1),
            localsplus: 360,
            yield_from: 72,
        }),
        exceptions: ExceptionStack { top: 144, of_thread: 112, of_generator: 64 },
        code: Code {
            filename: 104,
            name: 112,
            qualname: None,
            firstlineno: 40,
            linetable: 120,
            line_table: LineTable::Lnotab,
            flags: 36,
            stacksize: 32,
            body: CodeBody::Objects { bytecode: 48, nlocals: 28, varnames: 72, cellvars: 88, freevars: 80 },
        },
        generator: Generator {
            name: 48,
            qualname: 56,
            frame: GeneratorFrame::Object { frame: 16, running: Some(24), code: 32 },
            states: GeneratorStates { created: -2, suspended: -1, awaiting: None, executing: 0, finished: 1 },
            awaits: AwaitTarget::NextOpcode,
        },
        object: Object { ob_type: 8, size: 16, refcount: RefCount::Plain, stackref_tag: 0, stackref_borrows: false },
        types: Types {
            name: 24,
            basicsize: 32,
            itemsize: 40,
            flags: 168,
            dictoffset: 288,
            base: 256,
            dict: 264,
            size: 416,
            heap_qualname: 864,
            heap_cached_keys: 872,
            member_def: 40,
        },
        attributes: Attributes::DictOffset,
        unicode: Unicode {
            length: 16,
            state: 32,
            kind_bit: 2,
            compact_bit: 5,
            ascii_bit: 6,
            ascii_data: 48,
            compact_data: 72,
        },
        int: Int::SignedSize { size: 16, digits: 24 },
        dict: Dict {
            used: 16,
            keys: 32,
            values: 40,
            nentries: 32,
            index: DictIndex::Slots(8),
            indices: 40,
            values_array: 0,
            values_valid: None,
        },
        builtin: Builtin {
            tuple_items: 24,
            list_items: 24,
            bytes_data: 32,
            float_value: 16,
            set_used: 24,
            set_mask: 32,
            set_table: 40,
            weakref_object: 16,
            deque_leftblock: 24,
            method_function: 16,
            method_self: 24,
            cfunction_def: 16,
            cfunction_self: 24,
            function_code: 16,
            function_closure: 48,
            function_defaults: 32,
            function_kwdefaults: 40,
            function_qualname: 104,
            cell_content: 16,
            module_dict: 16,
            module_state: 32,
            partial_function: 16,
            wrapped: 16,
        },
        simple_queue: SimpleQueue::List { items: 32, taken: 40 },
        lock: LockObject::Semaphore(16),
    }
}

fn v3_9() -> Layout {
    let mut l = v3_8();
    l.minor = 9;
    l.interp =
        Interp { id: 24, modules: 856, sysdict: 872, gil: Gil::Runtime { locked: 368, last_holder: 360 }, ..l.interp };
    l.gc = Gc { in_runtime: false, state: 616, ..l.gc };
    l.types = Types { size: 408, heap_qualname: 856, heap_cached_keys: 864, ..l.types };
    l
}

fn v3_10() -> Layout {
    let mut l = v3_9();
    l.minor = 10;
    l.exceptions.of_generator = 56;
    if let Frames::Objects(frames) = &mut l.frames {
        (frames.stack, frames.generator, frames.lasti, frames.lasti_unit) = (StackTop::Depth(80), 88, 96, 2);
        (frames.state, frames.executing, frames.localsplus) = (Some(108), (108, 0), 352);
    }
    l.code.line_table = LineTable::Ranges;
    l.generator = Generator {
        name: 40,
        qualname: 48,
        frame: GeneratorFrame::Object { frame: 16, running: None, code: 24 },
        ..l.generator
    };
    l.types = Types { heap_qualname: 864, heap_cached_keys: 872, ..l.types };
    l.builtin = Builtin {
        function_code: 48,
        function_closure: 72,
        function_defaults: 56,
        function_kwdefaults: 64,
        function_qualname: 40,
        ..l.builtin
    };
    l
}

fn v3_11() -> Layout {
    let mut l = v3_10();
    l.minor = 11;
    l.runtime = Runtime { interpreters_head: 40, finalizing: 24, ..l.runtime };
    l.interp = Interp {
        id: 48,
        threads_head: 16,
        modules: 888,
        sysdict: 904,
        gil: Gil::Runtime { locked: 376, last_holder: 368 },
        ..l.interp
    };
    l.thread = Thread { pthread_id: 152, native_id: Some(160), dict: 128, context_switches: 232, ..l.thread };
    l.gc.state = 648;
    l.frames = Frames::Embedded(EmbeddedFrames {
        head: FrameHead::CFrame { cframe: 56, current_frame: 8 },
        executable: 32,
        previous: 48,
        instr: 56,
        stack: StackTop::Index(64),
        owner: 69,
        first_shim_owner: None,
        last_owner: 2,
        tlbc_index: None,
        localsplus: 72,
    });
    l.exceptions = ExceptionStack { top: 120, of_thread: 320, of_generator: 48 };
    l.code = Code {
        filename: 112,
        name: 120,
        qualname: Some(128),
        firstlineno: 72,
        linetable: 136,
        line_table: LineTable::Locations,
        flags: 48,
        stacksize: 68,
        body: inline_body(184, 76),
    };
    l.generator = Generator {
        name: 32,
        qualname: 40,
        frame: GeneratorFrame::Embedded { state: 75, iframe: 80 },
        states: GeneratorStates { created: -2, suspended: -1, awaiting: None, executing: 0, finished: 1 },
        awaits: AwaitTarget::ResumeArgument([151, 150]),
    };
    l.attributes = Attributes::ValuesBefore;
    l.dict = Dict { nentries: 24, index: DictIndex::Log2Bytes { log2_bytes: 9, kind: 10 }, indices: 32, ..l.dict };
    l
}

fn inline_body(adaptive: Offset, nlocalsplus: Offset) -> CodeBody {
    CodeBody::Inline { adaptive, nlocalsplus, localsplusnames: 96, localspluskinds: 104, thread_local: None }
}

fn v3_12() -> Layout {
    let mut l = v3_11();
    l.minor = 12;
    l.interp = Interp {
        id: 8,
        threads_head: 72,
        modules: 944,
        sysdict: 352,
        gil: Gil::Interpreter { pointer: 384, locked: 16, last_holder: 8, enabled: None },
        ..l.interp
    };
    l.thread = Thread { pthread_id: 136, native_id: Some(144), dict: 112, context_switches: 216, ..l.thread };
    l.gc.state = 112;
    if let Frames::Embedded(frames) = &mut l.frames {
        frames.head = FrameHead::CFrame { cframe: 56, current_frame: 0 };
        (frames.executable, frames.previous, frames.owner) = (0, 8, 70);
        (frames.first_shim_owner, frames.last_owner) = (Some(3), 3);
    }
    l.exceptions = ExceptionStack { top: 104, of_thread: 256, of_generator: 40 };
    l.code = Code { firstlineno: 68, stacksize: 64, body: inline_body(192, 72), ..l.code };
    l.generator = Generator {
        name: 24,
        qualname: 32,
        frame: GeneratorFrame::Embedded { state: 67, iframe: 72 },
        awaits: AwaitTarget::ResumeArgument([151, 240]),
        ..l.generator
    };
    l.object.refcount = RefCount::Low32;
    l.types = Types { size: 416, heap_qualname: 872, heap_cached_keys: 880, ..l.types };
    l.attributes = Attributes::TaggedWord;
    l.unicode = Unicode { ascii_data: 40, compact_data: 56, ..l.unicode };
    l.int = Int::Tag { tag: 16, digits: 24 };
    l
}

fn v3_13() -> Layout {
    let mut l = v3_12();
    l.minor = 13;
    l.simple_queue = SimpleQueue::Ring { next: 32 };
    l.runtime = Runtime { interpreters_head: 632, finalizing: 608, publishes_offsets: true };
    l.interp = Interp {
        next: 7264,
        id: 7272,
        threads_head: 7344,
        modules: 7656,
        sysdict: 7640,
        gil: Gil::Interpreter { pointer: 16, locked: 16, last_holder: 8, enabled: None },
    };
    l.thread =
        Thread { pthread_id: 152, native_id: Some(160), dict: 128, state: Some(40), size: Some(304), ..l.thread };
    l.gc.state = 7400;
    if let Frames::Embedded(frames) = &mut l.frames {
        frames.head = FrameHead::ThreadState(72);
    }
    l.exceptions.top = 120;
    l.code.body = inline_body(200, 72);
    l.generator = Generator {
        states: GeneratorStates { created: -3, suspended: -2, awaiting: Some((-1, -1)), executing: 0, finished: 1 },
        awaits: AwaitTarget::State { depth: 1 },
        ..l.generator
    };
    l.attributes = Attributes::Inline { dict_before: 24 };
    l.dict = Dict { values_array: 8, values_valid: Some(3), ..l.dict };
    l
}

fn v3_14() -> Layout {
    let mut l = v3_13();
    l.minor = 14;
    l.lock = LockObject::Mutex(16);
    l.runtime = Runtime { interpreters_head: 808, finalizing: 784, publishes_offsets: true };
    l.interp = Interp { next: 7272, id: 7280, threads_head: 7344, modules: 7688, sysdict: 7672, ..l.interp };
    l.thread = Thread { state: Some(44), holds_gil: Some(36), size: None, ..l.thread };
    let lists = Some(GcLists { generations: 24, permanent: 96 });
    l.gc = Gc { state: 7408, collecting: 192, lists, ..l.gc };
    if let Frames::Embedded(frames) = &mut l.frames {
        *frames =
            EmbeddedFrames { stack: StackTop::Pointer(64), owner: 74, last_owner: 4, localsplus: 80, ..frames.clone() };
    }
    l.code.body = inline_body(208, 72);
    l.object = Object { stackref_tag: 3, stackref_borrows: true, ..l.object };
    l.builtin.tuple_items = 32;
    l
}

fn v3_15() -> Layout {
    let mut l = v3_14();
    l.minor = 15;
    l.runtime = Runtime { interpreters_head: 936, finalizing: 912, publishes_offsets: true };
    l.interp = Interp { next: 7264, id: 7272, threads_head: 7336, modules: 7592, sysdict: 7576, ..l.interp };
    l.thread = Thread {
        context_switches: 240,
        pthread_id: 176,
        native_id: Some(184),
        dict: 152,
        state: Some(48),
        gil_requested: Some(40),
        base_frame: Some(80),
        ..l.thread
    };
    l.exceptions = ExceptionStack { top: 144, of_thread: 288, ..l.exceptions };
    let lists = Some(GcLists { generations: 8, permanent: 80 });
    l.gc = Gc { state: 7400, collecting: 112, lists, ..l.gc };
    if let Frames::Embedded(frames) = &mut l.frames {
        frames.last_owner = 3;
    }
    l.generator = Generator {
        states: GeneratorStates { created: 0, suspended: 1, awaiting: Some((2, 3)), executing: 4, finished: 5 },
        awaits: AwaitTarget::State { depth: 2 },
        ..l.generator
    };
    l.types = Types { size: 424, heap_qualname: 880, heap_cached_keys: 888, ..l.types };
    l.builtin.module_state = 24;
    l
}

/// Moves fields of an object by the growth of its header. Names every field, so that a new one is not forgotten.
macro_rules! grow {
    ($object:expr, $of:ident { $($field:ident)* } $(but $($rest:ident)*)?) => {
        let $of { $($field,)* $($($rest: _,)*)? } = &mut $object;
        for field in [$($field),*] {
            *field += GROWTH;
        }
    };
}

/// Bytes by which the header of an object is larger in a free-threaded build.
const GROWTH: u64 = 16;

/// A free-threaded build: the object header grows from 16 to 32 bytes, so nearly every field of an object lies 16
/// bytes further; structures that are not objects change as the newer fields say.
fn free_threaded_row(mut l: Layout) -> Layout {
    let (modules, sysdict, adaptive, thread_local) = match l.minor {
        13 => (7664, 7648, 216, None),
        14 => (7712, 7696, 232, Some(224)),
        _ => (7592, 7576, 232, Some(224)),
    };
    l.free_threaded = true;
    l.tested = l.minor == 13;
    let gil = Gil::Interpreter { pointer: 16, locked: 24, last_holder: 16, enabled: Some(0) };
    l.interp = Interp { modules, sysdict, gil, ..l.interp };
    l.thread.size = l.thread.size.map(|_| 312);
    l.gc.lists = None;
    if let (Frames::Embedded(frames), Some(_)) = (&mut l.frames, thread_local) {
        (frames.tlbc_index, frames.owner) = (Some(72), 78);
    }
    l.exceptions.of_generator += GROWTH;
    grow!(l.code, Code { filename name firstlineno linetable flags stacksize } but qualname line_table body);
    l.code.qualname = l.code.qualname.map(|at| at + GROWTH);
    l.code.body =
        CodeBody::Inline { adaptive, nlocalsplus: 88, localsplusnames: 112, localspluskinds: 120, thread_local };
    grow!(l.generator, Generator { name qualname } but frame states awaits);
    if let GeneratorFrame::Embedded { state, iframe } = &mut l.generator.frame {
        (*state, *iframe) = (*state + GROWTH, *iframe + GROWTH);
    }
    l.object = Object {
        ob_type: 24,
        size: 32,
        refcount: RefCount::Biased { local: 12, shared: 16 },
        stackref_tag: if l.minor == 13 { 1 } else { 3 },
        stackref_borrows: true,
    };
    grow!(l.types, Types {
        name basicsize itemsize flags dictoffset base dict size heap_qualname heap_cached_keys member_def
    });
    l.attributes = Attributes::Inline { dict_before: 8 };
    grow!(l.unicode, Unicode { length state ascii_data compact_data } but kind_bit compact_bit ascii_bit);
    if l.minor > 13 {
        // The interned state takes a whole byte from 3.14t on, before the others.
        l.unicode = Unicode { kind_bit: 8, compact_bit: 11, ascii_bit: 12, ..l.unicode };
    }
    l.int = Int::Tag { tag: 32, digits: 40 };
    l.simple_queue = SimpleQueue::Ring { next: 32 + GROWTH };
    l.lock = match l.lock {
        LockObject::Semaphore(at) => LockObject::Semaphore(at + GROWTH),
        LockObject::Mutex(at) => LockObject::Mutex(at + GROWTH),
    };
    grow!(l.dict, Dict { used keys values } but nentries index indices values_array values_valid);
    grow!(l.builtin, Builtin {
        tuple_items list_items bytes_data float_value set_used set_mask set_table weakref_object deque_leftblock
        method_function method_self cfunction_def cfunction_self function_code function_closure function_defaults
        function_kwdefaults function_qualname cell_content module_dict module_state partial_function wrapped
    });
    l
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_one_piece_holds_the_fields_of_every_row() {
        let rows = (OLDEST_MINOR..=NEWEST_MINOR).flat_map(|minor| [row(minor, false), row(minor, true)]).flatten();
        for layout in rows {
            match (&layout.frames, layout.generator.frame) {
                (Frames::Objects(fields), _) => {
                    let FrameObjects { back, code, valuestack, generator, lasti, .. } = *fields;
                    let (StackTop::Pointer(top) | StackTop::Depth(top) | StackTop::Index(top)) = fields.stack;
                    let last = [back, code, valuestack, generator, lasti, top].into_iter().max();
                    assert!(last.is_some_and(|last| last + 8 <= FRAME_OBJECT_HEADER as u64), "{}", layout.minor);
                }
                (Frames::Embedded(fields), GeneratorFrame::Embedded { iframe, .. }) => {
                    assert!(fields.localsplus <= EMBEDDED_HEADER as u64, "{}", layout.minor);
                    assert!(iframe + fields.localsplus <= GENERATOR_BLOCK as u64, "{}", layout.minor);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
