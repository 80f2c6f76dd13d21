//! The tables of offsets that a target publishes about itself: `_Py_DebugOffsets` at the start of its runtime (3.13+)
//! and `.AsyncioDebug` beside its asyncio module (3.14+). They are preferred to the rows, because some offsets move
//! between micro releases, and they are bytes of the target: every number is checked before it is used.
//! It must not know how the tables are found.

use super::*;
use tables::{ASYNCIO, Group, HEADER, Table, V3_13, V3_14, V3_15, WORD, word_count};

mod tables;

/// What a table of offsets begins with. CPython: Include/internal/pycore_debug_offsets.h, 3.13.
pub const COOKIE: [u8; 8] = *b"xdebugpy";

/// Bytes of the longest table known: what a caller reads to be sure to have all of it.
pub const MAX_TABLE: usize = word_count(&V3_15) * WORD;

/// Bytes of the asyncio table.
pub const ASYNCIO_TABLE: usize = word_count(&ASYNCIO) * WORD;

/// Where the generations are in the collector's state: (first generation, permanent generation).
/// CPython: Include/internal/pycore_gc.h, 3.13; Include/internal/pycore_interp_structs.h, 3.14 and 3.15.
fn generations_in_gc(minor: u8) -> (Offset, Offset) {
    match minor {
        13 => (24, 104),
        14 => (24, 96),
        _ => (8, 80),
    }
}

/// Why a published table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// The first bytes are something else.
    #[error("the runtime does not begin with a table of offsets")]
    NoTable,
    /// The bytes end before the table does.
    #[error("the table of offsets has {needed} bytes, of which only {found} were read")]
    Short {
        /// Bytes of this version's table.
        needed: usize,
        /// Bytes there were.
        found: usize,
    },
    /// The table of this version is not known.
    #[error("the table of offsets of CPython {0} is not known")]
    UnknownVersion(Version),
    /// The layout to be completed is that of another version or build.
    #[error("the table of offsets is of another version or build of CPython than expected")]
    OtherBuild,
    /// A number cannot be what it should be.
    #[error("the published {structure}.{field}, {value}, is not plausible")]
    Implausible {
        /// The structure's name in the table.
        structure: &'static str,
        /// The field's name in the table.
        field: &'static str,
        /// What the target says.
        value: u64,
    },
}

impl PublishedError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTable | Self::Short { .. } => "The process may be starting or ending; try again.",
            Self::UnknownVersion(_) => "Use a newer asyncprof.",
            Self::OtherBuild | Self::Implausible { .. } => {
                "The interpreter is a build that is not supported (a debug build, or one with Py_TRACE_REFS?), or its \
                 memory is damaged."
            }
        }
    }
}

/// Which version published the table, and whether it is a free-threaded build: what chooses the row to complete.
///
/// # Errors
/// `NoTable`, `Short`.
pub fn parse_version(table: &[u8]) -> Result<(Version, bool), PublishedError> {
    if !table.starts_with(&COOKIE) {
        return Err(PublishedError::NoTable);
    }
    let header = Table::new(&[HEADER], table)?;
    let (version, free_threaded) = (header.word("", "version"), header.word("", "free_threaded"));
    let hex = version.and_then(|hex| u32::try_from(hex).ok()).ok_or(PublishedError::NoTable)?;
    Ok((Version::from_hex(hex), free_threaded == Some(1)))
}

/// The layout with what the target publishes in place of the row's values. `layout` is the row of the version that
/// [`parse_version`] says.
///
/// # Errors
/// When the table is none, is too short, belongs to another version or build than `layout`, or holds a number that
/// cannot be right. Nothing of it is used then.
pub fn overlay(layout: Layout, table: &[u8]) -> Result<Layout, PublishedError> {
    let (version, free_threaded) = parse_version(table)?;
    let groups: &[Group] = match (version.major, version.minor) {
        (3, 13) => &V3_13,
        (3, 14) => &V3_14,
        (3, 15) => &V3_15,
        _ => return Err(PublishedError::UnknownVersion(version)),
    };
    let table = Table::new(groups, table)?;
    // The runtime's row differs between all minors that publish.
    let row = rows::row(version.minor, free_threaded).ok_or(PublishedError::UnknownVersion(version))?;
    if row.free_threaded != layout.free_threaded || row.runtime != layout.runtime {
        return Err(PublishedError::OtherBuild);
    }
    // A header of another size moves every field of every object, published or not.
    if table.word("pyobject", "size") != Some(layout.object.size) {
        return Err(PublishedError::OtherBuild);
    }
    let mut l = layout;
    overlay_process(&mut l, &table, version.minor)?;
    overlay_frames(&mut l, &table)?;
    overlay_code(&mut l.code, &table, free_threaded)?;
    overlay_objects(&mut l, &table)?;
    Ok(l)
}

