//! Circles that pass through threads: `result()` on an event loop's own thread, on a loop that waits for ours, or in a pool
//! whose workers wait for the pool.

use serde::Serialize;

use super::deadlock::{blockers_of, is_pool, may_get_it};
use super::names::name_of;
use super::resources::job_place;
use super::rule::{RuleInfo, Scope};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{
    Awaiting, Finding, LoopId, ResultOf, ResultWait, RuleId, Severity, Task, TaskId, TaskState, WaitKind,
};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("thread-deadlock"),
    severities: &[Severity::Error],
    title: "Threads, event loops or the workers of a pool wait for each other in a circle",
    singular: "deadlock of threads",
    plural: "deadlocks of threads",
    help: "Never call result() on a thread that runs an event loop: await asyncio.wrap_future() instead; and give jobs that \
           wait for other jobs a pool of their own.",
    only_time_tells: "whether a timeout or something outside ends it",
    scope: Scope::Lasting,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    /// In the order of the circle.
    circle: Vec<String>,
    threads: Vec<String>,
}

/// Something that waits, or that others wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Task(usize),
    /// A thread that blocks in `result()`; its index in the list of results.
    Result(usize),
    /// The queue of a pool.
    Pool(usize),
}

/// What a node needs.
struct Needs {
    all: Vec<Node>,
    /// One of these is enough; empty: none is needed.
    any: Vec<Node>,
}

struct Graph<'s> {
    snapshot: &'s Snapshot,
    nodes: Vec<Node>,
    needs: Vec<Needs>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    if snapshot.results.is_empty() {
        return;
    }
    let graph = Graph::of(snapshot);
    findings.extend(graph.circles().iter().map(|circle| graph.finding(circle)));
}

/// The threads that are part of a deadlock: indexes of the snapshot's.
pub(super) fn threads_in_circles(snapshot: &Snapshot) -> Vec<usize> {
    if snapshot.results.is_empty() {
        return Vec::new();
    }
    let graph = Graph::of(snapshot);
    let nodes = graph.circles().into_iter().flatten().map(|at| graph.nodes[at]);
    nodes
        .filter_map(|node| if let Node::Result(result) = node { snapshot.results.get(result) } else { None })
        .map(|result| result.thread)
        .collect()
}

/// The threads that are part of a deadlock, or stand behind one: indexes of the snapshot's.
pub(super) fn stuck_threads(snapshot: &Snapshot) -> Vec<usize> {
    if snapshot.results.is_empty() {
        return Vec::new();
    }
    let graph = Graph::of(snapshot);
    let stuck = graph.find_stuck();
    let results = snapshot.results.iter().enumerate();
    results.filter(|(number, _)| stuck[graph.index(Node::Result(*number))]).map(|(_, result)| result.thread).collect()
}

