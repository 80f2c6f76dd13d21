//! Exports a recording for other tools, one file per format.
//!
//! There are two kinds: aggregates of a watch by stack (speedscope, pprof; folded stacks are in [`super::flamegraph`]),
//! and events over time (Perfetto, Firefox, JSON lines). The second kind is written while the recording is read: the
//! caller passes on each batch as it reads it, so that memory does not grow with the recording where the format allows
//! that.

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

/// Starts writing Chrome's trace events, which Perfetto opens.
///
/// # Errors
/// Any error of `out`.
pub fn begin_perfetto<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(perfetto::Perfetto::begin(header, out)?))
}

/// Starts writing the Firefox Profiler's processed profile.
///
/// # Errors
/// Any error of `out`.
pub fn begin_firefox<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(firefox::Firefox::begin(header, out)))
}

/// Starts writing each event as one line of JSON.
///
/// # Errors
/// Any error of `out`.
pub fn begin_json_lines<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(jsonl::JsonLines::begin(header, out)?))
}
