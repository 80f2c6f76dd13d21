//! Loops that wait for the GIL again and again: which share of the time, and who holds it meanwhile. One wait may be shorter
//! than any stall.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::origin;
use super::rules::GIL_CONTENTION;
use crate::model::event::{Doing, Gil, KeptFinding, LoopSample, Phase};
use crate::model::snapshot::{Frame, Severity};
use crate::model::tables::Tables;

/// The shortest time that says something, nanoseconds.
const ENOUGH_NS: u64 = 1_000_000_000;
/// Fewer samples than this say nothing.
const ENOUGH_SAMPLES: u64 = 100;
/// Share of the samples in which the loop waits from which on it is worth telling.
const LEAST_WAITING: f64 = 0.2;
/// Share of the samples of holders from which on a place is named.
const LEAST_SHARE: f64 = 0.2;
/// LIMIT: loops, and places of holders of each, that are followed; what comes later is not told apart.
const MAX_FOLLOWED: usize = 1_000;

/// Who holds the GIL, and where.
type Holder = (Option<i32>, Option<Frame>);

#[derive(Debug, Default)]
struct OfLoop {
    thread: Option<String>,
    first_ns: u64,
    last_ns: u64,
    known: u64,
    waiting: u64,
    holders: FxHashMap<Holder, u64>,
}

/// What the samples of each loop show.
#[derive(Debug, Default)]
pub(super) struct Contention(FxHashMap<u64, OfLoop>);

#[derive(Serialize)]
struct Facts {
    loop_thread: Option<String>,
    waiting_percent: f64,
    seconds: f64,
    holder: Option<i32>,
    holder_at: Option<String>,
    holder_percent: Option<f64>,
}

impl Contention {
    pub(super) fn sample(&mut self, sample: &LoopSample, tables: &Tables) {
        let Some(info) = tables.event_loop(sample.event_loop) else { return };
        if self.0.len() >= MAX_FOLLOWED && !self.0.contains_key(&info.key) {
            return;
        }
        let one = self.0.entry(info.key).or_insert_with(|| OfLoop {
            thread: info.thread_name.as_deref().map(str::to_owned),
            first_ns: sample.at_ns,
            ..OfLoop::default()
        });
        one.last_ns = sample.at_ns;
        if matches!(sample.phase, Phase::Unknown | Phase::NotRunning) {
            return;
        }
        one.known += 1;
        let leaving = sample.phase == Phase::LeavingSelector;
        let waits = sample.kernel.as_ref().is_some_and(|look| look.doing == Doing::WaitingForGil);
        let Gil::Other(holder) = sample.gil else { return };
        if !leaving && !waits {
            return;
        }
        one.waiting += 1;
        let Some(stack) = sample.holder_stack else { return };
        let place = origin::culprit_of(tables.frames_outermost_first(stack)).cloned();
        if one.holders.len() < MAX_FOLLOWED || one.holders.contains_key(&(holder, place.clone())) {
            *one.holders.entry((holder, place)).or_default() += 1;
        }
    }

    /// What is known now: one finding for each loop.
    pub(super) fn findings(&self) -> Vec<KeptFinding> {
        let mut found: Vec<_> = self.0.iter().filter_map(|(key, one)| Some((*key, one.finding()?))).collect();
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, finding)| finding).collect()
    }
}

