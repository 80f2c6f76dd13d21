//! The rows of the layout table against a fixture that was extracted, independently of them, from debug information and
//! headers of each version: every number of every row, by the name it has there. The exception stack is not in it; `tests/data.rs`
//! holds that against live interpreters.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeMap;

use asyncprof::python::layout::{
    Attributes, AwaitTarget, Builtin, Code, CodeBody, DictIndex, Flag, FrameHead, Frames, Generator, GeneratorFrame,
    Gil, Int, Layout, LineTable, RefCount, StackTop, rows,
};
use asyncprof::runtime::asyncio::layout::{self as asyncio, Registry, RunningLoop};
use serde_json::{Value, json};

type Fields = BTreeMap<String, Value>;

/// Collects the fields of one row.
#[derive(Default)]
struct Row(Fields);

impl Row {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        assert_eq!(self.0.insert(name.to_owned(), value.into()), None, "{name} twice");
    }

    fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn put_flag(&mut self, name: &str, flag: Flag) {
        match flag {
            Flag::Int(at) => self.put(name, at),
            Flag::Bit(byte, bit) => self.put(name, json!({"byte": byte, "bit": bit, "width": 1})),
        }
    }
}

fn fields(l: &Layout) -> Fields {
    let mut row = Row::default();
    put_process(&mut row, l);
    put_frames(&mut row, l);
    put_code(&mut row, &l.code);
    put_generator(&mut row, &l.generator);
    put_types(&mut row, l);
    put_containers(&mut row, l);
    put_builtin(&mut row, &l.builtin);
    put_asyncio(&mut row, &asyncio::rows::row(l));
    row.0
}

fn put_process(row: &mut Row, l: &Layout) {
    row.put("runtime.interpreters_head", l.runtime.interpreters_head);
    row.put("runtime.finalizing", l.runtime.finalizing);
    row.put("constants.has_debug_offsets", l.runtime.publishes_offsets);
    row.put("interp.next", l.interp.next);
    row.put("interp.id", l.interp.id);
    row.put("interp.threads_head", l.interp.threads_head);
    row.put("interp.modules", l.interp.modules);
    row.put("interp.sysdict", l.interp.sysdict);
    match l.interp.gil {
        Gil::Runtime { locked, last_holder } => {
            row.put("runtime.gil_locked", locked);
            row.put("runtime.gil_last_holder", last_holder);
        }
        Gil::Interpreter { pointer, locked, last_holder, enabled } => {
            row.put("interp.ceval_gil_ptr", pointer);
            row.put("gil.locked", locked);
            row.put("gil.last_holder", last_holder);
            row.put_some("gil.enabled", enabled);
        }
    }
    row.put("tstate.next", l.thread.next);
    row.put("tstate.interp", l.thread.interp);
    row.put("tstate.thread_id", l.thread.pthread_id);
    row.put_some("tstate.native_thread_id", l.thread.native_id);
    row.put("tstate.dict", l.thread.dict);
    row.put("tstate.context_ver", l.thread.context_switches);
    row.put_some("tstate.state", l.thread.state);
    row.put_some("tstate.holds_gil", l.thread.holds_gil);
    row.put_some("tstate.gil_requested", l.thread.gil_requested);
    row.put_some("tstate.base_frame_ptr", l.thread.base_frame);
    let owner = if l.gc.in_runtime { "runtime" } else { "interp" };
    row.put(&format!("{owner}.gc_collecting"), l.gc.state + l.gc.collecting);
    let lists = l.gc.lists;
    row.put_some(&format!("{owner}.gc_generations"), lists.map(|lists| l.gc.state + lists.generations));
    row.put_some(&format!("{owner}.gc_permanent_generation"), lists.map(|lists| l.gc.state + lists.permanent));
}

