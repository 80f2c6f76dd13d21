//! Rates, durations and shares as people write and read them: `1khz`, `1.5s`, `5%`. A value out of range is refused with the
//! range.

use std::time::Duration;

use crate::remote::MemoryLimit;

/// LIMIT: samples of a loop per second. Below one in ten seconds nothing can be judged; above a million, a sample takes
/// longer than its interval.
const RATES: Limits = Limits { least: 0.1, most: 1e6, range: "0.1 to 1000000 per second (1000, 1khz, 100k)" };

/// LIMIT: snapshots of all tasks per second. With thousands of tasks one takes a millisecond or more.
const TASK_RATES: Limits = Limits { least: 0.01, most: 1e4, range: "0.01 to 10000 per second (10, 0.5)" };

/// LIMIT: how long to watch, seconds. Ten years are as good as forever, and fit into every clock.
const DURATIONS: Limits =
    Limits { least: 0.01, most: 315_360_000.0, range: "10ms to 87600h (30, 250ms, 1.5s, 5m, 2h)" };

/// LIMIT: the stall threshold, seconds. Under a millisecond every callback would be a stall.
const STALLS: Limits = Limits { least: 0.001, most: 3_600.0, range: "1ms to 1h (50ms, 1.5s)" };

/// LIMIT: percent of one core. Two threads sample and one receives: more cannot be used.
const BUDGETS: Limits = Limits { least: 0.1, most: 400.0, range: "0.1% to 400% of one core (5%, 0.5%)" };

/// LIMIT: how long the target may be stopped at once. Stopping its threads takes some tenths of a millisecond.
pub(crate) const MAX_STOP: Duration = Duration::from_secs(10);
const STOPS: Limits = Limits { least: 0.001, most: MAX_STOP.as_secs() as f64, range: "1ms to 10s (20ms)" };

/// LIMIT: share of the time for which the target may be stopped, percent.
const STOP_SHARES: Limits = Limits { least: 0.1, most: 90.0, range: "0.1% to 90% of the time (10%)" };

/// LIMIT: memory that asyncprof may use, MiB. It needs some 15 MB to read a small program.
const MEMORY: Limits = Limits { least: 32.0, most: 1_048_576.0, range: "32M to 1T of memory (256M, 1.5G)" };

/// LIMIT: share of the time that a loop may be busy, percent.
const SHARES: Limits = Limits { least: 0.0, most: 100.0, range: "0% to 100% (80%)" };

/// LIMIT: growth of the number of tasks, per minute.
const GROWTHS: Limits = Limits { least: 0.0, most: 1e9, range: "0 or more per minute (10/min)" };

/// LIMIT: the smallest change that matters, percent of the earlier value.
const EFFECTS: Limits = Limits { least: 0.1, most: 1_000.0, range: "0.1% to 1000% (10%)" };

/// The range of a value, as numbers and in words.
struct Limits {
    least: f64,
    most: f64,
    range: &'static str,
}

impl Limits {
    fn check(&self, value: f64) -> Result<f64, String> {
        if (self.least..=self.most).contains(&value) { Ok(value) } else { Err(format!("it must be {}", self.range)) }
    }

    fn unreadable(&self) -> String {
        format!("it must be a number, {}", self.range)
    }
}

/// Samples per second: `1000`, `1khz`, `100k`, `2.5kHz`.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    parse_frequency(text, &RATES)
}

/// Snapshots of all tasks per second: `10`, `0.5`.
pub(crate) fn parse_task_rate(text: &str) -> Result<f64, String> {
    parse_frequency(text, &TASK_RATES)
}

fn parse_frequency(text: &str, limits: &Limits) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| limits.unreadable())?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "hz" | "/s" => 1.0,
        "k" | "khz" => 1e3,
        "m" | "mhz" => 1e6,
        _ => return Err(limits.unreadable()),
    };
    limits.check(number * factor)
}

/// How long to watch: a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => parse_seconds(text).ok_or_else(|| DURATIONS.unreadable())?,
    };
    DURATIONS.check(seconds).map(Duration::from_secs_f64)
}

/// A stall threshold. Needs its unit: people mean milliseconds, and a bare number means seconds elsewhere.
pub(crate) fn parse_stall(text: &str) -> Result<Duration, String> {
    parse_short(text, &STALLS)
}

/// The longest stop of the target; with its unit, as a stall threshold.
pub(crate) fn parse_stop(text: &str) -> Result<Duration, String> {
    parse_short(text, &STOPS)
}

fn parse_short(text: &str, limits: &Limits) -> Result<Duration, String> {
    if text.parse::<f64>().is_ok() {
        return Err(format!("it needs a unit: {text}ms or {text}s"));
    }
    limits.check(parse_seconds(text).ok_or_else(|| limits.unreadable())?).map(Duration::from_secs_f64)
}

/// Share of one core: `5%`, or `5` for the same.
pub(crate) fn parse_budget(text: &str) -> Result<f64, String> {
    parse_percent(text, &BUDGETS)
}

/// Share of the time for which the target may be stopped: `10%`, or `10` for the same.
pub(crate) fn parse_stop_share(text: &str) -> Result<f64, String> {
    parse_percent(text, &STOP_SHARES)
}

/// Memory that asyncprof may use: `256M`, `256MB`, `1.5G`.
pub(crate) fn parse_memory(text: &str) -> Result<MemoryLimit, String> {
    let (number, unit) = split_number(text).ok_or_else(|| MEMORY.unreadable())?;
    let mib = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "k" => 1.0 / 1024.0,
        "m" => 1.0,
        "g" => 1024.0,
        "t" => 1024.0 * 1024.0,
        _ => return Err(MEMORY.unreadable()),
    };
    // CAST: checked to be in range.
    MEMORY.check(number * mib).map(|mib| MemoryLimit::new((mib * 1024.0 * 1024.0) as u64))
}

