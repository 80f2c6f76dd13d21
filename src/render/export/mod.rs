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

/// Begins to write Chrome's trace events, as Perfetto opens them.
///
/// # Errors
/// Whatever `out` returns.
pub fn begin_perfetto<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(perfetto::Perfetto::begin(header, out)?))
}

/// Begins to write the Firefox Profiler's processed profile.
///
/// # Errors
/// Whatever `out` returns.
pub fn begin_firefox<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(firefox::Firefox::begin(header, out)))
}

/// Begins to write each event as one line of JSON.
///
/// # Errors
/// Whatever `out` returns.
pub fn begin_json_lines<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(jsonl::JsonLines::begin(header, out)?))
}
