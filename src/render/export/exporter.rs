//! The input of every exporter of events over time, and code that several exporters share.

use std::io;

use crate::detect::analysis::Analysis;
use crate::detect::stall::{Alert, Stall};
use crate::model::event::{Batch, Header};
use crate::render::escape;

/// A batch that was read, and the analysis after it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// The analysis, which has already processed the batch, so that its tables have all names that it uses.
    pub analysis: &'a Analysis,
    /// The alerts that the batch caused.
    pub alerts: &'a [Alert],
}

impl<'a> Step<'a> {
    /// Stalls that ended in the batch.
    pub(super) fn ended(&self) -> impl Iterator<Item = &'a Stall> + use<'a> {
        self.alerts.iter().filter_map(|alert| if let Alert::Ended(stall) = alert { Some(stall) } else { None })
    }
}

/// The result once everything was read.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The analysis; its `finish` was called.
    pub analysis: &'a Analysis,
    /// Stalls whose end was not seen.
    pub ongoing: &'a [Stall],
    /// Whether the recording is complete: false if it breaks off.
    pub complete: bool,
}

/// Writes one format while a recording is read.
pub trait Exporter {
    /// Takes the next batch.
    fn take(&mut self, step: &Step<'_>) -> io::Result<()>;

    /// Writes what is only known at the end. Returns what the format could not hold, in words, if anything.
    fn finish(self: Box<Self>, end: &End<'_>) -> io::Result<Option<String>>;
}

/// LIMIT: event loops of one file; if a program keeps creating new ones, only the first are shown.
pub(super) const LOOPS: usize = 256;

/// The sentence for when there were more.
pub(super) fn loops_left_out() -> String {
    format!("there were more than {LOOPS} event loops; only the first {LOOPS} are included")
}

/// What a format could not hold, as one sentence.
pub(super) fn together(left_out: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let all: Vec<String> = left_out.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Nanoseconds since 1970 at the beginning of the watch; `None` if the header's start is not a valid time.
pub(super) fn started_unix_ns(header: &Header) -> Option<i64> {
    let started: jiff::Timestamp = header.started_at.parse().ok()?;
    i64::try_from(started.as_nanosecond()).ok()
}

/// The target, as a title.
pub(super) fn title(header: &Header) -> String {
    match header.command.as_slice() {
        [] => format!("process {}", header.pid),
        command => escape::brief(&command.join(" "), 200).into_owned(),
    }
}
