//! One run of the program as a check sees it: numbers, places and noise, taken from its analysis and from what was
//! measured around the run.

use std::collections::BTreeMap;

use super::item::Verdict;
use super::metrics::Metric;
use super::noise::Noise;
use super::sites::{Site, SiteKind};
use crate::detect::analysis::{Analysis, Found, shortest_sure_stall_ns};
use crate::detect::origin;
use crate::detect::rules::{self, RuleInfo, Scope, Subject};
use crate::detect::seen::SeenFinding;
use crate::detect::stall::{Cause, Stall};
use crate::model::event::NoteKind;
use crate::model::snapshot::{Frame, Severity};
use crate::profile::{CoroutineProfile, LoopProfile};

/// Maximum entries of a list of places that only explains a number.
const EXPLAIN: usize = 3;

/// What was measured around a run rather than seen in it. `None` where it was not measured: a recording has none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Circumstances {
    /// CPU time of the program, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// From its start to its end, nanoseconds.
    pub wall_ns: Option<u64>,
    /// Time for which its threads were runnable but had no CPU, nanoseconds.
    pub delay_ns: Option<u64>,
    /// How long a fixed piece of work took right before and right after, nanoseconds; the slower of the two.
    pub spin_ns: Option<u64>,
    /// What went wrong.
    pub problem: Option<Problem>,
    /// It had not ended after this time and was ended by the check, nanoseconds.
    pub cut_off_ns: Option<u64>,
}

/// Why a run is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The program did not end well: how it ended.
    Failed(String),
    /// It was not observed, or not completely: why.
    Unseen(String),
}

/// What a check needs to know about a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Why it is not usable.
    pub problem: Option<Problem>,
    /// What is to be said of the run as a whole although it is usable, and how it is judged.
    pub remarks: Vec<(Verdict, String)>,
    /// Numbers; a missing one has no data.
    pub values: BTreeMap<Metric, f64>,
    /// Places where something is wrong, including stalls below the threshold.
    pub sites: Vec<Site>,
    /// Stalls caused by the machine: CPU starvation or suspension. They are listed but not judged.
    pub not_judged: Vec<Site>,
    /// The length from which an iteration is a stall, nanoseconds.
    pub threshold_ns: u64,
    /// A stall of this length was sure to be seen, nanoseconds; `None` where that is not known.
    pub sure_stall_ns: Option<u64>,
    /// Samples of loops.
    pub samples: u64,
    /// Full snapshots, which find orphans and exceptions.
    pub looks: u64,
    /// How noisy it was.
    pub noise: Noise,
    /// See [`Circumstances::spin_ns`].
    pub spin_ns: Option<u64>,
}

/// The threshold to analyse with, so that a stall of `wanted_ns` is sure to be seen despite the time between samples,
/// and stalls just below it are known too.
pub fn threshold_to_look_with(wanted_ns: u64) -> u64 {
    /// Below a millisecond every callback would be a stall.
    const LEAST: u64 = 1_000_000;
    (wanted_ns / 4).max(LEAST)
}

impl Run {
    /// Takes the stalls of at least `threshold_ns` from an analysis made with [`threshold_to_look_with`].
    pub fn of(analysis: &Analysis, threshold_ns: u64, circumstances: Circumstances) -> Self {
        let mut run = Self {
            problem: circumstances.problem,
            threshold_ns,
            sure_stall_ns: sure_stall_ns(analysis),
            looks: analysis.seen().looks(),
            samples: analysis.profile().loops().iter().map(|event_loop| event_loop.samples).sum(),
            spin_ns: circumstances.spin_ns,
            ..Self::default()
        };
        run.add_stalls(analysis);
        run.add_loops(analysis);
        run.add_findings(analysis);
        run.add_tasks(analysis);
        run.add_end(analysis, circumstances.cut_off_ns);
        run.set(Metric::Cpu, circumstances.cpu_ns.map(|ns| ns as f64));
        run.set(Metric::Wall, circumstances.wall_ns.map(|ns| ns as f64));
        run.noise = noise(analysis, circumstances.cpu_ns.zip(circumstances.delay_ns));
        run
    }

    /// A run of which nothing is known except why.
    pub fn without_data(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    /// A number, where there is data.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.values.get(&metric).copied()
    }

