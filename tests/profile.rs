//! What a watch adds up to, on watches that are made up: no time is lost, none is counted twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod watches;

use std::collections::BTreeMap;

use asyncprof::model::event::{Phase, Source};
use asyncprof::model::snapshot::{TaskState, WaitKind};
use asyncprof::model::tables::{Tables, TaskNo};
use asyncprof::profile::{By, Folding, Iteration, Label, Naming, Profile, Threads, Weighted};
use proptest::prelude::*;
use watches::{MS, Watch};

fn names(weighted: &Weighted<'_>) -> String {
    let name = |label: &Label<'_>| match label {
        Label::Thread(name) => format!("thread:{}", name.unwrap_or("?")),
        Label::Task(name) => format!("task:{}", name.unwrap_or("?")),
        Label::Callback => "callback".into(),
        Label::Frame(frame) => frame.function.to_string(),
        Label::Torn => "<torn>".into(),
        Label::Await(kind) => format!("await:{}", kind.as_str()),
        Label::Ready => "<ready>".into(),
        Label::Idle => "<idle>".into(),
        Label::Unknown => "<unknown>".into(),
        Label::Other => "<other>".into(),
    };
    weighted.stack.iter().map(name).collect::<Vec<_>>().join(";")
}

/// Milliseconds by stack.
fn by_stack(profile: &Profile, by: By) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for weighted in profile.weights(by) {
        *sums.entry(names(&weighted)).or_default() += weighted.time_ns;
    }
    sums.into_iter().map(|(stack, time): (String, u64)| (stack, time / MS)).collect()
}

fn total(profile: &Profile, by: By) -> u64 {
    profile.weights(by).iter().map(|weighted| weighted.time_ns).sum()
}

fn expect(profile: &Profile, by: By, wanted: &[(&str, u64)]) {
    let wanted: BTreeMap<String, u64> = wanted.iter().map(|&(stack, time)| (stack.to_owned(), time)).collect();
    assert_eq!(by_stack(profile, by), wanted);
}

#[test]
fn a_loop_is_busy_for_the_samples_that_show_it_away() {
    let mut watch = Watch::new(Naming::Folded);
    let main = watch.task(0x10, "Task-1", "main");
    for at in 0..=100 {
        match at % 10 < 3 {
            true => watch.runs(at * MS, Some(main), &["main", "parse"]),
            false => watch.selects(at * MS),
        }
    }
    let event_loop = &watch.profile.loops()[0];
    assert_eq!((event_loop.samples, event_loop.gap_ns, event_loop.unknown_ns), (101, 0, 0));
    // The first sample and the last stand for half a period each.
    assert_eq!(event_loop.busy_ns, 30 * MS);
    assert_eq!(event_loop.selecting_ns, 70 * MS);
    assert_eq!(event_loop.busy_share(), Some(0.3));
    expect(&watch.profile, By::Run, &[("task:Task-*;main;parse", 30)]);
    assert_eq!(watch.profile.coroutines()[0].run_samples, 31);
}

#[test]
fn the_time_in_the_selector_counts_where_it_is_asked_for() {
    let mut watch = Watch::new(Folding { idle: true, ..Folding::default() });
    let main = watch.task(0x10, "Task-1", "main");
    for at in 0..=100 {
        match at % 10 < 3 {
            true => watch.runs(at * MS, Some(main), &["main"]),
            false => watch.selects(at * MS),
        }
    }
    expect(&watch.profile, By::Run, &[("task:Task-*;main", 30), ("<idle>", 70)]);
    expect(&watch.profile, By::Wall, &[("task:Task-*;main", 30), ("<idle>", 70)]);
    expect(&watch.profile, By::Await, &[]);
    let runs: Vec<String> = watch.profile.runs().iter().map(names).collect();
    assert_eq!(runs, ["main"], "to be idle is nothing that a loop runs");
    let idle = &watch.profile.weights(By::Run)[0];
    assert_eq!((names(idle), idle.count), ("<idle>".into(), 70), "as many as samples were in the selector");
}

