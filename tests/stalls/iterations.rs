//! What is one stall, what is none, and when it is told of.

use asyncprof::detect::stall::{Alert, Cause};
use asyncprof::model::event::{Doing, Gil, LoopSample, NoteKind, Phase};
use asyncprof::model::tables::Tables;

use crate::builder::{MS, Watch, app, call};

/// Alerts as a word and the length in whole milliseconds.
fn told(watch: &Watch) -> Vec<(&'static str, u64)> {
    (watch.alerts.iter())
        .map(|alert| match alert {
            Alert::Began(stall) => ("began", stall.at_least_ns / MS),
            Alert::Continues(stall) => ("continues", stall.at_least_ns / MS),
            Alert::Ended(stall) => ("ended", stall.at_least_ns / MS),
        })
        .collect()
}

#[test]
fn a_loop_that_is_busy_all_the_time_with_short_iterations_is_healthy() {
    let mut watch = Watch::new();
    for length in (1..400).map(|number| number % 90 + 1) {
        watch.iteration(length, &[app("handle", 10)], |_, _, _| ());
    }
    watch.idle(1);
    assert_eq!(told(&watch), []);
}

#[test]
fn a_sampler_that_is_late_invents_nothing_where_the_loop_says_since_when_it_is_away() {
    let mut watch = Watch::new();
    for _ in 0..20 {
        watch.idle(1);
        watch.pass(400 * MS);
        let sample = watch.away_sample(watch.at_ns - 3 * MS, &[app("handle", 10)]);
        watch.feed(&sample);
        watch.pass(400 * MS);
        let sample = watch.away_sample(watch.at_ns - 2 * MS, &[app("handle", 10)]);
        watch.feed(&sample);
    }
    assert_eq!(told(&watch), []);
}

#[test]
fn a_sample_that_took_long_to_read_bounds_a_stall_by_the_end_of_its_reading() {
    let mut watch = Watch::new();
    watch.idle(2);
    watch.iteration(150, &[app("handle", 10)], |_, _, _| {});
    let sample = LoopSample { away_precision_ns: 3_000_000, ..watch.idle_sample() };
    watch.feed(&sample);
    let stall = watch.only_stall();
    assert_eq!((stall.at_least_ns, stall.at_most_ns), (149 * MS + MS / 2, Some(153 * MS)));
}

#[test]
fn one_late_sample_is_enough_to_know_a_stall_by() {
    let mut watch = Watch::new();
    watch.idle(2);
    let since_ns = watch.at_ns + 10 * MS;
    watch.pass(160 * MS);
    let mut sample = watch.away_sample(since_ns, &[app("handle", 10)]);
    sample.gil = Gil::Free;
    sample.kernel = watch.look(call("clock_nanosleep", None));
    watch.feed(&sample);
    watch.pass(30 * MS);
    let stall = watch.only_stall();
    assert_eq!((stall.start_ns, stall.at_least_ns, stall.at_most_ns), (since_ns, 150 * MS, Some(181 * MS)));
    assert_eq!(stall.cause, Cause::BlockingCall);
}

#[test]
fn a_stall_is_told_of_at_the_threshold_and_at_each_doubling_until_it_ends() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(1_000, &[app("handle", 10)], |_, _, _| ());
    assert!(watch.alerts.iter().all(|alert| alert.stall().ongoing && alert.stall().at_most_ns.is_none()));
    watch.idle(2);
    let told = told(&watch);
    assert_eq!(told, [("began", 100), ("continues", 200), ("continues", 400), ("continues", 800), ("ended", 999)]);
}

#[test]
fn samples_that_skip_doublings_give_one_alert() {
    let mut watch = Watch::new();
    let since_ns = watch.at_ns;
    for age in [50, 150, 160, 900, 1_500, 1_599] {
        watch.at_ns = since_ns + age * MS;
        let sample = watch.away_sample(since_ns, &[]);
        watch.feed(&sample);
    }
    assert_eq!(told(&watch), [("began", 150), ("continues", 900)]);
    watch.at_ns = since_ns + 1_600 * MS;
    let sample = watch.away_sample(since_ns, &[]);
    watch.feed(&sample);
    assert_eq!(told(&watch).last(), Some(&("continues", 1_600)));
}

#[test]
fn a_stall_is_over_when_the_next_iteration_says_it_began() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |_, _, _| ());
    let next_ns = watch.at_ns + MS / 4;
    watch.pass(60 * MS);
    let sample = watch.away_sample(next_ns, &[app("handle", 10)]);
    watch.feed(&sample);
    let stall = watch.only_stall();
    assert_eq!(stall.at_most_ns, Some(next_ns - stall.start_ns));
}