fn put_frames(row: &mut Row, l: &Layout) {
    let stack = match &l.frames {
        Frames::Objects(frames) => {
            row.put("tstate.frame", frames.head);
            row.put("pyframe.back", frames.back);
            row.put("pyframe.code", frames.code);
            row.put("pyframe.valuestack", frames.valuestack);
            row.put("pyframe.gen", frames.generator);
            row.put("pyframe.lasti", frames.lasti);
            row.put("constants.lasti_unit", frames.lasti_unit);
            row.put_some("pyframe.state", frames.state);
            row.put("pyframe.localsplus", frames.localsplus);
            row.put("opcodes.YIELD_FROM", frames.yield_from);
            match frames.stack {
                StackTop::Pointer(at) => ("pyframe.stacktop", at),
                StackTop::Depth(at) => ("pyframe.stackdepth", at),
                StackTop::Index(_) => panic!("frame objects have no index"),
            }
        }
        Frames::Embedded(frames) => {
            match frames.head {
                FrameHead::CFrame { cframe, current_frame } => {
                    row.put("tstate.cframe", cframe);
                    row.put("cframe.current_frame", current_frame);
                }
                FrameHead::ThreadState(at) => row.put("tstate.current_frame", at),
            }
            row.put("iframe.executable", frames.executable);
            row.put("iframe.previous", frames.previous);
            row.put("iframe.instr", frames.instr);
            row.put("iframe.owner", frames.owner);
            row.put_some("constants.skip_frames_with_owner_ge", frames.first_shim_owner);
            row.put_some("iframe.tlbc_index", frames.tlbc_index);
            row.put("iframe.localsplus", frames.localsplus);
            match frames.stack {
                StackTop::Pointer(at) => ("iframe.stackpointer", at),
                StackTop::Index(at) => ("iframe.stacktop", at),
                StackTop::Depth(_) => panic!("embedded frames have no depth"),
            }
        }
    };
    row.put(stack.0, stack.1);
}

fn put_code(row: &mut Row, code: &Code) {
    row.put("code.filename", code.filename);
    row.put("code.name", code.name);
    row.put_some("code.qualname", code.qualname);
    row.put("code.firstlineno", code.firstlineno);
    row.put("code.linetable", code.linetable);
    let format = match code.line_table {
        LineTable::Lnotab => "lnotab",
        LineTable::Ranges => "pep626_linetable",
        LineTable::Locations => "location_table",
    };
    row.put("constants.line_table_format", format);
    row.put("code.flags", code.flags);
    row.put("code.stacksize", code.stacksize);
    match code.body {
        CodeBody::Objects { bytecode, nlocals, varnames, cellvars, freevars } => {
            row.put("code.co_code", bytecode);
            row.put("code.nlocals", nlocals);
            row.put("code.varnames", varnames);
            row.put("code.cellvars", cellvars);
            row.put("code.freevars", freevars);
        }
        CodeBody::Inline { adaptive, nlocalsplus, localsplusnames, localspluskinds, thread_local } => {
            row.put("code.code_adaptive", adaptive);
            row.put("code.nlocalsplus", nlocalsplus);
            row.put("code.localsplusnames", localsplusnames);
            row.put("code.localspluskinds", localspluskinds);
            row.put_some("code.tlbc", thread_local);
        }
    }
}

fn put_generator(row: &mut Row, generator: &Generator) {
    row.put("gen.name", generator.name);
    row.put("gen.qualname", generator.qualname);
    match generator.frame {
        GeneratorFrame::Object { frame, running, code } => {
            row.put("gen.frame", frame);
            row.put_some("gen.running", running);
            row.put("gen.code", code);
        }
        GeneratorFrame::Embedded { state, iframe } => {
            row.put("gen.frame_state", state);
            row.put("gen.iframe", iframe);
        }
    }
    // 3.8 and 3.9 have no state numbers: running says it.
    if !matches!(generator.frame, GeneratorFrame::Object { running: Some(_), .. }) {
        row.put("frame_state.created", generator.states.created);
        row.put("frame_state.suspended", generator.states.suspended);
        row.put("frame_state.executing", generator.states.executing);
        row.put("frame_state.finished", generator.states.finished);
        row.put_some("frame_state.suspended_yield_from", generator.states.awaiting.map(|states| states.0));
        row.put_some("frame_state.suspended_yield_from_locked", generator.states.awaiting.map(|states| states.1));
    }
    match generator.awaits {
        AwaitTarget::NextOpcode => {}
        AwaitTarget::ResumeArgument([resume, other]) => {
            row.put("opcodes.RESUME", resume);
            row.put("opcodes.other_resume", other);
        }
        AwaitTarget::State { depth } => row.put("constants.await_target_depth", depth),
    }
}

