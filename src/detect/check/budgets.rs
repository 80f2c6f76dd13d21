//! Limits that need no baseline.

use super::item::{Item, Numbers, Subject, Verdict};
use super::metrics::Metric;
use super::noise::{Taint, Tolerance};
use super::run::Run;
use super::sites::{Site, SiteKind};
use super::stats::median;

/// Limits by metric, in the metric's own unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budgets(Vec<(Metric, f64)>);

impl Budgets {
    /// Limits in the order in which they are shown.
    pub fn new(limits: impl IntoIterator<Item = (Metric, f64)>) -> Self {
        Self(limits.into_iter().collect())
    }

    /// Whether there are no limits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limit of a metric.
    pub fn limit(&self, metric: Metric) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == metric).map(|(_, limit)| *limit)
    }

    /// The shortest stall, nanoseconds, that must be detectable to judge these limits: `threshold_ns`, or shorter.
    pub fn shortest_stall_ns(&self, threshold_ns: u64) -> u64 {
        let limits = [Metric::LongestStall, Metric::P99Lag].into_iter().filter_map(|metric| self.limit(metric));
        limits.map(|limit| limit as u64).fold(threshold_ns, u64::min)
    }

    /// Judges each limit: the median of all runs must stay within it.
    pub(super) fn judge(&self, runs: &[&Run], tolerance: &Tolerance) -> Vec<Item> {
        self.0.iter().map(|&(metric, limit)| judge_one(metric, limit, runs, tolerance)).collect()
    }
}

fn judge_one(metric: Metric, limit: f64, runs: &[&Run], tolerance: &Tolerance) -> Item {
    let values: Vec<f64> = runs.iter().filter_map(|run| run.value(metric)).collect();
    let exceeded = values.iter().filter(|value| **value > limit).count();
    let middle = median(values.iter().copied());
    let verdict = match middle {
        Some(middle) if middle > limit && is_the_machines_doing(metric, limit, runs, tolerance) => {
            Verdict::Inconclusive
        }
        Some(middle) if middle > limit => Verdict::Fail,
        // A run without data must not hide behind one that has data.
        Some(_) if values.len() < runs.len() => Verdict::NoData,
        Some(_) if metric == Metric::LongestStall && could_have_escaped(limit, runs) => Verdict::Inconclusive,
        Some(_) => Verdict::Pass,
        None => Verdict::NoData,
    };
    let sites = if verdict == Verdict::Fail { blame(metric, limit, runs) } else { Vec::new() };
    let numbers = Numbers::Limit { value: middle, limit, exceeded, runs: runs.len() };
    let reason = match middle {
        Some(middle) if middle > limit && verdict == Verdict::Inconclusive => {
            Some("the limit was exceeded, but the machine was too busy to blame the program".into())
        }
        _ => reason(metric, verdict, runs),
    };
    Item { subject: Subject::Budget(metric), verdict, numbers, sites, reason }
}

/// Whether every run that exceeds the limit was starved of CPU or on a slow CPU, and the metric depends on that.
fn is_the_machines_doing(metric: Metric, limit: f64, runs: &[&Run], tolerance: &Tolerance) -> bool {
    let is_spoilt = |run: &Run| {
        let taints = run.noise.taints(tolerance);
        taints.into_iter().any(|taint| matches!(taint, Taint::Starved | Taint::Slow) && metric.is_spoilt_by(taint))
    };
    runs.iter().filter(|run| run.value(metric).is_some_and(|value| value > limit)).all(|run| is_spoilt(run))
}

fn could_have_escaped(limit: f64, runs: &[&Run]) -> bool {
    runs.iter().any(|run| run.sure_stall_ns.is_none_or(|sure| sure as f64 > limit))
}