#[test]
fn one_sample_can_end_a_stall_and_begin_another() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |_, _, _| ());
    let next_ns = watch.at_ns;
    watch.pass(130 * MS);
    let sample = watch.away_sample(next_ns, &[app("handle", 10)]);
    watch.feed(&sample);
    assert_eq!(told(&watch), [("began", 100), ("ended", 149), ("began", 130)]);
}

#[test]
fn a_stall_that_nobody_saw_the_end_of_is_ongoing() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |_, _, _| ());
    let stalls = watch.detector.finish(&watch.tables);
    assert_eq!(stalls.len(), 1);
    assert!(stalls[0].ongoing && stalls[0].at_most_ns.is_none());
    assert_eq!(watch.detector.finish(&watch.tables), []);
}

#[test]
fn a_process_that_exits_ends_its_stalls() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |_, _, _| ());
    watch.pass(20 * MS);
    watch.note(NoteKind::Exited);
    let stall = watch.ended()[0].clone();
    assert_eq!((stall.ongoing, stall.at_most_ns), (false, Some(watch.at_ns - stall.start_ns)));
    assert_eq!(watch.detector.finish(&watch.tables), []);
}

#[test]
fn loops_stall_each_for_itself() {
    let mut watch = Watch::new();
    let other = watch.event_loop(2);
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |watch, index, sample| {
        // The other loop works in short iterations, then stalls too.
        let since_ns = if index < 30 { watch.at_ns - MS / 3 } else { sample.at_ns - (index - 30) * MS };
        let of_other = LoopSample { event_loop: other, away_since_ns: Some(since_ns), ..sample.clone() };
        watch.feed(&of_other);
    });
    watch.idle(2);
    let idle = LoopSample { event_loop: other, ..watch.idle_sample() };
    watch.feed(&idle);
    let told: Vec<_> = watch.ended().iter().map(|stall| (stall.event_loop.key, stall.at_least_ns / MS)).collect();
    assert_eq!(told, [(1, 149), (2, 119)]);
}

#[test]
fn a_time_that_is_exact_to_the_millisecond_makes_the_length_an_interval() {
    let mut watch = Watch::new();
    watch.idle(5);
    let since_ns = watch.at_ns;
    for _ in 0..130 {
        watch.pass(MS);
        let sample = LoopSample { away_precision_ns: MS as u32, ..watch.away_sample(since_ns, &[]) };
        watch.feed(&sample);
    }
    let stall = watch.only_stall();
    assert_eq!((stall.at_least_ns, stall.at_most_ns), (129 * MS, Some(131 * MS)));
}

/// Samples of a loop that does not say since when it is away.
fn untimed(watch: &mut Watch, ms: u64, every: u64, change: impl Fn(u64, &mut LoopSample)) {
    for index in (0..ms).step_by(every as usize) {
        watch.pass(every * MS);
        let mut sample = LoopSample { away_since_ns: None, ..watch.away_sample(0, &[app("handle", 10)]) };
        change(index, &mut sample);
        watch.feed(&sample);
    }
}

#[test]
fn without_such_a_time_samples_of_one_callback_show_a_stall() {
    let mut watch = Watch::new();
    watch.idle(5);
    untimed(&mut watch, 150, 1, |_, _| ());
    let stall = watch.only_stall();
    assert_eq!((stall.at_least_ns, stall.at_most_ns), (149 * MS, Some(151 * MS)));
}

#[test]
fn without_such_a_time_the_steps_of_a_busy_loop_are_no_stall() {
    let mut watch = Watch::new();
    watch.idle(5);
    untimed(&mut watch, 400, 1, |index, sample| sample.callback = Some(index / 20));
    untimed(&mut watch, 400, 1, |_, sample| (sample.callback, sample.task) = (None, None));
    watch.idle(5);
    assert_eq!(told(&watch), []);
}

#[test]
fn without_such_a_time_a_gap_between_samples_ends_what_was_seen() {
    let mut watch = Watch::new();
    watch.idle(5);
    untimed(&mut watch, 90, 1, |_, _| ());
    watch.pass(50 * MS);
    untimed(&mut watch, 90, 1, |_, _| ());
    watch.idle(5);
    assert_eq!(told(&watch), []);
    // The governor lowered the rate: the same gap is none.
    watch.detector.set_rate(20.0);
    untimed(&mut watch, 300, 50, |_, _| ());
    assert_eq!(told(&watch).first(), Some(&("began", 100)));
}

