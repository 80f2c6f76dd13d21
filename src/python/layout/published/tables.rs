//! The names of the words in the published tables, in order, and their checked reading.

use super::error::PublishedError;
use crate::python::layout::fields::Offset;

/// LIMIT: bytes of any structure. The largest, the runtime with its interpreter, has 340 kB.
pub(super) const MAX_STRUCTURE: u64 = 16 << 20;

/// Bytes of a word.
pub(crate) const WORD: usize = 8;

/// A structure's name and the names of its words, in the table's order, with a space between them.
pub(crate) type Group = (&'static str, &'static str);

/// The first words of every version's table.
pub(super) const HEADER: Group = ("", "cookie version free_threaded");

/// The beginning that the tables of all versions share.
pub(super) const HEAD: [Group; 3] = [
    HEADER,
    ("runtime_state", "size finalizing interpreters_head"),
    ("interpreter_state", "size id next threads_head"),
];

// CPython: Include/internal/pycore_debug_offsets.h, v3.13.0.
pub(super) const V3_13: [Group; 16] = [
    HEADER,
    ("runtime_state", "size finalizing interpreters_head"),
    (
        "interpreter_state",
        "size id next threads_head gc imports_modules sysdict builtins ceval_gil gil_runtime_state \
         gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder",
    ),
    THREAD_3_13,
    ("interpreter_frame", "size previous executable instr_ptr localsplus owner"),
    CODE_3_13,
    OBJECT,
    ("type_object", "size tp_name tp_repr tp_flags"),
    TUPLE,
    LIST,
    DICT,
    FLOAT,
    LONG,
    BYTES,
    ("unicode_object", "size state length asciiobject_size"),
    ("gc", "size collecting"),
];

// CPython: Include/internal/pycore_debug_offsets.h, v3.14.10.
pub(super) const V3_14: [Group; 20] = [
    HEADER,
    ("runtime_state", "size finalizing interpreters_head"),
    INTERPRETER_3_14,
    THREAD_3_13,
    FRAME_3_14,
    CODE_3_14,
    OBJECT,
    ("type_object", "size tp_name tp_repr tp_flags"),
    TUPLE,
    LIST,
    SET,
    DICT,
    FLOAT,
    LONG,
    BYTES,
    ("unicode_object", "size state length asciiobject_size"),
    ("gc", "size collecting"),
    GENERATOR,
    ("llist_node", "next prev"),
    DEBUGGER,
];

// CPython: Include/internal/pycore_debug_offsets.h, v3.15.2.
pub(super) const V3_15: [Group; 22] = [
    HEADER,
    ("runtime_state", "size finalizing interpreters_head"),
    INTERPRETER_3_14,
    (
        "thread_state",
        "size prev next interp current_frame base_frame last_profiled_frame last_profiled_frame_seq thread_id \
         native_thread_id datastack_chunk status holds_gil gil_requested current_exception exc_state",
    ),
    ("err_stackitem", "exc_value"),
    FRAME_3_14,
    CODE_3_14,
    OBJECT,
    ("type_object", "size tp_name tp_repr tp_flags tp_basicsize tp_dictoffset"),
    ("heap_type_object", "size ht_cached_keys"),
    TUPLE,
    LIST,
    SET,
    DICT,
    FLOAT,
    LONG,
    BYTES,
    ("unicode_object", "size state length asciiobject_size compactunicodeobject_size"),
    ("gc", "size collecting frame generation_stats_size generation_stats"),
    GENERATOR,
    ("llist_node", "next prev"),
    DEBUGGER,
];

const INTERPRETER_3_14: Group = (
    "interpreter_state",
    "size id next threads_head threads_main gc imports_modules sysdict builtins ceval_gil gil_runtime_state \
     gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder code_object_generation \
     tlbc_generation",
);
const FRAME_3_14: Group =
    ("interpreter_frame", "size previous executable instr_ptr localsplus owner stackpointer tlbc_index");
const CODE_3_13: Group = (
    "code_object",
    "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds co_code_adaptive",
);
const CODE_3_14: Group = (
    "code_object",
    "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds co_code_adaptive \
     co_tlbc",
);
const OBJECT: Group = ("pyobject", "size ob_type");
const TUPLE: Group = ("tuple_object", "size ob_item ob_size");
const LIST: Group = ("list_object", "size ob_item ob_size");
const SET: Group = ("set_object", "size used table mask");
const DICT: Group = ("dict_object", "size ma_keys ma_values");
const FLOAT: Group = ("float_object", "size ob_fval");
const LONG: Group = ("long_object", "size lv_tag ob_digit");
const BYTES: Group = ("bytes_object", "size ob_size ob_sval");
const GENERATOR: Group = ("gen_object", "size gi_name gi_iframe gi_frame_state");
const DEBUGGER: Group = (
    "debugger_support",
    "eval_breaker remote_debugger_support remote_debugging_enabled debugger_pending_call debugger_script_path \
     debugger_script_path_size",
);

