//! Pools of which everything is taken: threads, semaphores and limiters, connections.

use std::collections::BTreeMap;

use serde::Serialize;

use super::deadlock::Waits;
use super::names::name_a_few;
use super::resources::{Contended, contended, continues_by_itself, job_place};
use super::rule::{RuleInfo, Scope};
use super::thread_deadlock;
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Job, Pool, PoolKind, RuleId, Severity, TaskId, WaitDetail, WaitKind};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("pool-exhausted"),
    severities: &[Severity::Warning, Severity::Info],
    title: "All workers of a pool of threads, all permits of a semaphore or limiter, or all connections of a client's pool are \
            taken, and others wait; a warning if nothing moved while it was watched, unless a reply or a timer can move it",
    singular: "exhausted pool",
    plural: "exhausted pools",
    help: "Find out why those who have taken it do not give it back; put timeouts around what they wait for, or give slow jobs \
           a pool of their own, so that they do not keep the others waiting.",
    only_time_tells: "how long the others wait",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    busy: u64,
    size: Option<u64>,
    waiting: u64,
    /// What runs or holds, and how often.
    holders: Vec<String>,
    /// What waits, and how often.
    queued: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let deadlocked = thread_deadlock::stuck_threads(snapshot);
    for (number, pool) in (0..).zip(&snapshot.pools) {
        let waits = |job: &Job| deadlocked.contains(&job.thread);
        // A pool that waits for itself is told as a deadlock.
        if pool.running.is_empty() || !pool.running.iter().all(waits) {
            findings.extend(of_threads(snapshot, number, pool));
        }
    }
    let waits = Waits::of(snapshot);
    for one in contended(snapshot, |_| true) {
        if let Some(pool) = one.resource.pool {
            findings.extend(of_connections(snapshot, &waits, &one, pool));
        }
    }
    for one in contended(snapshot, |kind| kind == WaitKind::Semaphore) {
        if !one.holders.is_empty() && !one.holders.iter().any(|holder| waits.is_stuck(*holder)) {
            findings.push(of_permits(snapshot, one));
        }
    }
}

