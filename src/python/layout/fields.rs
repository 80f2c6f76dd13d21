//! The fields of CPython's layout: where each structure is, and how it is built.

/// A byte offset from the start of a structure or object.
pub type Offset = u64;

/// CPython version as `PY_VERSION_HEX` has it, with the build kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3 for every supported target.
    pub major: u8,
    /// From `rows::OLDEST_MINOR` to `rows::NEWEST_MINOR` for every supported target.
    pub minor: u8,
    /// Patch release; layouts can move between these, see the published tables.
    pub micro: u8,
    /// Release level and serial: `0xf0` final, `0xa1` alpha 1, `0xb2` beta 2, `0xc1` candidate 1.
    pub release: u8,
}

impl Version {
    /// From `PY_VERSION_HEX` (`0x030d00f0` is 3.13.0 final).
    pub fn from_hex(hex: u32) -> Self {
        let [major, minor, micro, release] = hex.to_be_bytes();
        Self { major, minor, micro, release }
    }

    /// Whether this is a release of CPython 3's minor version `minor`, so that its row is the right one.
    pub fn is_of(self, minor: u8) -> bool {
        self.major == 3 && self.minor == minor
    }

    /// In the format of `PY_VERSION_HEX`.
    pub fn to_hex(self) -> u32 {
        u32::from_be_bytes([self.major, self.minor, self.micro, self.release])
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        let serial = self.release & 0xf;
        match self.release >> 4 {
            0xa => write!(f, "a{serial}"),
            0xb => write!(f, "b{serial}"),
            0xc => write!(f, "rc{serial}"),
            _ => Ok(()),
        }
    }
}

/// Everything a reader needs to know about one build of CPython.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The minor version of CPython 3.
    pub minor: u8,
    /// A free-threaded ("t") build: no GIL by default, larger object header.
    pub free_threaded: bool,
    /// Whether these offsets were checked against a running interpreter (false: computed from headers only).
    pub tested: bool,
    /// `_PyRuntimeState`.
    pub runtime: Runtime,
    /// `PyInterpreterState`.
    pub interp: Interp,
    /// `PyThreadState`.
    pub thread: Thread,
    /// The garbage collector's state.
    pub gc: Gc,
    /// Execution frames.
    pub frames: Frames,
    /// The exceptions that a thread is handling.
    pub exceptions: ExceptionStack,
    /// `PyCodeObject`.
    pub code: Code,
    /// Generators, coroutines and asynchronous generators: one structure.
    pub generator: Generator,
    /// The header of every object.
    pub object: Object,
    /// `PyTypeObject` and `PyHeapTypeObject`.
    pub types: Types,
    /// Where instance attributes live.
    pub attributes: Attributes,
    /// `str`.
    pub unicode: Unicode,
    /// `int`.
    pub int: Int,
    /// `dict` and its keys.
    pub dict: Dict,
    /// Small built-in objects whose fields follow the object header.
    pub builtin: Builtin,
    /// `_queue.SimpleQueue`.
    pub simple_queue: SimpleQueue,
    /// `_thread.lock`.
    pub lock: LockObject,
}

/// `_PyRuntimeState`. CPython: Include/internal/pycore_runtime.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Head of the list of interpreters.
    pub interpreters_head: Offset,
    /// Non-zero while the runtime shuts down.
    pub finalizing: Offset,
    /// The table of offsets at the start of the runtime, if this version publishes one.
    pub publishes_offsets: bool,
}

/// `PyInterpreterState`. CPython: Include/internal/pycore_interp.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Interp {
    /// Next interpreter.
    pub next: Offset,
    /// Its id, i64.
    pub id: Offset,
    /// Head of the list of thread states.
    pub threads_head: Offset,
    /// `sys.modules`.
    pub modules: Offset,
    /// `sys.__dict__`.
    pub sysdict: Offset,
    /// How to find the holder of the GIL.
    pub gil: Gil,
}

/// The global interpreter lock. CPython: Include/internal/pycore_gil.h.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gil {
    /// Up to 3.11: fields of the runtime.
    Runtime {
        /// i32, non-zero when taken.
        locked: Offset,
        /// Thread state; stale when not locked.
        last_holder: Offset,
    },
    /// 3.12+: a pointer in the interpreter state.
    Interpreter {
        /// Pointer to the GIL, in the interpreter state.
        pointer: Offset,
        /// In the GIL: i32, non-zero when taken.
        locked: Offset,
        /// In the GIL: thread state; stale when not locked.
        last_holder: Offset,
        /// In the GIL, free-threaded builds: i32, 0 when the GIL is off.
        enabled: Option<Offset>,
    },
}