impl<'s> Graph<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        let tasks = (0..snapshot.tasks.len()).map(Node::Task);
        let results = (0..snapshot.results.len()).map(Node::Result);
        let nodes: Vec<Node> = tasks.chain(results).chain((0..snapshot.pools.len()).map(Node::Pool)).collect();
        let needs = nodes.iter().map(|node| needs_of(snapshot, *node)).collect();
        Self { snapshot, nodes, needs }
    }

    fn index(&self, node: Node) -> usize {
        let (tasks, results) = (self.snapshot.tasks.len(), self.snapshot.results.len());
        match node {
            Node::Task(task) => task,
            Node::Result(result) => tasks + result,
            Node::Pool(pool) => tasks + results + pool,
        }
    }

    /// Everything that can never continue: what is left when all that can is taken away, step by step.
    fn find_stuck(&self) -> Vec<bool> {
        let count = self.nodes.len();
        let mut waiters: Vec<Vec<(usize, bool)>> = vec![Vec::new(); count];
        let (mut all, mut any) = (vec![0_usize; count], vec![false; count]);
        for (at, needs) in self.needs.iter().enumerate() {
            (all[at], any[at]) = (needs.all.len(), !needs.any.is_empty());
            needs.all.iter().for_each(|node| waiters[self.index(*node)].push((at, true)));
            needs.any.iter().for_each(|node| waiters[self.index(*node)].push((at, false)));
        }
        let mut stuck: Vec<bool> = (0..count).map(|at| all[at] > 0 || any[at]).collect();
        let mut movable: Vec<usize> = (0..count).filter(|at| !stuck[*at]).collect();
        while let Some(moved) = movable.pop() {
            for (waiter, needs_all) in std::mem::take(&mut waiters[moved]) {
                if needs_all {
                    all[waiter] -= 1;
                } else {
                    any[waiter] = false;
                }
                if stuck[waiter] && all[waiter] == 0 && !any[waiter] {
                    stuck[waiter] = false;
                    movable.push(waiter);
                }
            }
        }
        stuck
    }

    /// The circles through threads. What is stuck behind one is not part of it.
    fn circles(&self) -> Vec<Vec<usize>> {
        let stuck = self.find_stuck();
        let (mut told, mut circles) = (Vec::new(), Vec::new());
        for at in (0..self.snapshot.results.len()).map(|result| self.index(Node::Result(result))) {
            if !stuck[at] || told.contains(&at) {
                continue;
            }
            if let Some(circle) = self.circle(at, &stuck) {
                told.extend(&circle);
                circles.push(circle);
            }
        }
        circles
    }

    /// A shortest circle through a stuck node.
    fn circle(&self, start: usize, stuck: &[bool]) -> Option<Vec<usize>> {
        let mut came_from: Vec<Option<usize>> = vec![None; self.nodes.len()];
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for next in self.needs[at].all.iter().chain(&self.needs[at].any).map(|node| self.index(*node)) {
                if next == start {
                    let (mut circle, mut back) = (vec![at], at);
                    while let Some(before) = came_from[back].filter(|_| back != start) {
                        circle.push(before);
                        back = before;
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if stuck[next] && came_from[next].is_none() {
                    came_from[next] = Some(at);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn finding(&self, circle: &[usize]) -> Finding {
        let snapshot = self.snapshot;
        let circle: Vec<Node> = circle.iter().map(|at| self.nodes[*at]).collect();
        let described: Vec<String> = circle.iter().map(|node| describe(snapshot, *node)).collect();
        let first = match circle.first() {
            Some(Node::Result(result)) => thread_name(snapshot, snapshot.results[*result].thread),
            _ => "the first".to_owned(),
        };
        let mut tasks: Vec<TaskId> = Vec::new();
        let mut threads = Vec::new();
        for node in &circle {
            match node {
                Node::Task(task) => tasks.push(TaskId(*task as u32)),
                Node::Result(result) => {
                    let result = &snapshot.results[*result];
                    threads.push(thread_name(snapshot, result.thread));
                    let waiting =
                        |task: &&Task| task.awaiting.as_ref().and_then(|one| one.thread) == Some(result.thread);
                    let position = snapshot.tasks.iter().position(|task| waiting(&task));
                    let running = running_task(snapshot, result.thread).or_else(|| Some(TaskId(position? as u32)));
                    tasks.extend(running.filter(|id| !tasks.contains(id)));
                }
                Node::Pool(_) => {}
            }
        }
        tasks.sort_unstable();
        tasks.dedup();
        let message = format!("deadlock: {}, which can only go on after {first}", described.join("; "));
        INFO.finding(Severity::Error, message, tasks, &Facts { circle: described, threads })
    }
}

fn needs_of(snapshot: &Snapshot, node: Node) -> Needs {
    let result_in =
        |thread: usize| snapshot.results.iter().position(|result| result.thread == thread).map(Node::Result);
    let nothing = || Needs { all: Vec::new(), any: Vec::new() };
    match node {
        Node::Task(task) => needs_of_task(snapshot, TaskId(task as u32)),
        Node::Pool(pool) => {
            let running = &snapshot.pools[pool].running;
            let waiting: Vec<Node> = running.iter().filter_map(|job| result_in(job.thread)).collect();
            // As long as one worker does not wait, or may still be started, the queue moves.
            let all_busy = snapshot.pools[pool].workers.is_some_and(|workers| running.len() as u64 >= workers);
            if all_busy && waiting.len() == running.len() { Needs { all: Vec::new(), any: waiting } } else { nothing() }
        }
        Node::Result(result) => match &snapshot.results[result].of {
            ResultOf::Task(task) => Needs { all: vec![Node::Task(task.0 as usize)], any: Vec::new() },
            ResultOf::Running(thread) => Needs { all: result_in(*thread).into_iter().collect(), any: Vec::new() },
            ResultOf::Queued(pool) => Needs { all: vec![Node::Pool(*pool)], any: Vec::new() },
            ResultOf::Coroutine { event_loop: Some(event_loop), .. } => {
                Needs { all: blocked_runner(snapshot, *event_loop).into_iter().collect(), any: Vec::new() }
            }
            ResultOf::Coroutine { event_loop: None, .. } | ResultOf::Unknown => nothing(),
        },
    }
}

fn needs_of_task(snapshot: &Snapshot, id: TaskId) -> Needs {
    let task = snapshot.task(id);
    let mut all: Vec<Node> = Vec::new();
    let mut any: Vec<Node> = Vec::new();
    if task.state == TaskState::Done {
        return Needs { all, any };
    }
    // No task goes on while the thread of its loop blocks.
    all.extend(task.event_loop.and_then(|event_loop| blocked_runner(snapshot, event_loop)));
    // What a task waited for while it was read need not be what it waits for while the threads stand still.
    let waits = |awaiting: &&Awaiting| task.state == TaskState::Waiting && !awaiting.has_moved;
    let Some(awaiting) = task.awaiting.as_ref().filter(waits) else {
        return Needs { all, any };
    };
    let in_thread =
        awaiting.thread.and_then(|thread| snapshot.results.iter().position(|result| result.thread == thread));
    all.extend(in_thread.map(Node::Result));
    all.extend(awaiting.queued_in.map(Node::Pool));
    all.extend(awaiting.starts_on.and_then(|event_loop| blocked_runner(snapshot, event_loop)));
    let blockers = blockers_of(id, task, snapshot.tasks.len()).into_iter().map(|id| Node::Task(id.0 as usize));
    if may_get_it(awaiting) {
        return Needs { all, any };
    }
    if is_pool(awaiting) {
        any.extend(blockers);
        return Needs { all, any };
    }
    match awaiting.kind {
        WaitKind::Condition | WaitKind::Event | WaitKind::QueueGet | WaitKind::QueuePut => {}
        WaitKind::Semaphore | WaitKind::Wait | WaitKind::Other => any.extend(blockers),
        _ => all.extend(blockers),
    }
    Needs { all, any }
}

/// The wait for a result in which the thread of a loop blocks.
fn blocked_runner(snapshot: &Snapshot, event_loop: LoopId) -> Option<Node> {
    let native_id = snapshot.loops.get(event_loop.0 as usize)?.thread?;
    let blocks = |result: &ResultWait| {
        snapshot.threads.get(result.thread).is_some_and(|thread| thread.native_id == Some(native_id))
    };
    snapshot.results.iter().position(blocks).map(Node::Result)
}

fn running_task(snapshot: &Snapshot, thread: usize) -> Option<TaskId> {
    let native_id = snapshot.threads.get(thread)?.native_id?;
    snapshot.loops.iter().find(|event_loop| event_loop.thread == Some(native_id))?.running_task
}

fn describe(snapshot: &Snapshot, node: Node) -> String {
    match node {
        Node::Task(task) => {
            let task = &snapshot.tasks[task];
            let at = origin::find_culprit(snapshot, &task.stack).map(origin::describe);
            let place = at.map(|at| format!(" in {at}")).unwrap_or_default();
            match task.state {
                TaskState::Waiting => format!("{} waits{place}", name_of(task)),
                _ => format!("{} cannot run{place}", name_of(task)),
            }
        }
        Node::Result(result) => {
            let result = &snapshot.results[result];
            let task = running_task(snapshot, result.thread).map(|id| format!(" (in {})", name_of(snapshot.task(id))));
            let place = place_of(snapshot, result).map(|at| format!(" in {at}")).unwrap_or_default();
            let of = match &result.of {
                ResultOf::Task(task) => format!("the result of {}", name_of(snapshot.task(*task))),
                ResultOf::Coroutine { function: Some((function, _)), .. } => {
                    format!("the result of {function}, which its event loop has not started")
                }
                ResultOf::Coroutine { function: None, .. } => "the result of a coroutine".to_owned(),
                ResultOf::Running(thread) => format!("a job of {}", thread_name(snapshot, *thread)),
                ResultOf::Queued(_) => "a job that is queued".to_owned(),
                ResultOf::Unknown => "a result".to_owned(),
            };
            let thread = thread_name(snapshot, result.thread);
            format!("{thread}{} blocks{place} until it has {of}{}", task.unwrap_or_default(), until(result))
        }
        Node::Pool(pool) => {
            let pool = &snapshot.pools[pool];
            let name = pool.name.as_deref().unwrap_or("a thread pool");
            let places: Vec<String> = pool.running.iter().take(3).map(|job| job_place(snapshot, job)).collect();
            let busy = pool.running.len();
            format!("the job waits for a worker of {name}, {busy} of {busy} busy in {}", places.join(", "))
        }
    }
}

/// Where the program called `result()`.
pub(super) fn place_of(snapshot: &Snapshot, result: &ResultWait) -> Option<String> {
    let stack = &snapshot.threads.get(result.thread)?.stack;
    origin::find_culprit(snapshot, stack.get(..result.outside)?).map(origin::describe)
}

/// `thread MainThread`.
pub(super) fn thread_name(snapshot: &Snapshot, thread: usize) -> String {
    let Some(thread) = snapshot.threads.get(thread) else { return "a thread".to_owned() };
    match (&thread.name, thread.native_id) {
        (Some(name), _) => format!("thread {name}"),
        (None, Some(id)) => format!("thread {id}"),
        (None, None) => "a thread".to_owned(),
    }
}

/// What is known of the end of the wait.
pub(super) fn until(result: &ResultWait) -> String {
    match result.timeout_ns {
        Some(ns) => format!(" (or its timeout of {} s ends)", ns as f64 / 1e9),
        None => String::new(),
    }
}
