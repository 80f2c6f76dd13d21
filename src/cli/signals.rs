//! The signals that ask us to end, as messages on a channel. It must not know what is ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Origin;

use super::{Exit, Failure};

/// Somebody wants us to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) signal: Signal,
    /// It came from the terminal (Ctrl-C), which sends it to everybody in the foreground, our child too.
    pub(super) from_terminal: bool,
}

/// Requests as they come; the process is no longer ended by them.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) requests: Receiver<Request>,
    impatient: Arc<AtomicBool>,
}

/// LIMIT: requests that nobody has looked at yet; more say nothing new.
const PENDING: usize = 16;

impl Signals {
    /// From now on Ctrl-C and its like are requests.
    ///
    /// # Errors
    /// When the kernel has no room for a handler or a thread.
    pub(super) fn listen() -> Result<Self, Failure> {
        Self::try_listen().map_err(|error| Failure::new(Exit::Own, format!("cannot listen to signals: {error}")))
    }

    fn try_listen() -> io::Result<Self> {
        let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT];
        if !ignores(SIGHUP) {
            // Under nohup the terminal may close.
            wanted.push(SIGHUP);
        }
        let mut signals = SignalsInfo::<WithOrigin>::new(&wanted)?;
        let (sender, requests) = bounded(PENDING);
        let impatient = Arc::new(AtomicBool::new(false));
        let gives_up = Arc::clone(&impatient);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in signals.forever() {
                let Some(request) = Request::of(&origin) else { continue };
                if gives_up.load(Ordering::Relaxed) {
                    // As if it had not been caught.
                    let _ = signal_hook::low_level::emulate_default_handler(origin.signal);
                }
                // A full channel holds enough requests to end.
                let _ = sender.try_send(request);
            }
        })?;
        Ok(Self { requests, impatient })
    }

    /// What is left to do is for the user's sake alone: the next signal ends the process at once.
    pub(super) fn end_at_once_from_now_on(&self) {
        self.impatient.store(true, Ordering::Relaxed);
    }
}

impl Request {
    fn of(origin: &Origin) -> Option<Self> {
        let signal = Signal::try_from(origin.signal).ok()?;
        // The kernel's own signals name no sender.
        Some(Self { signal, from_terminal: origin.process.is_none() })
    }
}

/// Whether whoever started us has switched a signal off.
fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