#[test]
fn a_time_that_comes_late_makes_the_start_exact() {
    let mut watch = Watch::new();
    watch.idle(5);
    let since_ns = watch.at_ns + MS / 2;
    untimed(&mut watch, 50, 1, |_, _| ());
    for _ in 0..100 {
        watch.pass(MS);
        let sample = watch.away_sample(since_ns, &[]);
        watch.feed(&sample);
    }
    let stall = watch.only_stall();
    assert_eq!((stall.start_ns, stall.at_least_ns), (since_ns, 149 * MS + MS / 2));
}

#[test]
fn waits_for_the_gil_one_after_the_other_are_not_one_stall() {
    let mut watch = Watch::new();
    watch.idle(5);
    let leaving = |watch: &mut Watch, change: &dyn Fn(u64, &mut LoopSample)| {
        for index in 0..300 {
            watch.pass(MS);
            let mut sample = watch.idle_sample();
            (sample.phase, sample.gil) = (Phase::LeavingSelector, Gil::Other(Some(7)));
            change(index, &mut sample);
            watch.feed(&sample);
        }
        watch.idle(2);
    };
    leaving(&mut watch, &|index, sample| sample.moved = index % 50 == 0);
    leaving(&mut watch, &|index, sample| sample.callback = Some(index / 50));
    leaving(&mut watch, &|index, sample| {
        if index % 50 == 0 {
            (sample.phase, sample.away_since_ns) = (Phase::Away, Some(sample.at_ns - MS / 9));
        }
    });
    assert_eq!(told(&watch), []);
    leaving(&mut watch, &|_, _| ());
    assert_eq!(told(&watch), [("began", 100), ("continues", 200), ("ended", 299)]);
}

#[test]
fn a_time_before_a_sample_that_shows_the_loop_elsewhere_is_not_believed() {
    let mut watch = Watch::new();
    watch.idle(5);
    let stale_ns = watch.at_ns - 3 * MS;
    watch.idle(500);
    for _ in 0..120 {
        watch.pass(MS);
        let sample = watch.away_sample(stale_ns, &[app("handle", 10)]);
        watch.feed(&sample);
    }
    let stall = watch.only_stall();
    // What was seen counts.
    assert_eq!((stall.at_least_ns, stall.at_most_ns), (119 * MS, Some(121 * MS)));
    assert_eq!(stall.start_ns, watch.at_ns - 124 * MS);
}

/// Samples of a thread that waits for the GIL, and what it runs for in each millisecond.
fn wait_for_gil(watch: &mut Watch, ms: std::ops::Range<u64>, run_ns: u64) {
    for index in ms {
        watch.pass(MS);
        watch.run_ns += run_ns;
        let mut sample = watch.idle_sample();
        (sample.phase, sample.gil) = (Phase::LeavingSelector, Gil::Other(Some(7)));
        sample.kernel = watch.look(Doing::WaitingForGil).filter(|_| index % 5 == 0);
        watch.feed(&sample);
    }
}

#[test]
fn a_thread_that_ran_between_samples_has_not_waited_for_the_gil_all_the_time() {
    let mut watch = Watch::new();
    watch.idle(5);
    wait_for_gil(&mut watch, 0..500, MS / 50);
    watch.idle(5);
    assert_eq!(told(&watch), []);
    wait_for_gil(&mut watch, 0..150, MS / 200);
    watch.idle(1);
    assert_eq!(told(&watch), [("began", 100), ("ended", 149)]);
}

#[test]
fn a_callback_with_a_number_is_the_same_after_a_short_time_without_samples() {
    // The longest time without a sample, and what is told of 150 ms.
    for (gap_ms, is_one) in [(2, true), (18, true), (40, false)] {
        let mut watch = Watch::new();
        watch.idle(5);
        watch.next_callback();
        for at_ms in 0..150 {
            watch.pass(MS);
            let unseen = (70..70 + gap_ms).contains(&at_ms);
            let mut sample = watch.away_sample(0, &[app("reap", 10)]);
            (sample.away_since_ns, sample.task) = (None, None);
            if !unseen {
                watch.feed(&sample);
            }
        }
        watch.idle(1);
        let ended = told(&watch).iter().any(|(what, ms)| *what == "ended" && *ms == 149);
        assert_eq!(ended, is_one, "{gap_ms}: {:?}", told(&watch));
    }
}

#[test]
fn passages_of_the_selector_with_the_gil_are_not_one_iteration() {
    let mut watch = Watch::new();
    watch.idle(5);
    for _ in 0..300 {
        watch.pass(MS);
        let mut sample = watch.idle_sample();
        (sample.phase, sample.gil) = (Phase::LeavingSelector, Gil::Own);
        sample.kernel = watch.look(Doing::Running);
        watch.feed(&sample);
    }
    watch.idle(1);
    assert_eq!(told(&watch), []);
}

