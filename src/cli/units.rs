//! What people write for rates, durations and shares: `1khz`, `1.5s`, `5%`. Values out of range are refused with the range.
//! It must not know which option asks.

use std::time::Duration;

/// LIMIT: samples of a loop a second. Below one in ten seconds nothing can be judged; above a million a sample costs more
/// than the time there is for it.
const RATES: Limits = Limits { least: 0.1, most: 1e6, range: "0.1 to 1000000 a second (1000, 1khz, 100k)" };

/// LIMIT: looks at all tasks a second. One takes a millisecond and more where there are thousands.
const TASK_RATES: Limits = Limits { least: 0.01, most: 1e4, range: "0.01 to 10000 a second (10, 0.5)" };

/// LIMIT: how long to watch, seconds. Ten years are as good as for ever, and fit into every clock.
const DURATIONS: Limits =
    Limits { least: 0.01, most: 315_360_000.0, range: "10ms to 87600h (30, 250ms, 1.5s, 5m, 2h)" };

/// LIMIT: from how long on a loop is stalled, seconds. Under a millisecond every callback would be one.
const STALLS: Limits = Limits { least: 0.001, most: 3_600.0, range: "1ms to 1h (50ms, 1.5s)" };

/// LIMIT: percent of one core. Two threads sample and one listens: nothing above can be used.
const BUDGETS: Limits = Limits { least: 0.1, most: 400.0, range: "0.1% to 400% of one core (5%, 0.5%)" };

/// LIMIT: share of the time that a loop may be busy, percent.
const SHARES: Limits = Limits { least: 0.0, most: 100.0, range: "0% to 100% (80%)" };

/// LIMIT: tasks that may be more after a minute.
const GROWTHS: Limits = Limits { least: 0.0, most: 1e9, range: "0 or more a minute (10/min)" };

/// LIMIT: a change that is too small to matter, percent of what it was.
const EFFECTS: Limits = Limits { least: 0.1, most: 1_000.0, range: "0.1% to 1000% (10%)" };

/// What a value may be, and how that is said.
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

/// Samples a second: `1000`, `1khz`, `100k`, `2.5kHz`.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    parse_frequency(text, &RATES)
}

/// Looks at all tasks a second: `10`, `0.5`.
pub(super) fn parse_task_rate(text: &str) -> Result<f64, String> {
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
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => parse_seconds(text).ok_or_else(|| DURATIONS.unreadable())?,
    };
    DURATIONS.check(seconds).map(Duration::from_secs_f64)
}

/// From how long on a loop is stalled. Needs its unit: people mean milliseconds, and a bare number is seconds elsewhere.
pub(super) fn parse_stall(text: &str) -> Result<Duration, String> {
    if text.parse::<f64>().is_ok() {
        return Err(format!("of what? Say {text}ms or {text}s"));
    }
    STALLS.check(parse_seconds(text).ok_or_else(|| STALLS.unreadable())?).map(Duration::from_secs_f64)
}

/// Share of one core: `5%`, or `5` for the same.
pub(super) fn parse_budget(text: &str) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| BUDGETS.unreadable())?;
    if !matches!(unit, "" | "%") {
        return Err(BUDGETS.unreadable());
    }
    BUDGETS.check(number).map(|percent| percent / 100.0)
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

/// A number and what follows it. Digits and a point alone: `inf`, `nan` and `1e99` are nothing a person means.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// A part of the time: `80%`, or `80` for the same.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    parse_percent(text, &SHARES)
}

/// A part of what something was: `10%`, or `10` for the same.
pub(super) fn parse_effect(text: &str) -> Result<f64, String> {
    parse_percent(text, &EFFECTS)
}

fn parse_percent(text: &str, limits: &Limits) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| limits.unreadable())?;
    match unit {
        "" | "%" => Ok(limits.check(number)? / 100.0),
        _ => Err(limits.unreadable()),
    }
}

/// How many more in a minute: `10/min`, or `10` for the same.
pub(super) fn parse_growth(text: &str) -> Result<f64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| GROWTHS.unreadable())?;
    match unit {
        "" | "/min" | "/m" | "/minute" => GROWTHS.check(number),
        _ => Err(GROWTHS.unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [("1000", 1e3), ("1khz", 1e3), ("1 kHz", 1e3), ("100k", 1e5), ("0.5hz", 0.5), ("1mhz", 1e6)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "fast", "0", "-1", "2m", "1e3", "inf", "nan", "1000/m", "1.2.3"] {
            let message = parse_rate(text).unwrap_err();
            assert!(message.contains("0.1 to 1000000 a second"), "{text}: {message}");
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
        assert_eq!(parse_stall("100"), Err("of what? Say 100ms or 100s".into()));
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