/// `250ms`, `1.5s`, `1m30s`: numbers, each with its unit.
fn parse_seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = match after[..end].to_ascii_lowercase().as_str() {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number * unit;
        rest = after[end..].trim_start();
    }
    (!text.trim().is_empty()).then_some(seconds)
}

/// A number and what follows it. Only digits and a point: nobody means `inf`, `nan` or `1e99`.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// A share of the time: `80%`, or `80` for the same.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    parse_percent(text, &SHARES)
}

/// A share of an earlier value: `10%`, or `10` for the same.
pub(crate) fn parse_effect(text: &str) -> Result<f64, String> {
    parse_percent(text, &EFFECTS)
}

fn parse_percent(text: &str, limits: &Limits) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| limits.unreadable())?;
    match unit {
        "" | "%" => Ok(limits.check(number)? / 100.0),
        _ => Err(limits.unreadable()),
    }
}

/// Growth per minute: `10/min`, or `10` for the same.
pub(crate) fn parse_growth(text: &str) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| GROWTHS.unreadable())?;
    match unit {
        "" | "/min" | "/m" | "/minute" => GROWTHS.check(number),
        _ => Err(GROWTHS.unreadable()),
    }
}

/// `7 ms`, `104 ms`, `1.25 s`, `2 min 5 s`.
pub(crate) fn length(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match seconds {
        _ if ns < 1_000_000 => format!("{:.1} ms", seconds * 1e3),
        // What would round to 1000 ms is a second.
        _ if ns < 999_500_000 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 60.0 => format!("{seconds:.2} s"),
        _ if seconds < 3_600.0 => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
        _ => format!("{} h {} min", seconds as u64 / 3_600, seconds as u64 / 60 % 60),
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A duration in whole nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_as_exact_as_they_are_read() {
        for (ns, shown) in [
            (400_000, "0.4 ms"),
            (7_000_000, "7 ms"),
            (104_400_000, "104 ms"),
            (999_600_000, "1.00 s"),
            (1_250_000_000, "1.25 s"),
            (125_000_000_000, "2 min 5 s"),
            (7_260_000_000_000, "2 h 1 min"),
        ] {
            assert_eq!(length(ns), shown);
        }
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [("1000", 1e3), ("1khz", 1e3), ("1 kHz", 1e3), ("100k", 1e5), ("0.5hz", 0.5), ("1mhz", 1e6)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "fast", "0", "-1", "2m", "1e3", "inf", "nan", "1000/m", "1.2.3"] {
            let message = parse_rate(text).unwrap_err();
            assert!(message.contains("0.1 to 1000000 per second"), "{text}: {message}");
        }
        assert_eq!(parse_task_rate("0.5"), Ok(0.5));
        assert!(parse_task_rate("20k").unwrap_err().contains("0.01 to 10000"));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30", 30_000),
            ("0.5", 500),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("5m", 300_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5 parsecs", "0", "1ms", "-3", "inf", "nan", "1e99", "99999d", "5m and more"] {
            let message = parse_duration(text).unwrap_err();
            assert!(message.contains("10ms to 87600h"), "{text}: {message}");
        }
    }

    #[test]
    fn a_threshold_needs_its_unit() {
        assert_eq!(parse_stall("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_stall("100"), Err("it needs a unit: 100ms or 100s".into()));
        assert!(parse_stall("10us").unwrap_err().contains("1ms to 1h"));
        assert!(parse_stall("2h").unwrap_err().contains("1ms to 1h"));
    }

    #[test]
    fn a_budget_is_percent_of_one_core() {
        assert_eq!(parse_budget("5%"), Ok(0.05));
        assert_eq!(parse_budget("5"), Ok(0.05));
        assert_eq!(parse_budget("0.5 %"), Ok(0.005));
        for text in ["0", "0.01%", "900%", "half", "5 percent"] {
            assert!(parse_budget(text).unwrap_err().contains("0.1% to 400%"), "{text}");
        }
    }

    #[test]
    fn a_stop_is_bounded_in_both_ways() {
        assert_eq!(parse_stop("20ms"), Ok(Duration::from_millis(20)));
        assert!(parse_stop("20").unwrap_err().contains("needs a unit"));
        assert!(parse_stop("1h").unwrap_err().contains("1ms to 10s"));
        assert_eq!(parse_stop_share("10%"), Ok(0.1));
        for text in ["1536M", "1.5G", "1.5 gb", "1536MiB"] {
            assert_eq!(parse_memory(text), Ok(MemoryLimit::new(1536 << 20)), "{text}");
        }
        for text in ["0", "64", "16M", "2048G M", "-1G", "2T", "lots", ""] {
            assert!(parse_memory(text).unwrap_err().contains("32M to 1T"), "{text}");
        }
        assert!(parse_stop_share("100%").unwrap_err().contains("0.1% to 90%"));
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,12}") {
            let _ = (parse_rate(&text), parse_task_rate(&text), parse_duration(&text), parse_stall(&text), parse_budget(&text));
        }

        #[test]
        fn what_is_accepted_is_in_range(text in "[0-9.]{1,8}[a-zA-Z%]{0,3}") {
            if let Ok(rate) = parse_rate(&text) {
                prop_assert!((0.1..=1e6).contains(&rate));
            }
            if let Ok(duration) = parse_duration(&text) {
                prop_assert!(duration >= Duration::from_millis(10));
            }
        }
    }
}
