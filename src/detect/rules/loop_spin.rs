//! A loop that never sleeps because a task makes it run again at once, over and over. One snapshot cannot show it: it is
//! judged over time, by `detect::spin`.

use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

/// The rule.
pub static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("loop-spin"),
    severities: &[Severity::Warning],
    title: "An event loop hardly ever sleeps, because a task yields again and again without waiting for anything",
    singular: "spinning event loop",
    plural: "spinning event loops",
    help: "Wait for what the task polls: an asyncio.Event, Condition or Queue that is set when there is something to do, \
           or a longer asyncio.sleep() between two polls.",
    only_time_tells: "whether the event loop ever sleeps",
    scope: Scope::Lasting,
    is_checked: false,
};

/// An instant does not show it.
pub(super) fn judge(_: &Snapshot, _: &mut Vec<Finding>) {}