    /// Whether a stall reaches the threshold rather than merely coming close; places of other kinds always count.
    pub(super) fn reaches_threshold(&self, site: &Site) -> bool {
        site.kind != SiteKind::Stall || site.longest_ns >= self.threshold_ns
    }

    /// Places of stalls from half the threshold up, and all places of other kinds.
    pub(super) fn near_sites(&self) -> impl Iterator<Item = &Site> {
        let near = self.threshold_ns / 2;
        self.sites.iter().filter(move |site| site.kind != SiteKind::Stall || site.longest_ns >= near)
    }

    fn set(&mut self, metric: Metric, value: Option<f64>) {
        self.values.extend(value.map(|value| (metric, value)));
    }

    fn add_stalls(&mut self, analysis: &Analysis) {
        if self.samples == 0 {
            return;
        }
        let (mut longest, mut count) = (0, 0_u64);
        for stall in analysis.stalls().worst_first() {
            let length_ns = own_length_ns(stall);
            if matches!(stall.cause, Cause::CpuStarved | Cause::Suspended) {
                // What it ran itself is its own, even where that is too little to be judged.
                longest = longest.max(stall.evidence.run_ns.unwrap_or(0).min(stall.at_least_ns));
                // Listed only where it would have counted.
                if stall.at_least_ns >= self.threshold_ns {
                    merge(&mut self.not_judged, stall_site(stall, stall.at_least_ns));
                }
                continue;
            }
            longest = longest.max(length_ns);
            count += u64::from(length_ns >= self.threshold_ns);
            merge(&mut self.sites, stall_site(stall, length_ns));
        }
        self.set(Metric::LongestStall, Some(longest as f64));
        self.set(Metric::Stalls, Some(count as f64));
    }

    fn add_loops(&mut self, analysis: &Analysis) {
        let loops = analysis.profile().loops();
        let largest = |value: fn(&LoopProfile) -> Option<f64>| loops.iter().filter_map(value).max_by(f64::total_cmp);
        self.set(Metric::P99Lag, largest(|event_loop| event_loop.lag().map(|lag| lag.p99_ns as f64)));
        self.set(Metric::Busy, largest(LoopProfile::busy_share));
        let mut hottest = analysis.profile().coroutines();
        hottest.sort_by_key(|coroutine| std::cmp::Reverse(coroutine.run_ns));
        let busy: u64 = loops.iter().map(|event_loop| event_loop.busy_ns).sum();
        for coroutine in hottest.iter().filter(|coroutine| coroutine.run_ns > 0).take(EXPLAIN) {
            let percent = 100.0 * coroutine.run_ns as f64 / busy.max(1) as f64;
            let what = format!("{percent:.0} % of what the loops ran");
            self.sites.extend(coroutine_site(SiteKind::Busy, coroutine, what, coroutine.run_samples));
        }
    }

    fn add_findings(&mut self, analysis: &Analysis) {
        let seen = analysis.seen();
        let Some(last_look_ns) = seen.last_look_ns() else { return };
        // If the only snapshot is from the beginning, as in a program of half a second, what came later is not known.
        let looked_ns = last_look_ns.saturating_sub(analysis.header().started_ns);
        let is_known = looked_ns >= analysis.duration_ns() / 2;
        for metric in Metric::ALL {
            let Some(rule) = metric.rule() else { continue };
            let most = seen.most(&rule.id);
            self.set(metric, (is_known || most > 0).then_some(most as f64));
        }
        for found in seen.list() {
            let rule = rules::find(&found.finding.finding.rule);
            // What is only mentioned is nobody's fault.
            let is_info = found.finding.finding.severity == Severity::Info;
            if let Some(rule) = rule.filter(|rule| rule.is_checked && !is_info) {
                merge(&mut self.sites, finding_site(rule, found));
            }
        }
    }

