//! A recording for other tools, one file a format.
//!
//! Two kinds: what a watch adds up to by stack (speedscope, pprof; folded stacks are in [`super::flamegraph`]), and what
//! happened over time (Perfetto, Firefox, JSON lines). The second kind is written while the recording is read: who reads it
//! hands over each batch, so that memory does not grow with its length where the format lets it.

mod firefox;
mod jsonl;
mod jsonl_events;
mod perfetto;
mod pprof;
mod speedscope;

use std::io::{self, Write};

use crate::detect::analysis::Analysis;
use crate::detect::stall::{Alert, Stall};
use crate::model::event::{Batch, Header};

pub use pprof::write as write_pprof;
pub use speedscope::write as write_speedscope;

/// A format of what happened over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeline {
    /// Chrome's trace events, as Perfetto opens them.
    Perfetto,
    /// The Firefox Profiler's processed profile.
    Firefox,
    /// Each event as one line of JSON.
    JsonLines,
}

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

/// Begins to write a format.
///
/// # Errors
/// What `out` says.
pub fn begin<'o>(format: Timeline, header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(match format {
        Timeline::Perfetto => Box::new(perfetto::Perfetto::begin(header, out)?),
        Timeline::Firefox => Box::new(firefox::Firefox::begin(header, out)),
        Timeline::JsonLines => Box::new(jsonl::JsonLines::begin(header, out)?),
    })
}

/// LIMIT: event loops of one file; a program that makes ever new ones is shown with the first of them.
const LOOPS: usize = 256;

/// That there were more.
fn loops_left_out() -> String {
    format!("there were more than {LOOPS} event loops; only the first {LOOPS} are included")
}

/// What a format could not hold, as one sentence.
fn together(left_out: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let all: Vec<String> = left_out.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Nanoseconds since 1970 at the beginning of the watch; `None` where what the header says is no time.
fn started_unix_ns(header: &Header) -> Option<i64> {
    let started: jiff::Timestamp = header.started_at.parse().ok()?;
    i64::try_from(started.as_nanosecond()).ok()
}

/// The target, as a title.
fn title(header: &Header) -> String {
    match header.command.as_slice() {
        [] => format!("process {}", header.pid),
        command => super::escape::brief(&command.join(" "), 200).into_owned(),
    }
}
