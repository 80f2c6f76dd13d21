//! How far a check can be trusted on a machine: the same program compared with itself, many times.

use super::criteria::Criteria;
use super::item::{Item, Subject, Verdict};
use super::judgement::{Before, Judgement, judge};
use super::metrics::Metric;
use super::run::Run;
use super::stats;

/// The outcome of comparing a program with itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfTest {
    /// Number of comparisons.
    pub trials: usize,
    /// Comparisons that reported it as worse.
    pub false_alarms: usize,
    /// Comparisons that were inconclusive.
    pub inconclusive: usize,
    /// The share of false alarms, and the ends of its confidence interval.
    pub rate: (f64, f64, f64),
    /// The smallest change of CPU time that would have been detected.
    pub smallest_effect: SmallestEffect,
    /// A stall of at least this length was sure to be seen in every run, nanoseconds; `None` where that is not known.
    pub sure_stall_ns: Option<u64>,
    /// The false alarms.
    pub alarms: Vec<Judgement>,
}

/// The smallest detectable change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmallestEffect {
    /// As a relative change; `None` where not even a tenfold one would be detected.
    pub effect: Option<f64>,
    /// Comparisons that would have detected it.
    pub found: usize,
}

/// Nine out of ten count as detected.
const POWER: f64 = 0.9;

impl SelfTest {
    /// Judges comparisons, each between runs of the program and interleaved runs of the same program.
    pub fn of(trials: &[(Vec<Run>, Vec<Run>)], criteria: &Criteria) -> Self {
        let judgements: Vec<Judgement> =
            trials.iter().map(|(head, base)| judge(head, Before::SideBySide(base), criteria)).collect();
        let count = |verdict: Verdict| judgements.iter().filter(|judgement| judgement.verdict == verdict).count();
        let false_alarms = count(Verdict::Fail);
        let runs = || trials.iter().flat_map(|(head, base)| head.iter().chain(base));
        let sure: Option<Vec<u64>> = runs().map(|run| run.sure_stall_ns).collect();
        Self {
            trials: trials.len(),
            false_alarms,
            inconclusive: count(Verdict::Inconclusive) + count(Verdict::NoData),
            rate: stats::share(false_alarms, trials.len()),
            smallest_effect: smallest_effect(trials, criteria),
            sure_stall_ns: sure.and_then(|sure| sure.into_iter().max()),
            alarms: judgements.into_iter().filter(|judgement| judgement.verdict == Verdict::Fail).collect(),
        }
    }
}

/// Slows the program down on paper, and judges again.
fn smallest_effect(trials: &[(Vec<Run>, Vec<Run>)], criteria: &Criteria) -> SmallestEffect {
    let wanted = (POWER * trials.len() as f64).ceil() as usize;
    let found_at = |effect: f64| trials.iter().filter(|(head, base)| is_found(head, base, effect, criteria)).count();
    // In steps of one percent, then of ten.
    let steps = (1..100).chain((100..=1_000).step_by(10)).map(|percent| f64::from(percent) / 100.0);
    for effect in steps {
        let found = found_at(effect);
        if found >= wanted && found > 0 {
            return SmallestEffect { effect: Some(effect), found };
        }
    }
    SmallestEffect { effect: None, found: found_at(10.0) }
}

fn is_found(head: &[Run], base: &[Run], effect: f64, criteria: &Criteria) -> bool {
    let mut slower = head.to_vec();
    for value in slower.iter_mut().filter_map(|run| run.values.get_mut(&Metric::Cpu)) {
        *value *= 1.0 + effect;
    }
    let judgement = judge(&slower, Before::SideBySide(base), criteria);
    let of_cpu = |item: &&Item| item.subject == Subject::Change(Metric::Cpu);
    judgement.items.iter().find(of_cpu).is_some_and(|item| item.verdict == Verdict::Fail)
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::{run, site};
    use super::super::sites::SiteKind;
    use super::*;
    use crate::detect::rules;

    fn runs(offset: usize) -> Vec<Run> {
        let with = |index: usize| {
            let mut run = run(&[]);
            // A few percent up and down.
            run.values.insert(Metric::Cpu, 1e9 * (1.0 + ((index * 7 + offset * 3) % 11) as f64 / 200.0));
            run
        };
        (0..10).map(with).collect()
    }

    #[test]
    fn a_quiet_machine_sees_little_more_than_the_smallest_effect_that_matters() {
        let trials: Vec<_> = (0..10).map(|trial| (runs(trial), runs(trial + 5))).collect();
        let test = SelfTest::of(&trials, &Criteria::default());
        assert_eq!((test.trials, test.false_alarms, test.inconclusive), (10, 0, 0));
        let effect = test.smallest_effect.effect.unwrap();
        assert!((0.1..0.2).contains(&effect), "{effect}");
        assert_eq!(test.sure_stall_ns, Some(40_000_000));
    }

    #[test]
    fn an_alarm_is_counted_and_kept() {
        let orphan = run(&[site(SiteKind::Finding(&rules::ORPHANED_TASK), "lost", "/app/a.py", 0)]);
        let trials = [(vec![orphan; 10], runs(0))];
        let test = SelfTest::of(&trials, &Criteria::default());
        assert_eq!((test.false_alarms, test.alarms.len()), (1, 1));
        assert_eq!(test.rate.0, 1.0);
    }
}
