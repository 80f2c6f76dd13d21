//! The facts that findings rest on, typed both where they are produced and where they are read back.

use serde::{Deserialize, Serialize};

use crate::model::snapshot::Finding;

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
