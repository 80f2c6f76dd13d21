//! The tasks of the page, by coroutine: what they ran, what they waited for, and which tasks waited for which.

use std::collections::HashMap;

use serde::Serialize;

use super::intern::Tables;
use crate::model::snapshot::{Frame, WaitKind};
use crate::profile::{CoroutineProfile, Label, WaitProfile, Weighted};
use crate::render::label;
use crate::render::report::contents::{Report, code, runs_by_coroutine};
use crate::render::wait_words;

/// LIMIT: coroutines included; the rest are counted.
const COROUTINES: usize = 1_000;
/// LIMIT: places where tasks of one coroutine wait or run, heaviest first.
const PLACES: usize = 6;
/// LIMIT: edges of the await graph.
const EDGES: usize = 600;
/// LIMIT: holders of what is waited for in one place.
const HOLDERS: usize = 4;

/// Tasks of one coroutine. Indices of texts, frames and stacks refer to the page's tables.
#[derive(Debug, Serialize)]
struct CoroutineJson {
    frame: Option<u32>,
    seen: u64,
    born: u64,
    ended: u64,
    alive: u64,
    most_alive: u64,
    growth: Option<f64>,
    run_us: u64,
    wait_us: u64,
    ready_us: u64,
    unknown_us: u64,
    longest_us: u64,
    longest_task: Option<u32>,
    oldest_us: u64,
    waits: Vec<WaitJson>,
    runs: Vec<RunJson>,
    /// Places beyond the limit.
    more_waits: usize,
    more_runs: usize,
}

#[derive(Debug, Serialize)]
struct WaitJson {
    what: u32,
    detail: Option<u32>,
    stack: u32,
    wait_us: u64,
    waits: u64,
    longest_us: u64,
    task: Option<u32>,
    holders: Vec<(u32, u64)>,
}

#[derive(Debug, Serialize)]
struct RunJson {
    stack: u32,
    torn: bool,
    run_us: u64,
    samples: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct TasksJson {
    list: Vec<CoroutineJson>,
    left_out: usize,
}

impl TasksJson {
    pub(super) fn of(report: &Report<'_>, tables: &mut Tables) -> Self {
        let (waits, runs) = (report.profile().waits(), report.profile().runs());
        let mut waits_of: HashMap<Option<&Frame>, Vec<&WaitProfile<'_>>> = HashMap::new();
        for wait in &waits {
            waits_of.entry(wait.coroutine).or_default().push(wait);
        }
        let runs_of = runs_by_coroutine(&runs);
        // By run time, then by number of tasks: the least important are left out.
        let mut coroutines = report.hottest();
        coroutines.sort_by_key(|one| std::cmp::Reverse((one.run_ns, one.seen)));
        let whole = |one: &CoroutineProfile| {
            let frame = one.coroutine.as_ref();
            let waits = waits_of.get(&frame).map_or(&[][..], Vec::as_slice);
            let runs = frame.and_then(|frame| runs_of.get(&code(frame))).map_or(&[][..], Vec::as_slice);
            CoroutineJson::of(one, waits, runs, tables)
        };
        Self {
            left_out: coroutines.len().saturating_sub(COROUTINES),
            list: coroutines.iter().take(COROUTINES).map(whole).collect(),
        }
    }
}

impl CoroutineJson {
    fn of(one: &CoroutineProfile, waits: &[&WaitProfile<'_>], runs: &[&Weighted<'_>], tables: &mut Tables) -> Self {
        Self {
            frame: one.coroutine.as_ref().map(|frame| tables.frame(frame)),
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
            waits: waits.iter().take(PLACES).map(|wait| WaitJson::of(wait, tables)).collect(),
            runs: runs.iter().take(PLACES).map(|run| RunJson::of(run, tables)).collect(),
            more_waits: waits.len().saturating_sub(PLACES),
            more_runs: runs.len().saturating_sub(PLACES),
        }
    }
}

impl WaitJson {
    fn of(wait: &WaitProfile<'_>, tables: &mut Tables) -> Self {
        Self {
            what: tables.text(wait.kind.map_or("something unknown", label::wait)),
            detail: wait.detail.map(|detail| tables.text(&wait_words::detail(detail))),
            stack: tables.stack(wait.stack.iter().copied()),
            wait_us: wait.wait_ns / 1_000,
            waits: wait.waits,
            longest_us: wait.longest_ns / 1_000,
            task: wait.longest_task.map(|name| tables.text(name)),
            holders: wait.holders.iter().take(HOLDERS).map(|(name, waits)| (tables.text(name), *waits)).collect(),
        }
    }
}

impl RunJson {
    fn of(run: &Weighted<'_>, tables: &mut Tables) -> Self {
        let frames: Vec<&Frame> = (run.stack.iter())
            .filter_map(|label| match label {
                Label::Frame(frame) => Some(*frame),
                _ => None,
            })
            .collect();
        Self {
            stack: tables.stack(frames.into_iter()),
            torn: run.stack.contains(&Label::Torn),
            run_us: run.time_ns / 1_000,
            samples: run.count,
        }
    }
}

/// The await graph.
#[derive(Debug, Serialize)]
pub(super) struct AwaitsJson {
    /// Coroutine of the awaiter, coroutine of the awaited, microseconds, waits; longest time first.
    edges: Vec<(Option<u32>, Option<u32>, u64, u64)>,
    /// Waits for something other than a task.
    leaves: Vec<LeafJson>,
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct LeafJson {
    coroutine: Option<u32>,
    what: u32,
    wait_us: u64,
    waits: u64,
    /// Names of tasks that held it, and the number of waits.
    holders: Vec<(u32, u64)>,
}

impl AwaitsJson {
    pub(super) fn of(report: &Report<'_>, tables: &mut Tables) -> Self {
        let edges = report.profile().await_edges();
        let leaves = leaves(&report.profile().waits());
        Self {
            left_out: edges.len().saturating_sub(EDGES) + leaves.len().saturating_sub(EDGES),
            edges: (edges.iter().take(EDGES))
                .map(|edge| {
                    let [waiter, awaited] = [edge.waiter, edge.awaited].map(|end| end.map(|frame| tables.frame(frame)));
                    (waiter, awaited, edge.wait_ns / 1_000, edge.waits)
                })
                .collect(),
            leaves: (leaves.into_iter().take(EDGES))
                .map(|((coroutine, kind), leaf)| LeafJson {
                    coroutine: coroutine.map(|frame| tables.frame(frame)),
                    what: tables.text(kind.map_or("something unknown", label::wait)),
                    wait_us: leaf.wait_ns / 1_000,
                    waits: leaf.waits,
                    holders: (leaf.holders.iter().take(HOLDERS))
                        .map(|(name, waits)| (tables.text(name), *waits))
                        .collect(),
                })
                .collect(),
        }
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