fn reason(metric: Metric, verdict: Verdict, runs: &[&Run]) -> Option<String> {
    match (verdict, metric) {
        (Verdict::NoData, Metric::TaskGrowth) => Some("growth is measured over at least 5 s of watching".into()),
        (Verdict::NoData, Metric::Orphans | Metric::Unretrieved) => {
            Some("the run was too short: there was no full snapshot of the tasks, or only one at the start".into())
        }
        (Verdict::NoData, Metric::Cpu | Metric::Wall) => {
            Some("a recording does not contain it; check a command instead".into())
        }
        (Verdict::NoData, _) => Some("no event loop was seen".into()),
        (Verdict::Inconclusive, _) => {
            let sure = runs.iter().map(|run| run.sure_stall_ns.unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
            Some(match sure {
                u64::MAX => "the length of stalls that may have been missed is unknown".into(),
                sure => format!("stalls shorter than {:.0} ms may have been missed", sure as f64 / 1e6),
            })
        }
        _ => None,
    }
}

/// The places to blame for a number above its limit, worst first.
fn blame(metric: Metric, limit: f64, runs: &[&Run]) -> Vec<Site> {
    let wanted = |run: &Run, site: &Site| match metric {
        Metric::LongestStall | Metric::P99Lag => site.kind == SiteKind::Stall && site.longest_ns as f64 > limit,
        Metric::Stalls => site.kind == SiteKind::Stall && run.reaches_threshold(site),
        Metric::Orphans | Metric::Unretrieved => metric.rule().map(SiteKind::Finding) == Some(site.kind),
        Metric::Busy | Metric::Cpu | Metric::Wall => site.kind == SiteKind::Busy,
        Metric::Tasks | Metric::TaskGrowth => site.kind == SiteKind::Growth,
    };
    let mut blamed: Vec<Site> = Vec::new();
    for run in runs {
        for site in run.sites.iter().filter(|site| wanted(run, site)) {
            match blamed.iter_mut().find(|known| known.is_same_place(site)) {
                Some(known) if site.longest_ns > known.longest_ns => *known = site.clone(),
                Some(_) => {}
                None => blamed.push(site.clone()),
            }
        }
    }
    // Stable: places without a length stay in their order, heaviest first.
    blamed.sort_by_key(|site| std::cmp::Reverse(site.longest_ns));
    blamed
}

#[cfg(test)]
mod tests {
    use super::super::noise::Noise;
    use super::super::run::tests::{run, site};
    use super::*;
    use crate::detect::rules;

    const MS: f64 = 1e6;

    fn judge(metric: Metric, limit: f64, runs: &[Run]) -> Item {
        judge_one(metric, limit, &runs.iter().collect::<Vec<_>>(), &Tolerance::for_stalls_of(100_000_000))
    }

    #[test]
    fn a_stall_above_its_limit_fails_and_names_its_place() {
        let runs = [run(&[
            site(SiteKind::Stall, "handle", "/app/a.py", 120),
            site(SiteKind::Stall, "short", "/app/a.py", 40),
        ])];
        let item = judge(Metric::LongestStall, 100.0 * MS, &runs);
        assert_eq!((item.verdict, item.sites.len()), (Verdict::Fail, 1));
        assert_eq!((&*item.sites[0].function, item.sites[0].line), ("handle", Some(7)));
        assert_eq!(judge(Metric::LongestStall, 120.0 * MS, &runs).verdict, Verdict::Pass);
        assert_eq!(judge(Metric::Stalls, 0.0, &runs).verdict, Verdict::Fail);
        assert_eq!(judge(Metric::Stalls, 1.0, &runs).verdict, Verdict::Pass);
    }

    #[test]
    fn a_budget_over_something_without_data_does_not_pass() {
        let item = judge(Metric::TaskGrowth, 10.0, &[run(&[])]);
        assert_eq!(item.verdict, Verdict::NoData);
        assert!(item.reason.unwrap().contains("5 s"));
        for (metric, _) in run(&[]).values {
            assert_eq!(judge(metric, 1e12, &[Run::default()]).verdict, Verdict::NoData);
            assert_eq!(judge(metric, 1e12, &[run(&[]), Run::default()]).verdict, Verdict::NoData);
        }
    }

    #[test]
    fn a_limit_below_what_was_sure_to_be_seen_is_inconclusive_unless_it_is_exceeded() {
        let blind = |sites: &[Site]| Run { sure_stall_ns: Some(150_000_000), ..run(sites) };
        assert_eq!(judge(Metric::LongestStall, 100.0 * MS, &[blind(&[])]).verdict, Verdict::Inconclusive);
        let stall = site(SiteKind::Stall, "handle", "/app/a.py", 120);
        assert_eq!(judge(Metric::LongestStall, 100.0 * MS, &[blind(&[stall])]).verdict, Verdict::Fail);
    }

    #[test]
    fn what_a_busy_machine_does_is_not_the_programs_fault() {
        let noise = Noise { delay_share: Some(3.0), ..Noise::default() };
        let starved = |sites: &[Site]| Run { noise, ..run(sites) };
        assert_eq!(judge(Metric::P99Lag, 1e6, &[run(&[])]).verdict, Verdict::Fail);
        assert_eq!(judge(Metric::P99Lag, 1e6, &[starved(&[])]).verdict, Verdict::Inconclusive);
        let stall = site(SiteKind::Stall, "handle", "/app/a.py", 120);
        assert_eq!(judge(Metric::LongestStall, 100.0 * MS, &[starved(&[stall])]).verdict, Verdict::Fail);
    }

    #[test]
    fn of_several_runs_the_middle_counts() {
        let (with, without) =
            (run(&[site(SiteKind::Finding(&rules::ORPHANED_TASK), "lost", "/app/a.py", 0)]), run(&[]));
        let item = judge(Metric::Orphans, 0.0, &[with.clone(), without.clone(), without.clone()]);
        assert_eq!(item.verdict, Verdict::Pass);
        assert_eq!(item.numbers, Numbers::Limit { value: Some(0.0), limit: 0.0, exceeded: 1, runs: 3 });
        assert_eq!(judge(Metric::Orphans, 0.0, &[with.clone(), without, with]).verdict, Verdict::Fail);
    }
}
