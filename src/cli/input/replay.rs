//! Reads a recording from beginning to end, once: what it adds up to, and which parts could not be read. The caller can also
//! take each batch of events as it is read.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::units::{length, nanos};
use crate::cli::failure::{Exit, Failure, note};
use crate::cli::terminal::ProgressLine;
use crate::detect::analysis::Analysis;
use crate::detect::stall::Stall;
use crate::model::event::Header;
use crate::profile::Folding;
use crate::profile::recording::{Ending, Reader, RecordingError};
use crate::render::export::Step;

/// A watch that is over, live or recorded.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) analysis: Analysis,
    /// Stalls whose end was not seen.
    pub(crate) ongoing: Vec<Stall>,
    /// It has its end: false if the recording is cut off.
    pub(crate) complete: bool,
    /// Nothing was lost: false also if the recording is damaged before its end.
    pub(crate) whole: bool,
}

impl Watched {
    /// A live watch, whose analysis is finished.
    pub(crate) fn live(analysis: Analysis) -> Self {
        Self { analysis, ongoing: Vec::new(), complete: true, whole: true }
    }

    /// The target, as a title.
    pub(crate) fn name(&self) -> String {
        let header = self.analysis.header();
        match header.command.as_slice() {
            [] => format!("process {}", header.pid),
            command => command.join(" "),
        }
    }
}

/// Reads a recording. `stall` replaces the stall threshold it was recorded with.
pub(crate) fn read(path: &Path, stall: Option<Duration>, folding: Folding) -> Result<Watched, Failure> {
    Replay::open(path)?.with_stall(stall).read(folding)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Refuses to read both of two recordings from stdin.
pub(crate) fn check_both(base: &Path, head: &Path) -> Result<(), Failure> {
    if is_stdin(base) && is_stdin(head) {
        return Err(Failure::usage("only one of two recordings can be read from stdin")
            .hint("save one of them to a file first"));
    }
    Ok(())
}

fn stdin() -> Result<File, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage("cannot read a recording from a terminal")
            .hint("asyncprof record PID -d 10s -o - | asyncprof report -"));
    }
    let file = stdin.as_fd().try_clone_to_owned().map(File::from);
    file.map_err(|error| Failure::internal(format!("cannot read stdin: {error}")))
}

/// A recording whose header was read.
pub(crate) struct Replay<'p> {
    /// Its name in messages.
    path: &'p Path,
    reader: Reader<File>,
    header: Header,
}

/// Why reading ended early.
pub(crate) enum Halt {
    /// The recording cannot be used.
    Unreadable(Failure),
    /// The caller could not write what it took.
    NotTaken(io::Error),
}

impl<'p> Replay<'p> {
    pub(crate) fn open(path: &'p Path) -> Result<Self, Failure> {
        let (path, opened) = match is_stdin(path) {
            true => (Path::new("stdin"), Reader::new(stdin()?)),
            false => (path, Reader::open(path)),
        };
        let reader = opened.map_err(|error| Failure::from(error).about(path))?;
        let header = reader.header().clone();
        Ok(Self { path, reader, header })
    }

    /// Replaces the stall threshold that it was recorded with.
    pub(crate) fn with_stall(mut self, stall: Option<Duration>) -> Self {
        if let Some(stall) = stall {
            self.header.stall_threshold_ns = nanos(stall);
        }
        self
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Reads it to its end.
    pub(crate) fn read(self, folding: Folding) -> Result<Watched, Failure> {
        let path = self.path;
        self.run(folding, &mut |_| Ok(())).map_err(|halt| match halt {
            Halt::Unreadable(failure) => failure,
            // INVARIANT: taking nothing cannot fail.
            Halt::NotTaken(error) => Failure::internal(error.to_string()).about(path),
        })
    }

    /// Reads it to its end. `take` gets each batch after its analysis.
    pub(crate) fn run(
        mut self,
        folding: Folding,
        take: &mut dyn FnMut(&Step<'_>) -> io::Result<()>,
    ) -> Result<Watched, Halt> {
        let (path, started_ns) = (self.path, self.header.started_ns);
        let mut analysis = Analysis::with_folding(self.header, folding);
        let mut progress = ProgressLine::start();
        let mut unreadable = None;
        while let Some(batch) = self.reader.next_batch() {
            match batch {
                Ok(batch) => {
                    progress.show(|| {
                        let at = batch.events.last().map(|event| length(event.at_ns().saturating_sub(started_ns)));
                        format!("reading {}: {}", path.display(), at.unwrap_or_default())
                    });
                    let alerts = analysis.absorb(&batch).map_err(|error| {
                        Halt::Unreadable(Failure::new(Exit::BadFile, error.to_string()).about(path))
                    })?;
                    let step = Step { batch: &batch, analysis: &analysis, alerts: &alerts };
                    take(&step).map_err(Halt::NotTaken)?;
                }
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        drop(progress);
        let ongoing = analysis.finish();
        let ending = self.reader.ending();
        let is_readable = unreadable.is_none();
        if let Some(error) = unreadable {
            note(&format!("{}: {error}; only what comes before is used", path.display()));
        }
        note_ending(path, &ending, started_ns);
        let complete = matches!(ending, Ending::Complete { .. } | Ending::Damaged { complete: true, .. });
        let whole = is_readable && matches!(ending, Ending::Complete { .. });
        Ok(Watched { analysis, ongoing, complete, whole })
    }
}

/// What to do about parts that could not be read.
const NEXT: &str = "if the rest matters, copy the file again from where it was written, or record again";

/// Says what could not be read.
fn note_ending(path: &Path, ending: &Ending, started_ns: u64) {
    let path = path.display();
    let until = |last_ns: Option<u64>| match last_ns {
        Some(last) => format!("what was seen in the first {} is used", length(last.saturating_sub(started_ns))),
        None => "nothing was seen in it".to_owned(),
    };
    match *ending {
        Ending::Complete { .. } => {}
        Ending::Truncated { after_ns, .. } => note(&format!(
            "{path} has no end: asyncprof was killed or is still writing, the disk was full, or the file was cut off; {}; {NEXT}",
            until(after_ns),
        )),
        Ending::Damaged { places, bytes, after_ns, .. } => note(&format!(
            "{path} is damaged: {bytes} bytes in {places} places could not be read and are left out; {}; {NEXT}",
            until(after_ns),
        )),
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        Self::new(Exit::BadFile, error.to_string()).hint(error.hint())
    }
}
