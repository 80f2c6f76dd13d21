//! `asyncprof export`: converts a recording for other tools.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::watch::ExportArgs;
use crate::cli::input::formats::{Writer, Writes, check_options};
use crate::cli::input::replay::{self, Halt, Replay};
use crate::cli::output::artifact::{self, Style};
use crate::cli::output::destination::{Destination, Packing};
use crate::cli::terminal::Color;
use crate::model::event::Header;
use crate::render::export::{End, Exporter};

pub(crate) fn run(args: &ExportArgs, color: Color) -> Result<Exit, Failure> {
    let (unpacked, has_gz) = without_gz(&args.output);
    let format = Writes::Export.choose(args.format, &unpacked)?;
    // pprof's format is compressed already.
    let is_compressed = format.ending().ends_with(".gz");
    let packing = if has_gz && !is_compressed { Packing::Gzip } else { Packing::Plain };
    let destination = Destination::check(&args.output, args.force)?.packed(packing);
    destination.check_terminal(format)?;
    check_options(&args.flame.given.0, args.flame.by, &[format], format.name)?;
    if let Writer::Timeline(begin) = format.writer {
        write_events(args, begin, &destination)?;
    } else {
        let watched = replay::read(&args.file, None, args.flame.folding())?;
        artifact::write(format, &watched, &destination, Style { color, limit: None, by: args.flame.by })?;
    }
    if packing == Packing::Plain && !is_compressed {
        note_if_large(&destination);
    }
    Ok(Exit::Fine)
}

/// The path without the `.gz` that asks for compression, and whether it had one. That of pprof is part of its ending.
fn without_gz(path: &Path) -> (Cow<'_, Path>, bool) {
    if path.extension().is_none_or(|ending| ending != "gz") || Writes::Export.by_ending(path).is_some() {
        return (path.into(), false);
    }
    (path.with_extension("").into(), true)
}

/// A file too large for a viewer is noted, with what to do.
fn note_if_large(destination: &Destination) {
    /// Bytes that open quickly everywhere.
    const LARGE: u64 = 100_000_000;
    let Destination::File { path, .. } = destination else { return };
    let size = fs::metadata(path).map_or(0, |file| file.len());
    if size > LARGE {
        let path = path.display();
        note(&format!(
            "{path} has {:.1} GB; -o {path}.gz would compress it to a tenth of that or less",
            size as f64 / 1e9
        ));
    }
}

type Begin = for<'o> fn(&Header, &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>>;

fn write_events(args: &ExportArgs, begin: Begin, destination: &Destination) -> Result<(), Failure> {
    // Before anything is written: an unusable recording leaves nothing behind.
    let replay = Replay::open(&args.file)?;
    let mut unreadable = None;
    let mut left_out = None;
    let written = destination.write(|out| match events(replay, args, begin, out) {
        Ok(missing) => {
            left_out = missing;
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

/// Writes the events; returns what the format could not hold, in words.
fn events(replay: Replay<'_>, args: &ExportArgs, begin: Begin, out: &mut dyn Write) -> Result<Option<String>, Halt> {
    let mut exporter = begin(replay.header(), out).map_err(Halt::NotTaken)?;
    let watched = replay.run(args.flame.folding(), &mut |step| exporter.take(step))?;
    let end = End { analysis: &watched.analysis, ongoing: &watched.ongoing, complete: watched.complete };
    exporter.finish(&end).map_err(Halt::NotTaken)
}
