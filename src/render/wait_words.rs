//! Wording for the details of a wait, in every output.

use std::borrow::Cow;

use crate::model::wait::WaitDetail;

/// `30 s`, `3 of 5 done, timeout 5 s`, `fd 7`.
pub(super) fn detail(detail: &WaitDetail) -> Cow<'_, str> {
    match detail {
        WaitDetail::Delay(ns) => seconds(*ns).into(),
        WaitDetail::Done { done, total } => format!("{done} of {total} done").into(),
        WaitDetail::NotDone(count) => format!("{count} not done").into(),
        WaitDetail::Unfinished(count) => format!("{count} unfinished").into(),
        WaitDetail::Items { len, max: Some(max) } => format!("{len} of {max} items").into(),
        WaitDetail::Items { len, max: None } => format!("{len} items").into(),
        WaitDetail::Waiters(count) => format!("{count} waiting").into(),
        WaitDetail::Function(name) => name.as_ref().into(),
        WaitDetail::Job(state) => format!("job {state}").into(),
        WaitDetail::Descriptor(fd) => format!("fd {fd}").into(),
        WaitDetail::WriteBufferFull => "write buffer full".into(),
        WaitDetail::Process(pid) => format!("pid {pid}").into(),
        WaitDetail::QueueJoin => "Queue.join".into(),
        WaitDetail::Barrier => "Barrier".into(),
        WaitDetail::ServeForever => "Server.serve_forever".into(),
        WaitDetail::Timeout { ns, wait } => {
            let timeout = ns.map_or_else(|| "with a timeout".to_owned(), |ns| format!("timeout {}", seconds(ns)));
            match wait {
                Some(wait) => format!("{}, {timeout}", self::detail(wait)).into(),
                None => timeout.into(),
            }
        }
        WaitDetail::Words(words) => words.as_ref().into(),
    }
}

/// As Python prints the number passed by the program, if it is short; one that was computed has more digits than matter.
fn seconds(ns: u64) -> String {
    /// Below a second, this many digits after the zeros; above, milliseconds.
    const DIGITS: i32 = 3;
    // Most delays are whole, and are written faster so.
    if ns.is_multiple_of(1_000_000_000) {
        return format!("{} s", ns / 1_000_000_000);
    }
    let seconds = ns as f64 / 1e9;
    let zeros = -seconds.log10().floor() as i32;
    let scale = 10_f64.powi((zeros - 1).clamp(0, 9) + DIGITS);
    format!("{} s", (seconds * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_said_in_few_words() {
        let done = Some(WaitDetail::Done { done: 3, total: 5 });
        for (said, words) in [
            (WaitDetail::delay(30.0), "30 s"),
            (WaitDetail::delay(0.05), "0.05 s"),
            (WaitDetail::delay(59.999_999_712), "60 s"),
            (WaitDetail::delay(1.234_567_89), "1.235 s"),
            (WaitDetail::delay(0.000_123_456), "0.000123 s"),
            (WaitDetail::delay(0.0), "0 s"),
            (WaitDetail::with_timeout(done, Some(5.0)), "3 of 5 done, timeout 5 s"),
            (WaitDetail::with_timeout(None, Some(2.5)), "timeout 2.5 s"),
            (WaitDetail::with_timeout(None, Some(5.0)).and_then(|detail| detail.of_the_place()), "with a timeout"),
            (Some(WaitDetail::Items { len: 2, max: Some(2) }), "2 of 2 items"),
            (Some(WaitDetail::Items { len: 0, max: None }), "0 items"),
        ] {
            assert_eq!(said.as_ref().map(detail).as_deref(), Some(words));
        }
    }
}
