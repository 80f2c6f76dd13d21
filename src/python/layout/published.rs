//! The table of offsets that a target publishes about itself, `_Py_DebugOffsets` at the start of its runtime (3.13+).
//! It takes precedence over the rows, because some offsets change between micro releases. It consists of bytes of the
//! target, so every number is checked before it is used.

use super::fields::*;
use tables::{Group, HEAD, Table, V3_13, V3_14, V3_15, WORD, word_count};

mod error;
pub(crate) mod tables;

pub use error::PublishedError;

/// The first bytes of a table of offsets. CPython: Include/internal/pycore_debug_offsets.h, v3.13.0.
pub const COOKIE: [u8; 8] = *b"xdebugpy";

/// Bytes of the longest known table: reading this much includes every table.
pub const MAX_TABLE: usize = word_count(&V3_15) * WORD;

/// Bytes of the beginning that all tables share.
pub const HEAD_SIZE: usize = word_count(&HEAD) * WORD;

/// The beginning of a table: it determines the row to complete, and where the runtime's lists are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version of the publisher.
    pub version: Version,
    /// A free-threaded build.
    pub free_threaded: bool,
    finalizing: Offset,
    interpreters_head: Offset,
    next: Offset,
    threads_head: Offset,
}

impl Head {
    /// Parses the beginning of a table.
    ///
    /// # Errors
    /// `NoTable`, `Short`, `Implausible`.
    pub fn parse(table: &[u8]) -> Result<Self, PublishedError> {
        if !table.starts_with(&COOKIE) {
            return Err(PublishedError::NoTable);
        }
        let table = Table::new(&HEAD, table)?;
        let hex = table.word("", "version").and_then(|hex| u32::try_from(hex).ok()).ok_or(PublishedError::NoTable)?;
        let free_threaded = match table.word("", "free_threaded") {
            Some(0) => false,
            Some(1) => true,
            other => {
                let value = other.unwrap_or_default();
                return Err(PublishedError::Implausible { structure: "head", field: "free_threaded", value });
            }
        };
        let (runtime, interpreter) = (table.structure("runtime_state")?, table.structure("interpreter_state")?);
        Ok(Self {
            version: Version::from_hex(hex),
            free_threaded,
            finalizing: runtime.offset("finalizing", 8)?,
            interpreters_head: runtime.offset("interpreters_head", 8)?,
            next: interpreter.offset("next", 8)?,
            threads_head: interpreter.offset("threads_head", 8)?,
        })
    }

    /// Replaces the row's values with those of the head.
    pub fn overlay(&self, l: &mut Layout) {
        l.runtime = Runtime { finalizing: self.finalizing, interpreters_head: self.interpreters_head, ..l.runtime };
        (l.interp.next, l.interp.threads_head) = (self.next, self.threads_head);
    }
}

/// The layout, with the values published by the target in place of the row's. `layout` is the row of the version found
/// by [`Head::parse`].
///
/// # Errors
/// If the table is missing, too short, belongs to another version or build than `layout`, or contains an implausible
/// number. Then nothing of it is used.
pub fn overlay(layout: Layout, table: &[u8]) -> Result<Layout, PublishedError> {
    let head = Head::parse(table)?;
    let groups: &[Group] = match (head.version.major, head.version.minor) {
        (3, 13) => &V3_13,
        (3, 14) => &V3_14,
        (3, 15) => &V3_15,
        _ => return Err(PublishedError::UnknownVersion(head.version)),
    };
    if (head.version.minor, head.free_threaded) != (layout.minor, layout.free_threaded) {
        return Err(PublishedError::OtherBuild);
    }
    let table = Table::new(groups, table)?;
    // A header of another size shifts every field of every object, published or not.
    if table.word("pyobject", "size") != Some(layout.object.size) {
        return Err(PublishedError::OtherBuild);
    }
    let mut l = layout;
    head.overlay(&mut l);
    overlay_process(&mut l, &table)?;
    overlay_frames(&mut l, &table)?;
    overlay_code(&mut l.code, &table, head.free_threaded)?;
    overlay_objects(&mut l, &table)?;
    Ok(l)
}