impl OfLoop {
    fn finding(&self) -> Option<KeptFinding> {
        let watched_ns = self.last_ns - self.first_ns;
        let share = self.waiting as f64 / self.known.max(1) as f64;
        if watched_ns < ENOUGH_NS || self.known < ENOUGH_SAMPLES || share < LEAST_WAITING {
            return None;
        }
        let seen: u64 = self.holders.values().sum();
        let most = self.holders.iter().max_by_key(|(holder, samples)| (**samples, std::cmp::Reverse(holder.0)));
        let most = most.map(|(holder, samples)| (holder, *samples as f64 / seen as f64));
        let most = most.filter(|(_, share)| *share >= LEAST_SHARE);
        let who = match most {
            Some(((id, at), share)) => {
                let thread = id.map_or_else(|| "another thread".to_owned(), |id| format!("thread {id}"));
                let place = at.as_ref().map(|at| format!(" in {}", origin::describe(at))).unwrap_or_default();
                format!("; in {:.0} % of the samples that show who holds it, {thread} does{place}", 100.0 * share)
            }
            None => String::new(),
        };
        let of = self.thread.as_ref().map(|name| format!(" of thread {name}")).unwrap_or_default();
        let message = format!(
            "the event loop{of} waited for the GIL in {:.0} % of {} samples over {:.1} s{who}",
            100.0 * share,
            self.known,
            watched_ns as f64 / 1e9
        );
        let tenths = |share: f64| (1_000.0 * share).round() / 10.0;
        let site = most.and_then(|((_, at), _)| at.clone());
        let facts = Facts {
            loop_thread: self.thread.clone(),
            waiting_percent: tenths(share),
            seconds: watched_ns as f64 / 1e9,
            holder: most.and_then(|((id, _), _)| *id),
            holder_at: site.as_ref().map(origin::describe),
            holder_percent: most.map(|(_, share)| tenths(share)),
        };
        let finding = GIL_CONTENTION.finding(Severity::Warning, message, Vec::new(), &facts);
        Some(KeptFinding { finding, tasks: Vec::new(), site })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::KernelLook;
    use crate::model::tables::LoopInfo;

    /// A loop that waits in `waiting` of 10 samples, seen for two seconds.
    fn watched(waiting: u64, gil: Gil) -> Vec<KeptFinding> {
        let (mut contention, mut tables) = (Contention::default(), Tables::default());
        let info = LoopInfo { key: 1, class: "Loop".into(), thread: None, thread_name: Some("MainThread".into()) };
        let event_loop = tables.add_loop(&info);
        let crunch = Frame { function: "crunch".into(), file: "/app/main.py".into(), line: Some(7) };
        let other = Frame { function: "parse".into(), file: "/app/main.py".into(), line: Some(9) };
        let stacks = [tables.add_frames([&crunch]), tables.add_frames([&other])];
        for number in 0..2_001_u64 {
            let waits = number % 10 < waiting;
            let look = KernelLook::of(Doing::WaitingForGil);
            let sample = LoopSample {
                at_ns: number * 1_000_000,
                event_loop,
                phase: if waits && number % 20 >= 10 { Phase::LeavingSelector } else { Phase::Away },
                away_since_ns: None,
                away_precision_ns: 1,
                callback: None,
                task: None,
                stack: None,
                outer: 0,
                coroutines: 0,
                torn: false,
                moved: true,
                ready: None,
                gil,
                collecting: false,
                kernel: waits.then_some(look),
                holder_stack: if number % 5 == 0 { stacks[usize::from(number % 50 == 0)] } else { None },
            };
            contention.sample(&sample, &tables);
        }
        contention.findings()
    }

    #[test]
    fn who_holds_the_gil_while_a_loop_waits_is_named_with_its_share() {
        let found = watched(6, Gil::Other(Some(42)));
        let message = &found[0].finding.message;
        assert!(
            message.starts_with(
                "the event loop of thread MainThread waited for the GIL in 60 % of 2001 samples over 2.0 s"
            ),
            "{message}"
        );
        assert!(message.ends_with("thread 42 does in crunch (/app/main.py:7)"), "{message}");
        assert_eq!(found[0].finding.evidence["holder_percent"], 89.8);
    }

    #[test]
    fn a_loop_that_rarely_waits_or_has_the_gil_itself_has_no_contention() {
        assert_eq!(watched(1, Gil::Other(Some(42))), []);
        assert_eq!(watched(6, Gil::Own), []);
    }
}
