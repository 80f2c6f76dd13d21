//! `asyncprof export`: a recording for other tools. It must not know their formats.

use std::borrow::Cow;
use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use clap::ValueEnum as _;

use super::args::{Color, ExportArgs, ExportFormat};
use super::output::{Destination, Packing};
use super::product::{self, Export, Style, Watched};
use super::replay::{self, Halt, Replay};
use super::{Exit, Failure, meaning, note};
use crate::render::export::{self, End, Timeline};

pub(super) fn run(args: &ExportArgs, color: Color) -> Result<Exit, Failure> {
    let (unpacked, is_packed) = without_gz(&args.output);
    let format = match args.format.or_else(|| of_ending(&unpacked)) {
        Some(format) => format,
        None => {
            return Err(Failure::new(Exit::Usage, "for which tools?").hint(
                "give -f collapsed, speedscope, perfetto, firefox, pprof or jsonl, or -o a file that ends in .folded, \
                 .speedscope.json, .trace.json, .firefox.json, .pb.gz or .jsonl",
            ));
        }
    };
    // pprof's format is packed already.
    let packing = if is_packed && format != ExportFormat::Pprof { Packing::Gzip } else { Packing::Plain };
    let destination = Destination::check(&args.output, args.force)?.packed(packing);
    if format == ExportFormat::Pprof && matches!(destination, Destination::Stdout) && io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "pprof's format is not for the terminal").hint("give -o a file.pb.gz"));
    }
    let name = format.to_possible_value().map_or_else(String::new, |format| format.get_name().to_owned());
    match Export::of(format, args.flame.by) {
        Export::Totals(product) => {
            meaning::check(args.flame, &[product], &name)?;
            let watched = replay::read(&args.file, None, product::folding(args.flame))?;
            product::write(product, &watched, &destination, Style { color, limit: None })?;
        }
        Export::Events(timeline) => {
            meaning::check(args.flame, &[], &name)?;
            write_events(args, timeline, &destination)?;
        }
    }
    if packing == Packing::Plain && format != ExportFormat::Pprof {
        say_if_large(&destination);
    }
    Ok(Exit::Fine)
}

/// A path less the ending that says that the file is gzipped, and whether it has it. That of pprof is part of its name.
fn without_gz(path: &Path) -> (Cow<'_, Path>, bool) {
    if path.extension().is_none_or(|ending| ending != "gz") || product::export_of_ending(path).is_some() {
        return (path.into(), false);
    }
    (path.with_extension("").into(), true)
}

/// What is too large for a viewer, or a disk, is said with what can be done about it.
fn say_if_large(destination: &Destination) {
    /// Bytes that open in no time everywhere.
    const LARGE: u64 = 100_000_000;
    let Destination::File { path, .. } = destination else { return };
    // A file that cannot be looked at was written all the same.
    let size = fs::metadata(path).map_or(0, |file| file.len());
    if size > LARGE {
        let path = path.display();
        note(&format!(
            "{path} has {:.1} GB; written to {path}.gz it would be gzipped, and a tenth of that or less",
            size as f64 / 1e9
        ));
    }
}

/// A text file for a flame graph tool is what the word means here, where a report is not to be had.
fn of_ending(path: &Path) -> Option<ExportFormat> {
    let is_text = path.extension().is_some_and(|ending| ending == "txt");
    product::export_of_ending(path).or(is_text.then_some(ExportFormat::Collapsed))
}

fn write_events(args: &ExportArgs, timeline: Timeline, destination: &Destination) -> Result<(), Failure> {
    // Before anything is written: a file that is no recording leaves nothing behind.
    let replay = Replay::open(&args.file)?;
    let mut unreadable = None;
    let mut left_out = None;
    let written = destination.write(|out| match events(replay, args, timeline, out) {
        Ok(said) => {
            left_out = said;
            Ok(())
        }
        Err(Halt::NotTaken(error)) => Err(error),
        Err(Halt::Unreadable(failure)) => {
            unreadable = Some(failure);
            Err(io::Error::other("the recording cannot be used"))
        }
    });
    if let Some(failure) = unreadable {
        return Err(failure);
    }
    written?;
    if let Some(left_out) = left_out {
        note(&left_out);
    }
    Ok(())
}

fn events(
    replay: Replay<'_>,
    args: &ExportArgs,
    timeline: Timeline,
    out: &mut dyn Write,
) -> Result<Option<String>, Halt> {
    let mut exporter = export::begin(timeline, replay.header(), out).map_err(Halt::NotTaken)?;
    let replayed = replay.run(product::folding(args.flame), &mut |step| exporter.take(step))?;
    let Watched { analysis, complete, .. } = &replayed.watched;
    let end = End { analysis, ongoing: &replayed.ongoing, complete: *complete };
    exporter.finish(&end).map_err(Halt::NotTaken)
}
