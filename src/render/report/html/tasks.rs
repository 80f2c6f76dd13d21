//! The tasks of the page, by coroutine: what they ran, what they waited for, and which tasks waited for which.

use std::collections::HashMap;

use serde::Serialize;

use super::intern::Tables;
use crate::model::snapshot::{Frame, WaitKind};
use crate::profile::{AwaitEdge, CoroutineProfile, Label, WaitProfile, Weighted};
use crate::render::object::object;
use crate::render::report::contents::{Activity, Report, frames_of};
use crate::render::{label, wait_words};

/// LIMIT: coroutines included; the rest are counted.
const COROUTINES: usize = 1_000;
/// LIMIT: places where tasks of one coroutine wait or run, heaviest first.
const PLACES: usize = 6;
/// LIMIT: edges of the await graph.
const EDGES: usize = 600;
/// LIMIT: holders of what is waited for in one place.
const HOLDERS: usize = 4;

pub(super) fn tasks(report: &Report<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    let (waits, runs) = (report.profile().waits(), report.profile().runs());
    let activity = Activity::of(&waits, &runs);
    // By run time, then by number of tasks: the least important are left out.
    let mut coroutines = report.hottest();
    coroutines.sort_by_key(|one| std::cmp::Reverse((one.run_ns, one.seen)));
    object! {
        list: coroutines.iter().take(COROUTINES).map(|one| coroutine(one, &activity, tables)).collect::<Vec<_>>(),
        left_out: coroutines.len().saturating_sub(COROUTINES),
    }
}

/// Tasks of one coroutine. Indices of texts, frames and stacks refer to the page's tables.
fn coroutine(one: &CoroutineProfile, activity: &Activity<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    let frame = one.coroutine.as_ref();
    let (waits, runs) = (activity.waits(frame), activity.runs(frame));
    object! {
        frame: frame.map(|frame| tables.frame(frame)),
        seen: one.seen,
        born: one.born,
        ended: one.ended,
        alive: one.alive,
        most_alive: one.most_alive,
        growth: one.growth_per_minute.map(|growth| (growth * 10.0).round() / 10.0),
        run_us: one.run_ns / 1_000,
        wait_us: one.wait_ns / 1_000,
        ready_us: one.ready_ns / 1_000,
        unknown_us: one.unknown_ns / 1_000,
        longest_us: one.longest_wait_ns / 1_000,
        longest_task: one.longest_wait_task.as_deref().map(|name| tables.text(name)),
        oldest_us: one.oldest_ns / 1_000,
        waits: waits.iter().take(PLACES).map(|one| wait(one, tables)).collect::<Vec<_>>(),
        runs: runs.iter().take(PLACES).map(|one| run(one, tables)).collect::<Vec<_>>(),
        // Places beyond the limit.
        more_waits: waits.len().saturating_sub(PLACES),
        more_runs: runs.len().saturating_sub(PLACES),
    }
}

fn wait(wait: &WaitProfile<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    object! {
        what: tables.text(wait.kind.map_or("something unknown", label::wait)),
        detail: wait.detail.map(|detail| tables.text(&wait_words::detail(detail))),
        stack: tables.stack(&wait.stack),
        wait_us: wait.wait_ns / 1_000,
        waits: wait.waits,
        longest_us: wait.longest_ns / 1_000,
        task: wait.longest_task.map(|name| tables.text(name)),
        holders: holders(&wait.holders, tables),
    }
}

/// Names of tasks that held what is waited for, and the number of waits.
fn holders(holders: &[(&str, u64)], tables: &mut Tables) -> Vec<(u32, u64)> {
    holders.iter().take(HOLDERS).map(|(name, waits)| (tables.text(name), *waits)).collect()
}

fn run(run: &Weighted<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    object! {
        stack: tables.stack(&frames_of(&run.stack).collect::<Vec<_>>()),
        torn: run.stack.contains(&Label::Torn),
        run_us: run.time_ns / 1_000,
        samples: run.count,
    }
}

pub(super) fn awaits(report: &Report<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    let (edges, waits) = (report.profile().await_edges(), report.profile().waits());
    let leaves = leaves(&waits);
    let mut edge = |edge: &AwaitEdge<'_>| {
        let [waiter, awaited] = [edge.waiter, edge.awaited].map(|end| end.map(|frame| tables.frame(frame)));
        (waiter, awaited, edge.wait_ns / 1_000, edge.waits)
    };
    object! {
        // Coroutine of the awaiter, coroutine of the awaited, microseconds, waits; longest time first.
        edges: edges.iter().take(EDGES).map(&mut edge).collect::<Vec<_>>(),
        // Waits for something other than a task.
        leaves: (leaves.iter().take(EDGES))
            .map(|((coroutine, kind), leaf)| {
                object! {
                    coroutine: coroutine.map(|frame| tables.frame(frame)),
                    what: tables.text(kind.map_or("something unknown", label::wait)),
                    wait_us: leaf.wait_ns / 1_000,
                    waits: leaf.waits,
                    holders: holders(&leaf.holders, tables),
                }
            })
            .collect::<Vec<_>>(),
        left_out: edges.len().saturating_sub(EDGES) + leaves.len().saturating_sub(EDGES),
    }
}

#[derive(Default)]
struct Leaf<'p> {
    wait_ns: u64,
    waits: u64,
    holders: Vec<(&'p str, u64)>,
}

type LeafKey<'p> = (Option<&'p Frame>, Option<WaitKind>);

/// Waits for something other than a task, by coroutine and kind, longest time first.
fn leaves<'p>(waits: &[WaitProfile<'p>]) -> Vec<(LeafKey<'p>, Leaf<'p>)> {
    let mut leaves: Vec<(LeafKey<'p>, Leaf<'p>)> = Vec::new();
    let mut positions: HashMap<LeafKey<'p>, usize> = HashMap::new();
    for wait in waits.iter().filter(|wait| !wait.kind.is_some_and(is_for_tasks)) {
        let key = (wait.coroutine, wait.kind);
        let position = *positions.entry(key).or_insert_with(|| {
            leaves.push((key, Leaf::default()));
            leaves.len() - 1
        });
        let leaf = &mut leaves[position].1;
        leaf.wait_ns = leaf.wait_ns.saturating_add(wait.wait_ns);
        leaf.waits += wait.waits;
        for &(name, count) in &wait.holders {
            match leaf.holders.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += count,
                None => leaf.holders.push((name, count)),
            }
        }
    }
    for (_, leaf) in &mut leaves {
        leaf.holders.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    }
    leaves.sort_by_key(|(_, leaf)| std::cmp::Reverse(leaf.wait_ns));
    leaves
}

/// The awaiters of these are in the edges.
fn is_for_tasks(kind: WaitKind) -> bool {
    matches!(kind, WaitKind::Task | WaitKind::Gather | WaitKind::TaskGroup | WaitKind::Wait | WaitKind::Shield)
}