/// The same in two loops, each with a task that runs for 10 ms; a third task never runs.
fn two_loops(threads: Threads) -> Watch {
    let mut watch = Watch::new(Folding { threads, idle: true, ..Folding::default() });
    let (one, two) = (watch.task(0x10, "work-1", "work"), watch.task(0x20, "work-2", "work"));
    let sleeper = watch.task(0x30, "sleeper", "rest");
    watch.look(0, |look| [one, two].into_iter().for_each(|task| look.is(task, TaskState::Ready)));
    for at in 0..=20 {
        for (thread, name, task) in [(4211, "MainThread", one), (4219, "Thread-7 (serve)", two)] {
            watch.thread = (thread, name.into());
            match (1..=10).contains(&at) {
                true => watch.runs(at * MS, Some(task), &["work"]),
                false => watch.selects(at * MS),
            }
        }
    }
    watch.thread = (4211, "MainThread".into());
    watch.runs(21 * MS, None, &["on_timer"]);
    watch.selects(22 * MS);
    watch.look(100 * MS, |look| {
        for task in [one, two] {
            look.waits(task, &["work"], WaitKind::Sleep, &[]);
        }
        look.waits(sleeper, &["rest"], WaitKind::Event, &[]);
    });
    watch.look(200 * MS, |look| [one, two, sleeper].into_iter().for_each(|task| look.ends(task)));
    watch
}

#[test]
fn threads_are_in_front_where_they_are_told_apart() {
    let watch = two_loops(Threads::Each);
    let runs = [
        ("thread:MainThread (4211);task:work-*;work", 10),
        ("thread:MainThread (4211);callback;on_timer", 1),
        ("thread:MainThread (4211);<idle>", 11),
        ("thread:Thread-7 (serve) (4219);task:work-*;work", 10),
        ("thread:Thread-7 (serve) (4219);<idle>", 10),
    ];
    expect(&watch.profile, By::Run, &runs);
    // A task waits in the thread that was seen to run it; of the one that never ran nobody knows.
    let waits = [
        ("thread:MainThread (4211);task:work-*;work;await:sleep", 100),
        ("thread:Thread-7 (serve) (4219);task:work-*;work;await:sleep", 100),
        ("thread:?;task:sleeper;rest;await:event", 50),
    ];
    expect(&watch.profile, By::Await, &waits);
    let runs: Vec<String> = watch.profile.runs().iter().map(names).collect();
    assert_eq!(runs, ["work", "on_timer"], "what runs does not depend on where");
}

#[test]
fn threads_of_two_processes_can_be_told_apart_by_their_names() {
    let watch = two_loops(Threads::Named);
    let stacks = by_stack(&watch.profile, By::Run);
    assert_eq!(stacks["thread:MainThread;task:work-*;work"], 10);
    assert_eq!(stacks["thread:Thread-* (serve);task:work-*;work"], 10);
    let merged = two_loops(Threads::Merged);
    assert_eq!(by_stack(&merged.profile, By::Run)["task:work-*;work"], 20);
    for by in [By::Run, By::Await, By::Wall] {
        assert_eq!(total(&watch.profile, by), total(&merged.profile, by), "no time is lost or made up");
    }
}

#[test]
fn where_one_thread_has_all_loops_it_has_the_tasks_that_none_was_seen_to_run() {
    let mut watch = Watch::new(Folding { threads: Threads::Each, ..Folding::default() });
    let sleeper = watch.task(0x30, "sleeper", "rest");
    watch.look(0, |look| look.waits(sleeper, &["rest"], WaitKind::Event, &[]));
    watch.selects(MS);
    watch.look(100 * MS, |look| look.waits(sleeper, &["rest"], WaitKind::Event, &[]));
    watch.look(120 * MS, |_| {});
    watch.runs(130 * MS, Some(sleeper), &["rest"]);
    watch.look(200 * MS, |look| look.ends(sleeper));
    let weights = watch.profile.weights(By::Await);
    assert_eq!(weights.len(), 1, "what was counted before it ran and after is one: {weights:?}");
    assert_eq!(names(&weights[0]), "thread:MainThread (4211);task:sleeper;rest;await:event");
}

#[test]
fn time_without_samples_is_nobodys() {
    let mut watch = Watch::new(Naming::Folded);
    for at in [0, 1, 2, 502, 503, 504] {
        watch.runs(at * MS, None, &["on_data"]);
    }
    let event_loop = &watch.profile.loops()[0];
    assert_eq!((event_loop.busy_ns, event_loop.gap_ns), (4 * MS, 500 * MS));
    expect(&watch.profile, By::Run, &[("callback;on_data", 4)]);
}

