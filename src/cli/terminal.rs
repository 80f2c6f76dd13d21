//! The terminal: its width, whether it shows colors, and a progress line that replaces itself.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::ValueEnum;

/// Nobody can read a line that changes faster.
pub(crate) const REPAINT: Duration = Duration::from_millis(100);
/// Returns to the start of the line and erases it.
pub(crate) const ERASE: &str = "\r\u{1b}[K";
/// A job that finishes sooner needs no progress line.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to use colors on stdout or stderr; `is_terminal` says whether that is a terminal.
    pub(crate) fn is_shown(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal && is_wanted(),
        }
    }
}

fn is_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns for text: `COLUMNS` from the shell, otherwise a width that fits most windows.
pub(crate) fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}

/// Writes to stderr, if somebody reads it: a watch, and the program that it started, go on where nobody does.
pub(crate) fn tell(words: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(words);
}

/// The progress of a slow job, in one line of stderr that is erased when the job is done. Silent unless stderr is a terminal.
pub(crate) struct ProgressLine {
    painted: bool,
    next: Option<Instant>,
}

impl ProgressLine {
    pub(crate) fn start() -> Self {
        Self { painted: false, next: io::stderr().is_terminal().then(|| Instant::now() + PROGRESS_AFTER) }
    }

    /// Paints the line, unless it is too early.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + REPAINT);
            self.painted = true;
            tell(format_args!("{ERASE}{}", text()));
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.painted {
            tell(format_args!("{ERASE}"));
        }
    }
}
