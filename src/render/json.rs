//! `asyncprof.dump/1`: everything in a snapshot, for programs. Its types are the file format's own; the model can change
//! without it. It must not know how anything was read.
//!
//! Each distinct stack is written once and then copied, because ten thousand tasks share a handful of stacks.

use std::collections::hash_map::Entry;
use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Options, escape};
use crate::snapshot::Snapshot;
use crate::snapshot::model::{
    Awaiting, EventLoop, Finding, FrameId, Gap, LoopId, Reading, StackEnd, Task, TaskId, Thread, ThreadState,
};

/// The format's name and version; fields may be added under it, never changed.
pub const SCHEMA: &str = "asyncprof.dump/1";

/// Writes the snapshot as one line of JSON.
pub fn write(snapshot: &Snapshot, findings: &[Finding], _options: &Options, out: &mut dyn Write) -> io::Result<()> {
    /// Large enough that the writer underneath hardly counts.
    const BUFFER: usize = 1 << 17;
    let stacks = written_stacks(snapshot)?;
    let context = Context { snapshot, stacks: &stacks };
    let mut out = io::BufWriter::with_capacity(BUFFER, out);
    Dump::of(context, findings).serialize(&mut serializer(&mut out))?;
    out.write_all(b"\n")?;
    out.flush()
}

fn serializer<W: Write>(out: W) -> serde_json::Serializer<W, Harmless> {
    serde_json::Serializer::with_formatter(out, Harmless)
}

/// Compact JSON that is safe to print: what a terminal would obey is escaped also where JSON would not demand it.
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // Escaped controls below U+0020 never come here; the other ASCII control is U+007F.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if escape::is_deceptive(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            } else {
                out.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct FrameJson<'a> {
    function: &'a str,
    file: &'a str,
    line: Option<u32>,
}

/// Stacks as they are written.
type Stacks<'a> = FxHashMap<&'a [FrameId], Box<RawValue>>;

fn written_stacks(snapshot: &Snapshot) -> io::Result<Stacks<'_>> {
    let frame = |id: &FrameId| {
        let frame = snapshot.frame(*id);
        FrameJson { function: &frame.function, file: &frame.file, line: frame.line }
    };
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

/// What the parts look up.
#[derive(Clone, Copy)]
struct Context<'a> {
    snapshot: &'a Snapshot,
    stacks: &'a Stacks<'a>,
}

impl<'a> Context<'a> {
    fn stack(self, ids: &[FrameId]) -> &'a RawValue {
        self.stacks.get(ids).expect("all stacks were written before")
    }

    fn tasks(self, ids: &'a [TaskId]) -> TaskKeys<'a> {
        TaskKeys { ids, tasks: &self.snapshot.tasks }
    }

    fn task(self, id: TaskId) -> Key {
        Key(self.snapshot.task(id).key)
    }

    fn event_loop(self, id: LoopId) -> Key {
        Key(self.snapshot.loops[id.0 as usize].key)
    }
}

/// An id, as hex.
struct Key(u64);

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Formatting machinery would be a tenth of the whole time here.
        let mut text = [b'0'; 18];
        text[1] = b'x';
        let length = (16 - self.0.leading_zeros() as usize / 4).max(1);
        for position in 0..length {
            text[2 + position] = DIGITS[(self.0 >> (4 * (length - 1 - position)) & 0xf) as usize];
        }
        serializer.serialize_str(str::from_utf8(&text[..2 + length]).expect("digits are ASCII"))
    }
}

struct TaskKeys<'a> {
    ids: &'a [TaskId],
    tasks: &'a [Task],
}

impl Serialize for TaskKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ids.iter().map(|id| Key(self.tasks[id.0 as usize].key)))
    }
}

/// A list whose elements are made as they are written, so that no copy of the whole is held.
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

#[derive(Serialize)]
struct Dump<'a> {
    schema: &'static str,
    pid: i32,
    python: PythonJson<'a>,
    taken_at: String,
    elapsed_us: f64,
    consistent: bool,
    reading: ReadingJson,
    findings: Each<'a, Finding, FindingJson<'a>>,
    loops: Each<'a, EventLoop, LoopJson<'a>>,
    threads: Each<'a, Thread, ThreadJson<'a>>,
    tasks: Each<'a, Task, TaskJson<'a>>,
    gaps: Each<'a, Gap, GapJson<'a>>,
}

impl<'a> Dump<'a> {
    fn of(context: Context<'a>, findings: &'a [Finding]) -> Self {
        let Snapshot { pid, python, taken_at, elapsed_us, consistent, reading, threads, loops, tasks, gaps, .. } =
            context.snapshot;
        Self {
            schema: SCHEMA,
            pid: *pid,
            python: PythonJson {
                version: &python.version,
                free_threaded: python.free_threaded,
                executable: &python.executable,
                tested: python.tested,
                asyncio_loaded: python.asyncio_loaded,
            },
            taken_at: super::label::timestamp(*taken_at),
            elapsed_us: *elapsed_us,
            consistent: *consistent,
            reading: ReadingJson::of(*reading),
            findings: Each(context, findings, FindingJson::of),
            loops: Each(context, loops, LoopJson::of),
            threads: Each(context, threads, ThreadJson::of),
            tasks: Each(context, tasks, TaskJson::of),
            gaps: Each(context, gaps, |_, gap| GapJson { what: &gap.what, why: &gap.why }),
        }
    }
}

