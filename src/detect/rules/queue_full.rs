//! Bounded queues that are full, and whose readers do not come.

use serde::Serialize;

use super::names::name_a_few;
use super::resources::{Contended, contended};
use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity, WaitKind};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("queue-full"),
    severities: &[Severity::Info],
    title: "A bounded queue is full and tasks wait to put into it",
    singular: "full queue",
    plural: "full queues",
    help: "Find out why nothing takes from the queue (the consumer waits for something else, has failed, or is too slow): \
           a full queue slows its producers down on purpose, and stops them if the consumer has stopped.",
    only_time_tells: "whether a consumer comes",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    capacity: Option<u64>,
    putting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for Contended { resource, waiting, .. } in contended(snapshot, |kind| kind == WaitKind::QueuePut) {
        let getting = |task: &crate::model::snapshot::Task| {
            let awaiting = task.awaiting.as_ref().filter(|awaiting| awaiting.kind == WaitKind::QueueGet);
            awaiting.and_then(|awaiting| awaiting.resource).is_some_and(|other| other.key == resource.key)
        };
        // Whoever waits for an item of a full queue has been woken.
        if snapshot.tasks.iter().any(getting) {
            continue;
        }
        let who = name_a_few(snapshot, &waiting);
        let wait = if waiting.len() == 1 { "waits" } else { "wait" };
        let still = resource.still_ms.map(|ms| format!(", and nothing moved for {ms} ms")).unwrap_or_default();
        let message = match resource.bound {
            // A memory stream of anyio.
            Some(0) => format!("nobody receives from a stream without a buffer: {who} {wait} to send{still}"),
            Some(bound) => format!("a queue is full ({bound} of {bound} items): {who} {wait} to put into it{still}"),
            None => format!("a queue is full: {who} {wait} to put into it{still}"),
        };
        let facts = Facts { capacity: resource.bound, putting: waiting.len(), still_ms: resource.still_ms };
        findings.push(INFO.finding(Severity::Info, message, waiting, &facts));
    }
}