    /// What the last snapshot shows that lasts, and that the program did not end.
    fn add_end(&mut self, analysis: &Analysis, cut_off_ns: Option<u64>) {
        let lasting = |found: &&Found| {
            let rule = rules::find(&found.finding.finding.rule);
            found.finding.finding.severity == Severity::Error && rule.is_some_and(|rule| rule.scope == Scope::Lasting)
        };
        let has_ended = cut_off_ns.is_none() && analysis.notes().iter().any(|note| note.kind == NoteKind::Exited);
        for found in analysis.findings().iter().filter(lasting) {
            let finding = &found.finding.finding;
            let place = found.finding.site.as_ref().map(|frame| format!(", in {}", origin::describe(frame)));
            let what = format!("{}{}", finding.message, place.unwrap_or_default());
            self.remarks.push(match has_ended {
                true => (Verdict::Shown, format!("the last snapshot shows a {what}; the program ended all the same")),
                false => (Verdict::Fail, format!("the last snapshot shows a {what}. {}", finding.advice)),
            });
        }
        if let Some(ns) = cut_off_ns {
            let seconds = ns as f64 / 1e9;
            self.remarks.push((Verdict::Shown, format!("the program did not end within {seconds} s and was ended")));
        }
    }

    fn add_tasks(&mut self, analysis: &Analysis) {
        let mut coroutines = analysis.profile().coroutines();
        if coroutines.is_empty() {
            return;
        }
        self.set(Metric::Tasks, Some(coroutines.iter().map(|coroutine| coroutine.most_alive as f64).sum()));
        let growth: Option<f64> = coroutines.iter().map(|coroutine| coroutine.growth_per_minute).sum();
        self.set(Metric::TaskGrowth, growth);
        let grows = |coroutine: &CoroutineProfile| coroutine.growth_per_minute.unwrap_or(0.0);
        coroutines.sort_by(|one, other| grows(other).total_cmp(&grows(one)));
        for coroutine in coroutines.iter().filter(|coroutine| grows(coroutine) > 0.0).take(EXPLAIN) {
            let what = format!("{:+.0} a minute, {} at the end", grows(coroutine), coroutine.alive);
            self.sites.extend(coroutine_site(SiteKind::Growth, coroutine, what, coroutine.alive));
        }
    }
}

/// The watch's own figure, otherwise what the samples show.
fn sure_stall_ns(analysis: &Analysis) -> Option<u64> {
    analysis.shortest_sure_stall_ns().or_else(|| {
        let longest = analysis.profile().loops().iter().map(|event_loop| event_loop.longest_between_ns).max()?;
        let header = analysis.header();
        Some(shortest_sure_stall_ns(header.stall_threshold_ns, longest, header.loop_rate_hz))
    })
}

/// Lower bound of a stall's length, excluding time caused by the machine: never less than the time it was on a CPU.
fn own_length_ns(stall: &Stall) -> u64 {
    let lost = stall.evidence.starved_ns.unwrap_or(0).saturating_add(stall.evidence.throttled_ns.unwrap_or(0));
    let ran = stall.evidence.run_ns.unwrap_or(0).min(stall.at_least_ns);
    stall.at_least_ns.saturating_sub(lost).max(ran)
}

fn stall_site(stall: &Stall, length_ns: u64) -> Site {
    let frame = stall.site.as_ref().or(stall.stack.last());
    let what = match &stall.detail {
        Some(detail) => format!("{}: {detail}", stall.cause.as_str()),
        None => stall.cause.as_str().to_owned(),
    };
    Site { count: 1, longest_ns: length_ns, ..site(SiteKind::Stall, frame, what, stall.advice.clone()) }
}

fn finding_site(rule: &'static RuleInfo, found: &SeenFinding) -> Site {
    let finding = &found.finding.finding;
    let frame = found.coroutine.as_ref().or(found.finding.site.as_ref());
    let what = Subject::of(finding).exception.unwrap_or_else(|| finding.message.clone());
    let mut site = Site { count: found.most, ..site(SiteKind::Finding(rule), frame, what, finding.advice.clone()) };
    // The place where it waits is closer to the cause than the place where it starts.
    if let Some(at) = found.finding.site.as_ref().filter(|at| *at.function == *site.function && *at.file == *site.file)
    {
        site.line = at.line.or(site.line);
    }
    site
}

fn coroutine_site(kind: SiteKind, coroutine: &CoroutineProfile, what: String, count: u64) -> Option<Site> {
    let frame = coroutine.coroutine.as_ref()?;
    Some(Site { count, ..site(kind, Some(frame), what, String::new()) })
}

