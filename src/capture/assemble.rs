//! Turns what was read, by address, into a snapshot: indexes in place of addresses, states in place of fields.

use std::time::SystemTime;

use rustc_hash::FxHashMap;

use super::facts::{Activity, Facts};
use super::instant::Capture;
use super::loop_position::settle;
use super::outside::Place;
use super::outside_model::assemble_outside;
use super::task_walk::{TaskWalk, node};
use super::threads::{CapturedThread, ThreadReading};
use crate::model::snapshot::{
    Awaiting, EventLoop, Frame, FrameId, Gap, Halt, LoopId, LoopPosition, ParentScope, Python, Reading, Resource,
    Snapshot, StackEnd, Task, TaskId, TaskState, Thread, ThreadState,
};
use crate::python::coroutine::ChainEnd;
use crate::python::layout::Layout;
use crate::remote::halt;
use crate::remote::kernel_thread::is_selector;
use crate::remote::{Addr, MemoryLimit, ReadError};
use crate::runtime::record::FutureState;
use crate::runtime::wait::ResourceRecord;
use crate::runtime::wait_graph::{Edges, Futures as _, Node, awaited_by, relate};

/// When and how a capture was taken.
pub(crate) struct Taken {
    pub(crate) at: SystemTime,
    pub(crate) elapsed_us: f64,
    pub(crate) version: String,
}

/// Makes a snapshot of what was captured.
pub(super) fn assemble(
    mut capture: Capture,
    facts: &Facts,
    layout: &Layout,
    memory_limit: MemoryLimit,
    taken: Taken,
) -> Snapshot {
    let loop_ids: FxHashMap<Addr, LoopId> =
        capture.loops.iter().enumerate().map(|(n, record)| (record.addr, LoopId(n as u32))).collect();
    let walks = std::mem::take(&mut capture.tasks);
    let running: Vec<Option<RunningFrames>> = walks.iter().map(|walk| running_frames(&capture, &walks, walk)).collect();
    let states: Vec<TaskState> =
        walks.iter().zip(&running).map(|(walk, running)| task_state(walk, running.is_some())).collect();
    let (edges, awaited_by) = relate_tasks(&capture, &walks, &states);
    // One by one and in place, because there can be very many.
    let related = states.into_iter().zip(running).zip(edges.into_iter().zip(awaited_by));
    let tasks: Vec<Task> = (walks.into_iter().zip(related).enumerate())
        .map(|(position, (walk, ((state, running), (edges, awaited_by))))| {
            let references = capture.other_references.get(position).copied().flatten();
            let cancellation = capture.endings.cancelled.get(&position).copied();
            let still_ms = capture.still.tasks.get(&position).copied();
            let parent =
                walk.group.map(|(group, owner)| ParentScope { key: group.raw(), owner: capture.graph.task(owner) });
            let task = assemble_task(&capture, &loop_ids, walk, state, running, edges);
            let serves_connection = capture.serving.contains(&position);
            let orphaned = is_orphaned(&task, &awaited_by, references);
            Task { orphaned, serves_connection, awaited_by, parent, references, cancellation, still_ms, ..task }
        })
        .collect();
    let threads = assemble_threads(&capture, facts);
    let loops = assemble_loops(&capture, facts, &tasks);
    let (pools, results) = assemble_outside(&capture, &loop_ids);
    let mut gaps: Vec<Gap> = capture.problems.iter().map(gap).collect();
    for (thread, captured) in threads.iter().zip(&capture.threads) {
        if !captured.reading.stack.complete {
            let who = thread.native_id.map_or_else(|| "a thread".to_owned(), |id| format!("thread {id}"));
            gaps.push(Gap { what: format!("stack of {who}"), why: "it moved in every attempt to read it".to_owned() });
        }
    }
    let cut = tasks.iter().filter(|task| task.stack_end == Some(StackEnd::Limit)).count();
    if cut > 0 {
        let what = format!("the inner part of {cut} stack{}", if cut == 1 { "" } else { "s" });
        gaps.push(Gap {
            what,
            why: "a chain of coroutines is deeper than asyncprof reads, or leads back to itself".to_owned(),
        });
    }
    if capture.unread > 0 {
        let memory = Gap {
            what: format!("{} of {} tasks", capture.unread, capture.unread + tasks.len()),
            why: format!("{} MiB of memory are used up (--max-memory)", memory_limit.bytes() >> 20),
        };
        gaps.insert(0, memory);
    }
    let quality = capture.quality;
    Snapshot {
        pid: facts.pid,
        python: Python {
            version: taken.version,
            free_threaded: facts.free_threaded,
            executable: facts.executable.clone(),
            tested: layout.tested,
            asyncio_loaded: capture.asyncio_loaded,
        },
        taken_at: taken.at,
        elapsed_us: taken.elapsed_us,
        stop: None,
        halt: facts.halt.map(|halt| match halt {
            halt::Halt::JobControl => Halt::JobControl,
            halt::Halt::Tracer => Halt::Tracer,
            halt::Halt::Frozen => Halt::Frozen,
        }),
        kernel_threads: facts.threads.len(),
        consistent: quality.consistent,
        reading: Reading {
            calls: quality.batches,
            pieces: quality.pieces,
            bytes: quality.bytes,
            torn: quality.torn,
            dropped: quality.dropped,
        },
        frames: capture
            .frames
            .into_frames()
            .into_iter()
            .map(|frame| Frame { function: frame.function, file: frame.file, line: frame.line })
            .collect(),
        threads,
        loops,
        tasks,
        unread_tasks: capture.unread,
        gaps,
        pools,
        results,
    }
}

