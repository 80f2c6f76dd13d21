//! What got worse than in earlier runs: by how much, how certain that is, and what could still hide in the noise.

use super::criteria::Criteria;
use super::item::{Item, Numbers, Subject, Verdict};
use super::metrics::{Gate, Metric};
use super::noise::Tolerance;
use super::run::Run;
use super::stats::{self, Shift, median};

/// What is compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Interleaved runs: the first of one side with the first of the other.
    SideBySide,
    /// A baseline from this machine and this Python.
    SameMachine,
    /// A baseline from another machine or Python.
    AnyMachine,
}

/// The outcome of a metric's comparison, before all are judged together.
struct Measured {
    metric: Metric,
    base: Vec<f64>,
    head: Vec<f64>,
    /// On a logarithmic scale.
    shift: Option<Shift>,
    /// Runs or pairs discarded for noise.
    spoilt: usize,
    gated: bool,
}

/// LIMIT: a change that may hide in the noise, relative to the smallest that matters: a metric that could hide more is
/// not judged.
const HIDDEN: f64 = 5.0;

/// Compares every metric for which both sides have data.
pub(super) fn compare(head: &[&Run], base: &[&Run], setting: Setting, criteria: &Criteria) -> Vec<Item> {
    let measured: Vec<Measured> =
        Metric::ALL.iter().filter_map(|metric| measure(*metric, head, base, setting, &criteria.tolerance)).collect();
    // A metric that did not change at all does not take from the error budget of the others.
    let counts = |one: &&Measured| one.gated && one.shift.is_some_and(|shift| shift.least_p < 1.0);
    let adjusted =
        stats::holm(&measured.iter().filter(counts).filter_map(|one| Some(one.shift?.p)).collect::<Vec<_>>());
    let mut adjusted = adjusted.into_iter();
    let mut items = Vec::new();
    for one in &measured {
        let p = if counts(&one) { adjusted.next().unwrap_or(1.0) } else { one.shift.map_or(1.0, |shift| shift.p) };
        items.push(item(one, p, setting, criteria));
    }
    items
}

fn measure(metric: Metric, head: &[&Run], base: &[&Run], setting: Setting, tolerance: &Tolerance) -> Option<Measured> {
    let is_good = |run: &Run| !run.noise.taints(tolerance).into_iter().any(|taint| metric.is_spoilt_by(taint));
    let value = |run: &Run| run.value(metric).filter(|_| is_good(run));
    let has_data = |runs: &[&Run]| runs.iter().any(|run| run.value(metric).is_some());
    if !has_data(head) || !has_data(base) {
        return None;
    }
    let gate = metric.gate();
    let log = |values: &[f64]| values.iter().map(|value| metric.to_log(*value)).collect::<Vec<_>>();
    let (base_values, head_values, shift, all) = match setting {
        Setting::SideBySide => {
            let pairs: Vec<(f64, f64)> =
                base.iter().zip(head).filter_map(|(b, h)| Some((value(b)?, value(h)?))).collect();
            let differences: Vec<f64> = pairs.iter().map(|(b, h)| metric.to_log(*h) - metric.to_log(*b)).collect();
            let (base_values, head_values) = pairs.iter().copied().unzip();
            (base_values, head_values, stats::signed_rank(&differences), head.len().min(base.len()))
        }
        Setting::SameMachine | Setting::AnyMachine => {
            let of = |runs: &[&Run]| runs.iter().filter_map(|run| value(run)).collect::<Vec<f64>>();
            let (base_values, head_values) = (of(base), of(head));
            let shift = stats::rank_sum(&log(&base_values), &log(&head_values));
            (base_values, head_values, shift, head.len())
        }
    };
    let gated = match setting {
        Setting::SideBySide => gate != Gate::Never,
        Setting::SameMachine => matches!(gate, Gate::SameMachine | Gate::AnyMachine),
        Setting::AnyMachine => gate == Gate::AnyMachine,
    };
    let spoilt = all.saturating_sub(head_values.len());
    Some(Measured { metric, base: base_values, head: head_values, shift, spoilt, gated })
}

