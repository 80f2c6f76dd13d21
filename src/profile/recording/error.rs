//! Why a recording cannot be opened, and what to do then.

use std::io;

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Something else.
    #[error("not an asyncprof recording")]
    Foreign,
    /// Of a format that is not read any more.
    #[error("this recording has format {0}, written by an older asyncprof and no longer supported")]
    Older(u32),
    /// Of a format that is not known yet.
    #[error("this recording has format {0}, written by a newer asyncprof")]
    Newer(u32),
    /// It ends before anything was seen.
    #[error("the recording is empty: asyncprof ended before writing anything")]
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
            Self::Foreign => "give the path of a recording made by `asyncprof record -o FILE`",
            Self::Older(_) => "read it with the asyncprof that wrote it",
            Self::Newer(_) => "read it with the asyncprof that wrote it, or with a newer one",
            Self::Empty => "record again for at least two seconds; events are written by then",
            Self::Damaged(_) => "copy the recording again from its origin, or record again",
            Self::Unreadable(_) => "check the path and the permissions",
        }
    }
}