fn overlay_process(l: &mut Layout, table: &Table<'_>, minor: u8) -> Result<(), PublishedError> {
    let runtime = table.structure("runtime_state")?;
    runtime.put("interpreters_head", 8, &mut l.runtime.interpreters_head)?;
    runtime.put("finalizing", 8, &mut l.runtime.finalizing)?;
    let interp = table.structure("interpreter_state")?;
    interp.put("next", 8, &mut l.interp.next)?;
    interp.put("id", 8, &mut l.interp.id)?;
    interp.put("threads_head", 8, &mut l.interp.threads_head)?;
    interp.put("imports_modules", 8, &mut l.interp.modules)?;
    interp.put("sysdict", 8, &mut l.interp.sysdict)?;
    if let Gil::Interpreter { pointer, locked, last_holder, .. } = &mut l.interp.gil {
        // The table describes the interpreter's own lock, embedded in it; ours is the one that is pointed to.
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
    l.gc.collecting = base + collector.offset("collecting", 4)?;
    let (first, permanent) = generations_in_gc(minor);
    l.gc.generations = l.gc.generations.map(|_| base + first);
    l.gc.permanent = l.gc.permanent.map(|_| base + permanent);
    let thread = table.structure("thread_state")?;
    thread.put("next", 8, &mut l.thread.next)?;
    thread.put("interp", 8, &mut l.thread.interp)?;
    thread.put("thread_id", 8, &mut l.thread.pthread_id)?;
    thread.put_some("native_thread_id", 8, &mut l.thread.native_id)?;
    thread.put_some("holds_gil", 4, &mut l.thread.holds_gil)?;
    thread.put_some("gil_requested", 4, &mut l.thread.gil_requested)?;
    thread.put_some("base_frame", 8, &mut l.thread.base_frame)?;
    // 3.13: the field is the first one behind the public part of the thread state. Later versions publish it with
    // asyncio's own table.
    if minor == 13
        && let RunningLoop::Field(at) = &mut l.thread.running_loop
    {
        *at = thread.size;
    }
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

/// The layout with what the asyncio module publishes in place of the row's values, 3.14+.
///
/// # Errors
/// As [`overlay`]; `OtherBuild` for a layout of a version that publishes no such table.
pub fn overlay_asyncio(layout: Layout, table: &[u8]) -> Result<Layout, PublishedError> {
    let table = Table::new(&ASYNCIO, table)?;
    let mut l = layout;
    let (Some(awaited_by), Some(tasks_head)) = (&mut l.asyncio.future.awaited_by, &mut l.interp.asyncio_tasks_head)
    else {
        return Err(PublishedError::OtherBuild);
    };
    let object = table.structure("asyncio_task_object")?;
    let task = &mut l.asyncio.task;
    task.size = object.size;
    object.put("task_name", 8, &mut task.name)?;
    object.put_some("task_node", 8, &mut task.node)?;
    object.put("task_coro", 8, &mut task.coro)?;
    object.put("task_awaited_by", 8, &mut awaited_by.object)?;
    object.put("task_awaited_by_is_set", 1, &mut awaited_by.is_set)?;
    let is_task = object.offset("task_is_task", 1)?;
    // What is not published has a fixed distance to what is, in the versions that publish.
    let header = l.object.size;
    task.fut_waiter = object.before("task_coro", task.coro, 8, header)?;
    l.asyncio.future.state = object.before("task_is_task", is_task, 4, header)?;
    if is_task % 4 != 0 {
        return Err(object.implausible("task_is_task", is_task));
    }
    task.num_cancels_requested = task.num_cancels_requested.map(|_| is_task + 4);
    let flags = awaited_by.is_set + 1;
    l.asyncio.future.log_traceback = Flag::Bit(flags, 0);
    task.must_cancel = Flag::Bit(flags, 2);
    table.structure("asyncio_interpreter_state")?.put("asyncio_tasks_head", 8, tasks_head)?;
    let thread = table.structure("asyncio_thread_state")?;
    l.thread.running_loop = RunningLoop::Field(thread.offset("asyncio_running_loop", 8)?);
    thread.put_some("asyncio_running_task", 8, &mut l.thread.running_task)?;
    thread.put_some("asyncio_tasks_head", 8, &mut l.thread.tasks_head)?;
    Ok(l)
}

#[cfg(test)]
mod tests {
    use super::tables::MAX_STRUCTURE;
    use super::*;

    fn table(groups: &[Group], values: &[((&str, &str), u64)]) -> Vec<u8> {
        let names = groups.iter().flat_map(|(name, fields)| fields.iter().map(move |field| (*name, *field)));
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
        assert_eq!((word_count(&V3_13) * 8, word_count(&V3_14) * 8, MAX_TABLE, ASYNCIO_TABLE), (584, 760, 888, 104));
    }

    #[test]
    fn every_version_publishes_what_is_asked_of_it() {
        for (minor, groups) in [(13, V3_13.as_slice()), (14, &V3_14), (15, &V3_15)] {
            let row = rows::row(minor, false).unwrap();
            let overlaid = overlay(row, &plain(minor, groups, &[])).unwrap();
            assert_eq!(overlaid.interp.modules, 64);
            assert_eq!(overlaid.gc.collecting, 128);
        }
    }

    #[test]
    fn the_running_loop_of_3_13_is_behind_the_thread_state() {
        let row = rows::row(13, false).unwrap();
        let overlaid = overlay(row, &plain(13, &V3_13, &[(("thread_state", "size"), 312)])).unwrap();
        assert_eq!(overlaid.thread.running_loop, RunningLoop::Field(312));
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

    #[test]
    fn asyncio_s_table_needs_a_version_that_has_one() {
        let table = vec![0; ASYNCIO_TABLE];
        let row = rows::row(13, false).unwrap();
        assert_eq!(overlay_asyncio(row, &table), Err(PublishedError::OtherBuild));
        let row = rows::row(14, false).unwrap();
        assert!(matches!(overlay_asyncio(row, &table), Err(PublishedError::Implausible { field: "size", .. })));
    }
}