fn site(kind: SiteKind, frame: Option<&Frame>, what: String, advice: String) -> Site {
    let text = |part: fn(&Frame) -> &str| frame.map_or_else(String::new, |frame| part(frame).to_owned());
    Site {
        kind,
        function: text(|frame| &frame.function),
        file: text(|frame| &frame.file),
        line: frame.and_then(|frame| frame.line),
        what,
        count: 0,
        longest_ns: 0,
        advice,
    }
}

/// Merges with what is known of the same place.
fn merge(sites: &mut Vec<Site>, site: Site) {
    match sites.iter_mut().find(|known| known.is_same_place(&site) && known.file == site.file) {
        Some(known) => {
            let count = known.count + site.count;
            if site.longest_ns > known.longest_ns {
                *known = site;
            }
            known.count = count;
        }
        None => sites.push(site),
    }
}

fn noise(analysis: &Analysis, cpu_and_delay_ns: Option<(u64, u64)>) -> Noise {
    let health = analysis.health();
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let gaps = analysis.profile().loops().iter().map(|event_loop| event_loop.longest_between_ns);
    Noise {
        delay_share: cpu_and_delay_ns.and_then(|(cpu, delay)| share(delay, cpu)),
        spin_ratio: None,
        longest_gap_ns: gaps.max(),
        torn_share: health.and_then(|health| share(health.torn + health.dropped, health.loop_samples)),
        missed_share: health.and_then(|health| share(health.late, health.loop_samples + health.late)),
        lowered_rate: health.is_some_and(|health| health.lowered_rate),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    pub(in crate::detect::check) fn site(kind: SiteKind, function: &str, file: &str, longest_ms: u64) -> Site {
        Site {
            kind,
            function: function.into(),
            file: file.into(),
            line: Some(7),
            what: "blocking_call".into(),
            count: 1,
            longest_ns: longest_ms * MS,
            advice: "do otherwise".into(),
        }
    }

    /// A good run with these sites; the stall threshold is 100 ms.
    pub(in crate::detect::check) fn run(sites: &[Site]) -> Run {
        let lengths = sites.iter().map(|site| site.longest_ns);
        let count = |kind: SiteKind| sites.iter().filter(|site| site.kind == kind).count() as f64;
        let values = BTreeMap::from([
            (Metric::Cpu, 1e9),
            (Metric::Wall, 1.2e9),
            (Metric::LongestStall, lengths.clone().max().unwrap_or(0) as f64),
            (Metric::Stalls, lengths.filter(|length| *length >= 100 * MS).count() as f64),
            (Metric::P99Lag, 3e6),
            (Metric::Busy, 0.5),
            (Metric::Orphans, count(SiteKind::Finding(&rules::ORPHANED_TASK))),
            (Metric::Unretrieved, count(SiteKind::Finding(&rules::EXCEPTION_NEVER_RETRIEVED))),
            (Metric::Tasks, 12.0),
        ]);
        Run {
            values,
            sites: sites.to_vec(),
            threshold_ns: 100 * MS,
            sure_stall_ns: Some(40 * MS),
            samples: 1_000,
            looks: 4,
            spin_ns: Some(10 * MS),
            ..Run::default()
        }
    }

    #[test]
    fn places_are_added_up_and_the_longest_stands_for_them() {
        let mut sites = Vec::new();
        let one = site(SiteKind::Stall, "handle", "/app/a.py", 120);
        merge(&mut sites, one.clone());
        merge(&mut sites, Site { line: Some(9), ..site(SiteKind::Stall, "handle", "/app/a.py", 150) });
        merge(&mut sites, site(SiteKind::Stall, "handle", "/app/b.py", 130));
        assert_eq!(sites.len(), 2);
        assert_eq!((sites[0].count, sites[0].longest_ns, sites[0].line), (2, 150 * MS, Some(9)));
    }

    #[test]
    fn a_stall_is_looked_for_at_a_quarter_of_its_length() {
        assert_eq!(threshold_to_look_with(100 * MS), 25 * MS);
        assert_eq!(threshold_to_look_with(2 * MS), MS);
    }
}