const THREAD_3_13: Group =
    ("thread_state", "size prev next interp current_frame thread_id native_thread_id datastack_chunk status");

/// Words of a whole table.
pub(crate) const fn word_count(groups: &[Group]) -> usize {
    let (mut words, mut group) = (0, 0);
    while group < groups.len() {
        let names = groups[group].1.as_bytes();
        let mut at = 0;
        words += 1;
        while at < names.len() {
            words += (names[at] == b' ') as usize;
            at += 1;
        }
        group += 1;
    }
    words
}

/// The bytes of a table and the names of its words.
pub(crate) struct Table<'a> {
    groups: &'a [Group],
    words: &'a [[u8; WORD]],
}

impl<'a> Table<'a> {
    pub(crate) fn new(groups: &'a [Group], table: &'a [u8]) -> Result<Self, PublishedError> {
        let needed = word_count(groups) * WORD;
        let found = table.len();
        let table = table.get(..needed).ok_or(PublishedError::Short { needed, found })?;
        Ok(Self { groups, words: table.as_chunks().0 })
    }

    /// The word with that name; `None` if this version's table has none.
    pub(crate) fn word(&self, structure: &str, field: &str) -> Option<u64> {
        let mut names =
            self.groups.iter().flat_map(|(name, fields)| fields.split(' ').map(move |field| (*name, field)));
        let index = names.position(|name| name == (structure, field))?;
        self.words.get(index).map(|&word| u64::from_le_bytes(word))
    }

    pub(crate) fn find_structure(&self, name: &'static str) -> Result<Option<Structure<'_>>, PublishedError> {
        match self.word(name, "size") {
            None => Ok(None),
            Some(size) if size == 0 || size > MAX_STRUCTURE => {
                Err(PublishedError::Implausible { structure: name, field: "size", value: size })
            }
            Some(size) => Ok(Some(Structure { table: self, name, size })),
        }
    }

    pub(crate) fn structure(&self, name: &'static str) -> Result<Structure<'_>, PublishedError> {
        // Every table in this file has the structures that are requested this way, as a test ensures.
        self.find_structure(name)?.ok_or(PublishedError::OtherBuild)
    }
}

/// The words about one structure.
pub(crate) struct Structure<'a> {
    table: &'a Table<'a>,
    name: &'static str,
    /// Bytes of the structure.
    pub(crate) size: u64,
}

impl Structure<'_> {
    pub(crate) fn implausible(&self, field: &'static str, value: u64) -> PublishedError {
        PublishedError::Implausible { structure: self.name, field, value }
    }

    /// The offset of a field of `width` bytes; `None` if this version's table has none. It must lie inside the
    /// structure, at a multiple of its width.
    fn find_offset(&self, field: &'static str, width: u64) -> Result<Option<u64>, PublishedError> {
        match self.table.word(self.name, field) {
            Some(at) if !at.is_multiple_of(width) || at > self.size || at + width > self.size => {
                Err(self.implausible(field, at))
            }
            found => Ok(found),
        }
    }

    pub(crate) fn offset(&self, field: &'static str, width: u64) -> Result<u64, PublishedError> {
        self.find_offset(field, width)?.ok_or(PublishedError::OtherBuild)
    }

    /// The offset of a field from the start of a part of the structure.
    pub(crate) fn inner(&self, field: &'static str, width: u64, part: u64) -> Result<u64, PublishedError> {
        let at = self.offset(field, width)?;
        at.checked_sub(part).ok_or_else(|| self.implausible(field, at))
    }

    /// The offset `distance` bytes before `at`, which must not overlap the object's header.
    pub(crate) fn before(
        &self,
        field: &'static str,
        at: u64,
        distance: u64,
        header: u64,
    ) -> Result<u64, PublishedError> {
        at.checked_sub(distance).filter(|&at| at >= header).ok_or_else(|| self.implausible(field, at))
    }

    pub(crate) fn put(&self, field: &'static str, width: u64, slot: &mut Offset) -> Result<(), PublishedError> {
        if let Some(at) = self.find_offset(field, width)? {
            *slot = at;
        }
        Ok(())
    }

    /// Like [`Structure::put`], for fields that not every build has.
    pub(crate) fn put_some(
        &self,
        field: &'static str,
        width: u64,
        slot: &mut Option<Offset>,
    ) -> Result<(), PublishedError> {
        match slot {
            Some(slot) => self.put(field, width, slot),
            None => Ok(()),
        }
    }
}
