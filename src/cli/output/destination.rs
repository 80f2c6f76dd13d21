//! Where a result goes: stdout, a file that is written completely or not at all, or a device or named pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl};
use nix::unistd::linkat;

use crate::cli::failure::{Failure, note};
use crate::cli::input::formats::{Format, Writes, name_for};
use crate::cli::terminal::{self, Color};
use crate::render::Options;

/// Mode of a new file: every result has names, paths and messages of the process, which can be secret.
const MODE: u32 = 0o600;

/// LIMIT: how long to wait for a reader of a named pipe.
const READER: Duration = Duration::from_secs(10);
/// How often to look for it.
const READER_EVERY: Duration = Duration::from_millis(20);

/// A place that was checked and can be written to.
#[derive(Debug)]
pub(crate) enum Destination {
    Stdout,
    File {
        path: PathBuf,
        overwrite: bool,
        packing: Packing,
    },
    /// Something that exists and is not a file: writing to it replaces nothing, and it must not be replaced.
    Device {
        path: PathBuf,
    },
}

/// Whether a file is gzipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

impl Destination {
    /// Checks a place before any work is done for it.
    pub(crate) fn check(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Failure::usage(format!("{shown} is a folder")));
            }
            // Through a link such as /dev/stdout. A dangling link is in the way like a file.
            Ok(_) if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
                return Ok(Self::Device { path: path.to_owned() });
            }
            Ok(_) if !overwrite => {
                return Err(Failure::usage(format!("{shown} exists already"))
                    .hint("choose another name, or overwrite it with --force"));
            }
            _ => {}
        }
        if !folder_of(path).is_dir() {
            return Err(Failure::usage(format!("there is no folder for {shown}")));
        }
        Ok(Self::File { path: path.to_owned(), overwrite, packing: Packing::Plain })
    }

    /// The same place; a file is written with this packing.
    pub(crate) fn packed(self, packing: Packing) -> Self {
        match self {
            Self::File { path, overwrite, .. } => Self::File { path, overwrite, packing },
            other => other,
        }
    }

    /// The place for a subprocess: the same stdout or device, or a file beside this one.
    /// `again`: this run has already written a file for the same process id, which must not be overwritten.
    pub(crate) fn for_process(&self, pid: i32, again: bool) -> Result<Self, Failure> {
        match self {
            Self::Stdout => Ok(Self::Stdout),
            Self::File { path, overwrite, packing } => {
                Ok(Self::check(&name_for(path, pid), *overwrite && !again)?.packed(*packing))
            }
            Self::Device { path } => Ok(Self::Device { path: path.clone() }),
        }
    }

    /// Writes the whole result, or reports why not. A file can be read by its owner only.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let (path, written) = match self {
            Self::Stdout => return to_stdout(write),
            Self::File { path, overwrite, packing: Packing::Plain } => (path, to_file(path, *overwrite, write)),
            Self::File { path, overwrite, packing: Packing::Gzip } => {
                (path, to_file(path, *overwrite, |out| gzipped(out, write)))
            }
            Self::Device { path } => (path, to_device(path, write)),
        };
        written.map_err(|error| Failure::internal(format!("cannot write {}: {error}", path.display())))
    }

    /// How to write human-readable output here.
    pub(crate) fn options(&self, color: Color, limit: Option<usize>) -> Options {
        let is_terminal = matches!(self, Self::Stdout) && io::stdout().is_terminal();
        Options { limit, width: terminal::width(), color: color.is_shown(is_terminal), ..Options::default() }
    }

    /// Refuses to write a format to a terminal that would show it as garbage.
    pub(crate) fn check_terminal(&self, format: &Format) -> Result<(), Failure> {
        if format.is_for_files() && matches!(self, Self::Stdout) && io::stdout().is_terminal() {
            return Err(Failure::usage(format!("cannot write {} to a terminal", format.name))
                .hint(format!("give -o a file{}", format.ending())));
        }
        Ok(())
    }
}

/// The format and the place of a command's single output, both checked.
pub(crate) fn plan(
    command: Writes,
    format: Option<&'static Format>,
    path: &Path,
    overwrite: bool,
) -> Result<(&'static Format, Destination), Failure> {
    let format = command.choose(format, path)?;
    let destination = Destination::check(path, overwrite)?;
    destination.check_terminal(format)?;
    Ok((format, destination))
}

