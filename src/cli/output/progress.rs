//! Takes a snapshot and shows its progress from a thread of its own. The reader never waits for the terminal: progress that
//! the channel cannot take is dropped.

use std::io::{self, IsTerminal as _};
use std::panic::{self, AssertUnwindSafe};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::capture::progress::Progress;
use crate::capture::session::{self, AttachError, Options};
use crate::cli::failure::Failure;
use crate::cli::terminal::{ProgressLine, REPAINT};
use crate::model::Snapshot;

/// Takes a snapshot; if that takes long and stderr is a terminal, it shows the progress. The caller explains a refusal.
pub(crate) fn try_snapshot(pid: i32, options: Options) -> Result<Result<Snapshot, AttachError>, Failure> {
    // One message is enough: a reader ahead of the terminal has newer ones.
    let (sender, receiver) = bounded(1);
    std::thread::scope(|scope| {
        if io::stderr().is_terminal() {
            scope.spawn(move || show(&receiver));
        }
        // The sender is dropped with the reader, which ends the display.
        let read = panic::catch_unwind(AssertUnwindSafe(move || {
            session::take(&session::attach(pid)?, &options, &|progress| {
                let _ = sender.try_send(progress);
            })
        }));
        read.map_err(|_| Failure::bug("reading the process failed unexpectedly"))
    })
}

/// Repaints the latest progress until the reader is done.
fn show(progress: &Receiver<Progress>) {
    let mut line = ProgressLine::start();
    let mut latest = None;
    loop {
        match progress.recv_timeout(REPAINT) {
            Ok(progress) => latest = Some(progress),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(progress) = &latest {
            line.show(|| text(progress));
        }
    }
}

fn text(progress: &Progress) -> String {
    match progress.total {
        Some(total) => format!("reading {}: {} of {total}", progress.stage, progress.done),
        None => format!("reading {}: {}", progress.stage, progress.done),
    }
}
