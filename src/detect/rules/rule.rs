//! Defines a rule: a description from which everything else is derived, and the function that applies it.

use serde::{Deserialize, Serialize};

use crate::model::Snapshot;
use crate::model::snapshot::{Evidence, Finding, RuleId, Severity, TaskId};

/// Something that can be wrong.
pub struct Rule {
    /// The general description of the rule.
    pub info: &'static RuleInfo,
    /// Adds its findings. It reports only what a single instant can show, and nothing where that is not known.
    pub(super) judge: fn(&Snapshot, &mut Vec<Finding>),
}

impl Rule {
    /// Adds the rule's findings.
    pub fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        (self.judge)(snapshot, findings);
    }
}

/// The description of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleInfo {
    /// kebab-case, as printed and as used in filters.
    pub id: RuleId,
    /// The severities it can report, worst first.
    pub severities: &'static [Severity],
    /// What is wrong, in one sentence without the period. For SARIF and the README.
    pub title: &'static str,
    /// Singular, after the number 1: `orphaned task`.
    pub singular: &'static str,
    /// Plural, after any other number.
    pub plural: &'static str,
    /// What to do.
    pub help: &'static str,
    /// What one snapshot cannot tell.
    pub only_time_tells: &'static str,
    /// How long a finding stays true.
    pub scope: Scope,
    /// Whether `check` fails when the rule finds something in a new place.
    pub is_checked: bool,
}

impl RuleInfo {
    /// A finding of this rule, which rests on these facts.
    pub(in crate::detect) fn finding(
        &self,
        severity: Severity,
        message: String,
        tasks: Vec<TaskId>,
        facts: &impl Serialize,
    ) -> Finding {
        let evidence = match serde_json::to_value(facts) {
            Ok(serde_json::Value::Object(evidence)) => evidence,
            _ => Evidence::new(),
        };
        Finding { rule: self.id.clone(), severity, message, tasks, evidence, advice: self.help.into() }
    }
}

/// How long a finding stays true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// It concerns the snapshot itself.
    Snapshot,
    /// It is true at the instant of the snapshot; the next one can differ.
    Instant,
    /// It stays true until the program changes it.
    Lasting,
}

/// Facts shared by several rules, used to recognise the same finding in different snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Number of tasks concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Function of the tasks' outermost coroutine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coroutine: Option<String>,
    /// File of that function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Type and text of an exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

impl Subject {
    /// Reads them back; a fact that is missing or of another type is left out.
    pub fn of(finding: &Finding) -> Self {
        Self::deserialize(&finding.evidence).unwrap_or_default()
    }
}
