//! Parts shared by several JSON formats. A field added here is added to each of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::key::Key;
use super::object::object;
use crate::detect::analysis::Found;
use crate::model::event::{Header, Note, StopTotals};
use crate::model::snapshot::{Finding, Frame};
use crate::model::tables::LoopInfo;

/// A frame; all its fields are null if it is not known.
pub(super) fn frame(frame: Option<&Frame>) -> impl Serialize {
    object! {
        function: frame.map(|frame| &*frame.function),
        file: frame.map(|frame| &*frame.file),
        line: frame.and_then(|frame| frame.line),
    }
}

pub(super) fn frames<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<impl Serialize> {
    frames.into_iter().map(|one| frame(Some(one))).collect()
}

/// How the process was stopped for samples.
pub(super) fn stops(stops: StopTotals) -> impl Serialize {
    object! {
        count: stops.stops,
        stopped_ns: stops.stopped_ns,
        longest_ns: stops.longest_ns,
        cut_short: stops.cut_short,
        samples_without: stops.without,
    }
}

/// The header of the formats of a watch.
pub(super) fn header(schema: &'static str, header: &Header) -> impl Serialize {
    let machine: BTreeMap<&str, &str> = header.machine.iter().map(|(name, value)| (&**name, &**value)).collect();
    object! {
        schema,
        asyncprof: &header.asyncprof,
        pid: header.pid,
        python: object! {
            version: &header.python,
            free_threaded: header.free_threaded,
            executable: &header.executable,
        },
        command: &header.command,
        machine,
        started_at: &header.started_at,
        started_ns: header.started_ns,
    }
}

/// Identifies an event loop.
pub(super) fn loop_id(info: &LoopInfo) -> impl Serialize {
    object! { id: Key(info.key), r#type: &*info.class, thread: info.thread, thread_name: info.thread_name.as_deref() }
}

/// A finding of a snapshot. `tasks`: how its tasks are named.
pub(super) fn finding(finding: &Finding, tasks: impl Serialize) -> impl Serialize {
    finding_at(finding, tasks, None::<()>)
}

/// A finding of a watch, with its place.
pub(super) fn found(found: &Found) -> impl Serialize {
    finding_at(&found.finding.finding, &found.tasks, Some(object! { site: frame(found.finding.site.as_ref()) }))
}

fn finding_at(finding: &Finding, tasks: impl Serialize, site: Option<impl Serialize>) -> impl Serialize {
    object! {
        rule: finding.rule.as_str(),
        severity: finding.severity.as_str(),
        message: &finding.message,
        tasks,
        #[serde(flatten)]
        site,
        evidence: &finding.evidence,
        advice: &finding.advice,
    }
}

/// Something that happened during a watch.
pub(super) fn note(note: &Note) -> impl Serialize {
    object! { at_ns: note.at_ns, kind: note.kind.as_str(), text: &note.text }
}
