//! Where results go and how a command says what it is doing: files, stdout, recordings, progress and live lines.
//!
//! Architecture invariant: a destination is checked before any process is watched or started for it. `tests/commands.rs`
//! and `tests/cli.rs` hold it.

pub(crate) mod artifact;
pub(crate) mod destination;
pub(crate) mod live;
pub(crate) mod progress;
pub(crate) mod recording_file;
