//! The rows of the layout table, oldest first: each says only what changed against the one before.
//!
//! Offsets were read from debug information and checked on running interpreters (3.8.18, 3.9.18, 3.10.13, 3.11.7,
//! 3.12.1, 3.13.0, 3.13.15t, 3.14.10, 3.15.2); 3.14t and 3.15t come from the headers only and are marked untested.
//! What a target of 3.13+ publishes replaces the values of `runtime`, `interp`, `thread`, `frames` and `code`.

use super::*;

/// Oldest minor version with a row.
pub const OLDEST_MINOR: u8 = 8;
/// Newest minor version with a row.
pub const NEWEST_MINOR: u8 = 15;

/// Whether a minor version without a row is one from before the oldest known.
pub fn is_too_old(minor: u8) -> bool {
    minor < OLDEST_MINOR
}

/// The row of a minor version of CPython 3, `None` when there is none.
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
        (true, 13..) => Some(free_threaded_row(layout, minor)),
        (true, _) => None,
    }
}

fn v3_8() -> Layout {
    Layout {
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
            asyncio_tasks_head: None,
        },
        thread: Thread {
            next: 8,
            interp: 16,
            pthread_id: 176,
            native_id: None,
            dict: 152,
            state: None,
            holds_gil: None,
            gil_requested: None,
            base_frame: None,
            running_loop: RunningLoop::Holder { event_loop: 16, pid: 24 },
            running_task: None,
            tasks_head: None,
        },
        gc: Gc { in_runtime: true, collecting: 344 + 200, generations: Some(344 + 24), permanent: Some(344 + 104) },
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
        asyncio: Asyncio {
            registry: Registry::AllTasks,
            future: Future {
                event_loop: 16,
                callback0: 24,
                callbacks: 40,
                exception: 48,
                state: 72,
                log_traceback: Flag::Int(76),
                awaited_by: None,
                size: 104,
            },
            task: Task {
                fut_waiter: 104,
                coro: 112,
                name: 120,
                must_cancel: Flag::Int(136),
                num_cancels_requested: None,
                node: None,
                size: 144,
            },
            handle: Handle { args: 16, callback: 24, cancelled: 32, when: 88 },
            lazy_names: false,
        },
    }
}

fn v3_9() -> Layout {
    let mut l = v3_8();
    l.interp =
        Interp { id: 24, modules: 856, sysdict: 872, gil: Gil::Runtime { locked: 368, last_holder: 360 }, ..l.interp };
    l.gc = Gc { in_runtime: false, collecting: 816, generations: Some(616 + 24), permanent: Some(616 + 104) };
    l.types = Types { size: 408, heap_qualname: 856, heap_cached_keys: 864, ..l.types };
    l.asyncio.future = Future { state: 80, log_traceback: Flag::Int(84), size: 144, ..l.asyncio.future };
    l.asyncio.task =
        Task { fut_waiter: 144, coro: 152, name: 160, must_cancel: Flag::Int(176), size: 184, ..l.asyncio.task };
    l
}

fn v3_10() -> Layout {
    let mut l = v3_9();
    l.exceptions.of_generator = 56;
    l.frames = Frames::Objects(FrameObjects {
        head: 24,
        back: 24,
        code: 32,
        valuestack: 64,
        stack: StackTop::Depth(80),
        generator: 88,
        lasti: 96,
        lasti_unit: 2,
        state: Some(108),
        executing: (108, 0),
        localsplus: 352,
        yield_from: 72,
    });
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
    l.asyncio.future = Future { state: 88, log_traceback: Flag::Int(92), size: 152, ..l.asyncio.future };
    l.asyncio.task =
        Task { fut_waiter: 152, coro: 160, name: 168, must_cancel: Flag::Int(184), size: 192, ..l.asyncio.task };
    l
}