#[test]
fn a_loop_that_was_never_seen_running_has_no_busy_share() {
    let mut watch = Watch::new(Naming::Folded);
    watch.sample(0, Phase::Unknown, None, &[]);
    watch.sample(MS, Phase::Unknown, None, &[]);
    assert_eq!(watch.profile.loops()[0].busy_share(), None);
    assert_eq!(watch.profile.loops()[0].lag(), None);
}

#[test]
fn short_iterations_that_were_not_seen_count_in_the_percentiles() {
    let mut watch = Watch::new(Naming::Folded);
    watch.selects(0);
    let info = watch.tables.loops()[0].clone();
    // At one sample a millisecond, one of ten iterations of 0.1 ms is seen, and each of 50 ms.
    for _ in 0..30 {
        watch.profile.iteration(&info, Iteration { start_ns: 0, at_least_ns: MS / 10, at_most_ns: Some(MS / 10) });
    }
    for _ in 0..20 {
        watch.profile.iteration(&info, Iteration { start_ns: 0, at_least_ns: 49 * MS, at_most_ns: Some(51 * MS) });
    }
    watch.profile.iteration(&info, Iteration { start_ns: 0, at_least_ns: 300 * MS, at_most_ns: None });
    let lag = watch.profile.loops()[0].lag().unwrap();
    assert!(lag.p90_ns.abs_diff(MS / 10) < MS / 50, "{lag:?}");
    assert!(lag.p99_ns.abs_diff(50 * MS) < MS, "{lag:?}");
    assert_eq!(lag.max_ns, 300 * MS);
    assert_eq!(watch.profile.loops()[0].iterations, 51);
}

#[test]
fn a_run_stands_under_what_waits_for_it_and_a_wait_too() {
    let mut watch = Watch::new(Naming::Folded);
    let (main, child) = (watch.task(0x10, "main", "main"), watch.task(0x20, "child-1", "fetch"));
    watch.look(0, |look| {
        look.waits(main, &["main", "gather"], WaitKind::Gather, &[child]);
        look.waits(child, &["fetch", "read"], WaitKind::Socket, &[]);
    });
    watch.runs(10 * MS, Some(child), &["fetch", "decode"]);
    watch.runs(11 * MS, Some(child), &["fetch", "decode"]);
    watch.look(100 * MS, |look| look.ends(child));
    watch.profile.settle(150 * MS);
    expect(&watch.profile, By::Run, &[("task:main;main;gather;fetch;decode", 1)]);
    let waits = [("task:main;main;gather;await:gather", 150), ("task:main;main;gather;fetch;read;await:socket", 49)];
    expect(&watch.profile, By::Await, &waits);
    let coroutines = watch.profile.coroutines();
    assert_eq!((coroutines[1].ended, coroutines[1].lifetime_ns()), (1, 50 * MS));
    assert_eq!((coroutines[0].alive, coroutines[0].longest_wait_ns), (1, 100 * MS));
    assert_eq!(coroutines[0].longest_wait_task.as_deref(), Some("main"));
}

#[test]
fn a_task_that_two_wait_for_is_split_between_them() {
    let mut watch = Watch::new(Naming::Full);
    let (one, two) = (watch.task(0x10, "one", "one"), watch.task(0x20, "two", "two"));
    let shared = watch.task(0x30, "shared", "load");
    watch.look(0, |look| {
        look.waits(one, &["one"], WaitKind::Task, &[shared]);
        look.waits(two, &["two"], WaitKind::Task, &[shared]);
        look.waits(shared, &["load"], WaitKind::Sleep, &[]);
    });
    watch.profile.settle(100 * MS);
    let waits = [
        ("task:one;one;await:task", 100),
        ("task:two;two;await:task", 100),
        ("task:one;one;load;await:sleep", 50),
        ("task:two;two;load;await:sleep", 50),
    ];
    expect(&watch.profile, By::Await, &waits);
}

#[test]
fn tasks_that_wait_for_each_other_are_cut_where_the_circle_closes() {
    let mut watch = Watch::new(Naming::Full);
    let (one, two) = (watch.task(0x10, "one", "one"), watch.task(0x20, "two", "two"));
    watch.look(0, |look| {
        look.waits(one, &["one"], WaitKind::Task, &[two]);
        look.waits(two, &["two"], WaitKind::Task, &[one]);
    });
    watch.profile.settle(100 * MS);
    expect(&watch.profile, By::Wall, &[("task:two;two;one;await:task", 100), ("task:one;one;two;await:task", 100)]);
}