impl Gil {
    /// Distance from the word that shows whether the GIL is taken to the count of its changes of hands, u64.
    /// CPython: Include/internal/pycore_gil.h, `switch_number`.
    pub const SWITCHES: Offset = 8;

    /// Whether a thread that sleeps on the futex at `word` waits for the GIL whose note of its last holder is at
    /// `last_holder`: its mutexes and conditions are in the same structure.
    /// CPython: Include/internal/pycore_gil.h, `struct _gil_runtime_state`.
    pub fn has_lock_at(last_holder: u64, word: u64) -> bool {
        (last_holder.saturating_sub(16)..last_holder.saturating_add(240)).contains(&word)
    }
}

/// `PyThreadState`. CPython: Include/cpython/pystate.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// Next (older) thread state.
    pub next: Offset,
    /// The interpreter it belongs to.
    pub interp: Offset,
    /// `pthread_self()` of the thread.
    pub pthread_id: Offset,
    /// Kernel thread id, 3.11+; before, it is found inside the pthread structure.
    pub native_id: Option<Offset>,
    /// The per-thread dict.
    pub dict: Offset,
    /// u64: how often a context was entered or left. Event loops run every callback, and so every step of a task, in a
    /// context: while the number is the same, the thread has run none.
    pub context_switches: Offset,
    /// i32, 3.13+: 0 detached, 1 attached, 2 suspended.
    pub state: Option<Offset>,
    /// i32, 3.14+.
    pub holds_gil: Option<Offset>,
    /// i32, 3.15+: waiting for the GIL.
    pub gil_requested: Option<Offset>,
    /// 3.15+: pointer to the sentinel frame that every complete walk must end at.
    pub base_frame: Option<Offset>,
    /// Bytes of `PyThreadState`, 3.13: the interpreter's private part begins there.
    pub size: Option<Offset>,
}

/// The collector. CPython: Include/internal/pycore_gc.h (3.9+: pycore_interp_structs.h from 3.14).
#[derive(Clone, Debug, PartialEq)]
pub struct Gc {
    /// Whether the collector's state is part of the runtime (3.8) or of the interpreter.
    pub in_runtime: bool,
    /// The collector's state in that structure.
    pub state: Offset,
    /// In the state: i32, non-zero during a collection.
    pub collecting: Offset,
    /// In the state; `None` in free-threaded builds, which keep no lists.
    pub lists: Option<GcLists>,
}

/// The collector's lists of objects, in its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GcLists {
    /// First of three ring heads, [`GC_GENERATION_SIZE`] bytes apart.
    pub generations: Offset,
    /// Ring head of objects frozen by `gc.freeze`.
    pub permanent: Offset,
}

/// Bytes between two generation heads: a ring head of two words, threshold and count.
pub const GC_GENERATION_SIZE: u64 = 24;

/// Bytes of the header in front of a collected object, GIL builds.
pub const GC_HEADER_SIZE: u64 = 16;

/// Execution frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Frames {
    /// Up to 3.10: `PyFrameObject`s linked from the thread state. CPython: Include/cpython/frameobject.h.
    Objects(FrameObjects),
    /// 3.11+: `_PyInterpreterFrame`, embedded in generators. CPython: Include/internal/pycore_frame.h.
    Embedded(EmbeddedFrames),
}

/// `PyFrameObject` up to 3.10.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameObjects {
    /// In the thread state: the innermost frame.
    pub head: Offset,
    /// The caller.
    pub back: Offset,
    /// Code object.
    pub code: Offset,
    /// Start of the evaluation stack.
    pub valuestack: Offset,
    /// The depth of the evaluation stack.
    pub stack: StackTop,
    /// The generator that owns the frame, 0 for functions.
    pub generator: Offset,
    /// i32, instruction; see `lasti_unit`.
    pub lasti: Offset,
    /// Bytes per unit of `lasti`: 1 up to 3.9, 2 in 3.10.
    pub lasti_unit: i64,
    /// i8, 3.10 only: the frame's state, see [`Generator::states`].
    pub state: Option<Offset>,
    /// i8, and its value while the frame executes: a frame that has returned otherwise stays unchanged in memory.
    pub executing: (Offset, i8),
    /// Locals.
    pub localsplus: Offset,
    /// Opcode that follows the current instruction when suspended in an await.
    pub yield_from: u8,
}

/// The exceptions that a thread is handling: one entry of the thread, and one of each executing generator.
// CPython: Include/cpython/pystate.h, exc_info and exc_state; gi_exc_state in Include/genobject.h (3.11:
// cpython/genobject.h, 3.14: internal/pycore_interpframe_structs.h).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExceptionStack {
    /// In the thread state: pointer to the topmost entry, which is that of the innermost generator.
    pub top: Offset,
    /// In the thread state: the thread's own entry.
    pub of_thread: Offset,
    /// In a generator: its entry.
    pub of_generator: Offset,
}

