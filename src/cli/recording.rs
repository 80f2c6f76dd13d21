//! The recording while it is written: its name, whether there is room for it, and what becomes of it when there is none. It
//! must not know its format.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::output::{Destination, folder_of};
use super::product::name_for;
use super::{Exit, Failure, note};
use crate::model::event::{Batch, Header, NoteKind};
use crate::profile::recording::Writer;

/// LIMIT: with less room than this nothing worth reading could be written.
const LEAST_ROOM: u64 = 1 << 20;

/// A place that was found fit for a recording.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Stdout,
    Device { path: PathBuf },
    File { path: PathBuf, overwrite: bool },
}

impl Place {
    /// Looks at a place before any process is watched, or started, for it.
    pub(super) fn check(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        let (path, overwrite) = match Destination::check(path, overwrite)? {
            Destination::File { path, overwrite, .. } => (path, overwrite),
            // It has room as long as it says so, and nothing there is replaced.
            Destination::Device { path } => return Ok(Self::Device { path }),
            Destination::Stdout if io::stdout().is_terminal() => {
                return Err(Failure::new(Exit::Usage, "a recording is not for the terminal")
                    .hint("give -o a file, or hand it on: asyncprof record PID -o - | ssh host 'cat > app.aprof'"));
            }
            Destination::Stdout => return Ok(Self::Stdout),
        };
        let folder = folder_of(&path);
        access(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
            Failure::new(Exit::Own, format!("cannot write to {}: {}", folder.display(), error.desc()))
        })?;
        // Where the file system does not say, nobody can know.
        let room =
            statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        if room < LEAST_ROOM {
            return Err(Failure::new(Exit::Own, format!("there is no room on the disk of {}", folder.display())));
        }
        Ok(Self::File { path, overwrite })
    }

    /// The place beside it for a process below the one that it is for, which must not be used `twice` by us.
    pub(super) fn for_process(&self, pid: i32, twice: bool) -> Result<Self, Failure> {
        match self {
            Self::File { path, overwrite } => Self::check(&name_for(path, pid), *overwrite && !twice),
            Self::Stdout | Self::Device { .. } => Ok(self.clone()),
        }
    }

    /// In the current folder, named after what is watched and when.
    pub(super) fn default_for(what: &str) -> PathBuf {
        let what: String =
            what.chars().map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' }).collect();
        PathBuf::from(format!("asyncprof-{what}-{}.aprof", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")))
    }
}

/// A recording that is written.
pub(super) struct Recording {
    /// `None` for stdout.
    path: Option<PathBuf>,
    /// `None` when it is finished.
    writer: Option<Writer<File>>,
    last_ns: u64,
    failed: Option<io::Error>,
    /// Who read stdout has gone.
    unread: bool,
}

impl Recording {
    /// Creates the file, for nobody else to read, with what is known when the watch begins.
    pub(super) fn create(place: &Place, header: &Header) -> Result<Self, Failure> {
        let (path, created) = match place {
            Place::Device { path } => (Some(path.clone()), Writer::create(path, true, header)),
            Place::File { path, overwrite } => (Some(path.clone()), Writer::create(path, *overwrite, header)),
            Place::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
                (None, stdout.and_then(|stdout| Writer::new(stdout, header)))
            }
        };
        let mut recording = Self { path, writer: None, last_ns: header.started_ns, failed: None, unread: false };
        match created {
            Ok(writer) => recording.writer = Some(writer),
            Err(error) if recording.is_unread_after(&error) => recording.unread = true,
            Err(error) => {
                return Err(Failure::new(Exit::Own, format!("cannot write {}: {error}", recording.name())));
            }
        }
        Ok(recording)
    }

    /// A reader of stdout that has seen enough (`| head`) is no failure.
    fn is_unread_after(&self, error: &io::Error) -> bool {
        self.path.is_none() && error.kind() == io::ErrorKind::BrokenPipe
    }

    /// Adds what was seen. A failure is said at once: whoever watches may want to make room.
    pub(super) fn append(&mut self, batch: &Batch) {
        self.last_ns = batch.events.iter().map(|event| event.at_ns()).fold(self.last_ns, u64::max);
        if let Some(Err(error)) = self.writer.as_mut().map(|writer| writer.append(batch)) {
            self.fail(error);
        }
    }

    /// Writes what is left, and that nothing is missing.
    pub(super) fn finish(&mut self, reason: NoteKind) {
        if let Some(Err(error)) = self.writer.take().map(|writer| writer.finish(reason, self.last_ns)) {
            self.fail(error);
        }
    }

    /// Whether there is no sense in going on with it.
    pub(super) fn is_given_up(&self) -> bool {
        self.failed.is_some() || self.unread
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Its bytes on the disk so far.
    pub(super) fn size(&self) -> Option<u64> {
        std::fs::metadata(self.path.as_ref()?).ok().map(|metadata| metadata.len())
    }

    /// What it is called where something is said about it.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
    }

    /// Removes it: nothing was seen.
    pub(super) fn discard(self) {
        if let Some(path) = self.path.filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_file())) {
            // What cannot be removed is a recording in which nothing is, no more.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The failure, if anything is missing in it.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(Failure::new(Exit::Own, format!("{} is not complete: {error}", self.name()))
                .hint(format!("what could be written can be read: asyncprof report {}", self.file_name()))),
        }
    }

    /// By which name it can be read.
    pub(super) fn file_name(&self) -> String {
        self.path.as_ref().map_or_else(|| "FILE".to_owned(), |path| path.display().to_string())
    }

    fn fail(&mut self, error: io::Error) {
        if self.is_unread_after(&error) {
            self.unread = true;
            // What it still holds has nowhere to go.
            self.writer = None;
        } else if self.failed.is_none() {
            note(&format!("cannot write {}: {error}", self.name()));
            self.failed = Some(error);
        }
    }
}