fn assemble_resource(capture: &Capture, resource: &ResourceRecord) -> Resource {
    Resource {
        key: resource.addr.raw(),
        free: resource.free,
        bound: resource.bound,
        pool: resource.pool,
        is_abandoned: capture.abandoned.contains(&resource.addr),
        still_ms: capture.still.resources.get(&resource.addr).copied(),
    }
}

fn gap((what, error): &(String, ReadError)) -> Gap {
    Gap { what: what.clone(), why: error.to_string() }
}

/// Which tasks each task waits for, and which tasks await it.
fn relate_tasks(capture: &Capture, walks: &[TaskWalk], states: &[TaskState]) -> (Vec<Edges<TaskId>>, Vec<Vec<TaskId>>) {
    let nodes: Vec<Node<'_, TaskId>> = (walks.iter().zip(states).zip(&capture.entered).enumerate())
        .map(|(position, ((walk, state), entered))| {
            let pending = walk.record.as_ref().filter(|record| record.is_pending());
            let awaiters = pending.map_or(&[][..], |record| &record.future.awaited_by);
            node(TaskId(position as u32), walk.wait.as_ref(), is_suspended(*state), entered, awaiters)
        })
        .collect();
    let edges = relate(&nodes, &capture.graph);
    let awaited_by = awaited_by(&nodes, &edges);
    (edges, awaited_by)
}

/// The caller adds what depends on other tasks: awaiters, parent, references, and whether it is an orphan.
fn assemble_task(
    capture: &Capture,
    loop_ids: &FxHashMap<Addr, LoopId>,
    walk: TaskWalk,
    state: TaskState,
    running: Option<RunningFrames>,
    edges: Edges<TaskId>,
) -> Task {
    let (stack, coroutines, stack_end) = match running {
        Some((frames, coroutines)) => (frames, coroutines, None),
        None => {
            let stack: Vec<FrameId> = walk.frames.iter().map(|number| FrameId(*number)).collect();
            let coroutines = stack.len() as u32;
            (stack, coroutines, stack_end(&walk))
        }
    };
    let awaiting = walk.wait.filter(|_| is_suspended(state)).map(|wait| Awaiting {
        kind: wait.kind,
        detail: wait.detail,
        tasks: edges.awaits.to_vec(),
        held_by: edges.held_by.to_vec(),
        resource: wait.resource.map(|resource| assemble_resource(capture, &resource)),
        has_moved: capture.graph.tasks.get(&walk.addr).is_some_and(|position| capture.still.moved.contains(position)),
        thread: wait.job.and_then(|job| match capture.outside.places.get(&job) {
            Some(Place::Thread(thread)) => Some(*thread),
            _ => None,
        }),
        queued_in: wait.job.and_then(|job| match capture.outside.places.get(&job) {
            Some(Place::Pool(pool)) => Some(*pool),
            _ => None,
        }),
        starts_on: wait.job.and_then(|job| capture.outside.loop_of(job)).and_then(|addr| loop_ids.get(&addr).copied()),
    });
    let record = walk.record.as_ref();
    let event_loop = record.and_then(|record| record.future.event_loop).and_then(|l| loop_ids.get(&l).copied());
    let cancel_requests = record.map_or(0, |record| record.cancel_requests.max(u32::from(record.must_cancel)));
    let (name, class) = walk.record.map_or((None, None), |record| (record.name, record.class_name));
    Task {
        key: walk.addr.raw(),
        name,
        class,
        state,
        event_loop,
        stack,
        coroutines,
        stack_end,
        awaiting,
        awaited_by: Vec::new(),
        parent: None,
        orphaned: None,
        serves_connection: false,
        references: None,
        unretrieved_exception: walk.exception,
        cancel_requests,
        cancellation: None,
        still_ms: None,
        age_ms_at_least: None,
    }
}

