//! A recording for other tools, one file a format.
//!
//! Two kinds: what a watch adds up to by stack (speedscope, pprof; folded stacks are in [`super::flamegraph`]), and what
//! happened over time (Perfetto, Firefox, JSON lines). The second kind is written while the recording is read: who reads it
//! hands over each batch, so that memory does not grow with its length where the format lets it.

mod exporter;
mod firefox;
mod jsonl;
mod jsonl_events;
mod perfetto;
mod pprof;
mod speedscope;

use std::io::{self, Write};

use crate::model::event::Header;

pub use exporter::{End, Exporter, Step};
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
