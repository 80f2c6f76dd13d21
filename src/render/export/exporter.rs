//! What every exporter of what happened over time is given, and what several of them write alike.

use std::io;

use crate::detect::analysis::Analysis;
use crate::detect::stall::{Alert, Stall};
use crate::model::event::{Batch, Header};
use crate::render::escape;

/// A batch that was read, and what it came to.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What was read.
    pub batch: &'a Batch,
    /// Has taken it, so that its tables have all names that it uses.
    pub analysis: &'a Analysis,
    /// What that said at once.
    pub alerts: &'a [Alert],
}

/// All was read.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// What it amounts to; its `finish` was called.
    pub analysis: &'a Analysis,
    /// Stalls that nobody saw the end of.
    pub ongoing: &'a [Stall],
    /// The recording has its end: false where it breaks off.
    pub complete: bool,
}

/// Writes one format while a recording is read.
pub trait Exporter {
    /// Takes the next batch.
    ///
    /// # Errors
    /// What the writer says.
    fn take(&mut self, step: &Step<'_>) -> io::Result<()>;

    /// Writes what only the end tells. Answers with what the format could not hold, in words, if anything.
    ///
    /// # Errors
    /// What the writer says.
    fn finish(self: Box<Self>, end: &End<'_>) -> io::Result<Option<String>>;
}

/// LIMIT: event loops of one file; a program that makes ever new ones is shown with the first of them.
pub(super) const LOOPS: usize = 256;

/// That there were more.
pub(super) fn loops_left_out() -> String {
    format!("there were more than {LOOPS} event loops; only the first {LOOPS} are included")
}

/// What a format could not hold, as one sentence.
pub(super) fn together(left_out: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let all: Vec<String> = left_out.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Nanoseconds since 1970 at the beginning of the watch; `None` where what the header says is no time.
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
