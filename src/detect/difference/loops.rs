//! How the event loops changed, and which findings are new or gone.

use std::collections::BTreeMap;

use super::measure::{Measure, Presence, Site, risk_of_each};
use super::pairing::{Places, pair};
use super::rates::{Counted, worth};
use super::watch::Watch;
use crate::detect::rules::{self, Scope};
use crate::model::snapshot::{Finding, RuleId, Severity};
use crate::profile::{LoopBin, LoopProfile, Slices, names};

/// One percent of the time.
const FLOOR: f64 = 0.01;

/// The loops of one class in threads of one name, in both watches.
#[derive(Clone, Debug)]
pub struct LoopChange {
    /// Qualified class name, from the second watch if it is there.
    pub class: String,
    /// Name of the thread, with numbers as `*`; `None` where it is not known.
    pub thread_name: Option<String>,
    /// In which watches it was seen.
    pub presence: Presence,
    /// Share of the known time in which the loop was busy.
    pub busy: Measure,
    /// Median iteration length, nanoseconds. One watch does not show how exact this is.
    pub lag_p50: Measure,
    /// 99th percentile of the iteration length, nanoseconds. One watch does not show how exact this is.
    pub lag_p99: Measure,
    /// Lower bound of the longest iteration, nanoseconds.
    pub longest_ns: (u64, u64),
}

/// The findings of the last snapshot, by rule and place, in both watches.
#[derive(Clone, Debug)]
pub struct FindingChange {
    /// The rule.
    pub rule: RuleId,
    /// Its severity.
    pub severity: Severity,
    /// The place; no frame where it is not known.
    pub site: Site,
    /// In which watches it was seen.
    pub presence: Presence,
    /// Number of tasks it concerns, in the last snapshot of each watch.
    pub tasks: (u64, u64),
    /// One of the findings, as a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// A loop and its index.
type Found<'a> = (usize, &'a LoopProfile);

/// Loops by class and thread. Programs that create one loop after another have many; the one sampled most stands for
/// those that cannot be told apart.
pub(super) fn compare(base: &Watch<'_>, head: &Watch<'_>) -> Vec<LoopChange> {
    let (before, after) = (by_name(base), by_name(head));
    let mut pairs: Vec<(Option<Found<'_>>, Option<Found<'_>>)> = Vec::new();
    if let ([before], [after]) = (&*before, &*after) {
        // One in each: asyncio's own was perhaps replaced by uvloop.
        pairs.push((Some(before.1), Some(after.1)));
    } else {
        let mut after: BTreeMap<_, _> = after.into_iter().collect();
        pairs.extend(before.into_iter().map(|(name, found)| (Some(found), after.remove(&name))));
        pairs.extend(after.into_values().map(|found| (None, Some(found))));
    }
    let risk = risk_of_each(pairs.len());
    pairs.into_iter().filter_map(|(before, after)| change(before, base, after, head, risk)).collect()
}

fn by_name<'a>(watch: &Watch<'a>) -> Vec<((String, Option<String>), Found<'a>)> {
    let mut named: BTreeMap<(String, Option<String>), Found<'a>> = BTreeMap::new();
    for (number, event_loop) in watch.analysis.profile().loops().iter().enumerate() {
        let most = named.entry(name(event_loop)).or_insert((number, event_loop));
        if event_loop.samples > most.1.samples {
            *most = (number, event_loop);
        }
    }
    named.into_iter().collect()
}

fn name(event_loop: &LoopProfile) -> (String, Option<String>) {
    let info = &event_loop.info;
    (info.class.to_string(), info.thread_name.as_deref().map(names::fold_digits))
}

fn change(
    before: Option<Found<'_>>,
    base: &Watch<'_>,
    after: Option<Found<'_>>,
    head: &Watch<'_>,
    risk: f64,
) -> Option<LoopChange> {
    let (class, thread_name) = name(after.or(before)?.1);
    let busy = match (before.and_then(|found| busy(found, base)), after.and_then(|found| busy(found, head))) {
        (Some(before), Some(after)) => Measure::of_rates(before, after, FLOOR, risk),
        (was, is) => Measure::unjudged(was.map(|(share, _)| share), is.map(|(share, _)| share)),
    };
    let lag = |found: Option<Found<'_>>| found.and_then(|(_, event_loop)| event_loop.lag());
    let (was, is) = (lag(before), lag(after));
    let longest_ns = |found: Option<Found<'_>>| found.map_or(0, |(_, event_loop)| event_loop.longest_ns);
    Some(LoopChange {
        class,
        thread_name,
        presence: Presence::of(before.is_some(), after.is_some()),
        busy,
        lag_p50: Measure::unjudged(was.map(|lag| lag.p50_ns as f64), is.map(|lag| lag.p50_ns as f64)),
        lag_p99: Measure::unjudged(was.map(|lag| lag.p99_ns as f64), is.map(|lag| lag.p99_ns as f64)),
        longest_ns: (longest_ns(before), longest_ns(after)),
    })
}

/// The busy share, and the samples that it rests on.
fn busy((number, event_loop): Found<'_>, watch: &Watch<'_>) -> Option<(f64, Option<Counted>)> {
    let share = event_loop.busy_share()?;
    let bins = watch.analysis.profile().timeline().of_loop(number);
    let each = bins.len().div_ceil(Slices::MOST).max(1);
    let slices: Vec<f64> = (bins.chunks(each))
        .map(|bins| bins.iter().copied().fold(LoopBin::default(), LoopBin::merged))
        .filter(|bin| bin.known_ns > 0)
        .map(|bin| bin.busy_ns as f64 / bin.known_ns as f64)
        .collect();
    let samples = event_loop.samples as f64;
    Some((share, worth(samples * share, &slices).map(|events| Counted::of_rate(share, events, samples))))
}

/// Findings of one rule in one place.
#[derive(Default)]
struct Seen<'a> {
    tasks: u64,
    first: Option<&'a Finding>,
}

/// The findings of the last snapshot of each watch.
pub(super) fn findings(base: &Watch<'_>, head: &Watch<'_>) -> Vec<FindingChange> {
    let pairs = pair(findings_of(base), findings_of(head));
    let mut changes: Vec<FindingChange> = (pairs.into_iter())
        .filter_map(|pair| {
            let presence = Presence::of(pair.base.is_some(), pair.head.is_some());
            let tasks = |seen: &Option<Seen<'_>>| seen.as_ref().map_or(0, |seen| seen.tasks);
            let tasks = (tasks(&pair.base), tasks(&pair.head));
            let first = pair.head.and_then(|seen| seen.first).or(pair.base.and_then(|seen| seen.first))?;
            Some(FindingChange {
                rule: pair.kind.clone(),
                severity: first.severity,
                site: pair.site,
                presence,
                tasks,
                message: first.message.clone(),
                advice: first.advice.clone(),
            })
        })
        .collect();
    changes
        .sort_by_key(|change| (change.presence == Presence::Both, std::cmp::Reverse(change.severity), change.presence));
    changes
}

fn findings_of<'a>(watch: &Watch<'a>) -> Places<'a, &'a RuleId, Seen<'a>> {
    let mut places = Places::new();
    for found in watch.analysis.findings() {
        let finding = &found.finding.finding;
        // Findings true at one instant only say nothing about the rest of the watch.
        if rules::find(&finding.rule).is_some_and(|rule| rule.scope != Scope::Lasting) {
            continue;
        }
        let seen: &mut Seen<'a> = places.at(&finding.rule, found.finding.site.as_ref(), 1);
        seen.tasks += found.tasks.len().max(1) as u64;
        seen.first = seen.first.or(Some(finding));
    }
    places
}
