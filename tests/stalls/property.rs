//! Any schedule of iterations, sampled at any times: every long one that could be seen is reported once, with the truth
//! inside the interval, and nothing else is.

use asyncprof::detect::stall::{Alert, Stall};
use asyncprof::snapshot::event::LoopSample;
use proptest::prelude::*;

use crate::builder::{MS, THRESHOLD, Watch, app};

const PERIOD: u64 = 10 * MS;

/// Time in the selector, then time away from it.
#[derive(Clone, Debug)]
struct Turn {
    selecting_ns: u64,
    away_ns: u64,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (prop_oneof![1..MS, 1..50 * MS], prop_oneof![1..5 * MS, 1..THRESHOLD, 1..3 * THRESHOLD])
        .prop_map(|(selecting_ns, away_ns)| Turn { selecting_ns, away_ns });
    prop::collection::vec(turn, 1..40)
}

/// Times between samples: mostly near the period, sometimes far off.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![4 => PERIOD / 2..PERIOD, 1 => 1..PERIOD, 1 => PERIOD..30 * PERIOD];
    prop::collection::vec(gap, 400)
}

proptest! {
    #[test]
    fn every_long_iteration_that_was_seen_late_is_reported_once_and_nothing_else(
        turns in turns(),
        gaps in gaps(),
        precision in prop_oneof![Just(0), Just(MS)],
        anew_every in 5..100_usize,
    ) {
        let mut watch = Watch::new();
        let mut truth = Vec::new();
        let mut now = watch.at_ns;
        for turn in &turns {
            let start = now + turn.selecting_ns;
            now = start + turn.away_ns;
            truth.push((start, now));
        }
        let mut samples = Vec::new();
        let mut at = watch.at_ns;
        for (index, gap) in gaps.iter().enumerate() {
            if index % anew_every == 0 {
                let old = std::mem::take(&mut watch.tables);
                watch.detector.tables_begin_anew(&old);
            }
            at += gap;
            watch.at_ns = at;
            let within = truth.iter().find(|(start, end)| (*start..*end).contains(&at));
            let sample = match within {
                // What the loop keeps is cut to its precision.
                Some((start, _)) => {
                    let since = if precision > 0 { start / precision * precision } else { *start };
                    LoopSample { away_precision_ns: precision as u32, ..watch.away_sample(since, &[app("f", 1)]) }
                }
                None => watch.idle_sample(),
            };
            watch.feed(&sample);
            samples.push(at);
        }
        let ongoing = watch.detector.finish(&watch.tables);
        let told: Vec<&Stall> = watch.ended().into_iter().chain(&ongoing).collect();

        let began = watch.alerts.iter().filter(|alert| matches!(alert, Alert::Began(_))).count();
        prop_assert_eq!(began, told.len());
        for stall in &told {
            prop_assert!(stall.at_least_ns >= THRESHOLD);
            let near = |(start, _): &&(u64, u64)| start.abs_diff(stall.start_ns) <= precision;
            let of: Vec<_> = truth.iter().filter(near).filter(|(start, end)| end - start >= THRESHOLD).collect();
            prop_assert_eq!(of.len(), 1, "no such iteration: {:?}", stall);
            let length = of[0].1 - of[0].0;
            prop_assert!(stall.at_least_ns <= length);
            prop_assert!(stall.at_most_ns.is_none_or(|most| length <= most));
            prop_assert_eq!(stall.ongoing, stall.at_most_ns.is_none());
        }
        for (start, end) in truth.iter().filter(|(start, end)| end - start > THRESHOLD + PERIOD + precision) {
            let seen = samples.iter().any(|at| (end - PERIOD..*end).contains(at));
            let reports = told.iter().filter(|stall| stall.start_ns.abs_diff(*start) <= precision).count();
            prop_assert!(reports <= 1);
            prop_assert!(!seen || reports == 1, "{start} to {end} was not reported");
        }
    }
}
