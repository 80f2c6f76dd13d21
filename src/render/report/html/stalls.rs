//! The stalls of the page: grouped by site and cause, and individually.

use std::collections::HashMap;

use serde::Serialize;

use super::intern::Tables;
use crate::detect::stall::{Cause, Stall};
use crate::model::tables::LoopInfo;
use crate::render::object::object;
use crate::render::report::contents::{Report, StallGroup, stall_groups};
use crate::render::report::{text, words};

/// LIMIT: stalls shown individually, longest first; the rest appear only in the totals.
const STALLS: usize = 5_000;

/// Stalls individually; lists of the same length are columns.
#[derive(Debug, Default, Serialize)]
struct ListJson {
    group: Vec<usize>,
    /// Relative to the beginning.
    start_us: Vec<u64>,
    at_least_us: Vec<u64>,
    at_most_us: Vec<Option<u64>>,
    length: Vec<u32>,
    #[serde(rename = "loop")]
    event_loop: Vec<Option<usize>>,
    task: Vec<Option<u32>>,
    coroutine: Vec<Option<u32>>,
    detail: Vec<Option<u32>>,
    stack: Vec<u32>,
    /// How many frames of the stack are coroutines.
    coroutines: Vec<usize>,
    torn: Vec<u8>,
    ongoing: Vec<u8>,
    ready: Vec<Option<u32>>,
    /// The task that ran, what waited in the meantime, and the evidence for the cause, in words.
    evidence: Vec<u32>,
}

pub(super) fn stalls(report: &Report<'_>, tables: &mut Tables) -> impl Serialize + use<> {
    let analysis = report.analysis;
    let worst_first = analysis.stalls().worst_first();
    let groups = stall_groups(&worst_first);
    let mut group_of: HashMap<*const Stall, usize> = HashMap::new();
    for (number, group) in groups.iter().enumerate() {
        group_of.extend(group.stalls.iter().map(|stall| (std::ptr::from_ref::<Stall>(stall), number)));
    }
    let mut told: Vec<&Stall> = worst_first.iter().copied().take(STALLS).collect();
    told.sort_by_key(|stall| (stall.start_ns, stall.at_least_ns));
    let loops: HashMap<&LoopInfo, usize> =
        report.profile().loops().iter().enumerate().map(|(number, one)| (&one.info, number)).collect();
    let mut list = ListJson::default();
    let mut positions: HashMap<*const Stall, usize> = HashMap::new();
    for stall in told {
        let group = group_of.get(&std::ptr::from_ref(stall)).copied().unwrap_or_default();
        positions.insert(stall, list.group.len());
        list.group.push(group);
        list.add(stall, analysis.header().started_ns, loops.get(&stall.event_loop).copied(), tables);
    }
    let total = analysis.stalls().total();
    object! {
        // Includes stalls that were not kept.
        count: total.count,
        total_us: total.at_least_ns / 1_000,
        threshold_us: analysis.header().stall_threshold_ns / 1_000,
        // Number of stalls not shown individually.
        left_out: total.count.saturating_sub(list.group.len() as u64),
        by_cause: cause_counts(report),
        groups: groups.iter().map(|one| group(one, &positions, tables)).collect::<Vec<_>>(),
        // In order of time.
        list,
    }
}

/// Stalls of one cause at one site. Indices refer to the page's tables; `worst` is a position in the list.
fn group(
    group: &StallGroup<'_>,
    positions: &HashMap<*const Stall, usize>,
    tables: &mut Tables,
) -> impl Serialize + use<> {
    let worst = group.worst;
    object! {
        cause: worst.cause.as_str(),
        words: words::cause(worst.cause),
        detail: worst.detail.as_deref().map(|detail| tables.text(detail)),
        site: worst.site.as_ref().map(|site| tables.frame(site)),
        advice: tables.sentence(&worst.advice),
        count: group.count(),
        total_us: group.total_ns / 1_000,
        longest: tables.sentence(&words::stall_length(worst)),
        longest_us: worst.at_least_ns / 1_000,
        ongoing: group.ongoing,
        worst: positions.get(&std::ptr::from_ref(worst)).copied(),
    }
}

fn cause_counts(report: &Report<'_>) -> Vec<(&'static str, &'static str, u64)> {
    let totals = report.analysis.stalls().totals();
    let count = |cause: Cause| Some((cause.as_str(), words::cause(cause), totals.get(&cause)?.count));
    Cause::ALL.into_iter().filter_map(count).collect()
}

impl ListJson {
    fn add(&mut self, stall: &Stall, started_ns: u64, event_loop: Option<usize>, tables: &mut Tables) {
        let task = stall.task.as_ref();
        self.start_us.push(stall.start_ns.saturating_sub(started_ns) / 1_000);
        self.at_least_us.push(stall.at_least_ns / 1_000);
        self.at_most_us.push(stall.at_most_ns.map(|most| most / 1_000));
        self.length.push(tables.sentence(&words::stall_length(stall)));
        self.event_loop.push(event_loop);
        self.task.push(task.and_then(|task| task.name.as_deref()).map(|name| tables.text(name)));
        self.coroutine.push(task.and_then(|task| task.coroutine.as_ref()).map(|coroutine| tables.frame(coroutine)));
        self.detail.push(stall.detail.as_deref().map(|detail| tables.text(detail)));
        self.stack.push(tables.stack(&stall.stack));
        self.coroutines.push(stall.coroutines);
        self.torn.push(stall.torn.into());
        self.ongoing.push(stall.ongoing.into());
        self.ready.push(stall.ready_waiting);
        self.evidence.push(tables.sentence(&text::circumstances(stall)));
    }
}