#[test]
fn a_gil_that_never_changed_hands_is_waited_for_all_the_time_whatever_the_kernel_has_counted() {
    let mut watch = Watch::new();
    watch.idle(5);
    for index in 0..150 {
        watch.pass(MS);
        // Interrupts on its processor count as its own time.
        watch.run_ns += if index == 70 { MS } else { MS / 200 };
        let mut sample = watch.idle_sample();
        (sample.phase, sample.gil, sample.callback) = (Phase::LeavingSelector, Gil::Other(Some(7)), Some(138));
        sample.kernel = watch.look(Doing::WaitingForGil).filter(|_| index % 5 == 0);
        watch.feed(&sample);
    }
    watch.idle(1);
    assert_eq!(told(&watch), [("began", 100), ("ended", 149)]);
}

#[test]
fn a_late_sampler_does_not_cut_a_wait_in_two_in_which_the_thread_hardly_ran() {
    let mut watch = Watch::new();
    watch.idle(5);
    wait_for_gil(&mut watch, 0..50, MS / 200);
    watch.pass(9 * MS);
    wait_for_gil(&mut watch, 60..120, MS / 200);
    watch.pass(400 * MS);
    wait_for_gil(&mut watch, 0..50, MS / 200);
    watch.idle(1);
    assert_eq!(told(&watch), [("began", 100), ("ended", 118)]);
}

#[test]
fn samples_that_know_nothing_neither_end_a_stall_nor_prolong_it() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(120, &[], |_, index, sample| {
        if index % 3 == 1 || index >= 110 {
            (sample.phase, sample.away_since_ns) = (Phase::Unknown, None);
        }
        if index % 10 == 5 {
            // Nor does one without a time where others have one.
            (sample.away_since_ns, sample.callback) = (None, None);
        }
    });
    let stall = watch.only_stall();
    assert_eq!(stall.at_least_ns, 108 * MS + MS / 2);
}

#[test]
fn a_stall_outlives_the_tables_of_its_samples() {
    let mut watch = Watch::new();
    watch.idle(5);
    let since_ns = watch.at_ns;
    for index in 0..200 {
        if index % 40 == 30 {
            let old = std::mem::take(&mut watch.tables);
            watch.detector.on_tables_reset(&old);
            // The same numbers mean something else now.
            watch.tables.add_frames(&[app("wrong", 1), app("wrong", 2), app("wrong", 3), app("wrong", 4)]);
        }
        watch.pass(MS);
        let inner = if index < 130 { app("early", 5) } else { app("late", 6) };
        let sample = watch.away_sample(since_ns, &[app("handle", 10), inner]);
        watch.feed(&sample);
    }
    let stall = watch.only_stall();
    assert_eq!(stall.at_least_ns, 200 * MS);
    assert_eq!(stall.stack, [app("handle", 10), app("early", 5)]);
    assert_eq!(stall.task.and_then(|task| task.name).as_deref(), Some("Task-1"));
}

#[test]
fn samples_out_of_order_or_of_undefined_loops_are_passed_over() {
    let mut watch = Watch::new();
    watch.idle(5);
    let late = LoopSample { at_ns: 1, ..watch.away_sample(0, &[]) };
    watch.feed(&late);
    let sample = watch.away_sample(0, &[]);
    assert_eq!(watch.detector.sample(&sample, &Tables::default()), []);
    assert_eq!(told(&watch), []);
}

#[test]
fn every_iteration_that_was_seen_is_handed_on_once_it_is_over() {
    let mut watch = Watch::new();
    watch.idle(2);
    watch.iteration(10, &[], |_, _, _| ());
    watch.iteration(120, &[], |_, _, _| ());
    assert_eq!(watch.detector.take_iterations().count(), 1);
    watch.idle(2);
    let iterations: Vec<_> = watch.detector.take_iterations().collect();
    assert_eq!(iterations.len(), 1);
    let (info, iteration) = &iterations[0];
    assert_eq!((info.key, iteration.exact_start), (1, true));
    assert_eq!((iteration.at_least_ns, iteration.at_most_ns), (119 * MS + MS / 2, Some(121 * MS)));
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let mut watch = Watch::new();
    for (at_ns, since_ns) in [(0, u64::MAX), (1, 0), (u64::MAX, 0), (u64::MAX, u64::MAX), (u64::MAX, 1)] {
        watch.at_ns = at_ns;
        let mut sample = watch.away_sample(since_ns, &[]);
        (sample.outer, sample.coroutines, sample.away_precision_ns) = (u16::MAX, u16::MAX, u32::MAX);
        watch.feed(&sample);
    }
    assert!(watch.detector.finish(&watch.tables).len() <= 1);
}
