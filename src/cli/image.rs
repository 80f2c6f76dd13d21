//! Saved images: reads one in place of a process, and writes one for a bug report. It must not know what is in them.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::output::Destination;
use super::{Exit, Failure, note};
use crate::capture::session::{self, AttachError};
use crate::model::Snapshot;
use crate::remote::image::{Image, ImageError};

/// The snapshot that was saved in a file.
pub(super) fn load(path: &Path) -> Result<Snapshot, Failure> {
    let read = || -> Result<Snapshot, AttachError> {
        let file = File::open(path).map_err(ImageError::Io)?;
        session::take_image(&Image::load(BufReader::new(file))?)
    };
    read().map_err(|error| Failure::from(error).about(path))
}

/// Takes a snapshot of a process that is stopped for it, and saves what was read.
pub(super) fn save(pid: i32, destination: &Destination) -> Result<Snapshot, Failure> {
    let Destination::File { path, .. } = destination else {
        return Err(Failure::new(Exit::Usage, "an image is not for the terminal").hint("give --save-image a file"));
    };
    let (image, snapshot) = session::record_image(pid)?;
    destination.write_private(|out| image.save(out).map_err(io::Error::other))?;
    note(&format!(
        "{} holds what was looked at in the memory of process {pid}: names, paths and texts of exceptions, which can be \
         secret",
        path.display(),
    ));
    Ok(snapshot)
}
