//! What can be made of a watch that was judged: a report, a flame graph, stacks for other tools. One way for live watches and recordings.
//! It must not know where the analysis comes from.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::args::{ByName, Color, ExportFormat, FlameArgs, ReportFormat};
use super::output::{self, Destination};
use super::{Exit, Failure, sources};
use crate::detect::analysis::Analysis;
use crate::profile::{By, Folding, Naming, Threads};
use crate::render::export::Timeline;
use crate::render::report::Report;
use crate::render::{self, export, flamegraph, report};

/// Something to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Report(ReportFormat),
    Flamegraph(ByName),
    Collapsed(ByName),
    Speedscope(ByName),
    Pprof(ByName),
}

impl Product {
    /// What a file's ending asks for; `None` also for what can only be written while a recording is read.
    pub(super) fn of_ending(path: &Path, by: ByName) -> Option<Self> {
        if let Some(format) = export_of_ending(path) {
            return match Export::of(format, by) {
                Export::Totals(product) => Some(product),
                Export::Events(_) => None,
            };
        }
        Some(match path.extension()?.to_str()? {
            "svg" => Self::Flamegraph(by),
            "txt" => Self::Report(ReportFormat::Text),
            "json" => Self::Report(ReportFormat::Json),
            "md" => Self::Report(ReportFormat::Md),
            "html" => Self::Report(ReportFormat::Html),
            _ => return None,
        })
    }
}

/// A page for a browser is not for the terminal; said before any work is done for it.
pub(super) fn check_terminal(format: ReportFormat, destination: &Destination) -> Result<(), Failure> {
    let for_terminal = matches!(destination, Destination::Stdout) && io::stdout().is_terminal();
    if format == ReportFormat::Html && for_terminal {
        return Err(Failure::new(Exit::Usage, "an HTML report is not for the terminal").hint("give -o a file.html"));
    }
    Ok(())
}

/// How a format for other tools is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Export {
    /// When all was seen.
    Totals(Product),
    /// While a recording is read.
    Events(Timeline),
}

impl Export {
    pub(super) fn of(format: ExportFormat, by: ByName) -> Self {
        match format {
            ExportFormat::Collapsed => Self::Totals(Product::Collapsed(by)),
            ExportFormat::Speedscope => Self::Totals(Product::Speedscope(by)),
            ExportFormat::Pprof => Self::Totals(Product::Pprof(by)),
            ExportFormat::Perfetto => Self::Events(Timeline::Perfetto),
            ExportFormat::Firefox => Self::Events(Timeline::Firefox),
            ExportFormat::Jsonl => Self::Events(Timeline::JsonLines),
        }
    }
}

/// The endings of files for other tools. Some have two parts, of which the last alone says another thing.
const EXPORTS: [(&str, ExportFormat); 7] = [
    (".folded", ExportFormat::Collapsed),
    (".collapsed", ExportFormat::Collapsed),
    (".speedscope.json", ExportFormat::Speedscope),
    (".trace.json", ExportFormat::Perfetto),
    (".firefox.json", ExportFormat::Firefox),
    (".pb.gz", ExportFormat::Pprof),
    (".jsonl", ExportFormat::Jsonl),
];

/// For which tool a file is, by its ending.
pub(super) fn export_of_ending(path: &Path) -> Option<ExportFormat> {
    let name = path.file_name()?.to_str()?;
    EXPORTS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
}

/// The name of the same file for another process: `run.svg` is `run.4212.svg`, `x.pb.gz` is `x.4212.pb.gz`.
pub(super) fn name_for(path: &Path, pid: i32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known =
        EXPORTS.iter().map(|(ending, _)| *ending).find(|ending| name.ends_with(ending) && name.len() > ending.len());
    let at = known.map(|ending| name.len() - ending.len()).or_else(|| name.rfind('.').filter(|&at| at > 0));
    let (stem, ending) = name.split_at(at.unwrap_or(name.len()));
    path.with_file_name(format!("{stem}.{pid}{ending}"))
}

/// How stacks are told apart for what is asked for.
pub(super) fn folding(flame: FlameArgs) -> Folding {
    Folding {
        naming: if flame.full_task_names { Naming::Full } else { Naming::Folded },
        threads: if flame.threads { Threads::Each } else { Threads::Merged },
        idle: flame.idle,
    }
}

/// The same where two watches are compared, which mostly are of two processes.
pub(super) fn folding_to_compare(flame: FlameArgs) -> Folding {
    Folding { threads: if flame.threads { Threads::Named } else { Threads::Merged }, ..folding(flame) }
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
    if product == Product::Report(ReportFormat::Html) {
        let sources = sources::read(&report);
        // Lines of source are in it, which perhaps not everybody may read.
        return destination.write_private(|out| report::html::write(&report, &sources, out));
    }
    destination.write(|out| match product {
        Product::Report(format) => report::write(format.into(), &report, &options, out),
        Product::Flamegraph(by) => flamegraph::write(profile, by.into(), &watched.name(), out),
        Product::Collapsed(by) => flamegraph::write_collapsed(profile, by.into(), out),
        Product::Speedscope(by) => export::write_speedscope(profile, by.into(), &watched.name(), out),
        Product::Pprof(by) => {
            export::write_pprof(watched.analysis.header(), watched.analysis.duration_ns(), profile, by.into(), out)
        }
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
            ReportFormat::Html => Self::Html,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_another_process_has_its_id_before_the_ending() {
        for (name, other) in [
            ("app.aprof", "app.7.aprof"),
            ("a/b.c/run.svg", "a/b.c/run.7.svg"),
            ("x.pb.gz", "x.7.pb.gz"),
            ("v1.2.speedscope.json", "v1.2.7.speedscope.json"),
            ("noend", "noend.7"),
            (".hidden", ".hidden.7"),
        ] {
            assert_eq!(name_for(Path::new(name), 7), Path::new(other));
        }
    }
}
