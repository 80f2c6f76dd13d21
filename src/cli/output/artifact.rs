//! What is written about a watch that is over, live or recorded: reports, flame graphs, stacks for other tools.

use super::destination::Destination;
use crate::cli::failure::Failure;
use crate::cli::input::formats::{Format, Writer};
use crate::cli::input::replay::Watched;
use crate::cli::input::sources;
use crate::cli::terminal::Color;
use crate::profile::By;
use crate::render::flamegraph;
use crate::render::report::{Report, html};

/// How it is presented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) color: Color,
    /// Maximum entries per list.
    pub(crate) limit: Option<usize>,
    /// What the width of a flame graph means.
    pub(crate) by: By,
}

/// Writes a watch in a format.
pub(crate) fn write(
    format: &Format,
    watched: &Watched,
    destination: &Destination,
    style: Style,
) -> Result<(), Failure> {
    let report = Report { analysis: &watched.analysis, complete: watched.complete };
    match format.writer {
        Writer::Report(write) => {
            let options = destination.options(style.color, style.limit);
            destination.write(|out| write(&report, &options, out))
        }
        Writer::Page => {
            let sources = sources::read(&report);
            destination.write(|out| html::write(&report, &sources, out))
        }
        Writer::Stacks(write) => destination.write(|out| write(&watched.analysis, style.by, &watched.name(), out)),
        _ => Err(format.misplaced()),
    }
}

/// Draws how one watch differs from another.
pub(crate) fn write_difference(
    base: &Watched,
    watched: &Watched,
    by: By,
    destination: &Destination,
) -> Result<(), Failure> {
    // A watch that took twice as long saw twice as much.
    let scale = watched.analysis.duration_ns() as f64 / base.analysis.duration_ns().max(1) as f64;
    let (before, after) = (base.analysis.profile(), watched.analysis.profile());
    destination.write(|out| flamegraph::write_difference(before, after, scale, by, &watched.name(), out))
}
