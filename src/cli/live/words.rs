//! A stall in a line, for people who watch. Pure: whoever prints brings the terminal. It must not know when it is printed.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::detect::stall::{Cause, Stall};
use crate::model::event::Header;
use crate::model::snapshot::Frame;
use crate::render::escape::{brief, visible};

/// A longer name makes the line unreadable.
const LONGEST_NAME: usize = 60;

/// Turns the clock of the events into the time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeOfDay {
    /// Time of day at zero of the events' clock.
    zero: Option<Timestamp>,
}

impl TimeOfDay {
    pub(super) fn new(header: &Header) -> Self {
        let started = header.started_at.parse::<Timestamp>().ok();
        let zero = started.and_then(|started| started.checked_sub(nanoseconds(header.started_ns)).ok());
        Self { zero }
    }

    /// `14:03:07.120Z`.
    pub(super) fn of(self, at_ns: u64) -> String {
        match self.zero.and_then(|zero| zero.checked_add(nanoseconds(at_ns)).ok()) {
            Some(time) => time.strftime("%H:%M:%S%.3fZ").to_string(),
            None => format!("{:.3}s", at_ns as f64 / 1e9),
        }
    }
}

fn nanoseconds(count: u64) -> SignedDuration {
    SignedDuration::from_nanos(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `7 ms`, `104 ms`, `1.25 s`, `2 min 5 s`.
pub(in crate::cli) fn length(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match seconds {
        _ if ns < 1_000_000 => format!("{:.1} ms", seconds * 1e3),
        _ if ns < 1_000_000_000 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 60.0 => format!("{seconds:.2} s"),
        _ if seconds < 3_600.0 => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
        _ => format!("{} h {} min", seconds as u64 / 3_600, seconds as u64 / 60 % 60),
    }
}

/// What blocks, in words: `blocking call (clock_nanosleep)`.
pub(super) fn cause(stall: &Stall) -> String {
    let words = match stall.cause {
        Cause::BlockingCall => "blocking call",
        Cause::Cpu => "Python code",
        Cause::GilWait => "wait for the GIL",
        Cause::Gc => "garbage collection",
        Cause::Native => "native code",
        Cause::ManyCallbacks => "many callbacks",
        Cause::CpuStarved => "no processor to run on",
        Cause::Suspended => "stopped or suspended",
        Cause::Unknown => "cause unknown",
    };
    match &stall.detail {
        Some(detail) => format!("{words} ({})", brief(detail, 2 * LONGEST_NAME)),
        None => words.to_owned(),
    }
}

/// Where to change something: `app.py:42 in handler`. A file and line are never cut: people click on them.
pub(super) fn site(frame: &Frame) -> String {
    let function = brief(&frame.function, LONGEST_NAME);
    match frame.line {
        Some(line) => format!("{}:{line} in {function}", visible(&frame.file)),
        None => format!("{} in {function}", visible(&frame.file)),
    }
}

/// What was running there: `task labels`, and the thread where it is not the main one.
pub(super) fn place(stall: &Stall, pid: i32) -> String {
    let what: Cow<'_, str> = match &stall.task {
        Some(task) => match task.name.as_deref() {
            Some(name) if !name.is_empty() => format!("task {}", brief(name, LONGEST_NAME)).into(),
            _ => format!("task {:#x}", task.key).into(),
        },
        None => "a callback".into(),
    };
    let event_loop = &stall.event_loop;
    match (event_loop.thread, event_loop.thread_name.as_deref()) {
        (Some(thread), _) if thread == pid => what.into_owned(),
        (Some(thread), Some(name)) => format!("{what} in thread {thread} ({})", brief(name, LONGEST_NAME)),
        (Some(thread), None) => format!("{what} in thread {thread}"),
        (None, _) => what.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_exact_as_they_are_read() {
        let shown: Vec<String> = [400_000, 7_000_000, 104_400_000, 1_250_000_000, 125_000_000_000, 7_260_000_000_000]
            .into_iter()
            .map(length)
            .collect();
        assert_eq!(shown, ["0.4 ms", "7 ms", "104 ms", "1.25 s", "2 min 5 s", "2 h 1 min"]);
    }

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