/// Frames of a running task, and how many of them are coroutines.
type RunningFrames = (Vec<FrameId>, u32);

/// The frames of a running task, cut from the stack of the thread that runs it: from its own coroutine to the innermost
/// frame, or to the coroutine of a task that it started eagerly.
fn running_frames(capture: &Capture, walks: &[TaskWalk], walk: &TaskWalk) -> Option<RunningFrames> {
    let root = walk.record.as_ref()?.coroutine?;
    if walk.chain.as_ref().is_some_and(|chain| chain.end != ChainEnd::Running) {
        return None;
    }
    let frames = capture.threads.iter().map(|thread| &thread.frames);
    let (frames, start) =
        frames.filter_map(|frames| Some((frames, frames.iter().position(|(_, g)| *g == Some(root))?))).next()?;
    let is_other_root = |generator: Option<Addr>| {
        generator.is_some_and(|generator| {
            generator != root
                && walks.iter().any(|other| {
                    other.addr != walk.addr && other.record.as_ref().and_then(|r| r.coroutine) == Some(generator)
                })
        })
    };
    let own = &frames[start..];
    let end = own.iter().position(|(_, generator)| is_other_root(*generator)).unwrap_or(own.len());
    let coroutines = own[..end].iter().take_while(|(_, generator)| generator.is_some()).count() as u32;
    Some((own[..end].iter().map(|(number, _)| FrameId(*number)).collect(), coroutines))
}

pub(crate) fn task_state(walk: &TaskWalk, on_a_stack: bool) -> TaskState {
    let Some(record) = &walk.record else { return TaskState::Unknown };
    if !record.is_pending() {
        return TaskState::Done;
    }
    match walk.chain.as_ref().map(|chain| chain.end) {
        _ if on_a_stack => return TaskState::Running,
        Some(ChainEnd::Running) => return TaskState::Running,
        Some(ChainEnd::Broken(_)) => return TaskState::Unknown,
        _ => {}
    }
    let waiter_state = walk.waiter_state;
    if record.must_cancel || record.cancel_requests > 0 || waiter_state == Some(FutureState::Cancelled) {
        return TaskState::Cancelling;
    }
    match (record.waiter, waiter_state) {
        (None, _) | (Some(_), Some(FutureState::Finished)) => TaskState::Ready,
        (Some(_), _) => TaskState::Waiting,
    }
}

/// Whether a task in this state waits for something.
pub(crate) fn is_suspended(state: TaskState) -> bool {
    matches!(state, TaskState::Waiting | TaskState::Cancelling)
}

fn stack_end(walk: &TaskWalk) -> Option<StackEnd> {
    let chain = walk.chain.as_ref()?;
    match chain.end {
        ChainEnd::Broken(_) | ChainEnd::Running => Some(StackEnd::Torn),
        ChainEnd::Limit => Some(StackEnd::Limit),
        ChainEnd::Object { .. } => {
            // Every chain that waits for a future ends in the future's iterator.
            let name = walk.end_type.as_ref()?.name.as_str();
            let is_future = name.ends_with("FutureIter");
            (!is_future).then(|| StackEnd::Opaque(name.to_owned()))
        }
        ChainEnd::NotStarted | ChainEnd::Yield | ChainEnd::Finished => None,
    }
}

/// Whether only the event loop holds a reference to the task; `None` where that is unknown.
fn is_orphaned(task: &Task, awaited_by: &[TaskId], references: Option<i64>) -> Option<bool> {
    if matches!(task.state, TaskState::Done | TaskState::Running) || !awaited_by.is_empty() {
        return Some(false);
    }
    references.map(|references| references == 0)
}

fn assemble_threads(capture: &Capture, facts: &Facts) -> Vec<Thread> {
    capture.threads.iter().enumerate().map(|(at, captured)| assemble_thread(capture, facts, at, captured)).collect()
}

