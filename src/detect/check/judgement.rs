//! The judgement over several runs: one item for each question, with its numbers and the places to blame.

use super::baseline::{Baseline, Difference};
use super::comparison::{Setting, compare};
use super::criteria::Criteria;
use super::item::{Item, Numbers, Subject, Verdict};
use super::metrics::Metric;
use super::new_sites;
use super::noise::{Taint, Tolerance};
use super::run::{Problem, Run};
use super::sites::Site;

/// What runs are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing: only budgets are judged.
    Nothing,
    /// Runs interleaved with the ones being judged.
    SideBySide(&'a [Run]),
    /// A baseline, and how its circumstances differ from the current ones.
    Kept(&'a Baseline, &'a [Difference]),
}

/// All answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The worst verdict among the judged items.
    pub verdict: Verdict,
    /// Questions and answers.
    pub items: Vec<Item>,
    /// Stalls caused by the machine, which are not judged.
    pub not_judged: Vec<Site>,
    /// Differences from the circumstances of the baseline.
    pub differences: Vec<Difference>,
}

/// Judges the runs of a program.
pub fn judge(head: &[Run], before: Before<'_>, criteria: &Criteria) -> Judgement {
    let mut items = problems(head);
    let good: Vec<&Run> = head.iter().filter(|run| is_judged(run)).collect();
    if !good.is_empty() {
        items.extend(criteria.budgets.judge(&good, &criteria.tolerance));
    }
    let (base, setting, differences): (Vec<&Run>, _, &[Difference]) = match before {
        Before::Nothing => (Vec::new(), None, &[]),
        Before::SideBySide(base) => (base.iter().collect(), Some(Setting::SideBySide), &[]),
        Before::Kept(baseline, differences) => {
            let same = !differences.iter().any(|difference| difference.forbids_times());
            let setting = if same { Setting::SameMachine } else { Setting::AnyMachine };
            (baseline.runs.iter().collect(), Some(setting), differences)
        }
    };
    if let Some(setting) = setting {
        if base.iter().any(|run| !is_judged(run)) || base.is_empty() {
            items.push(Item {
                subject: Subject::NoNewSites,
                verdict: Verdict::Inconclusive,
                numbers: Numbers::None,
                sites: Vec::new(),
                reason: Some(base.iter().find_map(|run| said(run)).unwrap_or_else(|| "there is no earlier run".into())),
            });
        } else if !good.is_empty() {
            items.extend(new_sites(&good, &base, criteria));
            items.extend(compare(&good, &base, setting, criteria));
        }
    }
    let is_seen = !head.is_empty() && head.iter().all(|run| run.samples > 0);
    let nothing_asked = if is_seen { Verdict::Pass } else { Verdict::NoData };
    // That a run did not end answers no question.
    let is_answer = |item: &&Item| !matches!((&item.subject, item.verdict), (Subject::Run(_), Verdict::Shown));
    let verdict = items.iter().filter(is_answer).map(|item| item.verdict).max().unwrap_or(nothing_asked);
    let mut not_judged: Vec<Site> = Vec::new();
    for site in head.iter().flat_map(|run| &run.not_judged) {
        if !not_judged.iter().any(|known| known.is_same_place(site)) {
            not_judged.push(site.clone());
        }
    }
    Judgement { verdict, items, not_judged, differences: differences.to_vec() }
}

fn is_judged(run: &Run) -> bool {
    // A run that breaks off still counts for what it shows.
    !matches!(run.problem, Some(Problem::Failed(_))) && (run.samples > 0 || run.problem.is_none())
}

fn said(run: &Run) -> Option<String> {
    match run.problem.as_ref()? {
        Problem::Failed(how) => Some(format!("an earlier run failed: {how}")),
        Problem::Unseen(why) => Some(format!("an earlier run was not observed: {why}")),
    }
}

fn problems(runs: &[Run]) -> Vec<Item> {
    let of_run = |(index, run): (usize, &Run)| {
        let problem = run.problem.as_ref().map(|problem| match problem {
            Problem::Failed(how) => (Verdict::Fail, how.clone()),
            Problem::Unseen(why) => (Verdict::NoData, why.clone()),
        });
        let item = move |(verdict, reason)| {
            let subject = Subject::Run(index + 1);
            Item { subject, verdict, numbers: Numbers::None, sites: Vec::new(), reason: Some(reason) }
        };
        problem.into_iter().chain(run.remarks.iter().cloned()).map(item).collect::<Vec<_>>()
    };
    runs.iter().enumerate().flat_map(of_run).collect()
}

