//! `asyncprof.dump/1`: everything in a snapshot, in machine-readable form. Its types belong to the format; the model
//! can change without it.
//!
//! Each distinct stack is serialized once and then copied, because ten thousand tasks share a handful of stacks.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::key::{HexText, Key};
use super::object::{object, serializer};
use super::options::Options;
use super::shared;
use crate::model::Snapshot;
use crate::model::snapshot::{
    Awaiting, EventLoop, Finding, FrameId, Halt, StackEnd, Task, TaskId, Thread, ThreadState,
};
use crate::render::wait_words;

/// The format's name and version; fields may be added in this version, but never changed.
pub const SCHEMA: &str = "asyncprof.dump/1";

/// Writes the snapshot as one line of JSON.
pub fn write(snapshot: &Snapshot, findings: &[Finding], _options: &Options, out: &mut dyn Write) -> io::Result<()> {
    /// Large enough that the cost of the underlying writer hardly matters.
    const BUFFER: usize = 1 << 17;
    let stacks = written_stacks(snapshot)?;
    let context = Context { snapshot, stacks: &stacks };
    let mut out = io::BufWriter::with_capacity(BUFFER, out);
    // Tasks make up nearly all of a large dump, and are written field by field; see `write_task`.
    let mut head = Vec::new();
    dump(context, findings).serialize(&mut serializer(&mut head))?;
    out.write_all(head.strip_suffix(b"}").expect("an object ends with a brace"))?;
    out.write_all(b",\"tasks\":[")?;
    let mut line = Vec::new();
    for (number, task) in snapshot.tasks.iter().enumerate() {
        line.clear();
        if number > 0 {
            line.push(b',');
        }
        write_task(&mut line, context, task)?;
        out.write_all(&line)?;
    }
    out.write_all(b"]}\n")?;
    out.flush()
}

type Stacks<'a> = FxHashMap<&'a [FrameId], Box<RawValue>>;

fn written_stacks(snapshot: &Snapshot) -> io::Result<Stacks<'_>> {
    let frame = |id: &FrameId| shared::frame(Some(snapshot.frame(*id)));
    let mut stacks = Stacks::default();
    let tasks = snapshot.tasks.iter().map(|task| &*task.stack);
    for stack in tasks.chain(snapshot.threads.iter().map(|thread| &*thread.stack)) {
        if let Entry::Vacant(vacant) = stacks.entry(stack) {
            let mut written = Vec::new();
            serializer(&mut written).collect_seq(stack.iter().map(frame))?;
            let written = String::from_utf8(written).expect("the serializer writes UTF-8");
            vacant.insert(RawValue::from_string(written)?);
        }
    }
    Ok(stacks)
}

/// Lookups shared by the parts.
#[derive(Clone, Copy)]
struct Context<'a> {
    snapshot: &'a Snapshot,
    stacks: &'a Stacks<'a>,
}

impl<'a> Context<'a> {
    fn stack(self, ids: &[FrameId]) -> &'a RawValue {
        self.stacks.get(ids).expect("all stacks were written before")
    }

    fn tasks(self, ids: &'a [TaskId]) -> Each<'a, TaskId, Key> {
        Each(self, ids, |context, id| Key(context.snapshot.task(*id).key))
    }
}

/// A list whose elements are created as they are written, so that no copy of the whole list is held.
struct Each<'a, T, J>(Context<'a>, &'a [T], fn(Context<'a>, &'a T) -> J);

impl<T, J: Serialize> Serialize for Each<'_, T, J> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(context, items, make) = self;
        let mut list = serializer.serialize_seq(Some(items.len()))?;
        for item in *items {
            list.serialize_element(&make(*context, item))?;
        }
        list.end()
    }
}

/// Everything but the tasks.
fn dump<'a>(context: Context<'a>, findings: &'a [Finding]) -> impl Serialize {
    let Snapshot { python, reading, .. } = context.snapshot;
    object! {
        schema: SCHEMA,
        pid: context.snapshot.pid,
        python: object! {
            version: &python.version,
            free_threaded: python.free_threaded,
            executable: &python.executable,
            tested: python.tested,
            asyncio_loaded: python.asyncio_loaded,
        },
        taken_at: super::label::timestamp(context.snapshot.taken_at),
        elapsed_us: context.snapshot.elapsed_us,
        consistent: context.snapshot.consistent,
        stopped: context.snapshot.halt.map(Halt::as_str),
        stop: context.snapshot.stop.map(|stop| object! {
            ms: stop.duration.as_secs_f64() * 1e3,
            covers_reading: stop.covers_reading,
        }),
        reading: object! {
            calls: reading.calls,
            pieces: reading.pieces,
            bytes: reading.bytes,
            torn: reading.torn,
            dropped: reading.dropped,
        },
        findings: Each(context, findings, |context, finding| shared::finding(finding, context.tasks(&finding.tasks))),
        loops: Each(context, &context.snapshot.loops, event_loop),
        threads: Each(context, &context.snapshot.threads, thread),
        unread_tasks: context.snapshot.unread_tasks,
        gaps: Each(context, &context.snapshot.gaps, |_, gap| object! { what: &gap.what, why: &gap.why }),
    }
}

