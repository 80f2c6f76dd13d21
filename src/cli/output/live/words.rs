//! A stall in one line. Pure: the caller brings the terminal.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::detect::stall::Stall;
use crate::model::event::Header;
use crate::model::snapshot::Frame;
use crate::render::escape::{brief, visible};
use crate::render::report;

/// A longer name makes the line unreadable.
const MAX_NAME: usize = 60;

/// Turns the clock of the events into the time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeOfDay {
    /// Time of day at zero of the events' clock.
    zero: Option<Timestamp>,
}

impl TimeOfDay {
    pub(crate) fn new(header: &Header) -> Self {
        let started = header.started_at.parse::<Timestamp>().ok();
        let zero = started.and_then(|started| started.checked_sub(nanoseconds(header.started_ns)).ok());
        Self { zero }
    }

    /// `14:03:07.120Z`.
    pub(crate) fn of(self, at_ns: u64) -> String {
        match self.zero.and_then(|zero| zero.checked_add(nanoseconds(at_ns)).ok()) {
            Some(time) => time.strftime("%H:%M:%S%.3fZ").to_string(),
            None => format!("{:.3}s", at_ns as f64 / 1e9),
        }
    }
}

fn nanoseconds(count: u64) -> SignedDuration {
    SignedDuration::from_nanos(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The cause: `blocking call (clock_nanosleep)`.
pub(crate) fn cause(stall: &Stall) -> String {
    let words = report::words::cause(stall.cause);
    match &stall.detail {
        Some(detail) => format!("{words} ({})", brief(detail, 2 * MAX_NAME)),
        None => words.to_owned(),
    }
}

/// The line to change: `app.py:42 in handler`. File and line are never cut, so that they can be clicked.
pub(crate) fn site(frame: &Frame) -> String {
    let function = brief(&frame.function, MAX_NAME);
    match frame.line {
        Some(line) => format!("{}:{line} in {function}", visible(&frame.file)),
        None => format!("{} in {function}", visible(&frame.file)),
    }
}

/// What was running there: `task labels`, and the thread if it is not the main one.
pub(crate) fn place(stall: &Stall, pid: i32) -> String {
    let what: Cow<'_, str> = match &stall.task {
        Some(task) => match task.name.as_deref() {
            Some(name) if !name.is_empty() => format!("task {}", brief(name, MAX_NAME)).into(),
            _ => format!("task {:#x}", task.key).into(),
        },
        None if stall.interrupts_selector => "a signal handler or finalizer".into(),
        None => "a callback".into(),
    };
    let event_loop = &stall.event_loop;
    match (event_loop.thread, event_loop.thread_name.as_deref()) {
        (Some(thread), _) if thread == pid => what.into_owned(),
        (Some(thread), Some(name)) => format!("{what} in thread {thread} ({})", brief(name, MAX_NAME)),
        (Some(thread), None) => format!("{what} in thread {thread}"),
        (None, _) => what.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_events_is_shown_as_time_of_day() {
        let zero = "2026-01-02T03:04:05Z".parse::<Timestamp>().ok();
        assert_eq!(TimeOfDay { zero }.of(61_120_000_000), "03:05:06.120Z");
        assert_eq!(TimeOfDay { zero: None }.of(61_120_000_000), "61.120s", "unknown is not guessed");
        TimeOfDay { zero }.of(u64::MAX);
    }

    #[test]
    fn what_the_target_calls_its_things_cannot_move_the_cursor() {
        let frame = Frame { function: "f\u{1b}[2J".into(), file: "a\nb.py".into(), line: Some(3) };
        assert_eq!(site(&frame), "a\\nb.py:3 in f\\u{1b}[2J");
    }
}
