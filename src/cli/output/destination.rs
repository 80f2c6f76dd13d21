//! Where a result goes: stdout, a file that is written completely or not at all, or a device or named pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cli::failure::Failure;
use crate::cli::input::formats::{Format, Writes, name_for};
use crate::cli::terminal::{self, Color};
use crate::render::Options;

/// Mode of a new file, before the umask.
const PUBLIC: u32 = 0o666;
/// Mode of a file that can hold secrets.
const PRIVATE: u32 = 0o600;

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

    /// Writes the whole result, or reports why not.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        self.write_with(PUBLIC, write)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write_private(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        self.write_with(PRIVATE, write)
    }

    fn write_with(&self, mode: u32, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let (path, written) = match self {
            Self::Stdout => return to_stdout(write),
            Self::File { path, overwrite, packing: Packing::Plain } => (path, to_file(path, *overwrite, mode, write)),
            Self::File { path, overwrite, packing: Packing::Gzip } => {
                (path, to_file(path, *overwrite, mode, |out| gzipped(out, write)))
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
fn to_file(
    path: &Path,
    overwrite: bool,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = Unfinished::beside(path, mode)?;
    let mut out = BufWriter::new(&unfinished.file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    if overwrite {
        return fs::rename(&unfinished.path, path);
    }
    // Unlike a rename, a link never replaces a file that appeared in the meantime.
    match fs::hard_link(&unfinished.path, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            // Some file systems have no links.
            fs::rename(&unfinished.path, path)
        }
        linked => linked,
    }
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
    let mut out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
    let written = write(&mut out).and_then(|()| out.flush());
    let _ = out.into_parts();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A file under a temporary name, removed when it goes out of scope.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn beside(path: &Path, mode: u32) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = folder_of(path).join(format!(".{name}.{}.unfinished", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