fn event_loop<'a>(context: Context<'a>, event_loop: &'a EventLoop) -> impl Serialize + use<'a> {
    object! {
        id: Key(event_loop.key),
        r#type: &event_loop.class,
        thread: event_loop.thread,
        running: event_loop.running,
        position: event_loop.position.as_str(),
        running_task: event_loop.running_task.map(|id| Key(context.snapshot.task(id).key)),
        ready: event_loop.ready,
        scheduled: event_loop.scheduled,
    }
}

fn thread<'a>(context: Context<'a>, thread: &'a Thread) -> impl Serialize + use<'a> {
    let state: Cow<'_, str> = match &thread.state {
        ThreadState::Running => "running".into(),
        ThreadState::Idle => "idle".into(),
        ThreadState::WaitingGil => "waiting_gil".into(),
        ThreadState::Syscall(call) => format!("syscall:{call}").into(),
        ThreadState::Stopped => "stopped".into(),
        ThreadState::Unknown => "unknown".into(),
    };
    object! {
        native_id: thread.native_id,
        name: &thread.name,
        interpreter: thread.interpreter,
        holds_gil: thread.holds_gil,
        state,
        collecting_garbage: thread.collecting_garbage,
        gil_holder: thread.waits_behind.and_then(|index| context.snapshot.threads.get(index)?.native_id),
        stack: context.stack(&thread.stack),
        stack_end: &thread.stack_end,
    }
}

/// One task. Written by hand, because a serializer costs several times as much for every key.
fn write_task(out: &mut Vec<u8>, context: Context<'_>, task: &Task) -> io::Result<()> {
    out.extend_from_slice(b"{\"id\":");
    write_key(out, task.key);
    out.extend_from_slice(b",\"name\":");
    write_text(out, task.name.as_deref())?;
    out.extend_from_slice(b",\"class\":");
    write_text(out, task.class.as_deref())?;
    out.extend_from_slice(b",\"state\":");
    write_word(out, task.state.as_str());
    out.extend_from_slice(b",\"loop\":");
    match task.event_loop {
        Some(id) => write_key(out, context.snapshot.loops[id.0 as usize].key),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"stack\":");
    out.extend_from_slice(context.stack(&task.stack).get().as_bytes());
    out.extend_from_slice(b",\"coroutines\":");
    write_value(out, Some(task.coroutines))?;
    out.extend_from_slice(b",\"stack_end\":");
    write_text(out, task.stack_end.as_ref().map(stack_end))?;
    out.extend_from_slice(b",\"awaiting\":");
    write_awaiting(out, context, task.awaiting.as_ref())?;
    out.extend_from_slice(b",\"awaited_by\":");
    write_keys(out, context, &task.awaited_by);
    out.extend_from_slice(b",\"orphaned\":");
    write_value(out, task.orphaned)?;
    out.extend_from_slice(b",\"references\":");
    write_value(out, task.references)?;
    out.extend_from_slice(b",\"unretrieved_exception\":");
    write_text(out, task.unretrieved_exception.as_deref())?;
    out.extend_from_slice(b",\"cancel_requests\":");
    write_value(out, Some(task.cancel_requests))?;
    out.extend_from_slice(b",\"age_ms_at_least\":");
    match task.age_ms_at_least {
        Some(age) => write!(out, "{age}")?,
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(())
}

fn write_awaiting(out: &mut Vec<u8>, context: Context<'_>, awaiting: Option<&Awaiting>) -> io::Result<()> {
    let Some(awaiting) = awaiting else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    out.extend_from_slice(b"{\"kind\":");
    write_word(out, awaiting.kind.as_str());
    out.extend_from_slice(b",\"detail\":");
    write_text(out, awaiting.detail.as_ref().map(wait_words::detail).as_deref())?;
    out.extend_from_slice(b",\"tasks\":");
    write_keys(out, context, &awaiting.tasks);
    out.extend_from_slice(b",\"held_by\":");
    write_keys(out, context, &awaiting.held_by);
    out.push(b'}');
    Ok(())
}

/// A text of our own, which needs no escaping.
fn write_word(out: &mut Vec<u8>, word: &str) {
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// A text from the target, or null.
fn write_text(out: &mut Vec<u8>, text: Option<&str>) -> io::Result<()> {
    match text {
        // Nearly all names consist of plain characters.
        Some(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') => {
            write_word(out, text);
            Ok(())
        }
        text => Ok(text.serialize(&mut serializer(out))?),
    }
}

/// A number or boolean, or null.
fn write_value<T: Serialize>(out: &mut Vec<u8>, value: Option<T>) -> io::Result<()> {
    Ok(value.serialize(&mut serializer(out))?)
}

fn write_key(out: &mut Vec<u8>, key: u64) {
    out.push(b'"');
    out.extend_from_slice(HexText::of(key).as_bytes());
    out.push(b'"');
}

fn write_keys(out: &mut Vec<u8>, context: Context<'_>, ids: &[TaskId]) {
    out.push(b'[');
    for (number, id) in ids.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_key(out, context.snapshot.task(*id).key);
    }
    out.push(b']');
}

fn stack_end(end: &StackEnd) -> &str {
    match end {
        StackEnd::Opaque(class) => class,
        StackEnd::Torn => "gap: changed while being read",
        StackEnd::Limit => "gap: deeper than the limit",
    }
}