/// How the evaluation stack's depth is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StackTop {
    /// Pointer to the place after the last entry (0 while running).
    Pointer(Offset),
    /// i32 number of entries.
    Depth(Offset),
    /// 3.11 to 3.13: i32 index into localsplus.
    Index(Offset),
}

/// `_PyInterpreterFrame`, 3.11+.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedFrames {
    /// How the innermost frame is found from the thread state.
    pub head: FrameHead,
    /// Code object (from 3.13t and 3.14 a tagged reference).
    pub executable: Offset,
    /// The caller.
    pub previous: Offset,
    /// Current instruction (3.13+) or last started one (3.11, 3.12).
    pub instr: Offset,
    /// Evaluation stack.
    pub stack: StackTop,
    /// i8: 0 thread, 1 generator, 2 frame object, others are shims.
    pub owner: Offset,
    /// Owner values from here on are shims of the interpreter; `None`: there are none.
    pub first_shim_owner: Option<i8>,
    /// The largest value that `owner` has.
    pub last_owner: i8,
    /// Free-threaded 3.14+: index of the thread-local bytecode, i32.
    pub tlbc_index: Option<Offset>,
    /// Locals, then cells, then the evaluation stack.
    pub localsplus: Offset,
}

/// Where the innermost frame is linked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameHead {
    /// 3.11, 3.12: `[[tstate + cframe] + current_frame]`; the cframe may lie on the C stack.
    CFrame {
        /// In the thread state.
        cframe: Offset,
        /// In the cframe.
        current_frame: Offset,
    },
    /// 3.13+: in the thread state.
    ThreadState(Offset),
}

/// `PyCodeObject`. CPython: Include/cpython/code.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// str.
    pub filename: Offset,
    /// str.
    pub name: Offset,
    /// str, 3.11+.
    pub qualname: Option<Offset>,
    /// i32.
    pub firstlineno: Offset,
    /// bytes; how to read them is [`Code::line_table`].
    pub linetable: Offset,
    /// The line table's format.
    pub line_table: LineTable,
    /// i32, `co_flags`.
    pub flags: Offset,
    /// i32: the deepest evaluation stack.
    pub stacksize: Offset,
    /// Names and bytecode.
    pub body: CodeBody,
}

/// What changed about code objects with 3.11.
#[derive(Clone, Debug, PartialEq)]
pub enum CodeBody {
    /// Up to 3.10: bytecode is a bytes object, variables are in three tuples.
    Objects {
        /// bytes: `co_code`.
        bytecode: Offset,
        /// i32.
        nlocals: Offset,
        /// tuple of str.
        varnames: Offset,
        /// tuple of str.
        cellvars: Offset,
        /// tuple of str.
        freevars: Offset,
    },
    /// 3.11+: bytecode is inside the code object, one tuple of names with a kinds bytes object.
    Inline {
        /// First instruction.
        adaptive: Offset,
        /// i32.
        nlocalsplus: Offset,
        /// tuple of str.
        localsplusnames: Offset,
        /// bytes, one a name: 0x20 local, 0x40 cell, 0x80 free.
        localspluskinds: Offset,
        /// Free-threaded 3.14+: array of per-thread copies of the bytecode.
        thread_local: Option<Offset>,
    },
}

impl CodeBody {
    /// tuple of str: `co_names`. The tuple `co_consts` is before it.
    // CPython: Include/cpython/code.h, v3.8.18, v3.11.7 and v3.14.10.
    pub fn names(&self) -> Offset {
        match self {
            Self::Objects { varnames, .. } => varnames - 8,
            Self::Inline { localsplusnames, .. } => localsplusnames - 64,
        }
    }
}

/// Formats of `co_lnotab` / `co_linetable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineTable {
    /// 3.8, 3.9: pairs (u8 byte step, i8 line step).
    Lnotab,
    /// 3.10, PEP 626: pairs (u8 length, i8 line step, -128 no line).
    Ranges,
    /// 3.11+: location entries of variable length. CPython: Objects/locations.md (InternalDocs from 3.14).
    Locations,
}

/// Generators, coroutines, async generators. CPython: Include/cpython/genobject.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// str.
    pub name: Offset,
    /// str.
    pub qualname: Offset,
    /// Where its frame and state are.
    pub frame: GeneratorFrame,
    /// What the state number means; for 3.8 and 3.9 see [`GeneratorFrame::Object`].
    pub states: GeneratorStates,
    /// How to find the object that a suspended one awaits.
    pub awaits: AwaitTarget,
}

