//! What can be made of a watch that was judged: a report, a flame graph, folded stacks. One way for live watches and recordings.
//! It must not know where the analysis comes from.

use std::path::Path;

use super::args::{ByName, Color, FlameArgs, ReportFormat};
use super::output::{self, Destination};
use super::{Exit, Failure};
use crate::detect::analysis::Analysis;
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
