//! A flame graph of a single instant: tasks by the stack they wait in, with width proportional to their number. Drawn
//! by inferno.

use std::io::{self, Write};

use inferno::flamegraph;

use super::collapsed;
use super::options::Options;
use crate::model::Snapshot;
use crate::model::snapshot::Finding;

/// Writes a self-contained SVG.
pub fn write(snapshot: &Snapshot, _findings: &[Finding], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let lines = collapsed::lines(snapshot, options);
    if lines.is_empty() {
        return out.write_all(NO_TASKS.as_bytes());
    }
    let mut drawing = flamegraph::Options::default();
    drawing.title = format!("Tasks of process {} by await stack", snapshot.pid);
    drawing.count_name = "tasks".into();
    drawing.colors = flamegraph::color::Palette::Basic(flamegraph::color::BasicPalette::Aqua);
    drawing.hash = true;
    // They are already sorted.
    drawing.no_sort = true;
    flamegraph::from_lines(&mut drawing, lines.iter().map(String::as_str), out)
}

/// inferno refuses to draw an empty graph.
const NO_TASKS: &str = concat!(
    r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60">"#,
    r#"<text x="20" y="35" font-family="sans-serif">No asyncio tasks at this instant</text></svg>"#,
    "\n"
);