fn put_types(row: &mut Row, l: &Layout) {
    row.put("object.type", l.object.ob_type);
    row.put("object.size", l.object.size);
    row.put("constants.stackref_tag_mask", l.object.stackref_tag);
    match l.object.refcount {
        RefCount::Plain => row.put("refcount.kind", "plain64"),
        RefCount::Low32 => row.put("refcount.kind", "low32"),
        RefCount::Biased { local, shared } => {
            row.put("refcount.kind", "biased");
            row.put("object.ref_local", local);
            row.put("object.ref_shared", shared);
        }
    }
    row.put("type.name", l.types.name);
    row.put("type.basicsize", l.types.basicsize);
    row.put("type.itemsize", l.types.itemsize);
    row.put("type.flags", l.types.flags);
    row.put("type.dictoffset", l.types.dictoffset);
    row.put("type.base", l.types.base);
    row.put("type.dict", l.types.dict);
    row.put("type.size", l.types.size);
    row.put("heaptype.qualname", l.types.heap_qualname);
    row.put("heaptype.cached_keys", l.types.heap_cached_keys);
    row.put("member_descriptor.d_member", l.types.member_def);
    match l.attributes {
        Attributes::DictOffset => {}
        Attributes::ValuesBefore => {
            row.put("instance_dict.values_ptr_at", -32);
            row.put("instance_dict.dict_ptr_at", -24);
        }
        Attributes::TaggedWord => row.put("instance_dict.dict_or_values_at", -24),
        Attributes::Inline { dict_before } => row.put("instance_dict.dict_ptr_at", -(dict_before as i64)),
    }
}

fn put_containers(row: &mut Row, l: &Layout) {
    row.put("unicode.length", l.unicode.length);
    row.put("unicode.state", l.unicode.state);
    row.put("unicode.size", l.unicode.ascii_data);
    row.put("compact_unicode.size", l.unicode.compact_data);
    row.put("unicode_state_bits.kind", json!([l.unicode.kind_bit, 3]));
    row.put("unicode_state_bits.compact", l.unicode.compact_bit);
    row.put("unicode_state_bits.ascii", l.unicode.ascii_bit);
    let digits = match l.int {
        Int::SignedSize { size, digits } => {
            row.put("var.ob_size", size);
            digits
        }
        Int::Tag { tag, digits } => {
            row.put("long.lv_tag", tag);
            digits
        }
    };
    row.put("long.digit", digits);
    row.put("dict.used", l.dict.used);
    row.put("dict.keys", l.dict.keys);
    row.put("dict.values", l.dict.values);
    row.put("dictkeys.nentries", l.dict.nentries);
    row.put("dictkeys.indices", l.dict.indices);
    match l.dict.index {
        DictIndex::Slots(at) => row.put("dictkeys.size", at),
        DictIndex::Log2Bytes { log2_bytes, kind } => {
            row.put("dictkeys.log2_index_bytes", log2_bytes);
            row.put("dictkeys.kind", kind);
            row.put("dictvalues.values", l.dict.values_array);
        }
    }
    row.put_some("dictvalues.valid", l.dict.values_valid);
}

fn put_builtin(row: &mut Row, builtin: &Builtin) {
    row.put("tuple.items", builtin.tuple_items);
    row.put("list.items", builtin.list_items);
    row.put("bytes.sval", builtin.bytes_data);
    row.put("float.fval", builtin.float_value);
    row.put("set.used", builtin.set_used);
    row.put("set.mask", builtin.set_mask);
    row.put("set.table", builtin.set_table);
    row.put("weakref.object", builtin.weakref_object);
    row.put("deque.leftblock", builtin.deque_leftblock);
    row.put("deque.rightblock", builtin.deque_leftblock + 8);
    row.put("deque.leftindex", builtin.deque_leftblock + 16);
    row.put("method.func", builtin.method_function);
    row.put("method.self", builtin.method_self);
    row.put("cfunction.ml", builtin.cfunction_def);
    row.put("cfunction.self", builtin.cfunction_self);
    row.put("function.code", builtin.function_code);
    row.put("function.closure", builtin.function_closure);
    row.put("function.defaults", builtin.function_defaults);
    row.put("function.kwdefaults", builtin.function_kwdefaults);
    row.put("function.qualname", builtin.function_qualname);
    row.put("cell.ref", builtin.cell_content);
    row.put("module.dict", builtin.module_dict);
    row.put("module.state", builtin.module_state);
    row.put("partial.func", builtin.partial_function);
    row.put("partial.args", builtin.partial_function + 8);
    for name in [
        "coro_wrapper.coroutine",
        "agen_asend.gen",
        "agen_athrow.gen",
        "anext_awaitable.wrapped",
        "futureiter.future",
        "task_step_wrapper.task",
    ] {
        row.put(name, builtin.wrapped);
    }
}

