//! Programs, pools and event loops that are told to end and wait for a thread or a task first.

use serde::Serialize;

use super::closing::{
    Closing, closing, handled_words, handler_of, place_of, severity_of, still_words, tasks_in, tasks_left,
};
use super::names::name_of;
use super::resources::{job_place, what_for};
use super::rule::{RuleInfo, Scope};
use super::thread_deadlock::thread_name;
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::{Finding, FrameId, Job, LoopId, Pool, RuleId, Severity, TaskId, Thread};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("shutdown-waits"),
    severities: &[Severity::Warning, Severity::Info],
    title: "A program, a pool of threads or asyncio.run() is ending and waits for a thread or a task that does not end; a \
            warning if nothing moved while it was watched",
    singular: "shutdown that waits",
    plural: "shutdowns that wait",
    help: "Tell what is waited for to end: set an event that its loop checks, close the socket or queue it waits at, put \
           timeouts around its waits, and let tasks end when they are cancelled. A thread that may end in the middle of its \
           work can be a daemon.",
    only_time_tells: "whether it ends after all",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    /// What ends.
    ending: &'static str,
    /// Where the program told it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    waiting_for: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

/// More are noise in a sentence.
const NAMED: usize = 3;

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    findings.extend(snapshot.threads.iter().filter_map(|thread| of_interpreter(snapshot, thread)));
    findings.extend(snapshot.pools.iter().filter_map(|pool| of_pool(snapshot, pool)));
    for at in (0..snapshot.loops.len() as u32).map(LoopId) {
        findings.extend(of_loop(snapshot, at));
    }
}

/// Whether a stack has a frame of this function, without its class, in a file with this ending.
fn find_frame(snapshot: &Snapshot, stack: &[FrameId], function: &str, file: &str) -> Option<usize> {
    stack.iter().position(|id| {
        let frame = snapshot.frame(*id);
        frame.function.rsplit('.').next() == Some(function) && frame.file.ends_with(file)
    })
}

/// The interpreter ends, and joins threads.
fn of_interpreter(snapshot: &Snapshot, ending: &Thread) -> Option<Finding> {
    let joins_pools = find_frame(snapshot, &ending.stack, "_python_exit", "concurrent/futures/thread.py").is_some();
    let outermost = find_frame(snapshot, &ending.stack, "_shutdown", "/threading.py") == Some(0);
    let waiting_for: Vec<String> = if joins_pools {
        let jobs = snapshot.pools.iter().flat_map(|pool| &pool.running);
        jobs.map(|job| format!("{}, which runs {}", thread_name(snapshot, job.thread), job_place(snapshot, job)))
            .collect()
    } else if outermost {
        let own = |thread: &Thread| thread.interpreter == ending.interpreter && !std::ptr::eq(thread, ending);
        let threads = snapshot.threads.iter().enumerate();
        let waited_for = threads.filter(|(_, thread)| own(thread) && thread.is_daemon == Some(false));
        waited_for.map(|(at, thread)| format!("{}{}", thread_name(snapshot, at), runs_at(snapshot, thread))).collect()
    } else {
        return None;
    };
    if waiting_for.is_empty() {
        return None;
    }
    let still_ms = ending.asleep_on_lock_ms;
    let what = if joins_pools { "the jobs of its thread pools" } else { "threads that are not daemons" };
    let message = format!(
        "the program is at its end, but the interpreter waits for {what}: {}{}",
        a_few(&waiting_for),
        still_words(still_ms)
    );
    Some(finding(message, Vec::new(), &Facts { ending: "interpreter", at: None, waiting_for, still_ms }))
}

/// `, which is in consume (/app/main.py:7)`.
fn runs_at(snapshot: &Snapshot, thread: &Thread) -> String {
    match origin::find_culprit(snapshot, &thread.stack).map(origin::describe) {
        Some(at) => format!(", which is in {at}"),
        None => String::new(),
    }
}

/// `a, b and 2 more`.
fn a_few(what: &[String]) -> String {
    let more = what.len().saturating_sub(NAMED);
    let named = what.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{named}; and {more} more") } else { named }
}

