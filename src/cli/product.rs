//! What can be made of a watch that was judged: a report, a flame graph, folded stacks. One way for live watches and recordings.
//! It must not know where the analysis comes from.

use std::path::Path;

use super::Failure;
use super::args::{ByName, Color, FlameArgs, ReportFormat};
use super::output::{self, Destination};
use crate::detect::analysis::Analysis;
use crate::profile::{By, Naming};
use crate::render::report::Report;
use crate::render::{self, flamegraph, report};
use crate::snapshot::event::Header;

/// Something to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Report(ReportFormat),
    Flamegraph(ByName),
    Collapsed(ByName),
}

impl Product {
    /// What a file's ending asks for.
    pub(super) fn of_ending(path: &Path, by: ByName) -> Option<Self> {
        Some(match path.extension()?.to_str()? {
            "svg" => Self::Flamegraph(by),
            "folded" | "collapsed" => Self::Collapsed(by),
            "txt" => Self::Report(ReportFormat::Text),
            "json" => Self::Report(ReportFormat::Json),
            "md" => Self::Report(ReportFormat::Md),
            _ => return None,
        })
    }
}

/// An analysis of a watch that begins, kept as its products need it.
pub(super) fn analysis(header: Header, flame: FlameArgs) -> Analysis {
    let naming = if flame.full_task_names { Naming::Full } else { Naming::Folded };
    Analysis::with_naming(header, naming)
}

/// A watch that is over.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) analysis: Analysis,
    /// It has its end: false for a recording that breaks off.
    pub(super) complete: bool,
    /// Nothing of it was lost: false also for a recording that is damaged before its end.
    pub(super) whole: bool,
}

impl Watched {
    /// One that we have seen the end of.
    pub(super) fn to_its_end(analysis: Analysis) -> Self {
        Self { analysis, complete: true, whole: true }
    }

    /// The target, as a title.
    fn name(&self) -> String {
        let header = self.analysis.header();
        match header.command.as_slice() {
            [] => format!("process {}", header.pid),
            command => command.join(" "),
        }
    }
}

/// How it is to look to a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) color: Color,
    /// Entries of a list.
    pub(super) limit: Option<usize>,
}

/// Writes one product.
pub(super) fn write(
    product: Product,
    watched: &Watched,
    destination: &Destination,
    style: Style,
) -> Result<(), Failure> {
    let options = render::Options {
        limit: style.limit,
        width: output::width(),
        color: destination.shows_color(style.color),
        ..render::Options::default()
    };
    let report = Report { analysis: &watched.analysis, complete: watched.complete };
    let profile = watched.analysis.profile();
    destination.write(|out| match product {
        Product::Report(format) => report::write(format.into(), &report, &options, out),
        Product::Flamegraph(by) => flamegraph::write(profile, by.into(), &watched.name(), out),
        Product::Collapsed(by) => flamegraph::write_collapsed(profile, by.into(), out),
    })
}

/// Draws how one watch differs from another.
pub(super) fn write_difference(
    base: &Watched,
    watched: &Watched,
    by: ByName,
    destination: &Destination,
) -> Result<(), Failure> {
    // A watch that was twice as long saw twice as much.
    let scale = watched.analysis.duration_ns() as f64 / base.analysis.duration_ns().max(1) as f64;
    let (before, after) = (base.analysis.profile(), watched.analysis.profile());
    destination.write(|out| flamegraph::write_difference(before, after, scale, by.into(), &watched.name(), out))
}

impl From<ReportFormat> for report::Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Text => Self::Text,
            ReportFormat::Json => Self::Json,
            ReportFormat::Md => Self::Markdown,
        }
    }
}

impl From<ByName> for By {
    fn from(by: ByName) -> Self {
        match by {
            ByName::Run => Self::Run,
            ByName::Await => Self::Await,
            ByName::Wall => Self::Wall,
        }
    }
}
