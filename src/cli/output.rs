//! Where a result goes: stdout, a file that is complete or not there at all, or a device or pipe that has a name. It must not
//! know what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::args::Color;
use super::product::name_for;
use super::{Exit, Failure};
use crate::render::Format;

/// Mode of a new file, before the umask.
const PUBLIC: u32 = 0o666;
/// Mode of a file that can hold secrets.
const PRIVATE: u32 = 0o600;

/// A place that was found fit to write to.
#[derive(Debug)]
pub(super) enum Destination {
    Stdout,
    File {
        path: PathBuf,
        overwrite: bool,
        packing: Packing,
    },
    /// Something that is there and is no file: what is written to it replaces nothing, and it is not to be replaced.
    Device {
        path: PathBuf,
    },
}

/// Whether what is written to a file is gzipped on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

impl Destination {
    /// Looks at a place before any work is done for it.
    pub(super) fn check(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Failure::new(Exit::Usage, format!("{shown} is a folder")));
            }
            // Through a link such as /dev/stdout. A link that leads nowhere is in the way like a file.
            Ok(_) if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
                return Ok(Self::Device { path: path.to_owned() });
            }
            Ok(_) if !overwrite => {
                return Err(Failure::new(Exit::Usage, format!("{shown} exists already"))
                    .hint("choose another name, or overwrite it with --force"));
            }
            _ => {}
        }
        if !folder_of(path).is_dir() {
            return Err(Failure::new(Exit::Usage, format!("there is no folder for {shown}")));
        }
        Ok(Self::File { path: path.to_owned(), overwrite, packing: Packing::Plain })
    }

    /// The same place, for what is packed if it is a file.
    pub(super) fn packed(self, packing: Packing) -> Self {
        match self {
            Self::File { path, overwrite, .. } => Self::File { path, overwrite, packing },
            other => other,
        }
    }

    /// The same place for a process below the one that it is for: stdout or a device, or a file beside it.
    pub(super) fn for_process(&self, pid: i32) -> Result<Self, Failure> {
        match self {
            Self::Stdout => Ok(Self::Stdout),
            Self::File { path, overwrite, packing } => {
                Ok(Self::check(&name_for(path, pid), *overwrite)?.packed(*packing))
            }
            Self::Device { path } => Ok(Self::Device { path: path.clone() }),
        }
    }

    /// Writes the whole result, or reports why not.
    pub(super) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        self.write_with(PUBLIC, write)
    }

    /// Writes what nobody else may read.
    pub(super) fn write_private(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
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
        written.map_err(|error| Failure::new(Exit::Own, format!("cannot write {}: {error}", path.display())))
    }

    /// Whether colours would be seen as such.
    pub(super) fn shows_color(&self, color: Color) -> bool {
        match (color, self) {
            (Color::Always, _) => true,
            (Color::Never, _) | (Color::Auto, Self::File { .. } | Self::Device { .. }) => false,
            (Color::Auto, Self::Stdout) => io::stdout().is_terminal() && wants_color(),
        }
    }
}

/// Whether colours would be seen as such in what is said while the work goes on.
pub(super) fn stderr_shows_color(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stderr().is_terminal() && wants_color(),
    }
}

/// What the user and the terminal say, where there is one.
fn wants_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What a file's ending says about its format.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "txt" => Some(Format::Text),
        "json" => Some(Format::Json),
        "dot" | "gv" => Some(Format::Dot),
        "svg" => Some(Format::Svg),
        "folded" | "collapsed" => Some(Format::Collapsed),
        _ => None,
    }
}

/// Columns for text: what the shell says, else a width that fits most windows.
pub(super) fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
pub(super) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let stdout = io::stdout().lock();
    // Beside the standard library's own buffer, which looks for ends of lines in all that is written.
    let mut out = match stdout.as_fd().try_clone_to_owned() {
        Ok(stdout) => BufWriter::new(File::from(stdout)),
        Err(error) => return Err(Failure::new(Exit::Own, format!("cannot write to stdout: {error}"))),
    };
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Own, format!("cannot write to stdout: {error}")))
        }
        _ => {
            // What is left in the buffer would only fail again.
            let _ = out.into_parts();
            Ok(())
        }
    }
}

/// Writes beside the file and moves it there when it is complete, so that no half result is ever seen under its name.
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
    // Unlike a rename, a link never replaces what came to be there meanwhile.
    match fs::hard_link(&unfinished.path, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            // Some file systems have no links.
            fs::rename(&unfinished.path, path)
        }
        linked => linked,
    }
}

/// Gzips what is written. As little as that takes is enough: what gets large here repeats itself.
fn gzipped(out: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(GzEncoder::new(out, Compression::fast()));
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Writes to what is there. A reader that has seen enough is no error here either.
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

/// The folder that a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