fn v3_11() -> Layout {
    let mut l = v3_10();
    l.runtime = Runtime { interpreters_head: 40, finalizing: 24, ..l.runtime };
    l.interp = Interp {
        id: 48,
        threads_head: 16,
        modules: 888,
        sysdict: 904,
        gil: Gil::Runtime { locked: 376, last_holder: 368 },
        ..l.interp
    };
    l.thread = Thread { pthread_id: 152, native_id: Some(160), dict: 128, ..l.thread };
    l.gc = Gc { collecting: 848, generations: Some(648 + 24), permanent: Some(648 + 104), ..l.gc };
    l.frames = Frames::Embedded(EmbeddedFrames {
        head: FrameHead::CFrame { cframe: 56, current_frame: 8 },
        executable: 32,
        previous: 48,
        instr: 56,
        stack: StackTop::Index(64),
        owner: 69,
        first_shim_owner: None,
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
        body: CodeBody::Inline {
            adaptive: 184,
            nlocalsplus: 76,
            localsplusnames: 96,
            localspluskinds: 104,
            thread_local: None,
        },
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
    l.asyncio.future = Future { size: 128, ..l.asyncio.future };
    l.asyncio.task = Task {
        fut_waiter: 128,
        coro: 136,
        name: 144,
        must_cancel: Flag::Int(160),
        num_cancels_requested: Some(168),
        size: 176,
        ..l.asyncio.task
    };
    l
}

fn v3_12() -> Layout {
    let mut l = v3_11();
    l.interp = Interp {
        id: 8,
        threads_head: 72,
        modules: 944,
        sysdict: 352,
        gil: Gil::Interpreter { pointer: 384, locked: 16, last_holder: 8, enabled: None },
        ..l.interp
    };
    l.thread =
        Thread { pthread_id: 136, native_id: Some(144), dict: 112, running_loop: RunningLoop::ThreadDict, ..l.thread };
    l.gc = Gc { collecting: 312, generations: Some(112 + 24), permanent: Some(112 + 104), ..l.gc };
    l.frames = Frames::Embedded(EmbeddedFrames {
        head: FrameHead::CFrame { cframe: 56, current_frame: 0 },
        executable: 0,
        previous: 8,
        instr: 56,
        stack: StackTop::Index(64),
        owner: 70,
        first_shim_owner: Some(3),
        tlbc_index: None,
        localsplus: 72,
    });
    l.exceptions = ExceptionStack { top: 104, of_thread: 256, of_generator: 40 };
    l.code = Code {
        firstlineno: 68,
        stacksize: 64,
        body: CodeBody::Inline {
            adaptive: 192,
            nlocalsplus: 72,
            localsplusnames: 96,
            localspluskinds: 104,
            thread_local: None,
        },
        ..l.code
    };
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
    l.asyncio.registry = Registry::Scheduled;
    l.asyncio.handle.when = 80;
    l.asyncio.lazy_names = true;
    l
}

fn v3_13() -> Layout {
    let mut l = v3_12();
    l.runtime = Runtime { interpreters_head: 632, finalizing: 608, publishes_offsets: true };
    l.interp = Interp {
        next: 7264,
        id: 7272,
        threads_head: 7344,
        modules: 7656,
        sysdict: 7640,
        gil: Gil::Interpreter { pointer: 16, locked: 16, last_holder: 8, enabled: None },
        ..l.interp
    };
    l.thread = Thread {
        pthread_id: 152,
        native_id: Some(160),
        dict: 128,
        state: Some(40),
        running_loop: RunningLoop::Field(304),
        ..l.thread
    };
    l.gc = Gc { collecting: 7600, generations: Some(7400 + 24), permanent: Some(7400 + 104), ..l.gc };
    l.frames = Frames::Embedded(EmbeddedFrames {
        head: FrameHead::ThreadState(72),
        executable: 0,
        previous: 8,
        instr: 56,
        stack: StackTop::Index(64),
        owner: 70,
        first_shim_owner: Some(3),
        tlbc_index: None,
        localsplus: 72,
    });
    l.exceptions.top = 120;
    l.code.body = CodeBody::Inline {
        adaptive: 200,
        nlocalsplus: 72,
        localsplusnames: 96,
        localspluskinds: 104,
        thread_local: None,
    };
    l.generator = Generator {
        states: GeneratorStates { created: -3, suspended: -2, awaiting: Some((-1, -1)), executing: 0, finished: 1 },
        awaits: AwaitTarget::State { depth: 1 },
        ..l.generator
    };
    l.attributes = Attributes::Inline { dict_before: 24 };
    l.dict = Dict { values_array: 8, values_valid: Some(3), ..l.dict };
    l.asyncio.future = Future { state: 96, log_traceback: Flag::Bit(100, 0), size: 104, ..l.asyncio.future };
    l.asyncio.task = Task {
        fut_waiter: 112,
        coro: 120,
        name: 128,
        must_cancel: Flag::Bit(100, 2),
        num_cancels_requested: Some(104),
        size: 144,
        ..l.asyncio.task
    };
    l
}

fn v3_14() -> Layout {
    let mut l = v3_13();
    l.runtime = Runtime { interpreters_head: 808, finalizing: 784, publishes_offsets: true };
    l.interp = Interp {
        next: 7272,
        id: 7280,
        threads_head: 7344,
        modules: 7688,
        sysdict: 7672,
        asyncio_tasks_head: Some(10880),
        ..l.interp
    };
    l.thread = Thread {
        state: Some(44),
        holds_gil: Some(36),
        running_loop: RunningLoop::Field(864),
        running_task: Some(872),
        tasks_head: Some(880),
        ..l.thread
    };
    l.gc = Gc { collecting: 7600, generations: Some(7408 + 24), permanent: Some(7408 + 96), ..l.gc };
    l.frames = Frames::Embedded(EmbeddedFrames {
        head: FrameHead::ThreadState(72),
        executable: 0,
        previous: 8,
        instr: 56,
        stack: StackTop::Pointer(64),
        owner: 74,
        first_shim_owner: Some(3),
        tlbc_index: None,
        localsplus: 80,
    });
    l.code.body = CodeBody::Inline {
        adaptive: 208,
        nlocalsplus: 72,
        localsplusnames: 96,
        localspluskinds: 104,
        thread_local: None,
    };
    l.object = Object { stackref_tag: 3, stackref_borrows: true, ..l.object };
    l.builtin.tuple_items = 32;
    l.asyncio.registry = Registry::Lists { non_asyncio_tasks: 48, non_asyncio_eager_tasks: 56 };
    l.asyncio.future = Future {
        state: 104,
        log_traceback: Flag::Bit(110, 0),
        awaited_by: Some(AwaitedBy { object: 96, is_set: 109 }),
        size: 112,
        ..l.asyncio.future
    };
    l.asyncio.task = Task {
        fut_waiter: 120,
        coro: 128,
        name: 136,
        must_cancel: Flag::Bit(110, 2),
        num_cancels_requested: Some(112),
        node: Some(152),
        size: 168,
    };
    l
}

fn v3_15() -> Layout {
    let mut l = v3_14();
    l.runtime = Runtime { interpreters_head: 936, finalizing: 912, publishes_offsets: true };
    l.interp = Interp {
        next: 7264,
        id: 7272,
        threads_head: 7336,
        modules: 7592,
        sysdict: 7576,
        asyncio_tasks_head: Some(10856),
        ..l.interp
    };
    l.thread = Thread {
        pthread_id: 176,
        native_id: Some(184),
        dict: 152,
        state: Some(48),
        gil_requested: Some(40),
        base_frame: Some(80),
        running_loop: RunningLoop::Field(1024),
        running_task: Some(1032),
        tasks_head: Some(1048),
        ..l.thread
    };
    l.exceptions = ExceptionStack { top: 144, of_thread: 288, ..l.exceptions };
    l.gc = Gc { collecting: 7512, generations: Some(7400 + 8), permanent: Some(7400 + 80), ..l.gc };
    l.generator = Generator {
        states: GeneratorStates { created: 0, suspended: 1, awaiting: Some((2, 3)), executing: 4, finished: 5 },
        awaits: AwaitTarget::State { depth: 2 },
        ..l.generator
    };
    l.types = Types { size: 424, heap_qualname: 880, heap_cached_keys: 888, ..l.types };
    l.builtin.module_state = 24;
    l
}

/// A free-threaded build: the object header grows from 16 to 32 bytes, so nearly every field of an object lies 16
/// bytes further; structures that are not objects change as the newer fields say.
fn free_threaded_row(l: Layout, minor: u8) -> Layout {
    const GROWTH: u64 = 16;
    let Layout { runtime, interp, thread, exceptions, code, generator, types, unicode, dict, builtin, asyncio, .. } = l;
    let (modules, sysdict, asyncio_tasks_head, frames, body) = match (minor, l.frames) {
        (13, frames) => (7664, 7648, None, frames, code_body(216, None)),
        (14, frames) => (7712, 7696, Some(17304), with_thread_local_bytecode(frames), code_body(232, Some(224))),
        (_, frames) => (7592, 7576, Some(17256), with_thread_local_bytecode(frames), code_body(232, Some(224))),
    };
    let flag = |flag| match flag {
        Flag::Int(at) => Flag::Int(at + GROWTH),
        Flag::Bit(at, bit) => Flag::Bit(at + GROWTH, bit),
    };
    Layout {
        free_threaded: true,
        tested: minor == 13,
        runtime,
        interp: Interp {
            modules,
            sysdict,
            asyncio_tasks_head,
            gil: Gil::Interpreter { pointer: 16, locked: 24, last_holder: 16, enabled: Some(0) },
            ..interp
        },
        thread: Thread {
            running_loop: match thread.running_loop {
                RunningLoop::Field(304) => RunningLoop::Field(312),
                other => other,
            },
            ..thread
        },
        gc: Gc { generations: None, permanent: None, ..l.gc },
        frames,
        exceptions: ExceptionStack { of_generator: exceptions.of_generator + GROWTH, ..exceptions },
        code: Code {
            filename: code.filename + GROWTH,
            name: code.name + GROWTH,
            qualname: code.qualname.map(|at| at + GROWTH),
            firstlineno: code.firstlineno + GROWTH,
            linetable: code.linetable + GROWTH,
            flags: code.flags + GROWTH,
            stacksize: code.stacksize + GROWTH,
            line_table: code.line_table,
            body,
        },
        generator: Generator {
            name: generator.name + GROWTH,
            qualname: generator.qualname + GROWTH,
            frame: match generator.frame {
                GeneratorFrame::Embedded { state, iframe } => {
                    GeneratorFrame::Embedded { state: state + GROWTH, iframe: iframe + GROWTH }
                }
                older => older,
            },
            ..generator
        },
        object: Object {
            ob_type: 24,
            size: 32,
            refcount: RefCount::Biased { local: 12, shared: 16 },
            stackref_tag: if minor == 13 { 1 } else { 3 },
            stackref_borrows: true,
        },
        types: Types {
            name: types.name + GROWTH,
            basicsize: types.basicsize + GROWTH,
            itemsize: types.itemsize + GROWTH,
            flags: types.flags + GROWTH,
            dictoffset: types.dictoffset + GROWTH,
            base: types.base + GROWTH,
            dict: types.dict + GROWTH,
            size: types.size + GROWTH,
            heap_qualname: types.heap_qualname + GROWTH,
            heap_cached_keys: types.heap_cached_keys + GROWTH,
            member_def: types.member_def + GROWTH,
        },
        attributes: Attributes::Inline { dict_before: 8 },
        unicode: Unicode {
            length: unicode.length + GROWTH,
            state: unicode.state + GROWTH,
            ascii_data: unicode.ascii_data + GROWTH,
            compact_data: unicode.compact_data + GROWTH,
            // The interned state takes a whole byte from 3.14t on, in front of the others.
            kind_bit: if minor == 13 { 2 } else { 8 },
            compact_bit: if minor == 13 { 5 } else { 11 },
            ascii_bit: if minor == 13 { 6 } else { 12 },
        },
        int: Int::Tag { tag: 32, digits: 40 },
        dict: Dict { used: dict.used + GROWTH, keys: dict.keys + GROWTH, values: dict.values + GROWTH, ..dict },
        builtin: Builtin {
            tuple_items: builtin.tuple_items + GROWTH,
            list_items: builtin.list_items + GROWTH,
            bytes_data: builtin.bytes_data + GROWTH,
            float_value: builtin.float_value + GROWTH,
            set_used: builtin.set_used + GROWTH,
            set_mask: builtin.set_mask + GROWTH,
            set_table: builtin.set_table + GROWTH,
            weakref_object: builtin.weakref_object + GROWTH,
            deque_leftblock: builtin.deque_leftblock + GROWTH,
            method_function: builtin.method_function + GROWTH,
            method_self: builtin.method_self + GROWTH,
            cfunction_def: builtin.cfunction_def + GROWTH,
            cfunction_self: builtin.cfunction_self + GROWTH,
            function_code: builtin.function_code + GROWTH,
            function_closure: builtin.function_closure + GROWTH,
            function_defaults: builtin.function_defaults + GROWTH,
            function_kwdefaults: builtin.function_kwdefaults + GROWTH,
            function_qualname: builtin.function_qualname + GROWTH,
            cell_content: builtin.cell_content + GROWTH,
            module_dict: builtin.module_dict + GROWTH,
            module_state: builtin.module_state + GROWTH,
            partial_function: builtin.partial_function + GROWTH,
            wrapped: builtin.wrapped + GROWTH,
        },
        asyncio: Asyncio {
            registry: asyncio.registry,
            future: Future {
                event_loop: asyncio.future.event_loop + GROWTH,
                callback0: asyncio.future.callback0 + GROWTH,
                callbacks: asyncio.future.callbacks + GROWTH,
                exception: asyncio.future.exception + GROWTH,
                state: asyncio.future.state + GROWTH,
                log_traceback: flag(asyncio.future.log_traceback),
                awaited_by: asyncio
                    .future
                    .awaited_by
                    .map(|by| AwaitedBy { object: by.object + GROWTH, is_set: by.is_set + GROWTH }),
                size: asyncio.future.size + GROWTH,
            },
            task: Task {
                fut_waiter: asyncio.task.fut_waiter + GROWTH,
                coro: asyncio.task.coro + GROWTH,
                name: asyncio.task.name + GROWTH,
                must_cancel: flag(asyncio.task.must_cancel),
                num_cancels_requested: asyncio.task.num_cancels_requested.map(|at| at + GROWTH),
                node: asyncio.task.node.map(|at| at + GROWTH),
                // 3.14t adds a word for the owning thread behind the list node.
                size: asyncio.task.size + if minor == 13 { GROWTH } else { GROWTH + 8 },
            },
            handle: Handle {
                args: asyncio.handle.args + GROWTH,
                callback: asyncio.handle.callback + GROWTH,
                cancelled: asyncio.handle.cancelled + GROWTH,
                when: asyncio.handle.when + GROWTH,
            },
            lazy_names: asyncio.lazy_names,
        },
    }
}

fn code_body(adaptive: Offset, thread_local: Option<Offset>) -> CodeBody {
    CodeBody::Inline { adaptive, nlocalsplus: 88, localsplusnames: 112, localspluskinds: 120, thread_local }
}

fn with_thread_local_bytecode(frames: Frames) -> Frames {
    match frames {
        Frames::Embedded(f) => Frames::Embedded(EmbeddedFrames { tlbc_index: Some(72), owner: 78, ..f }),
        older => older,
    }
}
