//! Wording for durations, causes and places, shared by reports, comparisons and checks.

use crate::detect::stall::{Cause, Stall};
use crate::model::event::{Header, StopTotals};
use crate::model::snapshot::Frame;
use crate::profile::Label;
use crate::render::{escape, label};

/// `0.31 ms`, `340 ms`, `1.20 s`, `2 min 05 s`: three digits, because the value is not known more precisely.
pub(in crate::render) fn duration(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    match ns {
        0..10_000_000 => format!("{ms:.2} ms"),
        10_000_000..100_000_000 => format!("{ms:.1} ms"),
        100_000_000..999_500_000 => format!("{ms:.0} ms"),
        999_500_000..9_995_000_000 => format!("{:.2} s", ms / 1e3),
        9_995_000_000..120_000_000_000 => format!("{:.1} s", ms / 1e3),
        _ => {
            let seconds = ns / 1_000_000_000;
            match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
                (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
            }
        }
    }
}

/// `The process was stopped 4,211 times, 0.21 ms on average, 3.10 ms at most: 8.9 % of the time.`
pub(in crate::render) fn stops(stops: &StopTotals, watched_ns: u64) -> String {
    if *stops == StopTotals::default() {
        return "The process was stopped for each sample; for how long is not known.".into();
    }
    let mean = stops.stopped_ns / stops.stops.max(1);
    let share = percent(stops.stopped_ns as f64 / watched_ns.max(1) as f64);
    let (times, mean, longest) = (label::counted(stops.stops, "time"), duration(mean), duration(stops.longest_ns));
    let mut sentence =
        format!("The process was stopped {times}, {mean} on average, {longest} at most: {share} of the time");
    if stops.cut_short > 0 {
        let count = label::counted(stops.cut_short, "stop");
        sentence.push_str(&format!("; {count} ended at the limit (--max-stop), and the rest was read while it ran"));
    }
    if stops.without > 0 {
        let count = label::counted(stops.without, "sample");
        sentence.push_str(&format!("; {count} taken without a stop, to keep to the share (--max-stop-share)"));
    }
    sentence.push('.');
    sentence
}

/// What was started, as one line.
pub(in crate::render) fn command(header: &Header) -> String {
    if header.command.is_empty() { header.executable.clone() } else { header.command.join(" ") }
}

/// `340 ms`, or `340 to 352 ms` if the end is known less exactly.
pub(in crate::render) fn stall_length(stall: &Stall) -> String {
    /// A smaller difference is not worth showing.
    const CLOSE_NS: u64 = 5_000_000;
    match stall.at_most_ns {
        _ if stall.ongoing => format!("{} so far", duration(stall.at_least_ns)),
        None => format!("at least {}", duration(stall.at_least_ns)),
        Some(most) if most.saturating_sub(stall.at_least_ns) <= CLOSE_NS => duration(stall.at_least_ns),
        Some(most) => format!("{} to {}", duration(stall.at_least_ns), duration(most)),
    }
}

/// A cause in words.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::BlockingCall => "blocking call",
        Cause::Cpu => "CPU work in Python",
        Cause::GilWait => "waiting for the GIL",
        Cause::Gc => "garbage collection",
        Cause::Native => "native code",
        Cause::ManyCallbacks => "many callbacks",
        Cause::CpuStarved => "CPU-starved",
        Cause::Suspended => "suspended",
        Cause::Unknown => "unknown cause",
    }
}

/// `function (file:line)`, safe to print; the place is never cut.
pub(in crate::render) fn frame(frame: &Frame) -> String {
    /// A longer function name hides the place behind it.
    const FUNCTION: usize = 60;
    format!("{} ({})", escape::brief(&frame.function, FUNCTION), label::place(frame))
}

/// The frame of a coroutine, if it is known.
pub(super) fn coroutine(coroutine: Option<&Frame>) -> String {
    coroutine.map_or_else(|| "unknown coroutine".into(), frame)
}

/// What runs at the end of a stack.
pub(super) fn innermost(stack: &[Label<'_>]) -> Option<String> {
    let inner = stack.iter().rev().find_map(|label| match label {
        Label::Frame(inner) => Some(frame(inner)),
        _ => None,
    })?;
    Some(if stack.contains(&Label::Torn) { format!("{inner} and deeper") } else { inner })
}

/// `12.3 %`.
pub(in crate::render) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// `998`, `10.0`, `0.50`: a rate per second.
pub(super) fn rate(hz: f64) -> String {
    match hz {
        100.0.. => label::count(hz.round() as u64),
        10.0.. => format!("{hz:.1}"),
        _ => format!("{hz:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let shown: Vec<String> = [0, 314_159, 9_994_000, 31_415_926, 340_400_000, 999_600_000, 1_204_000_000]
            .map(duration)
            .into_iter()
            .chain([61_234_000_000, 185_000_000_000, 7_980_000_000_000].map(duration))
            .collect();
        let wanted = [
            "0.00 ms",
            "0.31 ms",
            "9.99 ms",
            "31.4 ms",
            "340 ms",
            "1.00 s",
            "1.20 s",
            "61.2 s",
            "3 min 05 s",
            "2 h 13 min",
        ];
        assert_eq!(shown, wanted);
    }
}
