//! The result of a self-test, in sentences.

use crate::detect::check::SelfTest;
use crate::render::label;
use crate::render::report::words::duration;

/// One sentence per line.
pub(super) fn lines(test: &SelfTest) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let (rate, low, high) = test.rate;
    let mut lines = vec![format!(
        "The program was compared with itself {}: {}, {} (95 % interval {} to {}); {} inconclusive.",
        label::counted(test.trials, "time"),
        label::counted(test.false_alarms, "false alarm"),
        percent(rate),
        percent(low),
        percent(high),
        label::count(test.inconclusive),
    )];
    lines.push(match test.smallest_effect.effect {
        Some(effect) => format!(
            "Smallest detectable change: {:.0} % more CPU time would have been found in {} of {}.",
            100.0 * effect,
            test.smallest_effect.found,
            label::count(test.trials),
        ),
        None => "Not even ten times the CPU time would have been found: use more runs (--runs).".into(),
    });
    lines.push(match test.sure_stall_ns {
        Some(sure) => format!("Stalls shorter than {} may have been missed.", duration(sure)),
        None => "The length of stalls that may have been missed is unknown.".into(),
    });
    lines
}