fn new_sites(head: &[&Run], base: &[&Run], criteria: &Criteria) -> Vec<Item> {
    let mut items: Vec<Item> = (new_sites::find_new(head, base, criteria.alpha).into_iter())
        .map(|new| Item {
            subject: Subject::NewSite,
            verdict: if new.is_certain { Verdict::Fail } else { Verdict::Shown },
            numbers: Numbers::Seen { head: new.seen_in, heads: head.len(), bases: base.len(), p: new.p },
            reason: (!new.is_certain).then(|| "seen in too few runs to be sure that it is new".into()),
            sites: vec![new.site],
        })
        .collect();
    if items.iter().any(|item| item.verdict == Verdict::Fail) {
        return items;
    }
    let (verdict, reason) = match unseen(head, &criteria.tolerance).or_else(|| unseen(base, &criteria.tolerance)) {
        Some((verdict, reason)) => (verdict, Some(reason)),
        None => (Verdict::Pass, None),
    };
    let numbers = Numbers::Seen { head: 0, heads: head.len(), bases: base.len(), p: 1.0 };
    items.insert(0, Item { subject: Subject::NoNewSites, verdict, numbers, sites: Vec::new(), reason });
    items
}

/// Why it cannot be said that there are no new places.
fn unseen(runs: &[&Run], tolerance: &Tolerance) -> Option<(Verdict, String)> {
    if runs.iter().all(|run| run.samples == 0) {
        return Some((Verdict::NoData, "no event loop was seen".into()));
    }
    if runs.iter().all(|run| run.value(Metric::Orphans).is_none()) {
        let why =
            "there was no full snapshot of the tasks, or only one at the start, so an orphan would have been missed";
        return Some((Verdict::NoData, why.into()));
    }
    let is_blind = |run: &&Run| run.noise.taints(tolerance).contains(&Taint::Blind);
    runs.iter().all(is_blind).then(|| (Verdict::Inconclusive, "every run had a gap long enough to hide a stall".into()))
}

#[cfg(test)]
mod tests {
    use super::super::budgets::Budgets;
    use super::super::run::tests::{run, site};
    use super::super::sites::SiteKind;
    use super::*;
    use crate::detect::rules;

    fn criteria(budgets: &[(Metric, f64)]) -> Criteria {
        Criteria { budgets: Budgets::new(budgets.iter().copied()), ..Criteria::default() }
    }

    #[test]
    fn the_worst_answer_counts() {
        let stalls = run(&[site(SiteKind::Stall, "handle", "/app/a.py", 120)]);
        let verdict =
            |budgets: &[(Metric, f64)], runs: &[Run]| judge(runs, Before::Nothing, &criteria(budgets)).verdict;
        let fine = [run(&[])];
        assert_eq!(verdict(&[(Metric::LongestStall, 1e8), (Metric::Orphans, 0.0)], &fine), Verdict::Pass);
        assert_eq!(verdict(&[(Metric::LongestStall, 1e8), (Metric::TaskGrowth, 1.0)], &fine), Verdict::NoData);
        assert_eq!(verdict(&[(Metric::LongestStall, 1e8), (Metric::TaskGrowth, 1.0)], &[stalls]), Verdict::Fail);
    }

    #[test]
    fn a_run_that_failed_fails_and_is_not_judged_by_what_it_shows() {
        let failed = Run { problem: Some(Problem::Failed("exit status 3".into())), ..run(&[]) };
        let judgement = judge(&[failed], Before::Nothing, &criteria(&[(Metric::Stalls, 0.0)]));
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert_eq!(judgement.items.len(), 1);
        assert_eq!(judgement.items[0].subject, Subject::Run(1));
    }

    #[test]
    fn what_breaks_off_fails_by_what_it_shows_and_else_does_not_pass() {
        let cut = |sites: &[Site]| Run { problem: Some(Problem::Unseen("it breaks off".into())), ..run(sites) };
        let verdict = |run: Run| judge(&[run], Before::Nothing, &criteria(&[(Metric::Stalls, 0.0)])).verdict;
        assert_eq!(verdict(cut(&[])), Verdict::NoData);
        assert_eq!(verdict(cut(&[site(SiteKind::Stall, "handle", "/app/a.py", 120)])), Verdict::Fail);
        let nothing = Run::without_data(Problem::Unseen("no Python".into()));
        assert_eq!(verdict(nothing), Verdict::NoData);
    }

    #[test]
    fn a_new_place_fails_beside_the_base_and_what_was_not_looked_for_does_not_pass() {
        let (base, orphan) =
            ([run(&[])], [run(&[site(SiteKind::Finding(&rules::ORPHANED_TASK), "lost", "/app/a.py", 0)])]);
        let verdict = |head: &[Run], base: &[Run]| {
            let judgement = judge(head, Before::SideBySide(base), &criteria(&[]));
            judgement.items.into_iter().find(|item| !matches!(item.subject, Subject::Change(_))).unwrap().verdict
        };
        assert_eq!(verdict(&orphan, &base), Verdict::Fail);
        assert_eq!(verdict(&orphan, &orphan), Verdict::Pass);
        assert_eq!(verdict(&base, &base), Verdict::Pass);
        let mut unseen = run(&[]);
        unseen.values.remove(&Metric::Orphans);
        assert_eq!(verdict(&[unseen], &base), Verdict::NoData);
        assert_eq!(
            verdict(&base, &[Run { problem: Some(Problem::Failed("x".into())), ..run(&[]) }]),
            Verdict::Inconclusive
        );
    }
}
