//! What a rule is: a description that everything else is derived from, and the function that applies it.

use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

/// One thing that can be wrong.
pub struct Rule {
    /// Everything that is said about the rule in general.
    pub info: &'static RuleInfo,
    /// Adds what it finds. It reports only what one instant can show, and nothing where that is not known.
    pub(super) judge: fn(&Snapshot, &mut Vec<Finding>),
}

impl Rule {
    /// Adds what the rule finds.
    pub fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        (self.judge)(snapshot, findings);
    }
}

/// The description of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleInfo {
    /// kebab-case, as printed and as people filter by it.
    pub id: RuleId,
    /// The severities it can report, worst first.
    pub severities: &'static [Severity],
    /// What is wrong, in one sentence without the period. For SARIF and the README.
    pub title: &'static str,
    /// After the number 1: `orphaned task`.
    pub singular: &'static str,
    /// After any other number.
    pub plural: &'static str,
    /// What to do.
    pub help: &'static str,
    /// What one snapshot cannot tell.
    pub only_time_tells: &'static str,
    /// For how long a finding is true.
    pub scope: Scope,
    /// `check` fails when the rule finds something at a new place.
    pub is_checked: bool,
}

/// For how long a finding is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// It is about the snapshot itself.
    Snapshot,
    /// It is true at the instant of the snapshot; the next one can differ.
    Instant,
    /// It stays true until the program changes it.
    Lasting,
}
