//! Why a recording cannot be opened, and what to do then.

use std::io;

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Something else.
    #[error("this is not a recording of asyncprof")]
    Foreign,
    /// Of a format that is not read any more.
    #[error("this recording was written by an older asyncprof (format {0}), which this one does not read any more")]
    Older(u32),
    /// Of a format that is not known yet.
    #[error("this recording was written by a newer asyncprof (format {0})")]
    Newer(u32),
    /// It ends before anything was seen.
    #[error("the recording is empty: asyncprof was ended before it had written anything")]
    Empty,
    /// Its beginning does not hold, and without that nothing can be said about the rest.
    #[error("the recording is damaged: {0}")]
    Damaged(&'static str),
    /// The disk, or the permission to read.
    #[error("the recording cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

impl RecordingError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Foreign => "recordings are written by `asyncprof record -o FILE`; give the path of one",
            Self::Older(_) => "read it with the asyncprof that wrote it",
            Self::Newer(_) => "read it with the asyncprof that wrote it, or with a newer one",
            Self::Empty => "record again; what was seen is in the file after two seconds at the latest",
            Self::Damaged(_) => "copy the recording again from where it was written, or record again",
            Self::Unreadable(_) => "check the path and the permissions",
        }
    }
}
