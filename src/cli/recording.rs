//! The recording while it is written: its name, whether there is room for it, and what becomes of it when there is none. It
//! must not know its format.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::output::{Destination, folder_of};
use super::product::name_for;
use super::{Exit, Failure, note};
use crate::profile::recording::Writer;
use crate::snapshot::event::{Batch, Header, NoteKind};

/// LIMIT: with less room than this nothing worth reading could be written.
const LEAST_ROOM: u64 = 1 << 20;

/// A place that was found fit for a recording.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    overwrite: bool,
}

impl Place {
    /// Looks at a place before any process is watched, or started, for it.
    pub(super) fn check(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        let Destination::File { path, overwrite } = Destination::check(path, overwrite)? else {
            return Err(Failure::new(Exit::Usage, "a recording is not for stdout").hint("give -o a file"));
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
        Ok(Self { path, overwrite })
    }

    /// The place beside it for a process below the one that it is for, which must not be used `twice` by us.
    pub(super) fn for_process(&self, pid: i32, twice: bool) -> Result<Self, Failure> {
        Self::check(&name_for(&self.path, pid), self.overwrite && !twice)
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
    path: PathBuf,
    /// `None` when it is finished.
    writer: Option<Writer<File>>,
    last_ns: u64,
    failed: Option<io::Error>,
}

impl Recording {
    /// Creates the file, for nobody else to read, with what is known when the watch begins.
    pub(super) fn create(place: &Place, header: &Header) -> Result<Self, Failure> {
        let path = place.path.clone();
        let writer = Writer::create(&path, place.overwrite, header)
            .map_err(|error| Failure::new(Exit::Own, format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { path, writer: Some(writer), last_ns: header.started_ns, failed: None })
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

    /// Whether something is missing in it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Its bytes on the disk so far.
    pub(super) fn size(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|metadata| metadata.len())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: nothing was seen.
    pub(super) fn discard(self) {
        // What cannot be removed is a recording in which nothing is, no more.
        let _ = std::fs::remove_file(&self.path);
    }

    /// The failure, if anything is missing in it.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(Failure::new(Exit::Own, format!("{} is not complete: {error}", self.path.display()))
                .hint(format!("what could be written can be read: asyncprof report {}", self.path.display()))),
        }
    }

    fn fail(&mut self, error: io::Error) {
        if self.failed.is_none() {
            note(&format!("cannot write {}: {error}", self.path.display()));
            self.failed = Some(error);
        }
    }
}
