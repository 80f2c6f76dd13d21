//! Reads a process and shows on a thread of its own how far that is. The reader never waits for the terminal: what the
//! channel cannot take is dropped. It must not know what is read.

use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{Exit, Failure};
use crate::capture::progress::Progress;
use crate::capture::session::{self, AttachError, Options};
use crate::model::Snapshot;

/// A reading that is done sooner needs no explanation.
const PATIENCE: Duration = Duration::from_millis(500);
/// Faster than this nobody can read.
const REPAINT: Duration = Duration::from_millis(100);

/// Takes a snapshot; says how far it is when that takes a while and stderr is a terminal. What a refusal means is left to the
/// caller.
pub(super) fn try_snapshot(pid: i32, options: Options) -> Result<Result<Snapshot, AttachError>, Failure> {
    // One message is enough: a reader that is ahead of the terminal has newer ones.
    let (sender, receiver) = bounded(1);
    std::thread::scope(|scope| {
        if io::stderr().is_terminal() {
            scope.spawn(move || show(&receiver));
        }
        // The sender goes with the reader, which ends the display.
        let read = panic::catch_unwind(AssertUnwindSafe(move || {
            session::take(&session::attach(pid)?, &options, &|progress| {
                let _ = sender.try_send(progress);
            })
        }));
        read.map_err(|_| {
            Failure::new(Exit::Own, "reading the process failed in an unexpected way")
                .hint("this is a bug in asyncprof; please report it with the message above")
        })
    })
}

/// Repaints one line until the reader is done, then removes it.
fn show(progress: &Receiver<Progress>) {
    let patience = Instant::now() + PATIENCE;
    let mut latest = None;
    let mut painted = false;
    loop {
        match progress.recv_timeout(REPAINT) {
            Ok(progress) => latest = Some(progress),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= patience
            && let Some(progress) = latest.take()
        {
            eprint!("\r\u{1b}[K{}", line(&progress));
            let _ = io::stderr().flush();
            painted = true;
        }
    }
    if painted {
        eprint!("\r\u{1b}[K");
    }
}

fn line(progress: &Progress) -> String {
    match progress.total {
        Some(total) => format!("reading {}: {} of {total}", progress.stage, progress.done),
        None => format!("reading {}: {}", progress.stage, progress.done),
    }
}