#[test]
fn a_task_that_comes_and_goes_between_two_looks_is_seen_by_what_it_ran() {
    let mut watch = Watch::new(Naming::Folded);
    watch.look(0, |_| {});
    let request = watch.task(0x40, "Task-7", "handle");
    watch.runs(10 * MS, Some(request), &["handle"]);
    watch.runs(11 * MS, Some(request), &["handle"]);
    watch.selects(12 * MS);
    for at in [100, 200, 300] {
        watch.look(at * MS, |_| {});
    }
    let coroutines = watch.profile.coroutines();
    assert_eq!((coroutines[0].seen, coroutines[0].ended, coroutines[0].alive), (1, 1, 0));
    assert_eq!(coroutines[0].lifetime_ns(), coroutines[0].run_ns);
}

#[test]
fn a_sample_that_is_told_after_the_task_has_ended_makes_no_second_task() {
    let mut watch = Watch::new(Naming::Folded);
    let main = watch.task(0x10, "Task-1", "main");
    watch.look(0, |look| look.waits(main, &["main"], WaitKind::Sleep, &[]));
    watch.look(100 * MS, |look| look.ends(main));
    watch.runs(20 * MS, Some(main), &["main", "late"]);
    watch.selects(21 * MS);
    let coroutines = watch.profile.coroutines();
    assert_eq!((coroutines[0].seen, coroutines[0].run_samples), (1, 1));
    assert_eq!(by_stack(&watch.profile, By::Run).keys().collect::<Vec<_>>(), ["task:Task-*;main;late"]);
}

#[test]
fn births_and_growth_are_counted_by_coroutine() {
    let mut watch = Watch::new(Naming::Folded);
    let mut next = 0;
    for second in 0..=60_u64 {
        let tasks: Vec<TaskNo> = (0..10)
            .map(|_| {
                next += 1;
                watch.task(next, &format!("job-{next}"), "job")
            })
            .collect();
        watch.look(second * 1_000 * MS, |look| {
            for task in &tasks {
                look.born(*task, second > 0);
                look.waits(*task, &["job"], WaitKind::QueueGet, &[]);
            }
        });
    }
    let job = &watch.profile.coroutines()[0];
    assert_eq!((job.seen, job.born, job.alive, job.most_alive), (610, 600, 610, 610));
    assert_eq!(job.growth_per_minute, Some(600.0));
}

#[test]
fn tables_that_begin_anew_change_nothing_but_numbers() {
    let mut watch = Watch::new(Naming::Folded);
    let (stays, goes) = (watch.task(0x10, "stays", "main"), watch.task(0x20, "goes", "other"));
    watch.look(0, |look| {
        look.waits(stays, &["main", "read"], WaitKind::Socket, &[]);
        look.waits(goes, &["other"], WaitKind::Sleep, &[]);
    });
    watch.tables = Tables::default();
    watch.profile.on_tables_reset(Source::Tasks);
    watch.profile.on_tables_reset(Source::Loops);
    let new = watch.task(0x30, "new", "other");
    let stays = watch.task(0x10, "stays", "main");
    watch.look(100 * MS, |look| {
        look.waits(new, &["other"], WaitKind::Sleep, &[]);
        look.waits(stays, &["main", "read"], WaitKind::Socket, &[]);
    });
    watch.profile.settle(200 * MS);
    let waits = [("task:stays;main;read;await:socket", 200), ("task:goes;other;await:sleep", 50)];
    let new = [("task:new;other;await:sleep", 100)];
    expect(&watch.profile, By::Await, &[&waits[..], &new[..]].concat());
}

#[test]
fn a_block_of_a_recording_ends_nobody_that_it_does_not_name() {
    let mut watch = Watch::new(Naming::Folded);
    let (still, moves) = (watch.task(0x10, "still", "main"), watch.task(0x20, "moves", "other"));
    watch.look(0, |look| {
        look.waits(still, &["main"], WaitKind::Socket, &[]);
        look.waits(moves, &["other"], WaitKind::Sleep, &[]);
    });
    watch.tables = Tables::default();
    watch.profile.on_tables_reset(Source::Tasks);
    let moves = watch.task(0x20, "moves", "other");
    watch.look_at(100 * MS, Some(2), |look| look.waits(moves, &["other"], WaitKind::Event, &[]));
    watch.profile.settle(200 * MS);
    assert!(watch.profile.coroutines().iter().all(|one| (one.seen, one.ended, one.alive) == (1, 0, 1)));
    let waits = [("task:still;main;await:socket", 200), ("task:moves;other;await:sleep", 50)];
    expect(&watch.profile, By::Await, &[&waits[..], &[("task:moves;other;await:event", 150)]].concat());
}

