//! Reads a recording from its beginning to its end, once, and says what it adds up to and what of it could not be read. Who
//! wants the events themselves gets each batch as it is read. It must not know the format of the file, nor what is made of it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::live::{REPAINT, length};
use super::product::Watched;
use super::{Exit, Failure, note};
use crate::detect::analysis::Analysis;
use crate::detect::stall::Stall;
use crate::model::event::Header;
use crate::profile::Folding;
use crate::profile::recording::{Ending, Reader, RecordingError};
use crate::render::export::Step;

/// A reading that is done sooner needs no explanation.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a recording adds up to. `stall` is from how long on a loop is stalled, where that is not to be as it was recorded.
pub(super) fn read(path: &Path, stall: Option<Duration>, folding: Folding) -> Result<Watched, Failure> {
    Replay::open(path)?.with_stall(stall).read(folding)
}

/// Whether a recording is to be read from stdin.
fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Of two recordings only one can come from stdin.
pub(super) fn check_both(base: &Path, head: &Path) -> Result<(), Failure> {
    if is_stdin(base) && is_stdin(head) {
        return Err(Failure::new(Exit::Usage, "two recordings cannot both be read from stdin")
            .hint("save one of them to a file first"));
    }
    Ok(())
}

fn stdin() -> Result<File, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::new(Exit::Usage, "a recording is not for the terminal")
            .hint("asyncprof record PID -d 10s -o - | asyncprof report -"));
    }
    let file = stdin.as_fd().try_clone_to_owned().map(File::from);
    file.map_err(|error| Failure::new(Exit::Own, format!("cannot read stdin: {error}")))
}

/// A recording that was found to be one, to be read once.
pub(super) struct Replay<'p> {
    /// What it is called where something is said about it.
    path: &'p Path,
    reader: Reader<File>,
    header: Header,
}

/// A recording that was read.
pub(super) struct Replayed {
    pub(super) watched: Watched,
    /// Stalls that nobody saw the end of.
    pub(super) ongoing: Vec<Stall>,
}

/// Why the reading ended early.
pub(super) enum Halt {
    /// The recording cannot be used.
    Unreadable(Failure),
    /// Who took what was read wants no more.
    NotTaken(io::Error),
}

impl<'p> Replay<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, Failure> {
        let (path, opened) = match is_stdin(path) {
            true => (Path::new("stdin"), Reader::new(stdin()?)),
            false => (path, Reader::open(path)),
        };
        let reader = opened.map_err(|error| Failure::from(error).about(path))?;
        let header = reader.header().clone();
        Ok(Self { path, reader, header })
    }

    /// From how long on a loop is stalled, where that is not to be as it was recorded.
    pub(super) fn with_stall(mut self, stall: Option<Duration>) -> Self {
        if let Some(stall) = stall {
            self.header.stall_threshold_ns = u64::try_from(stall.as_nanos()).unwrap_or(u64::MAX);
        }
        self
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Reads it to its end.
    pub(super) fn read(self, folding: Folding) -> Result<Watched, Failure> {
        let path = self.path;
        match self.run(folding, &mut |_| Ok(())) {
            Ok(replayed) => Ok(replayed.watched),
            Err(Halt::Unreadable(failure)) => Err(failure),
            // INVARIANT: whoever takes nothing does not fail.
            Err(Halt::NotTaken(error)) => Err(Failure::new(Exit::Own, error.to_string()).about(path)),
        }
    }

    /// Reads it to its end. `take` gets each batch, once it is judged.
    pub(super) fn run(
        mut self,
        folding: Folding,
        take: &mut dyn FnMut(&Step<'_>) -> io::Result<()>,
    ) -> Result<Replayed, Halt> {
        let (path, started_ns) = (self.path, self.header.started_ns);
        let mut analysis = Analysis::with_folding(self.header, folding);
        let mut progress = Progress::begin(path);
        let mut unreadable = None;
        while let Some(batch) = self.reader.next_batch() {
            match batch {
                Ok(batch) => {
                    progress.show(|| batch.events.last().map(|event| event.at_ns().saturating_sub(started_ns)));
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
        progress.end();
        let ongoing = analysis.finish();
        let ending = self.reader.ending();
        let is_readable = unreadable.is_none();
        if let Some(error) = unreadable {
            note(&format!("{}: {error}; what follows tells what came before that", path.display()));
        }
        say_how_it_ends(path, &ending, started_ns);
        let complete = matches!(ending, Ending::Complete { .. } | Ending::Damaged { complete: true, .. });
        let whole = is_readable && matches!(ending, Ending::Complete { .. });
        Ok(Replayed { watched: Watched { analysis, complete, whole }, ongoing })
    }
}

/// What to do about what could not be read.
const NEXT: &str = "if the rest matters, copy the file again from where it was written, or record again";

/// What was not read is said, never guessed.
fn say_how_it_ends(path: &Path, ending: &Ending, started_ns: u64) {
    let path = path.display();
    let until = |last_ns: Option<u64>| match last_ns {
        Some(last) => format!("what was seen in the first {} counts", length(last.saturating_sub(started_ns))),
        None => "nothing was seen in it".to_owned(),
    };
    match *ending {
        Ending::Complete { .. } => {}
        Ending::Truncated { after_ns, .. } => note(&format!(
            "{path} has no end: asyncprof was killed or still writes, the disk was full, or the file was cut off; {}; {NEXT}",
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

/// How far the reading is, on a terminal.
struct Progress<'p> {
    path: &'p Path,
    shown: bool,
    next: Option<Instant>,
}

impl<'p> Progress<'p> {
    fn begin(path: &'p Path) -> Self {
        Self { path, shown: false, next: io::stderr().is_terminal().then(|| Instant::now() + PATIENCE) }
    }

    fn show(&mut self, at_ns: impl FnOnce() -> Option<u64>) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + REPAINT);
            self.shown = true;
            eprint!("\r\u{1b}[Kreading {}: {}", self.path.display(), at_ns().map(length).unwrap_or_default());
            let _ = io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}