fn overlay_process(l: &mut Layout, table: &Table<'_>) -> Result<(), PublishedError> {
    let interp = table.structure("interpreter_state")?;
    interp.put("id", 8, &mut l.interp.id)?;
    interp.put("imports_modules", 8, &mut l.interp.modules)?;
    interp.put("sysdict", 8, &mut l.interp.sysdict)?;
    if let Gil::Interpreter { pointer, locked, last_holder, .. } = &mut l.interp.gil {
        // The table describes the interpreter's own lock, embedded in it; we use the one behind the pointer.
        let own = interp.offset("gil_runtime_state", 8)?;
        interp.put("ceval_gil", 8, pointer)?;
        *locked = interp.inner("gil_runtime_state_locked", 4, own)?;
        *last_holder = interp.inner("gil_runtime_state_holder", 8, own)?;
    }
    let collector = table.structure("gc")?;
    let base = interp.offset("gc", 8)?;
    if base + collector.size > interp.size {
        return Err(interp.implausible("gc", base));
    }
    (l.gc.state, l.gc.collecting) = (base, collector.offset("collecting", 4)?);
    let thread = table.structure("thread_state")?;
    thread.put("next", 8, &mut l.thread.next)?;
    thread.put("interp", 8, &mut l.thread.interp)?;
    thread.put("thread_id", 8, &mut l.thread.pthread_id)?;
    thread.put_some("native_thread_id", 8, &mut l.thread.native_id)?;
    thread.put_some("holds_gil", 4, &mut l.thread.holds_gil)?;
    thread.put_some("gil_requested", 4, &mut l.thread.gil_requested)?;
    thread.put_some("base_frame", 8, &mut l.thread.base_frame)?;
    l.thread.size = l.thread.size.map(|_| thread.size);
    Ok(())
}

fn overlay_frames(l: &mut Layout, table: &Table<'_>) -> Result<(), PublishedError> {
    let Frames::Embedded(frames) = &mut l.frames else { return Err(PublishedError::OtherBuild) };
    if let FrameHead::ThreadState(at) = &mut frames.head {
        table.structure("thread_state")?.put("current_frame", 8, at)?;
    }
    let frame = table.structure("interpreter_frame")?;
    frame.put("previous", 8, &mut frames.previous)?;
    frame.put("executable", 8, &mut frames.executable)?;
    frame.put("instr_ptr", 8, &mut frames.instr)?;
    frame.put("localsplus", 8, &mut frames.localsplus)?;
    frame.put("owner", 1, &mut frames.owner)?;
    if let StackTop::Pointer(at) = &mut frames.stack {
        frame.put("stackpointer", 8, at)?;
    }
    frame.put_some("tlbc_index", 4, &mut frames.tlbc_index)
}

fn overlay_code(code: &mut Code, table: &Table<'_>, free_threaded: bool) -> Result<(), PublishedError> {
    let published = table.structure("code_object")?;
    published.put("filename", 8, &mut code.filename)?;
    published.put("name", 8, &mut code.name)?;
    published.put_some("qualname", 8, &mut code.qualname)?;
    published.put("linetable", 8, &mut code.linetable)?;
    published.put("firstlineno", 4, &mut code.firstlineno)?;
    if let CodeBody::Inline { adaptive, localsplusnames, localspluskinds, thread_local, .. } = &mut code.body {
        published.put("co_code_adaptive", 2, adaptive)?;
        published.put("localsplusnames", 8, localsplusnames)?;
        published.put("localspluskinds", 8, localspluskinds)?;
        if free_threaded {
            published.put_some("co_tlbc", 8, thread_local)?;
        }
    }
    Ok(())
}

