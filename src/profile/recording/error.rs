//! Why a recording cannot be opened, and what to do about it.

use std::io;

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file is something else.
    #[error("not an asyncprof recording")]
    Foreign,
    /// Its format is no longer supported.
    #[error("this recording has format {0}, written by an older asyncprof and no longer supported")]
    Older(u32),
    /// Its format is newer than this version.
    #[error("this recording has format {0}, written by a newer asyncprof")]
    Newer(u32),
    /// It ends before anything was recorded.
    #[error("the recording is empty: asyncprof ended before writing anything")]
    Empty,
    /// Its beginning is damaged, and without it the rest cannot be interpreted.
    #[error("the recording is damaged: {0}")]
    Damaged(&'static str),
    /// The disk failed, or read permission is missing.
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
