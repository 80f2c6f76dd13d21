//! The signals that ask asyncprof to end, as messages on a channel.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::{SignalOnly, WithOrigin};
use signal_hook::low_level::siginfo::Origin;

use crate::cli::failure::Failure;
use crate::remote::stopped::while_nothing_is_stopped;

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) signal: Signal,
    /// It came from the terminal (Ctrl-C), which sends it to the whole foreground group, including our child.
    pub(crate) from_terminal: bool,
}

/// Requests as they come; they no longer end the process by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) requests: Receiver<Request>,
    /// When the end was begun.
    ending: Arc<OnceLock<Instant>>,
}

/// How long ending may take. Signals in it add nothing: `timeout` sends two, and a terminal sends one to each of a pipeline.
const TIME_TO_END: Duration = Duration::from_secs(2);

/// LIMIT: pending requests; more add nothing.
const PENDING: usize = 16;

impl Signals {
    /// From now on Ctrl-C and similar signals are requests.
    ///
    /// # Errors
    /// When the kernel has no room for a handler or a thread.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Self::try_listen().map_err(|error| Failure::internal(format!("cannot handle signals: {error}")))
    }

    fn try_listen() -> io::Result<Self> {
        let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT];
        if !ignores(SIGHUP) {
            // Ignored under nohup, where the terminal may close.
            wanted.push(SIGHUP);
        }
        try_suspend_between_stops()?;
        let mut signals = SignalsInfo::<WithOrigin>::new(&wanted)?;
        let (sender, requests) = bounded(PENDING);
        let ending = Arc::<OnceLock<Instant>>::default();
        let begun = Arc::clone(&ending);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in signals.forever() {
                let Some(request) = Request::of(&origin) else { continue };
                if begun.get().is_some_and(|begun| begun.elapsed() > TIME_TO_END) {
                    // As if it were not caught.
                    let _ = signal_hook::low_level::emulate_default_handler(origin.signal);
                }
                // A full channel holds enough requests.
                let _ = sender.try_send(request);
            }
        })?;
        Ok(Self { requests, ending })
    }

    /// The watch is ending: a signal that comes later than [`TIME_TO_END`] ends the process at once. What is left to do
    /// then is only for the user, who need not wait for it.
    pub(crate) fn end_soon(&self) {
        let _ = self.ending.set(Instant::now());
    }
}

impl Request {
    fn of(origin: &Origin) -> Option<Self> {
        let signal = Signal::try_from(origin.signal).ok()?;
        // Signals of the kernel name no sender.
        Some(Self { signal, from_terminal: origin.process.is_none() })
    }
}

/// From now on Ctrl-Z suspends asyncprof only while it keeps no process stopped.
///
/// # Errors
/// When the kernel has no room for a handler or a thread.
pub(crate) fn suspend_between_stops() -> Result<(), Failure> {
    try_suspend_between_stops().map_err(|error| Failure::internal(format!("cannot handle signals: {error}")))
}

fn try_suspend_between_stops() -> io::Result<()> {
    if ignores(SIGTSTP) {
        return Ok(());
    }
    let mut signals = SignalsInfo::<SignalOnly>::new([SIGTSTP])?;
    std::thread::Builder::new().name("suspend".into()).spawn(move || {
        for signal in signals.forever() {
            // It returns when asyncprof goes on. An error is impossible: it knows this signal.
            let _ = while_nothing_is_stopped(|| signal_hook::low_level::emulate_default_handler(signal));
        }
    })?;
    Ok(())
}

/// Whether the signal was ignored when asyncprof was started.
fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
