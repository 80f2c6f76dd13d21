//! Judges what is wrong: in one snapshot ([`rules`]), in the samples of event loops ([`stall`]), in a whole watch or
//! recording ([`analysis`]), between two of these ([`difference`]), and whether a program is good enough ([`check`]).
//!
//! Architecture invariant: everything here is a pure function of the model. There is no I/O, no clock and no terminal,
//! so every judgement can be tested without sleeping and is the same on a recording as it was live.
//! (`tests/layering`: only `model` and `profile` may be used, and only `cli` prints.)
//!
//! Messages carry names from the target unchanged; `render` makes control characters visible.

pub mod analysis;
mod blocking_kind;
pub mod check;
mod contention;
pub mod difference;
pub mod origin;
pub mod rules;
pub mod seen;
mod spin;
pub mod stall;

use crate::model::Snapshot;
use crate::model::snapshot::Finding;
pub use rules::RULES;

/// Everything that is wrong, worst first.
pub fn judge(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        // What does not run shows no more of an instant than that.
        if snapshot.halt.is_some() && rule.info.scope == rules::Scope::Instant {
            continue;
        }
        rule.judge(snapshot, &mut findings);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
