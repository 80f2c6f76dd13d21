//! What a self-test has shown, in sentences. It must not know any format.

use crate::detect::check::SelfTest;
use crate::render::label;
use crate::render::report::words::duration;

/// One sentence a line.
pub(super) fn lines(test: &SelfTest) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let (rate, low, high) = test.rate;
    let mut lines = vec![format!(
        "The same program against itself, {}: {}, {} (95 % interval {} to {}); {} could not tell.",
        label::counted(test.trials, "time"),
        label::counted(test.false_alarms, "false alarm"),
        percent(rate),
        percent(low),
        percent(high),
        label::count(test.inconclusive),
    )];
    lines.push(match test.smallest_effect.effect {
        Some(effect) => format!(
            "The smallest change that it can see: {:.0} % more processor time would have been found in {} of {}.",
            100.0 * effect,
            test.smallest_effect.found,
            label::count(test.trials),
        ),
        None => "Not even ten times the processor time would have been found: more runs are needed (--runs).".into(),
    });
    lines.push(match test.sure_stall_ns {
        Some(sure) => format!("A stall of {} or more was sure to be seen in every run.", duration(sure)),
        None => "From which length on a stall was sure to be seen is not known.".into(),
    });
    lines
}