fn item(one: &Measured, p: f64, setting: Setting, criteria: &Criteria) -> Item {
    let (base, head) = (median(one.base.iter().copied()), median(one.head.iter().copied()));
    let difference = head.zip(base).map_or(0.0, |(head, base)| head - base);
    let numbers = Numbers::Change {
        base,
        head,
        ratio: one.shift.map(|shift| shift.estimate.exp()),
        low: one.shift.map_or(0.0, |shift| shift.low.exp()),
        high: one.shift.map_or(f64::INFINITY, |shift| shift.high.exp()),
        p,
        runs: one.head.len(),
        spoilt: one.spoilt,
    };
    let (verdict, reason) = verdict(one, p, difference, setting, criteria);
    Item { subject: Subject::Change(one.metric), verdict, numbers, sites: Vec::new(), reason }
}

fn verdict(
    one: &Measured,
    p: f64,
    difference: f64,
    setting: Setting,
    criteria: &Criteria,
) -> (Verdict, Option<String>) {
    if !one.gated {
        let elsewhere = setting == Setting::AnyMachine && one.metric.gate() == Gate::SameMachine;
        return (Verdict::Shown, elsewhere.then(|| "not judged: the baseline is of another machine or Python".into()));
    }
    let floor = one.metric.floor();
    let Some(shift) = one.shift else {
        return (Verdict::Inconclusive, Some(too_noisy(one.spoilt)));
    };
    let is_worse = shift.estimate.exp() >= 1.0 + criteria.min_effect && difference >= floor;
    if is_worse && p <= criteria.alpha {
        return (Verdict::Fail, None);
    }
    // However certain: a change this small would not fail.
    if largest_change(one, setting) < floor {
        return (Verdict::Pass, None);
    }
    if shift.least_p > criteria.alpha && shift.least_p < 1.0 {
        let what = "too few runs to tell a change from chance";
        return match setting {
            Setting::SideBySide => (Verdict::Inconclusive, Some(format!("{what}; use 10 pairs"))),
            _ => (Verdict::Shown, Some(format!("not judged: {what}; use five on each side"))),
        };
    }
    if is_worse {
        return (Verdict::Inconclusive, Some("it looks worse, but noise can explain it".into()));
    }
    let middle = median(one.base.iter().copied()).unwrap_or(0.0);
    let hidden = shift.high.exp() - 1.0;
    if hidden > HIDDEN * criteria.min_effect && hidden * middle >= floor {
        return (
            Verdict::Inconclusive,
            Some(format!("an increase of {:.0} % could hide in the noise", 100.0 * hidden)),
        );
    }
    (Verdict::Pass, None)
}

fn too_noisy(spoilt: usize) -> String {
    match spoilt {
        0 => "all earlier runs were too noisy".into(),
        1 => "the only run was too noisy".into(),
        spoilt => format!("all {spoilt} runs were too noisy"),
    }
}