fn put_asyncio(row: &mut Row, asyncio: &asyncio::Layout) {
    row.put_some("tstate.asyncio_running_task", asyncio.running_task);
    match asyncio.running_loop {
        RunningLoop::Holder { event_loop, pid } => {
            row.put("running_loop_holder.loop", event_loop);
            row.put("running_loop_holder.pid", pid);
        }
        RunningLoop::ThreadDict => {}
        RunningLoop::Field(at) => row.put("tstate.asyncio_running_loop", at),
    }
    match asyncio.registry {
        Registry::AllTasks | Registry::Scheduled => {}
        Registry::Lists(lists) => {
            row.put("interp.asyncio_tasks_head", lists.of_interpreter);
            row.put("tstate.asyncio_tasks_head", lists.of_thread);
            row.put("task.node", lists.node);
            row.put("asyncio_state.non_asyncio_tasks", lists.non_asyncio_tasks);
            row.put("asyncio_state.non_asyncio_eager_tasks", lists.non_asyncio_eager_tasks);
        }
    }
    let future = &asyncio.future;
    row.put("future.loop", future.event_loop);
    row.put("future.callback0", future.callback0);
    row.put("future.context0", future.callback0 + 8);
    row.put("future.callbacks", future.callbacks);
    row.put("future.exception", future.exception);
    row.put("future.state", future.state);
    row.put_flag("future.log_tb", future.log_traceback);
    row.put_some("future.awaited_by", future.awaited_by.map(|by| by.object));
    row.put_some("future.awaited_by_is_set", future.awaited_by.map(|by| by.is_set));
    row.put("future.size", future.size);
    let task = &asyncio.task;
    row.put("task.fut_waiter", task.fut_waiter);
    row.put("task.coro", task.coro);
    row.put("task.name", task.name);
    row.put_flag("task.must_cancel", task.must_cancel);
    row.put_some("task.num_cancels_requested", task.num_cancels_requested);
    row.put("task.size", task.size);
    row.put("handle_slots.args", asyncio.handle.args);
    row.put("handle_slots.callback", asyncio.handle.callback);
    row.put("handle_slots.cancelled", asyncio.handle.cancelled);
    row.put("timer_handle_slots.when", asyncio.handle.when);
    row.put("constants.lazy_task_name_is_int", asyncio.lazy_names);
}

#[test]
fn every_number_of_every_row_is_what_the_versions_own_sources_say() {
    let fixture: BTreeMap<String, Fields> = serde_json::from_str(include_str!("layout_rows.json")).unwrap();
    let mut wrong = Vec::new();
    let mut rows_seen = 0;
    for minor in rows::OLDEST_MINOR..=rows::NEWEST_MINOR {
        for free_threaded in [false, true] {
            let Some(layout) = rows::row(minor, free_threaded) else { continue };
            let name = format!("3.{minor}{}", if free_threaded { "t" } else { "" });
            assert_eq!(layout.free_threaded, free_threaded, "{name}");
            let (row, said) = (fields(&layout), &fixture[&name]);
            for field in row.keys().chain(said.keys()) {
                let (row, said) = (row.get(field), said.get(field));
                if row != said {
                    wrong.push(format!("{name} {field}: row {row:?}, source {said:?}"));
                }
            }
            rows_seen += 1;
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} fields differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(rows_seen, fixture.len());
}

#[test]
fn the_versions_in_help_and_readme_are_those_with_rows() {
    let (oldest, newest) = (rows::OLDEST_MINOR, rows::NEWEST_MINOR);
    let help = format!("CPython 3.{oldest} to 3.{newest}");
    assert!(include_str!("../src/cli/input/args/mod.rs").contains(&help), "{help}");
    let list = (oldest..=newest).map(|minor| format!("3.{minor}")).collect::<Vec<_>>().join(", ");
    assert!(include_str!("../README.md").contains(&format!("| Python | CPython {list};")), "{list}");
}

#[test]
fn every_tag_is_of_its_row() {
    for (minor, tag) in (rows::OLDEST_MINOR..=rows::NEWEST_MINOR).zip(rows::TAGS) {
        assert!(tag.starts_with(&format!("v3.{minor}.")), "{minor}: {tag}");
    }
}