fn overlay_objects(l: &mut Layout, table: &Table<'_>) -> Result<(), PublishedError> {
    table.structure("pyobject")?.put("ob_type", 8, &mut l.object.ob_type)?;
    let types = table.structure("type_object")?;
    l.types.size = types.size;
    types.put("tp_name", 8, &mut l.types.name)?;
    types.put("tp_flags", 8, &mut l.types.flags)?;
    types.put("tp_basicsize", 8, &mut l.types.basicsize)?;
    types.put("tp_dictoffset", 8, &mut l.types.dictoffset)?;
    if let Some(heap) = table.find_structure("heap_type_object")? {
        heap.put("ht_cached_keys", 8, &mut l.types.heap_cached_keys)?;
    }
    table.structure("tuple_object")?.put("ob_item", 8, &mut l.builtin.tuple_items)?;
    table.structure("list_object")?.put("ob_item", 8, &mut l.builtin.list_items)?;
    if let Some(set) = table.find_structure("set_object")? {
        set.put("used", 8, &mut l.builtin.set_used)?;
        set.put("table", 8, &mut l.builtin.set_table)?;
        set.put("mask", 8, &mut l.builtin.set_mask)?;
    }
    let dict = table.structure("dict_object")?;
    dict.put("ma_keys", 8, &mut l.dict.keys)?;
    dict.put("ma_values", 8, &mut l.dict.values)?;
    table.structure("float_object")?.put("ob_fval", 8, &mut l.builtin.float_value)?;
    if let Int::Tag { tag, digits } = &mut l.int {
        let long = table.structure("long_object")?;
        long.put("lv_tag", 8, tag)?;
        long.put("ob_digit", 4, digits)?;
    }
    table.structure("bytes_object")?.put("ob_sval", 1, &mut l.builtin.bytes_data)?;
    let unicode = table.structure("unicode_object")?;
    unicode.put("state", 4, &mut l.unicode.state)?;
    unicode.put("length", 8, &mut l.unicode.length)?;
    unicode.put("asciiobject_size", 8, &mut l.unicode.ascii_data)?;
    unicode.put("compactunicodeobject_size", 8, &mut l.unicode.compact_data)?;
    if let Some(generator) = table.find_structure("gen_object")?
        && let GeneratorFrame::Embedded { state, iframe } = &mut l.generator.frame
    {
        generator.put("gi_name", 8, &mut l.generator.name)?;
        generator.put("gi_iframe", 8, iframe)?;
        generator.put("gi_frame_state", 1, state)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::tables::MAX_STRUCTURE;
    use super::*;
    use crate::python::layout::rows;

    fn table(groups: &[Group], values: &[((&str, &str), u64)]) -> Vec<u8> {
        let names = groups.iter().flat_map(|(name, fields)| fields.split(' ').map(move |field| (*name, field)));
        let value = |name| values.iter().find(|(known, _)| *known == name).map_or(64, |(_, value)| *value);
        names
            .flat_map(|name| {
                // Offsets of 64 in structures of 128 bytes fit anywhere.
                let word = match name {
                    ("", "cookie") => u64::from_le_bytes(COOKIE),
                    (_, "size") => values.iter().find(|(known, _)| *known == name).map_or(128, |(_, value)| *value),
                    _ => value(name),
                };
                word.to_le_bytes()
            })
            .collect()
    }

    fn plain(minor: u8, groups: &[Group], more: &[((&str, &str), u64)]) -> Vec<u8> {
        let mut values = more.to_vec();
        values.push((("", "version"), 0x0300_00f0 | u64::from(minor) << 16));
        values.push((("", "free_threaded"), 0));
        values.push((("pyobject", "size"), 16));
        values.push((("pyobject", "ob_type"), 8));
        values.push((("interpreter_state", "size"), 4096));
        table(groups, &values)
    }

    #[test]
    fn tables_have_the_sizes_that_the_interpreters_have() {
        assert_eq!([&V3_13[..], &V3_14, &V3_15, &HEAD].map(|table| word_count(table) * 8), [584, 760, 888, 80]);
    }

    #[test]
    fn every_version_publishes_what_is_asked_of_it() {
        for (minor, groups) in [(13, V3_13.as_slice()), (14, &V3_14), (15, &V3_15)] {
            let row = rows::row(minor, false).unwrap();
            let overlaid = overlay(row, &plain(minor, groups, &[])).unwrap();
            assert_eq!(overlaid.interp.modules, 64);
            assert_eq!((overlaid.gc.state, overlaid.gc.collecting), (64, 64));
        }
    }

    #[test]
    fn the_private_part_of_a_thread_state_of_3_13_begins_behind_the_public_one() {
        let row = rows::row(13, false).unwrap();
        let overlaid = overlay(row, &plain(13, &V3_13, &[(("thread_state", "size"), 312)])).unwrap();
        assert_eq!(overlaid.thread.size, Some(312));
    }

    #[test]
    fn where_the_lists_are_in_the_collector_s_state_is_the_row_s_word_alone() {
        let mut row = rows::row(15, false).unwrap();
        row.gc.lists = Some(GcLists { generations: 16, permanent: 88 });
        let overlaid = overlay(row.clone(), &plain(15, &V3_15, &[])).unwrap();
        assert_eq!(overlaid.gc.lists, row.gc.lists);
    }

    #[test]
    fn a_build_kind_that_is_neither_is_no_build() {
        let mut table = plain(14, &V3_14, &[]);
        assert!(!Head::parse(&table).unwrap().free_threaded);
        table[16] = 1;
        assert!(Head::parse(&table).unwrap().free_threaded);
        table[16] = 2;
        let error = Head::parse(&table).unwrap_err();
        assert_eq!(error, PublishedError::Implausible { structure: "head", field: "free_threaded", value: 2 });
    }

    #[test]
    fn a_head_with_an_impossible_offset_is_refused() {
        let head = |next| Head::parse(&plain(13, &V3_13, &[(("interpreter_state", "next"), next)]));
        assert_eq!(head(64).unwrap().version.to_string(), "3.13.0");
        assert!(matches!(head(u64::MAX), Err(PublishedError::Implausible { field: "next", .. })));
    }

    #[test]
    fn an_offset_outside_its_structure_is_refused() {
        let row = rows::row(14, false).unwrap();
        for value in [128, 121, 60, u64::MAX, u64::MAX - 7] {
            let table = plain(14, &V3_14, &[(("code_object", "filename"), value)]);
            let error = overlay(row.clone(), &table).unwrap_err();
            assert_eq!(
                error,
                PublishedError::Implausible { structure: "code_object", field: "filename", value },
                "{value}"
            );
        }
        let table = plain(14, &V3_14, &[(("gc", "size"), MAX_STRUCTURE + 1)]);
        let error = overlay(row, &table).unwrap_err();
        assert_eq!(error.to_string(), "the published gc.size, 16777217, is not plausible");
    }

    #[test]
    fn a_table_of_another_version_or_build_is_refused() {
        let table = plain(14, &V3_14, &[]);
        for row in [rows::row(13, false), rows::row(15, false), rows::row(14, true)] {
            assert_eq!(overlay(row.unwrap(), &table), Err(PublishedError::OtherBuild));
        }
        let row = rows::row(14, false).unwrap();
        let debug = plain(14, &V3_14, &[(("pyobject", "size"), 32)]);
        let debug = debug.as_slice();
        assert_eq!(overlay(row.clone(), debug), Err(PublishedError::OtherBuild));
        let future = plain(16, &V3_15, &[]);
        let error = overlay(row.clone(), &future).unwrap_err();
        assert_eq!(error.to_string(), "the table of offsets of CPython 3.16.0 is not known");
        assert_eq!(overlay(row.clone(), &table[..700]), Err(PublishedError::Short { needed: 760, found: 700 }));
        assert_eq!(overlay(row, &[0; 760]), Err(PublishedError::NoTable));
    }
}