/// The largest amount by which any run exceeds one that it is compared with.
fn largest_change(one: &Measured, setting: Setting) -> f64 {
    match setting {
        Setting::SideBySide => one.base.iter().zip(&one.head).map(|(base, head)| head - base).fold(0.0, f64::max),
        _ => {
            let least = one.base.iter().copied().fold(f64::INFINITY, f64::min);
            one.head.iter().copied().fold(0.0, f64::max) - least
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise::Noise;
    use super::super::run::tests::run;
    use super::*;

    fn criteria() -> Criteria {
        Criteria { tolerance: Tolerance::for_stalls_of(100_000_000), ..Criteria::default() }
    }

    /// Runs that take this much CPU time, milliseconds.
    fn runs(cpu_ms: &[f64]) -> Vec<Run> {
        let with = |ms: &f64| {
            let mut run = run(&[]);
            run.values.insert(Metric::Cpu, ms * 1e6);
            run
        };
        cpu_ms.iter().map(with).collect()
    }

    fn judge(head: &[Run], base: &[Run], setting: Setting, metric: Metric) -> Item {
        let (head, base): (Vec<_>, Vec<_>) = (head.iter().collect(), base.iter().collect());
        let items = compare(&head, &base, setting, &criteria());
        items.into_iter().find(|item| item.subject == Subject::Change(metric)).unwrap()
    }

    fn cpu(head: &[Run], base: &[Run], setting: Setting) -> Verdict {
        judge(head, base, setting, Metric::Cpu).verdict
    }

    const BASE: [f64; 10] = [1000.0, 1030.0, 980.0, 1010.0, 995.0, 1020.0, 1005.0, 990.0, 1015.0, 985.0];

    #[test]
    fn a_quarter_more_is_found_and_the_same_passes() {
        let base = runs(&BASE);
        let more = runs(&BASE.map(|ms| ms * 1.25));
        assert_eq!(cpu(&more, &base, Setting::SideBySide), Verdict::Fail);
        assert_eq!(cpu(&base, &more, Setting::SideBySide), Verdict::Pass, "better is not worse");
        assert_eq!(cpu(&base, &base, Setting::SideBySide), Verdict::Pass);
        let mut turned = BASE;
        turned.reverse();
        assert_eq!(cpu(&runs(&turned), &base, Setting::SideBySide), Verdict::Pass);
        assert_eq!(cpu(&more[..5], &base[..5], Setting::SameMachine), Verdict::Fail);
    }

    #[test]
    fn a_change_too_small_to_matter_passes_however_sure_it_is() {
        let base = runs(&BASE);
        assert_eq!(cpu(&runs(&BASE.map(|ms| ms * 1.05)), &base, Setting::SideBySide), Verdict::Pass);
        let tiny = |factor: f64| runs(&[10.0; 10].map(|ms| ms * factor));
        assert_eq!(cpu(&tiny(1.25), &tiny(1.0), Setting::SideBySide), Verdict::Pass, "2.5 ms matter to nobody");
    }

    #[test]
    fn what_looks_worse_in_heavy_noise_is_inconclusive() {
        let head = [1900.0, 700.0, 1500.0, 2000.0, 800.0, 1400.0, 1700.0, 650.0, 1200.0, 1600.0];
        assert_eq!(cpu(&runs(&head), &runs(&BASE), Setting::SideBySide), Verdict::Inconclusive);
    }

    #[test]
    fn too_few_pairs_are_inconclusive_but_too_few_kept_runs_are_only_shown() {
        let (base, more) = (runs(&BASE[..3]), runs(&BASE.map(|ms| ms * 2.0)[..3]));
        assert_eq!(cpu(&more, &base, Setting::SideBySide), Verdict::Inconclusive);
        assert_eq!(cpu(&more[..1], &base[..1], Setting::SameMachine), Verdict::Shown);
    }

    #[test]
    fn times_of_another_machine_are_not_judged_and_counts_are() {
        let base = runs(&BASE);
        let mut more = runs(&BASE.map(|ms| ms * 2.0));
        for run in &mut more {
            run.values.insert(Metric::Stalls, 4.0);
        }
        assert_eq!(cpu(&more, &base, Setting::AnyMachine), Verdict::Shown);
        assert_eq!(judge(&more, &base, Setting::AnyMachine, Metric::Stalls).verdict, Verdict::Fail);
    }

    #[test]
    fn spoilt_pairs_do_not_count() {
        let (base, mut head) = (runs(&BASE), runs(&BASE));
        for run in &mut head[..3] {
            run.values.insert(Metric::Cpu, 9e9);
            run.noise = Noise { spin_ratio: Some(9.0), ..Noise::default() };
        }
        let item = judge(&head, &base, Setting::SideBySide, Metric::Cpu);
        assert_eq!(item.verdict, Verdict::Pass);
        assert!(matches!(item.numbers, Numbers::Change { runs: 7, spoilt: 3, .. }), "{item:?}");
        head.iter_mut().for_each(|run| run.noise = Noise { spin_ratio: Some(9.0), ..Noise::default() });
        assert_eq!(cpu(&head, &base, Setting::SideBySide), Verdict::Inconclusive);
    }
}