/// `6 × f, 2 × g`: the most common first.
fn counted(names: impl Iterator<Item = String>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn times(counts: &[(String, u64)]) -> Vec<String> {
    /// More are noise in a sentence.
    const NAMED: usize = 3;
    counts
        .iter()
        .take(NAMED)
        .map(|(name, count)| if *count == 1 { name.clone() } else { format!("{count} × {name}") })
        .collect()
}

fn of_threads(snapshot: &Snapshot, number: usize, pool: &Pool) -> Option<Finding> {
    let queued = pool.queued.filter(|queued| *queued > 0)?;
    let busy = pool.running.len() as u64;
    // A pool that still starts threads is not used up.
    let size = pool.workers.filter(|size| busy >= *size)?;
    let places = counted(pool.running.iter().map(|job| job_place(snapshot, job)));
    let name = pool.name.as_ref().map_or_else(|| "a thread pool".to_owned(), |name| format!("thread pool {name}"));
    let (holders, waiting) = (times(&places), times(&pool.queued_functions));
    let queue = if waiting.is_empty() { String::new() } else { format!(" ({})", waiting.join(", ")) };
    let oldest = pool.oldest.as_ref().map(|oldest| format!(", the oldest of them {oldest}")).unwrap_or_default();
    let jobs = if queued == 1 { "job is" } else { "jobs are" };
    let still = pool.still_ms.map(|ms| format!("; nothing moved for {ms} ms")).unwrap_or_default();
    let message = format!(
        "{busy} of {size} workers of {name} are busy in {}, and {queued} {jobs} queued{queue}{oldest}{still}",
        holders.join(", ")
    );
    let tasks = (0..).map(TaskId).zip(&snapshot.tasks).filter(|(_, task)| {
        task.awaiting.as_ref().is_some_and(|awaiting| {
            let runs = awaiting.thread.is_some_and(|thread| pool.running.iter().any(|job| job.thread == thread));
            runs || awaiting.queued_in == Some(number)
        })
    });
    let tasks = tasks.map(|(id, _)| id).collect();
    let severity = if pool.still_ms.is_some() { Severity::Warning } else { Severity::Info };
    let facts = Facts { busy, size: Some(size), waiting: queued, holders, queued: waiting, still_ms: pool.still_ms };
    Some(INFO.finding(severity, message, tasks, &facts))
}

fn of_permits(snapshot: &Snapshot, one: Contended) -> Finding {
    let Contended { resource, waiting, holders } = one;
    let awaiting = |id: &TaskId| snapshot.task(*id).awaiting.as_ref();
    let function = |id: &TaskId| match awaiting(id).and_then(|awaiting| awaiting.detail.as_ref()) {
        Some(WaitDetail::Function(function)) => Some(function.to_string()),
        _ => None,
    };
    let (run, wanted) =
        (times(&counted(holders.iter().filter_map(function))), times(&counted(waiting.iter().filter_map(function))));
    let goes_on = holders.iter().any(|id| awaiting(id).is_none_or(continues_by_itself));
    let still = resource.still_ms.filter(|_| !goes_on);
    let what = match resource.bound {
        // Of what is waited for, nothing is left.
        Some(bound) => format!("{bound} of {bound} permits of a semaphore or limiter are taken"),
        None => "no permit of a semaphore is left".to_owned(),
    };
    let runs = if run.is_empty() { String::new() } else { format!(", which run {} in threads", run.join(", ")) };
    let wants = if wanted.is_empty() { String::new() } else { format!(", to run {}", wanted.join(", ")) };
    let wait = if waiting.len() == 1 { "task waits" } else { "tasks wait" };
    let moved = resource.still_ms.map(|ms| format!("; nothing moved for {ms} ms")).unwrap_or_default();
    // Who called acquire() is not seen.
    let are_all_seen = resource.bound.is_none_or(|bound| holders.len() as u64 >= bound);
    let held = if are_all_seen { "held by" } else { "held, among others, by" };
    let message = format!(
        "{what}: {held} {}{runs}; {} {wait} for one{wants}{moved}",
        name_a_few(snapshot, &holders),
        waiting.len()
    );
    let facts = Facts {
        busy: resource.bound.unwrap_or(holders.len() as u64),
        size: resource.bound,
        waiting: waiting.len() as u64,
        holders: run,
        queued: wanted,
        still_ms: resource.still_ms,
    };
    let severity = if still.is_some() { Severity::Warning } else { Severity::Info };
    INFO.finding(severity, message, holders.into_iter().chain(waiting).collect(), &facts)
}

/// A pool of connections, all of which are in use. Whose they are is seen only where a task has entered the pool, or the
/// response, with `async with`.
fn of_connections(snapshot: &Snapshot, waits: &Waits, one: &Contended, pool: PoolKind) -> Option<Finding> {
    let Contended { resource, waiting, holders } = one;
    // The deadlock is told instead.
    if holders.iter().any(|holder| waits.is_stuck(*holder)) {
        return None;
    }
    let size = resource.bound?;
    let all = if size == 1 { "the only connection".to_owned() } else { format!("all {size} connections") };
    let are = if size == 1 { "is" } else { "are" };
    let wait = if waiting.len() == 1 { "task waits" } else { "tasks wait" };
    let are_all_seen = holders.len() as u64 >= size;
    let held = match (holders.is_empty(), are_all_seen) {
        (true, _) => String::new(),
        (false, true) => format!("; held by {}", name_a_few(snapshot, holders)),
        (false, false) => format!("; held, among others, by {}", name_a_few(snapshot, holders)),
    };
    let moved = resource.still_ms.map(|ms| format!("; nothing moved for {ms} ms")).unwrap_or_default();
    let message = format!(
        "{all} of {} {are} in use, and {} {wait} for one ({}){held}{moved}",
        pool.name(),
        waiting.len(),
        name_a_few(snapshot, waiting)
    );
    // A holder that is not seen may be about to give its connection back.
    let goes_on = |id: &TaskId| snapshot.task(*id).awaiting.as_ref().is_none_or(continues_by_itself);
    let hangs = resource.still_ms.is_some() && are_all_seen && !holders.iter().any(goes_on);
    let place = |id: &TaskId| origin::find_culprit(snapshot, &snapshot.task(*id).stack).map(origin::describe);
    let places = |tasks: &[TaskId]| times(&counted(tasks.iter().filter_map(place)));
    let facts = Facts {
        busy: size,
        size: Some(size),
        waiting: waiting.len() as u64,
        holders: places(holders),
        queued: places(waiting),
        still_ms: resource.still_ms,
    };
    let severity = if hangs { Severity::Warning } else { Severity::Info };
    Some(INFO.finding(severity, message, holders.iter().chain(waiting).copied().collect(), &facts))
}
