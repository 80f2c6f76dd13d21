//! Work that piles up behind a step that does not end. It must not know how queues were measured.

use std::collections::BTreeMap;

use super::{Rule, name_of, origin};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity};

/// From here on a ready queue is worth knowing: at some microseconds a callback it is a delay people can measure.
const WORTH_KNOWING: u64 = 100;
/// From here on it is a delay people can feel.
const WORTH_A_LOOK: u64 = 1_000;

/// Many callbacks are ready while one task's step runs.
pub(super) struct ReadyQueueBacklog;

impl Rule for ReadyQueueBacklog {
    fn name(&self) -> &'static str {
        "ready-queue-backlog"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        for event_loop in &snapshot.loops {
            let (Some(ready), Some(running)) = (event_loop.ready, event_loop.running_task) else { continue };
            if ready < WORTH_KNOWING {
                continue;
            }
            let task = snapshot.task(running);
            let mut evidence = BTreeMap::from([("ready", ready.into()), ("loop", event_loop.class.as_str().into())]);
            let mut place = String::new();
            if let Some(frame) = origin::find_culprit(snapshot, &task.stack) {
                place = format!(" in {}", origin::describe(frame));
                evidence.insert("running_at", origin::describe(frame).into());
            }
            findings.push(Finding {
                rule: self.name(),
                severity: if ready < WORTH_A_LOOK { Severity::Info } else { Severity::Warning },
                message: format!("{ready} callbacks are ready and wait while {} runs{place}", name_of(task)),
                tasks: vec![running],
                evidence,
                advice: "Split long steps with await asyncio.sleep(0), move computing to asyncio.to_thread() or a \
                         process pool, and start less at once (an asyncio.Semaphore bounds it)."
                    .into(),
            });
        }
    }
}