#[derive(Serialize)]
struct PythonJson<'a> {
    version: &'a str,
    free_threaded: bool,
    executable: &'a str,
    tested: bool,
    asyncio_loaded: bool,
}

#[derive(Serialize)]
struct ReadingJson {
    calls: u64,
    pieces: u64,
    bytes: u64,
    torn: u64,
    dropped: u64,
}

impl ReadingJson {
    fn of(Reading { calls, pieces, bytes, torn, dropped }: Reading) -> Self {
        Self { calls, pieces, bytes, torn, dropped }
    }
}

#[derive(Serialize)]
struct GapJson<'a> {
    what: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct ThreadJson<'a> {
    native_id: Option<i32>,
    name: Option<&'a str>,
    interpreter: i64,
    holds_gil: Option<bool>,
    state: String,
    collecting_garbage: Option<bool>,
    stack: &'a RawValue,
    stack_end: Option<&'a str>,
}

impl<'a> ThreadJson<'a> {
    fn of(context: Context<'a>, thread: &'a Thread) -> Self {
        Self {
            native_id: thread.native_id,
            name: thread.name.as_deref(),
            interpreter: thread.interpreter,
            holds_gil: thread.holds_gil,
            state: match &thread.state {
                ThreadState::Running => "running".into(),
                ThreadState::Idle => "idle".into(),
                ThreadState::WaitingGil => "waiting_gil".into(),
                ThreadState::Syscall(call) => format!("syscall:{call}"),
                ThreadState::Unknown => "unknown".into(),
            },
            collecting_garbage: thread.collecting_garbage,
            stack: context.stack(&thread.stack),
            stack_end: thread.stack_end.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct LoopJson<'a> {
    id: Key,
    #[serde(rename = "type")]
    class: &'a str,
    thread: Option<i32>,
    running: Option<bool>,
    running_task: Option<Key>,
    ready: Option<u64>,
    scheduled: Option<u64>,
}

impl<'a> LoopJson<'a> {
    fn of(context: Context<'a>, event_loop: &'a EventLoop) -> Self {
        Self {
            id: Key(event_loop.key),
            class: &event_loop.class,
            thread: event_loop.thread,
            running: event_loop.running,
            running_task: event_loop.running_task.map(|id| context.task(id)),
            ready: event_loop.ready,
            scheduled: event_loop.scheduled,
        }
    }
}

#[derive(Serialize)]
struct TaskJson<'a> {
    id: Key,
    name: Option<&'a str>,
    class: Option<&'a str>,
    state: &'static str,
    #[serde(rename = "loop")]
    event_loop: Option<Key>,
    stack: &'a RawValue,
    coroutines: u32,
    stack_end: Option<&'a str>,
    awaiting: Option<AwaitingJson<'a>>,
    awaited_by: TaskKeys<'a>,
    orphaned: Option<bool>,
    references: Option<i64>,
    unretrieved_exception: Option<&'a str>,
    cancel_requests: u32,
    age_ms_at_least: Option<f64>,
}

impl<'a> TaskJson<'a> {
    fn of(context: Context<'a>, task: &'a Task) -> Self {
        Self {
            id: Key(task.key),
            name: task.name.as_deref(),
            class: task.class.as_deref(),
            state: task.state.as_str(),
            event_loop: task.event_loop.map(|id| context.event_loop(id)),
            stack: context.stack(&task.stack),
            coroutines: task.coroutines,
            stack_end: task.stack_end.as_ref().map(stack_end),
            awaiting: task.awaiting.as_ref().map(|awaiting| AwaitingJson::of(context, awaiting)),
            awaited_by: context.tasks(&task.awaited_by),
            orphaned: task.orphaned,
            references: task.references,
            unretrieved_exception: task.unretrieved_exception.as_deref(),
            cancel_requests: task.cancel_requests,
            age_ms_at_least: task.age_ms_at_least,
        }
    }
}

fn stack_end(end: &StackEnd) -> &str {
    match end {
        StackEnd::Opaque(class) => class,
        StackEnd::Torn => "gap: changed while being read",
        StackEnd::Limit => "gap: deeper than the limit",
    }
}

#[derive(Serialize)]
struct AwaitingJson<'a> {
    kind: &'static str,
    detail: Option<&'a str>,
    tasks: TaskKeys<'a>,
    held_by: TaskKeys<'a>,
}

impl<'a> AwaitingJson<'a> {
    fn of(context: Context<'a>, awaiting: &'a Awaiting) -> Self {
        Self {
            kind: awaiting.kind.as_str(),
            detail: awaiting.detail.as_deref(),
            tasks: context.tasks(&awaiting.tasks),
            held_by: context.tasks(&awaiting.held_by),
        }
    }
}

#[derive(Serialize)]
struct FindingJson<'a> {
    rule: &'static str,
    severity: &'static str,
    message: &'a str,
    tasks: TaskKeys<'a>,
    evidence: &'a std::collections::BTreeMap<&'static str, serde_json::Value>,
    advice: &'a str,
}

impl<'a> FindingJson<'a> {
    fn of(context: Context<'a>, finding: &'a Finding) -> Self {
        Self {
            rule: finding.rule,
            severity: finding.severity.as_str(),
            message: &finding.message,
            tasks: context.tasks(&finding.tasks),
            evidence: &finding.evidence,
            advice: &finding.advice,
        }
    }
}
