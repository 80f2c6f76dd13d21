//! A flame graph of a single instant: tasks by the stack they wait in, with width proportional to their number. Drawn
//! by inferno.

use std::io::{self, Write};

use inferno::flamegraph::{self, Palette, color::BasicPalette};

use super::collapsed;
use super::flamegraph::draw_sorted;
use super::options::Options;
use crate::model::Snapshot;
use crate::model::snapshot::Finding;

/// Writes a self-contained SVG.
pub fn write(snapshot: &Snapshot, _findings: &[Finding], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let lines = collapsed::lines(snapshot, options);
    let mut drawing = flamegraph::Options::default();
    drawing.title = format!("Tasks of process {} by await stack", snapshot.pid);
    drawing.count_name = "tasks".into();
    drawing.colors = Palette::Basic(BasicPalette::Aqua);
    draw_sorted(&lines, drawing, "No asyncio tasks at this instant", out)
}