/// Writes to stdout. It is no error if the reader has seen enough (`| head`).
pub(crate) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let stdout = io::stdout().lock();
    // Without the standard library's own buffer, which searches everything for line ends.
    let mut out = match stdout.as_fd().try_clone_to_owned() {
        Ok(stdout) => BufWriter::new(File::from(stdout)),
        Err(error) => return Err(Failure::internal(format!("cannot write to stdout: {error}"))),
    };
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("cannot write to stdout: {error}")))
        }
        _ => {
            // Flushing the rest would fail again.
            let _ = out.into_parts();
            Ok(())
        }
    }
}

/// Writes beside the file and moves it there when complete, so that no partial result ever has its name.
fn to_file(path: &Path, overwrite: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let unfinished = Unfinished::beside(path)?;
    let mut out = BufWriter::new(unfinished.file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    unfinished.become_file(path, overwrite)
}

/// Gzips what is written. The fastest level is enough: large results are repetitive.
fn gzipped(out: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(GzEncoder::new(out, Compression::fast()));
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Writes to a device or pipe. It is no error here either if the reader has seen enough.
fn to_device(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(open_device(path)?);
    let written = write(&mut out).and_then(|()| out.flush());
    let _ = out.into_parts();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Opens a device or pipe. A named pipe has to have a reader, for which this waits for a while.
pub(crate) fn open_device(path: &Path) -> io::Result<File> {
    let deadline = Instant::now() + READER;
    let mut was_noted = false;
    loop {
        // Without blocking: nothing could end the wait otherwise.
        match OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
            // A socket cannot be opened, with the same error.
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) && is_pipe(path) => {
                if Instant::now() >= deadline {
                    return Err(io::Error::other(format!(
                        "no program has opened it to read within {} s",
                        READER.as_secs()
                    )));
                }
                if !std::mem::replace(&mut was_noted, true) {
                    note(&format!("waiting for a program that reads {}", path.display()));
                }
                std::thread::sleep(READER_EVERY);
            }
            Err(error) => return Err(error),
            Ok(device) => {
                fcntl(&device, FcntlArg::F_SETFL(OFlag::empty()))?;
                return Ok(device);
            }
        }
    }
}

/// A file without a name, so that nothing is left of it however asyncprof ends. Where the file system does not know
/// such files it has a temporary name, and is removed when it goes out of scope.
struct Unfinished {
    file: File,
    /// Its temporary name, if it has one.
    name: PathBuf,
    has_name: bool,
}

impl Unfinished {
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder_of(path).join(format!(".{name}.{}.unfinished", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).mode(MODE);
        match options.custom_flags(OFlag::O_TMPFILE.bits()).open(folder_of(path)) {
            Ok(file) => Ok(Self { file, name: temporary, has_name: false }),
            // Errors of the folder itself come again.
            Err(_) => {
                remove_leftovers(path);
                let file = options.create_new(true).custom_flags(0).open(&temporary)?;
                Ok(Self { file, name: temporary, has_name: true })
            }
        }
    }

    fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name. Without `overwrite` it never replaces a file that appeared in the meantime.
    fn become_file(mut self, path: &Path, overwrite: bool) -> io::Result<()> {
        if !self.has_name {
            let link = |name: &Path| {
                let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(AT_FDCWD, &*itself, AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)
            };
            if !overwrite {
                return Ok(link(path)?);
            }
            // A link cannot replace a file, and a rename needs a name.
            let _ = fs::remove_file(&self.name);
            link(&self.name)?;
            self.has_name = true;
        }
        if overwrite {
            return fs::rename(&self.name, path);
        }
        match fs::hard_link(&self.name, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                // Some file systems have no links.
                fs::rename(&self.name, path)
            }
            linked => linked,
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.has_name {
            // After a rename there is nothing to remove.
            let _ = fs::remove_file(&self.name);
        }
    }
}

/// Removes what an asyncprof that was killed has left of this file.
fn remove_leftovers(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (start, end) = (format!(".{name}."), ".unfinished");
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let pid = file.strip_prefix(&*start).and_then(|rest| rest.strip_suffix(end)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