/// Where a generator's frame is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GeneratorFrame {
    /// Up to 3.10: a frame object, null when finished.
    Object {
        /// Pointer to the frame.
        frame: Offset,
        /// i8, 3.8 and 3.9: non-zero while running.
        running: Option<Offset>,
        /// Code object.
        code: Offset,
    },
    /// 3.11+: embedded.
    Embedded {
        /// i8.
        state: Offset,
        /// The frame.
        iframe: Offset,
    },
}

/// Numbers of the frame states. CPython: Include/internal/pycore_frame.h (`PyFrameState`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorStates {
    /// Not started.
    pub created: i8,
    /// Suspended at a yield.
    pub suspended: i8,
    /// Suspended in an await, if the version stores it (otherwise see [`AwaitTarget`]); 3.15 has a second, locked one.
    pub awaiting: Option<(i8, i8)>,
    /// Running.
    pub executing: i8,
    /// This and everything above is finished.
    pub finished: i8,
}

/// How the object that a suspended generator awaits is found on its evaluation stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AwaitTarget {
    /// Up to 3.10: if the next opcode is YIELD_FROM, the top entry.
    NextOpcode,
    /// 3.11, 3.12: if the next unit is one of these RESUME opcodes with an argument of 2 or more, the top entry.
    ResumeArgument([u8; 2]),
    /// 3.13+: if the state is awaiting, the entry this many slots below the stack pointer (1 is the top).
    State {
        /// 1, from 3.15 on 2.
        depth: u64,
    },
}

/// The object header. CPython: Include/object.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `ob_type`.
    pub ob_type: Offset,
    /// Size of the header; the first field of a plain object is here, `ob_size` of a variable one too.
    pub size: Offset,
    /// How references are counted.
    pub refcount: RefCount,
    /// Bits to clear in a tagged reference on an evaluation stack or in a frame.
    pub stackref_tag: u64,
    /// Whether a set low bit in a stack reference means "borrowed: not counted".
    pub stackref_borrows: bool,
}

/// How references are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RefCount {
    /// Up to 3.11: i64 at 0.
    Plain,
    /// 3.12+: low 32 bits at 0; bit 31: immortal.
    Low32,
    /// Free-threaded: u32 local plus (i64 shared >> 2); local all ones: immortal.
    Biased {
        /// u32.
        local: Offset,
        /// i64.
        shared: Offset,
    },
}

/// `PyTypeObject`, `PyHeapTypeObject`. CPython: Include/cpython/object.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Types {
    /// C string.
    pub name: Offset,
    /// i64.
    pub basicsize: Offset,
    /// i64.
    pub itemsize: Offset,
    /// u64.
    pub flags: Offset,
    /// i64; negative: from the end.
    pub dictoffset: Offset,
    /// Base type.
    pub base: Offset,
    /// `__dict__`.
    pub dict: Offset,
    /// Size of `PyTypeObject`.
    pub size: Offset,
    /// Heap types: str `__qualname__`.
    pub heap_qualname: Offset,
    /// Heap types: shared keys of instances.
    pub heap_cached_keys: Offset,
    /// In a member descriptor: pointer to its `PyMemberDef`, whose offset field is at 16.
    pub member_def: Offset,
}

/// Where instance attributes live, by age. CPython: Objects/object.c, `_PyObject_GetDictPtr` and friends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attributes {
    /// Up to 3.10: a dict pointer at `tp_dictoffset`.
    DictOffset,
    /// 3.11: values pointer at -32, else dict at -24.
    ValuesBefore,
    /// 3.12: one word at -24, low bit set: values at word + 1.
    TaggedWord,
    /// 3.13+: dict pointer at minus this many bytes; if null, values after the object when marked valid.
    Inline {
        /// 24, free-threaded 8.
        dict_before: u64,
    },
}

/// `str`. CPython: Include/cpython/unicodeobject.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Unicode {
    /// i64, characters.
    pub length: Offset,
    /// u32 of bit fields.
    pub state: Offset,
    /// Lowest bit of the 3-bit character size in the state.
    pub kind_bit: u32,
    /// Bit: data follow the object.
    pub compact_bit: u32,
    /// Bit: ASCII.
    pub ascii_bit: u32,
    /// Where ASCII data start.
    pub ascii_data: Offset,
    /// Where other compact data start.
    pub compact_data: Offset,
}

