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

pub use exporter::{End, Exporter, Step};
pub use firefox::begin as begin_firefox;
pub use jsonl::begin as begin_json_lines;
pub use perfetto::begin as begin_perfetto;
pub use pprof::write as write_pprof;
pub use speedscope::write as write_speedscope;
