//! The facts that findings rest on, typed where they are made and where they are read back.

use serde::{Deserialize, Serialize};

use crate::model::snapshot::{Evidence, Finding};

/// A rule's facts by name.
pub(super) fn evidence_of(facts: &impl Serialize) -> Evidence {
    match serde_json::to_value(facts) {
        Ok(serde_json::Value::Object(evidence)) => evidence,
        _ => Evidence::new(),
    }
}

/// The facts that several rules share, by which findings of different snapshots are recognised as the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// How many tasks it concerns.
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
    /// Reads them back; nothing where the evidence has none of them, or of other types.
    pub fn of(finding: &Finding) -> Self {
        Self::deserialize(&finding.evidence).unwrap_or_default()
    }
}
