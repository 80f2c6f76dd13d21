//! Baselines of `asyncprof check`. What is read is written and read again as the same.

use asyncprof::render::check::{parse_baseline, write_baseline};

/// Runs the target.
pub fn run(input: &[u8]) {
    let Ok(baseline) = parse_baseline(input) else { return };
    let written = |baseline| {
        let mut out = Vec::new();
        write_baseline(baseline, &mut out).expect("writing to memory cannot fail");
        out
    };
    let first = written(&baseline);
    let again = parse_baseline(&first).expect("what was written can be read");
    assert!(written(&again) == first, "a baseline changes when it is read");
}