#[test]
fn who_waits_for_whom_is_told_by_coroutine() {
    let mut watch = Watch::new(Naming::Folded);
    let waiter = watch.task(0x10, "waiter", "main");
    let children: Vec<TaskNo> = (0..3).map(|number| watch.task(0x20 + number, "child", "child")).collect();
    watch.look(0, |look| {
        look.waits(waiter, &["main"], WaitKind::Gather, &children);
        children.iter().for_each(|child| look.waits(*child, &["child"], WaitKind::Sleep, &[]));
    });
    watch.profile.settle(100 * MS);
    let edges = watch.profile.await_edges();
    let told: Vec<_> = edges.iter().map(|edge| (edge.waiter, edge.awaited, edge.wait_ns / MS, edge.waits)).collect();
    let (main, child) = (watches::frame("main"), watches::frame("child"));
    assert_eq!(told, [(Some(&main), Some(&child), 100, 1)], "three children of one coroutine are one wait");
}

/// What a random program does between two looks.
#[derive(Clone, Debug)]
struct Step {
    /// Which task, whether it is there, what it waits for.
    tasks: Vec<(usize, u8, Vec<usize>)>,
    runs: Vec<usize>,
}

const TASKS: usize = 8;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..TASKS, 0..4_u8, prop::collection::vec(0..TASKS, 0..4));
    let step = (prop::collection::vec(change, 0..6), prop::collection::vec(0..TASKS, 0..20))
        .prop_map(|(tasks, runs)| Step { tasks, runs });
    prop::collection::vec(step, 1..12)
}

proptest! {
    #[test]
    fn no_time_is_lost_and_none_counted_twice_whoever_waits_for_whom(steps in steps(), apart: bool, idle: bool) {
        let threads = if apart { Threads::Each } else { Threads::Merged };
        let mut watch = Watch::new(Folding { naming: Naming::Full, threads, idle });
        let name = |task: usize| format!("task {}", char::from(b'a' + task as u8));
        let tasks: Vec<TaskNo> = (0..TASKS).map(|task| watch.task(16 + task as u64, &name(task), &name(task))).collect();
        let mut there = [false; TASKS];
        for (number, step) in steps.iter().enumerate() {
            let at = number as u64 * 100 * MS;
            let mut changed = [false; TASKS];
            watch.look(at, |look| {
                for (task, what, awaits) in &step.tasks {
                    if std::mem::replace(&mut changed[*task], true) {
                        continue;
                    }
                    let awaited: Vec<TaskNo> = awaits.iter().map(|&awaited| tasks[awaited]).collect();
                    match what {
                        0 if there[*task] => {
                            there[*task] = false;
                            look.ends(tasks[*task]);
                        }
                        0 => {}
                        1 => {
                            there[*task] = true;
                            look.is(tasks[*task], TaskState::Ready);
                        }
                        _ => {
                            there[*task] = true;
                            look.waits(tasks[*task], &["f"], WaitKind::Gather, &awaited);
                        }
                    }
                }
            });
            for (sample, &task) in step.runs.iter().enumerate() {
                let at = at + (sample as u64 + 1) * MS;
                if there[task] { watch.runs(at, Some(tasks[task]), &["f", "g"]) } else { watch.selects(at) }
            }
        }
        watch.profile.settle(steps.len() as u64 * 100 * MS);
        let profile = &watch.profile;
        let busy: u64 = profile.loops().iter().map(|event_loop| event_loop.busy_ns).sum();
        let selecting: u64 = profile.loops().iter().map(|event_loop| event_loop.selecting_ns).sum();
        let idle = if idle { selecting } else { 0 };
        prop_assert_eq!(total(profile, By::Run), busy + idle);
        let coroutines = profile.coroutines();
        prop_assert_eq!(coroutines.iter().map(|coroutine| coroutine.run_ns).sum::<u64>(), busy);
        prop_assert_eq!(total(profile, By::Await), coroutines.iter().map(|coroutine| coroutine.wait_ns).sum::<u64>());
        let lived: u64 = coroutines.iter().map(|coroutine| coroutine.lifetime_ns()).sum();
        prop_assert_eq!(total(profile, By::Wall), lived + idle);
        prop_assert_eq!(profile.waits().iter().map(|wait| wait.wait_ns).sum::<u64>(), total(profile, By::Await));
        prop_assert_eq!(profile.runs().iter().map(|run| run.time_ns).sum::<u64>(), busy);
    }
}