/// `int`. CPython: Include/cpython/longintrepr.h. Digits of 30 bits, u32 each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Int {
    /// Up to 3.11: `ob_size` is the signed number of digits.
    SignedSize {
        /// i64.
        size: Offset,
        /// First digit.
        digits: Offset,
    },
    /// 3.12+: `lv_tag`: number of digits << 3 | sign (0 positive, 1 zero, 2 negative).
    Tag {
        /// u64.
        tag: Offset,
        /// First digit.
        digits: Offset,
    },
}

/// `dict`. CPython: Include/cpython/dictobject.h, Include/internal/pycore_dict.h.
#[derive(Clone, Debug, PartialEq)]
pub struct Dict {
    /// i64: live entries.
    pub used: Offset,
    /// Pointer to the keys.
    pub keys: Offset,
    /// Pointer to split values, else null.
    pub values: Offset,
    /// In the keys: i64, entries written so far.
    pub nentries: Offset,
    /// In the keys: how to determine the size of the index table.
    pub index: DictIndex,
    /// In the keys: start of the index table; entries follow it.
    pub indices: Offset,
    /// In the values block: the array of pointers.
    pub values_array: Offset,
    /// In the values block, 3.13+: u8, 1 when inline values are in use.
    pub values_valid: Option<Offset>,
}

/// The index table of dict keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DictIndex {
    /// Up to 3.10: i64 number of slots; width 1, 2, 4 or 8 by size; entries are (hash, key, value).
    Slots(Offset),
    /// 3.11+: u8 log2 of the table's bytes; u8 kind, non-zero: entries are (key, value).
    Log2Bytes {
        /// u8.
        log2_bytes: Offset,
        /// u8: 0 general, 1 only str keys, 2 split.
        kind: Offset,
    },
}

/// Small built-in objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Builtin {
    /// `tuple`: first item.
    pub tuple_items: Offset,
    /// `list`: pointer to the items; length is `ob_size`.
    pub list_items: Offset,
    /// `bytes`: first byte; length is `ob_size`.
    pub bytes_data: Offset,
    /// `float`: f64.
    pub float_value: Offset,
    /// `set`: i64 number of members.
    pub set_used: Offset,
    /// `set`: i64 mask (slots - 1).
    pub set_mask: Offset,
    /// `set`: pointer to entries (key, hash).
    pub set_table: Offset,
    /// `weakref`: referent, None or null when dead.
    pub weakref_object: Offset,
    /// `deque`: left block, right block at +8, left index at +16, right index at +24; length is `ob_size`.
    pub deque_leftblock: Offset,
    /// bound method: function.
    pub method_function: Offset,
    /// bound method: self.
    pub method_self: Offset,
    /// builtin function: pointer to its `PyMethodDef`, whose first word is the name.
    pub cfunction_def: Offset,
    /// builtin function: self.
    pub cfunction_self: Offset,
    /// Python function: code.
    pub function_code: Offset,
    /// Python function: tuple of cells.
    pub function_closure: Offset,
    /// Python function: tuple of positional defaults.
    pub function_defaults: Offset,
    /// Python function: dict of keyword-only defaults.
    pub function_kwdefaults: Offset,
    /// Python function: str.
    pub function_qualname: Offset,
    /// closure cell: content.
    pub cell_content: Offset,
    /// module: `__dict__`.
    pub module_dict: Offset,
    /// module: pointer to C state.
    pub module_state: Offset,
    /// `functools.partial`: callable; args tuple at +8.
    pub partial_function: Offset,
    /// The object that wrappers hold first: coroutine_wrapper, async_generator_asend/athrow, anext_awaitable,
    /// FutureIter, TaskStepMethWrapper, TaskWakeupMethWrapper (3.8, 3.9).
    pub wrapped: Offset,
}

/// The lock inside of a `_thread.lock`.
// CPython: Modules/_threadmodule.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockObject {
    /// Up to 3.13: a pointer to a semaphore, whose first word is the futex: `lock_lock`.
    Semaphore(Offset),
    /// 3.14+: a `PyMutex`.
    Mutex(Offset),
}

/// `_queue.SimpleQueue`.
// CPython: Modules/_queuemodule.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimpleQueue {
    /// Up to 3.12: a list, of which the first items have been taken.
    List {
        /// list.
        items: Offset,
        /// i64: how many of its items have been taken.
        taken: Offset,
    },
    /// 3.13+: a ring.
    Ring {
        /// i64: index of the next item to take; pointer to the items at +8, room for items (i64) at +16, items (i64) at
        /// +24.
        next: Offset,
    },
}

/// One bit or a whole i32 flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flag {
    /// i32, non-zero is set.
    Int(Offset),
    /// Bit of a byte.
    Bit(Offset, u8),
}
