//! A recording while it is written: its place, whether the disk has room for it, and what happens when it cannot be written.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::destination::{Destination, folder_of, open_device};
use crate::cli::failure::{Failure, note};
use crate::model::event::{Batch, Header, NoteKind};
use crate::profile::recording::Writer;

/// LIMIT: with less free space than this nothing useful could be written.
const MIN_ROOM: u64 = 1 << 20;

/// Checks a place for a recording before any process is watched or started for it.
pub(crate) fn check_place(path: &Path, overwrite: bool) -> Result<Destination, Failure> {
    let place = Destination::check(path, overwrite)?;
    match &place {
        // A device has room until it says otherwise.
        Destination::Device { .. } => {}
        Destination::Stdout if io::stdout().is_terminal() => {
            return Err(Failure::usage("cannot write a recording to a terminal")
                .hint("give -o a file, or pipe it: asyncprof record PID -o - | ssh host 'cat > app.aprof'"));
        }
        Destination::Stdout => {}
        Destination::File { path, .. } => check_room(folder_of(path))?,
    }
    Ok(place)
}

fn check_room(folder: &Path) -> Result<(), Failure> {
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|error| Failure::internal(format!("cannot write to {}: {}", folder.display(), error.desc())))?;
    // A file system that does not tell is assumed to have room.
    let room = statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
    if room < MIN_ROOM {
        return Err(Failure::internal(format!("the disk of {} is full", folder.display())));
    }
    Ok(())
}

/// A file in the current folder, named after what is watched and the time.
pub(crate) fn default_place(what: &str) -> PathBuf {
    let what: String =
        what.chars().map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' }).collect();
    PathBuf::from(format!("asyncprof-{what}-{}.aprof", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")))
}

/// A recording being written.
pub(crate) struct Recording {
    /// `None` for stdout.
    path: Option<PathBuf>,
    /// `None` when it is finished.
    writer: Option<Writer<File>>,
    last_ns: u64,
    failed: Option<io::Error>,
    /// The reader of stdout has closed it.
    unread: bool,
}

impl Recording {
    /// Creates the file, readable by its owner only, with what is known when the watch begins.
    pub(crate) fn create(place: &Destination, header: &Header) -> Result<Self, Failure> {
        let (path, created) = match place {
            Destination::Device { path } => {
                (Some(path.clone()), open_device(path).and_then(|device| Writer::new(device, header)))
            }
            Destination::File { path, overwrite, .. } => (Some(path.clone()), Writer::create(path, *overwrite, header)),
            Destination::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
                (None, stdout.and_then(|stdout| Writer::new(stdout, header)))
            }
        };
        let mut recording = Self { path, writer: None, last_ns: header.started_ns, failed: None, unread: false };
        match created {
            Ok(writer) => recording.writer = Some(writer),
            Err(error) if recording.is_unread_after(&error) => recording.unread = true,
            Err(error) => {
                return Err(Failure::internal(format!("cannot write {}: {error}", recording.name())));
            }
        }
        Ok(recording)
    }

    /// The recording of a subprocess, beside the one for `place`. If it cannot be created, that is noted. `again`: this watch
    /// has already written one for the same process id.
    pub(crate) fn create_below(place: &Destination, header: &Header, again: bool) -> Option<Self> {
        let created = place.for_process(header.pid, again).and_then(|place| Self::create(&place, header));
        created
            .map_err(|failure| note(&format!("the subprocess {} is not recorded: {}", header.pid, failure.message)))
            .ok()
    }

    /// It is no failure if the reader of stdout has seen enough (`| head`).
    fn is_unread_after(&self, error: &io::Error) -> bool {
        self.path.is_none() && error.kind() == io::ErrorKind::BrokenPipe
    }

    /// Adds a batch. A failure is reported at once, so that the user can make room.
    pub(crate) fn append(&mut self, batch: &Batch) {
        self.last_ns = batch.events.iter().map(|event| event.at_ns()).fold(self.last_ns, u64::max);
        if let Some(Err(error)) = self.writer.as_mut().map(|writer| writer.append(batch)) {
            self.fail(error);
        }
    }

    /// Writes what is left, and the end mark.
    pub(crate) fn finish(&mut self, reason: NoteKind) {
        if let Some(Err(error)) = self.writer.take().map(|writer| writer.finish(reason, self.last_ns)) {
            self.fail(error);
        }
    }

    /// Whether there is no point in continuing.
    pub(crate) fn is_given_up(&self) -> bool {
        self.failed.is_some() || self.unread
    }

    /// Whether its reader has closed stdout.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Its size on disk so far, bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        std::fs::metadata(self.path.as_ref()?).ok().map(|metadata| metadata.len())
    }

    pub(crate) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
    }

    /// Removes it, because nothing was seen.
    pub(crate) fn discard(self) {
        if let Some(path) = self.path.filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_file())) {
            // If that fails, an empty recording stays behind.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The failure if anything is missing from it.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(Failure::internal(format!("{} is incomplete: {error}", self.name()))
                .hint(format!("what was written can be read: asyncprof report {}", self.file_name()))),
        }
    }

    /// The file name to read it by.
    pub(crate) fn file_name(&self) -> String {
        self.path.as_ref().map_or_else(|| "FILE".to_owned(), |path| path.display().to_string())
    }

    fn fail(&mut self, error: io::Error) {
        if self.is_unread_after(&error) {
            self.unread = true;
            // What is still buffered has nowhere to go.
            self.writer = None;
        } else if self.failed.is_none() {
            note(&format!("cannot write {}: {error}", self.name()));
            self.failed = Some(error);
        }
    }
}
