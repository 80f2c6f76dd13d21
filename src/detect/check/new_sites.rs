//! Places that no earlier run has.

use super::run::Run;
use super::sites::Site;
use super::stats;

/// A place that was not there before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewSite {
    /// From the run in which it is most pronounced.
    pub(super) site: Site,
    /// Number of runs that have it.
    pub(super) seen_in: usize,
    /// Whether that is more than chance, given the number of runs.
    pub(super) is_certain: bool,
    /// The probability of this by chance, if it were equally frequent before.
    pub(super) p: f64,
}

/// Places of `head` that no run of `base` has. A stall that came close to the threshold before is not new when it
/// reaches it.
pub(super) fn find_new(head: &[&Run], base: &[&Run], alpha: f64) -> Vec<NewSite> {
    let mut new: Vec<NewSite> = Vec::new();
    let judged =
        |run: &&Run| run.sites.iter().filter(|site| site.kind.is_judged_by_itself()).cloned().collect::<Vec<_>>();
    let known: Vec<&Site> = base.iter().flat_map(|run| run.near_sites()).collect();
    for run in head {
        for site in judged(run).into_iter().filter(|site| run.reaches_threshold(site)) {
            if known.iter().any(|known| known.is_same_place(&site)) {
                continue;
            }
            match new.iter_mut().find(|one| one.site.is_same_place(&site)) {
                Some(one) if (site.longest_ns, site.count) > (one.site.longest_ns, one.site.count) => one.site = site,
                Some(_) => {}
                None => new.push(NewSite { site, seen_in: 0, is_certain: false, p: 1.0 }),
            }
        }
    }
    // The strongest evidence that this many runs allow.
    let best = stats::fisher(head.len(), head.len(), 0, base.len());
    for one in &mut new {
        let has_it =
            |run: &&&Run| run.sites.iter().any(|site| site.is_same_place(&one.site) && run.reaches_threshold(site));
        one.seen_in = head.iter().filter(has_it).count();
        one.p = stats::fisher(one.seen_in, head.len(), 0, base.len());
        one.is_certain = one.seen_in > 0 && one.p <= alpha.max(best);
    }
    new.sort_by_key(|one| std::cmp::Reverse((one.is_certain, one.seen_in, one.site.longest_ns)));
    new
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::{run, site};
    use super::super::sites::SiteKind;
    use super::*;
    use crate::detect::rules;

    #[test]
    fn what_is_in_every_run_and_was_in_none_is_new() {
        let (old, new) =
            (site(SiteKind::Stall, "old", "/app/a.py", 150), site(SiteKind::Stall, "new", "/app/a.py", 120));
        let (base, head) = (run(std::slice::from_ref(&old)), run(&[old.clone(), new.clone()]));
        let found = find_new(&[&head], &[&base], 0.02);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].site, found[0].is_certain), (&new, true));
    }

    #[test]
    fn what_is_in_a_few_of_many_runs_is_not_certain() {
        let (with, without) =
            (run(&[site(SiteKind::Finding(&rules::ORPHANED_TASK), "lost", "/app/a.py", 0)]), run(&[]));
        let head = |times: usize| (0..10).map(|index| if index < times { &with } else { &without }).collect::<Vec<_>>();
        let certain = |times: usize| find_new(&head(times), &head(0), 0.02)[0].is_certain;
        assert!(!certain(1) && !certain(4) && certain(5) && certain(10));
    }

    #[test]
    fn a_stall_that_came_near_the_threshold_before_is_not_new() {
        let near = run(&[site(SiteKind::Stall, "handle", "/app/a.py", 60)]);
        let over = run(&[site(SiteKind::Stall, "handle", "/app/a.py", 110)]);
        let short = run(&[site(SiteKind::Stall, "handle", "/app/a.py", 40)]);
        assert_eq!(find_new(&[&over], &[&near], 0.02), []);
        assert_eq!(find_new(&[&over], &[&short], 0.02).len(), 1);
        assert_eq!(find_new(&[&near], &[&short], 0.02), [], "it does not reach the threshold");
    }
}
