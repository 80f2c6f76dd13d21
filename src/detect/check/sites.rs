//! Places in the program where something is wrong, and how to recognise a place across runs.

use crate::detect::rules::{RULES, RuleInfo};

/// What is wrong at a place.
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
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        let findings = RULES.iter().map(|rule| rule.info).filter(|info| info.is_checked).map(Self::Finding);
        [Self::Stall, Self::Busy, Self::Growth].into_iter().chain(findings)
    }

    /// As written in every format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Finding(info) => info.id.as_str(),
            Self::Busy => "busy",
            Self::Growth => "task-growth",
        }
    }

    /// The kind with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.as_str() == name)
    }

    /// Whether a new place of this kind is a problem in itself.
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
    /// The line.
    pub line: Option<u32>,
    /// A description: the cause of a stall, an exception.
    pub what: String,
    /// How often, or how many tasks.
    pub count: u64,
    /// The longest stall there, nanoseconds, excluding the time spent waiting for a CPU; zero for kinds without a
    /// length.
    pub longest_ns: u64,
    /// What to do.
    pub advice: String,
}

impl Site {
    /// Whether it is the same place, even if lines have moved or the program is in another folder.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let same_name = self.function == other.function && is_same_file(&self.file, &other.file);
        // Without a place, only the description distinguishes them; for an exception its type, because its text can
        // differ.
        let event = |site: &'_ Self| site.what.split(':').next().map(str::to_owned);
        let same_event = !(self.function.is_empty() && self.file.is_empty()) || event(self) == event(other);
        self.kind == other.kind && same_name && same_event
    }
}

/// Whether two paths have the same end. The folder says little: a checkout, a worktree and a container's `/app` hold
/// the same file. But `__init__.py` and its like exist in every package, and there the folder is the name.
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

#[cfg(test)]
mod tests {
    use super::super::run::tests::site;
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
}
