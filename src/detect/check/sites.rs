//! Places in the program where something is wrong, and whether a place was known before.

use super::run::Run;
use super::stats;
use crate::detect::rules::{RULES, RuleInfo};

/// What is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKind {
    /// The event loop is blocked.
    Stall,
    /// Full snapshots showed a finding of this rule.
    Finding(&'static RuleInfo),
    /// The event loop spends much of its time there.
    Busy,
    /// The number of its tasks keeps growing.
    Growth,
}

impl SiteKind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let findings = RULES.iter().map(|rule| rule.info).filter(|info| info.is_checked).map(Self::Finding);
        [Self::Stall, Self::Busy, Self::Growth].into_iter().chain(findings)
    }

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Finding(info) => info.id.as_str(),
            Self::Busy => "busy",
            Self::Growth => "task-growth",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.as_str() == name)
    }

    /// Whether a new one is wrong by itself.
    pub fn is_judged_by_itself(self) -> bool {
        matches!(self, Self::Stall | Self::Finding(_))
    }
}

/// A place, and what was seen of it in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// What is wrong.
    pub kind: SiteKind,
    /// The function; empty where it is not known.
    pub function: String,
    /// Its file as the program names it; empty where it is not known.
    pub file: String,
    /// Where in it.
    pub line: Option<u32>,
    /// What it was in words: the cause of a stall, an exception.
    pub what: String,
    /// How often, or of how many tasks.
    pub count: u64,
    /// The longest stall there, nanoseconds without the time that it waited for a processor; zero for what has no length.
    pub longest_ns: u64,
    /// What to do.
    pub advice: String,
}

impl Site {
    /// Whether it is the same place, though lines may have moved and the program lie in another folder.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let same_name = self.function == other.function && is_same_file(&self.file, &other.file);
        // Without a place only what happened tells one from another; of an exception its kind, for its text can differ.
        let event = |site: &'_ Self| site.what.split(':').next().map(str::to_owned);
        let same_event = !(self.function.is_empty() && self.file.is_empty()) || event(self) == event(other);
        self.kind == other.kind && same_name && same_event
    }
}

/// Whether two paths end alike. The folder says little: a checkout, a worktree and a container's `/app` hold the same file. But
/// `__init__.py` and its like are in every package, and there the folder is the name.
fn is_same_file(one: &str, other: &str) -> bool {
    let mut parts = [one, other].map(|path| path.rsplit('/').filter(|part| !part.is_empty() && *part != "."));
    let [one, other] = &mut parts;
    match (one.next(), other.next()) {
        (Some(one_name), Some(other_name)) => {
            one_name == other_name && (!one_name.starts_with("__") || one.next() == other.next())
        }
        (None, None) => true,
        _ => false,
    }
}

/// A place that is there now and was not before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewSite {
    /// As the run shows it that has the most of it.
    pub(super) site: Site,
    /// Runs that have it.
    pub(super) seen_in: usize,
    /// Whether that is more than luck, given how many runs there are.
    pub(super) is_certain: bool,
    /// How likely it would be by luck, were it as frequent before.
    pub(super) p: f64,
}

/// Places of `head` that no run of `base` has. A stall that is known to come near the threshold is not new when it reaches it.
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
    // The most convincing that so many runs allow.
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
    use super::*;
    use crate::detect::rules;

    #[test]
    fn a_place_is_the_same_when_lines_or_folders_have_moved() {
        let one = Site { line: Some(7), ..site(SiteKind::Stall, "handle", "/home/me/shop/app.py", 120) };
        let moved = Site { line: Some(70), file: "/builds/42/app.py".into(), ..one.clone() };
        assert!(one.is_same_place(&moved));
        for other in [
            Site { function: "other".into(), ..one.clone() },
            Site { file: "/home/me/shop/main.py".into(), ..one.clone() },
            Site { kind: SiteKind::Finding(&rules::ORPHANED_TASK), ..one.clone() },
        ] {
            assert!(!one.is_same_place(&other), "{other:?}");
        }
        assert!(is_same_file("app.py", "./app.py") && is_same_file("", ""));
        assert!(!is_same_file("/a/orders/__init__.py", "/a/users/__init__.py"));
        assert!(is_same_file("/a/orders/__init__.py", "/b/orders/__init__.py"));
    }

    #[test]
    fn without_a_place_what_happened_tells_one_from_another() {
        let failed = |what: &str| Site {
            what: what.into(),
            ..site(SiteKind::Finding(&rules::EXCEPTION_NEVER_RETRIEVED), "", "", 0)
        };
        assert!(failed("ValueError: card 1").is_same_place(&failed("ValueError: card 2")));
        assert!(!failed("ValueError").is_same_place(&failed("KeyError")));
    }

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