fn assemble_thread(capture: &Capture, facts: &Facts, at: usize, captured: &CapturedThread) -> Thread {
    let python = &captured.reading.python;
    let interpreter = &capture.interpreters[captured.interpreter];
    let reading = &captured.reading;
    let kernel = python.native_id.and_then(|id| facts.thread(id));
    let name = capture.thread_names.get(&python.pthread_id).cloned();
    let gil = reading.gil.filter(|gil| gil.exists && reading.gil_stayed);
    let holds_gil = gil.map(|gil| gil.holder == Some(python.addr));
    let behind = |other: &CapturedThread| {
        other.interpreter == captured.interpreter && reading.waits_behind(&other.reading) && facts.halt.is_none()
    };
    Thread {
        native_id: our_id(facts, python.native_id),
        name: name.or_else(|| kernel.and_then(|thread| thread.name.clone())),
        interpreter: interpreter.id,
        holds_gil,
        state: thread_state(captured, facts),
        collecting_garbage: gil.map(|gil| holds_gil == Some(true) && gil.collecting),
        waits_behind: capture.threads.iter().position(behind),
        lock_holder: capture.lock_holders.get(&at).and_then(|task| capture.graph.task(*task)),
        is_daemon: capture.endings.daemons.get(&python.pthread_id).copied(),
        asleep_on_lock_ms: capture.still.threads.get(&at).copied(),
        stack: captured.frames.iter().map(|(number, _)| FrameId(*number)).collect(),
        stack_end: (!reading.stack.complete).then(|| "torn".to_owned()),
    }
}

/// A thread's id in our PID namespace; the interpreter knows the one in its own.
fn our_id(facts: &Facts, own: Option<i32>) -> Option<i32> {
    own.map(|own| facts.thread(own).map_or(own, |thread| thread.tid))
}

fn thread_state(captured: &CapturedThread, facts: &Facts) -> ThreadState {
    let reading = &captured.reading;
    if facts.halt.is_some() {
        return ThreadState::Stopped;
    }
    // What the kernel says counts only where the thread was the same before and after its memory was read.
    match reading.look.as_ref().map(|look| &look.activity) {
        _ if reading.waits_for_gil() => ThreadState::WaitingGil,
        Some(Activity::Running) => ThreadState::Running,
        // Whether this is the GIL's lock or another one is not known.
        Some(Activity::SystemCall(_)) if reading.gil.is_none() && is_on_a_lock(reading) => ThreadState::Unknown,
        Some(Activity::SystemCall(name)) => match loop_position(captured) {
            Some(LoopPosition::Selector) if is_selector(name) => ThreadState::Idle,
            _ => ThreadState::Syscall(name.clone()),
        },
        Some(Activity::Waiting | Activity::Unknown) | None => ThreadState::Unknown,
    }
}

fn is_on_a_lock(reading: &ThreadReading) -> bool {
    reading.look.as_ref().is_some_and(|look| look.futex.is_some())
}

/// Where the loop that is set as running in a thread is: its frames, and the system call in what is written in C.
fn loop_position(captured: &CapturedThread) -> Option<LoopPosition> {
    let call = match captured.reading.look.as_ref().map(|look| &look.activity) {
        Some(Activity::SystemCall(name)) if !captured.reading.waits_for_gil() => Some(name.as_str()),
        _ => None,
    };
    captured.position.map(|position| settle(position, call, captured.reading.running_task.is_some()))
}

fn assemble_loops(capture: &Capture, facts: &Facts, tasks: &[Task]) -> Vec<EventLoop> {
    let loops = capture.loops.iter().map(|record| {
        let runner = capture.threads.iter().find(|thread| thread.reading.running_loop == Some(record.addr));
        // What a loop was in the middle of when it was interrupted by a nested one is not what runs.
        let position = runner.map_or(LoopPosition::NotRunning, |thread| {
            loop_position(thread).filter(|_| facts.halt.is_none()).unwrap_or(LoopPosition::Unknown)
        });
        let stepping = runner.filter(|_| !matches!(position, LoopPosition::Selector | LoopPosition::Parked));
        let task =
            stepping.and_then(|thread| thread.reading.running_task).and_then(|addr| capture.graph.tasks.get(&addr));
        EventLoop {
            key: record.addr.raw(),
            class: record.class_name.clone(),
            thread: runner.and_then(|thread| our_id(facts, thread.reading.python.native_id)),
            running: Some(runner.is_some() && position != LoopPosition::Parked),
            position,
            running_task: task.filter(|t| tasks[**t].state == TaskState::Running).map(|t| TaskId(*t as u32)),
            ready: record.ready.map(|count| count as u64),
            scheduled: record.scheduled.map(|count| count as u64),
            asleep_beside_ready_ms: capture.still.loops.get(&record.addr).copied(),
        }
    });
    loops.collect()
}