/// A thread waits in `shutdown()` of a pool.
fn of_pool(snapshot: &Snapshot, pool: &Pool) -> Option<Finding> {
    let by = *pool.shut_down_by.first()?;
    let ending = snapshot.threads.get(by)?;
    // A job that waits for its own pool to end is part of no shutdown that could be told in this way.
    if pool.running.is_empty() || pool.running.iter().any(|job| job.thread == by) {
        return None;
    }
    let job = |job: &Job| format!("{}, which runs {}", thread_name(snapshot, job.thread), job_place(snapshot, job));
    let waiting_for: Vec<String> = pool.running.iter().map(job).collect();
    let closing: Vec<TaskId> = tasks_in(snapshot, "shutdown_default_executor");
    // uvloop's own code has no frames, but its default executor has a name: loop.pyx.
    let is_uvloops = pool.name.as_deref() == Some("uvloop") && outside_of_call(snapshot, ending).is_none();
    let is_default =
        is_uvloops || find_frame(snapshot, &ending.stack, "_do_shutdown", "asyncio/base_events.py").is_some();
    let name = pool.name.as_ref().map_or_else(|| "a thread pool".to_owned(), |name| format!("thread pool {name}"));
    let at = outside_of_call(snapshot, ending).filter(|_| !is_default);
    let place = at.as_ref().map(|at| format!(" in {at}")).unwrap_or_default();
    let who = if is_default {
        "loop.shutdown_default_executor(), which asyncio.run() calls at its end, waits".to_owned()
    } else {
        format!("{} waits{place}, in shutdown() of {name},", thread_name(snapshot, by))
    };
    let queued = match pool.queued.unwrap_or(0) {
        0 => String::new(),
        1 => ", and 1 job is queued".to_owned(),
        count => format!(", and {count} jobs are queued"),
    };
    let still = still_words(pool.still_ms);
    let message = format!("{who} for {}{queued}{still}", a_few(&waiting_for));
    let facts = Facts { ending: "thread pool", at, waiting_for, still_ms: pool.still_ms };
    let tasks = if is_default { closing } else { Vec::new() };
    Some(finding(message, tasks, &facts))
}

/// Where the program's own code, or a package's, shuts the pool down.
fn outside_of_call(snapshot: &Snapshot, thread: &Thread) -> Option<String> {
    let call = find_frame(snapshot, &thread.stack, "shutdown", "concurrent/futures/thread.py")?;
    let frame = origin::find_culprit(snapshot, thread.stack.get(..call)?)?;
    (origin_of(&frame.file) != Origin::Python).then(|| origin::describe(frame))
}

fn of_loop(snapshot: &Snapshot, id: LoopId) -> Option<Finding> {
    let what = closing(snapshot, id)?;
    let mut tasks = tasks_left(snapshot, id);
    // Those that others wait for are the reason.
    let is_behind = |task: &TaskId| {
        let awaiting = snapshot.task(*task).awaiting.as_ref();
        awaiting.is_some_and(|awaiting| awaiting.tasks.iter().any(|other| other != task && tasks.contains(other)))
    };
    let reasons: Vec<TaskId> = tasks.iter().filter(|task| !is_behind(task)).copied().collect();
    if !reasons.is_empty() {
        tasks = reasons;
    }
    let severity = tasks.iter().map(|task| severity_of(snapshot, *task)).max()?;
    let still_ms = tasks.iter().filter_map(|task| snapshot.task(*task).still_ms).max();
    let waiting_for: Vec<String> = tasks.iter().map(|task| describe(snapshot, *task)).collect();
    let (left, do_not) = if tasks.len() == 1 { ("1 task", "has") } else { ("tasks", "have") };
    let count = if tasks.len() == 1 { left.to_owned() } else { format!("{} {left}", tasks.len()) };
    let (ending, message) = match what {
        Closing::Tasks => (
            "tasks",
            format!(
                "the run of the event loop is at its end and has cancelled the tasks that were left, but {count} {do_not} not ended"
            ),
        ),
        Closing::Generators => (
            "asynchronous generators",
            format!(
                "the run of the event loop is at its end and closes asynchronous generators, but {count} {do_not} not ended"
            ),
        ),
    };
    let message = format!("{message}: {}{}", a_few(&waiting_for), still_words(still_ms));
    let facts = Facts { ending, at: None, waiting_for, still_ms };
    Some(INFO.finding(severity, message, tasks, &facts))
}

/// `worker waits for a lock at drain (/app/main.py:7)`.
fn describe(snapshot: &Snapshot, id: TaskId) -> String {
    let task = snapshot.task(id);
    let what = task.awaiting.as_ref().map_or("something", |awaiting| what_for(awaiting.kind));
    let at = place_of(snapshot, task).map(|at| format!(" at {at}")).unwrap_or_default();
    let handler = task.cancellation.and_then(|cancellation| handler_of(snapshot, task, cancellation));
    let handled = handler.map(|frame| handled_words(&frame)).unwrap_or_default();
    format!("{} waits for {what}{at}{handled}", name_of(task))
}

fn finding(message: String, tasks: Vec<TaskId>, facts: &Facts) -> Finding {
    let severity = if facts.still_ms.is_some() { Severity::Warning } else { Severity::Info };
    INFO.finding(severity, message, tasks, facts)
}