#[test]
fn the_walls_of_a_task_add_up_to_the_time_it_was_seen_to_live() {
    let mut watch = Watch::new(Naming::Full);
    let main = watch.task(0x10, "main", "main");
    watch.look(0, |look| look.waits(main, &["main"], WaitKind::Sleep, &[]));
    for at in 1..=40 {
        watch.runs(at * MS, Some(main), &["main", "work"]);
    }
    watch.selects(41 * MS);
    watch.look(100 * MS, |look| look.is(main, TaskState::Ready));
    watch.look(200 * MS, |look| look.waits(main, &["main", "read"], WaitKind::Socket, &[]));
    watch.look(300 * MS, |look| look.ends(main));
    assert_eq!(total(&watch.profile, By::Wall), 250 * MS);
    assert_eq!(watch.profile.coroutines()[0].lifetime_ns(), 250 * MS);
}

#[test]
fn a_watch_without_end_does_not_fill_the_memory_with_stacks() {
    let mut watch = Watch::new(Naming::Full);
    for number in 0..300_000_u64 {
        // A program that makes up a function for every call.
        let name = format!("f{number}");
        watch.runs(number * MS, None, &[&name]);
        if number % 10_000 == 0 {
            watch.tables = Tables::default();
            watch.profile.on_tables_reset(Source::Loops);
        }
    }
    let weights = watch.profile.weights(By::Run);
    assert!(weights.len() <= (1 << 18) + 2, "{}", weights.len());
    assert_eq!(names(&weights[0]), "callback;<other>");
    assert_eq!(total(&watch.profile, By::Run), watch.profile.loops()[0].busy_ns);
}

#[test]
fn a_wait_is_over_when_its_task_is_seen_to_run_though_every_look_shows_the_same() {
    let mut watch = Watch::new(Naming::Folded);
    let main = watch.task(0x10, "Task-1", "main");
    watch.look(0, |look| look.waits(main, &["main"], WaitKind::Sleep, &[]));
    for at in (100..=1_000).step_by(100) {
        if at == 700 {
            watch.runs(650 * MS, Some(main), &["main"]);
            watch.selects(651 * MS);
        }
        watch.look(at * MS, |_| {});
    }
    watch.profile.settle(1_000 * MS);
    // From the first look to the last one before it ran; after that only 700 to 1,000 ms.
    assert_eq!(watch.profile.coroutines()[0].longest_wait_ns, 600 * MS);
    assert_eq!(watch.profile.waits()[0].longest_ns, 600 * MS);
}

#[test]
fn a_process_that_is_stopped_is_neither_busy_nor_idle() {
    let mut watch = Watch::new(Naming::Folded);
    watch.selects(0);
    for at in 1..=100 {
        watch.is_stopped(at * MS);
    }
    let event_loop = &watch.profile.loops()[0];
    assert_eq!((event_loop.busy_ns, event_loop.unknown_ns), (0, 99 * MS + MS / 2));
    assert_eq!(total(&watch.profile, By::Run), 0);
}

#[test]
fn a_wait_that_looks_the_same_is_the_same_only_if_no_task_has_run_or_its_timer_is_the_same() {
    let mut watch = Watch::new(Naming::Folded);
    let (numbered, named) = (watch.task(0x10, "Task-1", "main"), watch.task(0x20, "GET /health", "job"));
    let timed = watch.task(0x30, "poller", "poll");
    watch.look(0, |look| {
        look.waits(numbered, &["main"], WaitKind::Task, &[named]);
        look.waits(named, &["job"], WaitKind::Event, &[]);
        look.waits(timed, &["poll"], WaitKind::Sleep, &[]);
    });
    watch.busy_look(100 * MS, &[(timed, 7)]);
    watch.busy_look(200 * MS, &[]);
    watch.busy_look(300 * MS, &[(timed, 8)]);
    watch.busy_look(400 * MS, &[]);
    watch.profile.settle(400 * MS);
    let coroutines = watch.profile.coroutines();
    let told: Vec<_> = coroutines.iter().map(|one| (one.longest_wait_ns, one.oldest_ns)).collect();
    // The numbered task is the same one, but what it awaits may be another task each time.
    assert_eq!(told, [(0, 400 * MS), (0, 0), (100 * MS, 100 * MS)]);
}
