//! Any schedule of iterations, sampled at any times: every long one that could be seen is reported once, with the truth
//! inside the interval, and nothing else is.

use asyncprof::detect::stall::{Alert, Stall};
use asyncprof::model::event::{Doing, Gil, LoopSample, Note, NoteKind, Phase};
use asyncprof::model::tables::{StackId, TaskNo};
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
                watch.detector.on_tables_reset(&old);
            }
            at += gap;
            watch.at_ns = at;
            let within = truth.iter().find(|(start, end)| (*start..*end).contains(&at));
            let sample = match within {
                // What the loop keeps is cut to its precision.
                Some((start, _)) => {
                    let since = start - start.checked_rem(precision).unwrap_or(0);
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

/// Numbers that are likely to be equal, near each other, or at the end of their range.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, (0..4u64).prop_map(|number| number * THRESHOLD), Just(u64::MAX), any::<u64>()]
}

fn sample() -> impl Strategy<Value = LoopSample> {
    let phases = [Phase::Selecting, Phase::Away, Phase::LeavingSelector, Phase::NotRunning, Phase::Unknown];
    let gils = [Gil::Free, Gil::Own, Gil::Other(Some(7)), Gil::Other(None), Gil::None, Gil::Unknown];
    let doings = [Doing::Running, Doing::WaitingForGil, Doing::Fault, Doing::Stopped, Doing::Unknown];
    let place = (prop::sample::select(phases.to_vec()), prop::option::of(number()), any::<u32>(), number());
    let ids = (prop::option::of(number()), prop::option::of(0..3u32), prop::option::of(0..6u32), any::<(u16, u16)>());
    let facts = (any::<[bool; 4]>(), prop::option::of(0..9u32), prop::sample::select(gils.to_vec()));
    let kernel = (prop::sample::select(doings.to_vec()), number(), number(), number());
    (place, ids, facts, prop::option::of(kernel)).prop_map(|(place, ids, facts, kernel)| {
        let mut watch = Watch::new();
        (watch.run_ns, watch.starved_ns) = (0, 0);
        let mut sample = watch.idle_sample();
        (sample.phase, sample.away_since_ns, sample.away_precision_ns, sample.at_ns) = place;
        sample.callback = ids.0;
        sample.task = ids.1.map(TaskNo);
        sample.stack = ids.2.map(StackId);
        sample.holder_stack = sample.stack;
        (sample.outer, sample.coroutines) = ids.3;
        [sample.torn, sample.moved, sample.collecting, _] = facts.0;
        (sample.ready, sample.gil) = (facts.1, facts.2);
        sample.kernel = kernel.and_then(|(doing, run, starved, throttled)| {
            let mut look = watch.look(doing)?;
            (look.run_ns, look.starved_ns, look.throttled_us) = (Some(run), Some(starved), Some(throttled));
            Some(look)
        });
        sample
    })
}

proptest! {
    #[test]
    fn no_stream_of_samples_is_too_strange(
        samples in prop::collection::vec((sample(), any::<bool>()), 1..60),
        in_order in any::<bool>(),
        threshold in number(),
    ) {
        let mut watch = Watch::new();
        watch.event_loop(1);
        watch.task("Task-1");
        watch.stack(&[app("f", 1), app("g", 2)]);
        let mut detector = asyncprof::detect::stall::StallDetector::new(threshold);
        let mut samples = samples;
        if in_order {
            samples.sort_by_key(|(sample, _)| sample.at_ns);
        }
        let kinds = [NoteKind::Stopped, NoteKind::Continued, NoteKind::Suspended, NoteKind::Exited];
        for (index, (sample, noted)) in samples.iter().enumerate() {
            let mut alerts = detector.sample(sample, &watch.tables);
            if *noted && index % 7 == 0 {
                let note = Note { at_ns: sample.at_ns, kind: kinds[index % kinds.len()], text: String::new() };
                alerts.extend(detector.note(&note, &watch.tables));
                detector.on_tables_reset(&watch.tables);
            }
            for stall in alerts.iter().map(Alert::stall) {
                prop_assert!(stall.at_least_ns >= threshold);
                prop_assert!(stall.at_most_ns.is_none_or(|most| most >= stall.at_least_ns));
                prop_assert!(stall.coroutines <= stall.stack.len());
            }
        }
        detector.finish(&watch.tables);
    }
}
