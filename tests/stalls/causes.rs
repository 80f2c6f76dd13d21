//! One stream of samples for each cause.

use asyncprof::detect::stall::{Cause, Stall};
use asyncprof::model::event::{Doing, Gil, NoteKind, Phase};

use crate::builder::{MS, Watch, app, call, frame, lib};

/// A stall of 150 ms in a system call, under these frames.
fn blocked(name: &str, fd: Option<i32>, frames: &[asyncprof::model::snapshot::Frame]) -> Stall {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, frames, |watch, index, sample| {
        sample.gil = Gil::Free;
        // The kernel is looked at only after some time.
        if index >= 10 {
            sample.kernel = watch.look(call(name, fd));
        }
        sample.ready = Some(index as u32 / 50);
    });
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::BlockingCall, "{stall:#?}");
    stall
}

#[test]
fn a_sleep_is_a_blocking_call_with_its_task_stack_and_site() {
    let stall = blocked("clock_nanosleep", None, &[app("handle", 10)]);
    assert_eq!(stall.site, Some(app("handle", 10)));
    assert_eq!((stall.stack.as_slice(), stall.coroutines), ([app("handle", 10)].as_slice(), 1));
    assert_eq!(stall.task.as_ref().and_then(|task| task.name.as_deref()), Some("Task-1"));
    assert_eq!(stall.detail.as_deref(), Some("sleep: clock_nanosleep"));
    assert!(stall.advice.contains("asyncio.sleep()"), "{}", stall.advice);
    assert_eq!((stall.ready_waiting, stall.callbacks), (Some(2), Some(1)));
    assert_eq!((stall.evidence.samples, stall.evidence.in_call, stall.evidence.unclear), (150, 140, 10));
    assert_eq!((stall.at_least_ns, stall.at_most_ns, stall.ongoing), (149 * MS + MS / 2, Some(151 * MS), false));
}

#[test]
fn the_frames_above_a_system_call_tell_what_is_waited_for() {
    let requests = frame("get", "/v/lib/python3.12/site-packages/requests/api.py", 73);
    let stall = blocked("recvfrom", Some(7), &[app("fetch", 3), requests, lib("SSLSocket.read", "ssl.py", 1100)]);
    assert_eq!(stall.detail.as_deref(), Some("network: recvfrom on fd 7"));
    assert_eq!(stall.site, Some(app("fetch", 3)));
    assert!(stall.advice.contains("aiohttp"), "{}", stall.advice);

    let stall = blocked("poll", Some(9), &[app("resolve", 3), lib("getaddrinfo", "socket.py", 960)]);
    assert_eq!(stall.detail.as_deref(), Some("host name lookup: poll on fd 9"));
    assert!(stall.advice.contains("loop.getaddrinfo()"), "{}", stall.advice);

    let stall = blocked("poll", None, &[app("build", 3), lib("Popen.communicate", "subprocess.py", 1200)]);
    assert_eq!(stall.detail.as_deref(), Some("child process: poll"));
    assert!(stall.advice.contains("create_subprocess_exec"), "{}", stall.advice);

    let stall = blocked("futex", None, &[app("take", 3)]);
    assert_eq!(stall.detail.as_deref(), Some("thread lock: futex"));
    let stall = blocked("read", Some(5), &[app("load", 3)]);
    assert_eq!(stall.detail.as_deref(), Some("file or pipe: read on fd 5"));
    assert!(stall.advice.contains("asyncio.to_thread()"), "{}", stall.advice);
}

#[test]
fn python_code_that_runs_is_cpu_in_the_function_that_has_most_of_it() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(200, &[], |watch, index, sample| {
        // Each line of `crunch` has less than the one line of `other`.
        let inner = if index % 4 == 0 { app("other", 50) } else { app("crunch", 20 + index as u32 % 30) };
        sample.stack = watch.stack(&[app("handle", 10), inner]);
        sample.moved = true;
        watch.run_ns += MS;
        sample.kernel = watch.look(Doing::Running);
    });
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::Cpu, "{stall:#?}");
    assert_eq!(stall.site.as_ref().map(|site| &*site.function), Some("crunch"));
    assert!(stall.advice.contains("chunks"), "{}", stall.advice);
    assert_eq!((stall.evidence.running_moved, stall.evidence.starved_ns), (200, Some(0)));
}

#[test]
fn code_that_does_not_move_while_it_runs_is_native() {
    for (gil, detail, advice) in
        [(Gil::Own, "holding the GIL", "process pool"), (Gil::Free, "without the GIL", "asyncio.to_thread()")]
    {
        let mut watch = Watch::new();
        watch.idle(5);
        watch.iteration(130, &[app("handle", 10), app("digest", 4)], |watch, index, sample| {
            sample.gil = gil;
            sample.moved = index == 0;
            watch.run_ns += MS;
            sample.kernel = watch.look(Doing::Running);
        });
        let stall = watch.only_stall();
        assert_eq!((stall.cause, stall.detail.as_deref()), (Cause::Native, Some(detail)), "{stall:#?}");
        assert!(stall.advice.contains(advice), "{}", stall.advice);
        assert_eq!(stall.site, Some(app("digest", 4)));
    }
}

#[test]
fn a_few_samples_of_python_code_are_not_taken_for_native_code() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(160, &[app("handle", 10), app("crunch", 4)], |watch, index, sample| {
        sample.moved = index % 5 < 2;
        watch.run_ns += MS;
        sample.kernel = watch.look(Doing::Running);
    });
    let stall = watch.only_stall();
    // A loop of a few instructions is often found at the same one.
    assert!(stall.evidence.running_still > stall.evidence.running_moved, "{:?}", stall.evidence);
    assert_eq!((stall.cause, stall.detail), (Cause::Cpu, None));
}

#[test]
fn a_loop_that_cannot_leave_its_selector_waits_for_the_holder_of_the_gil() {
    let mut watch = Watch::new();
    watch.idle(5);
    let holder_stack = watch.tables.add_frames(&[lib("Thread.run", "threading.py", 900), app("hog", 77)]);
    watch.pass(MS);
    let came_ns = watch.at_ns;
    for _ in 0..140 {
        let mut sample = watch.idle_sample();
        sample.phase = Phase::LeavingSelector;
        sample.gil = Gil::Other(Some(4242));
        sample.holder_stack = holder_stack;
        watch.feed(&sample);
        watch.pass(MS);
    }
    // It got the GIL: what follows is the same stall.
    let since_ns = watch.at_ns - MS / 4;
    watch.next_callback();
    for _ in 0..10 {
        let sample = watch.away_sample(since_ns, &[app("handle", 10)]);
        watch.feed(&sample);
        watch.pass(MS);
    }
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::GilWait, "{stall:#?}");
    assert_eq!(stall.start_ns, came_ns);
    assert_eq!((stall.at_least_ns, stall.at_most_ns), (149 * MS, Some(152 * MS)));
    assert_eq!(stall.detail.as_deref(), Some("thread 4242 holds the GIL, in hog (/app/main.py:77)"));
    assert_eq!(stall.site, Some(app("hog", 77)));
    assert!(stall.advice.contains("process pool"), "{}", stall.advice);
    assert_eq!(stall.evidence.waiting_for_gil, 140);
}

#[test]
fn a_callback_that_lost_the_gil_waits_for_it() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(120, &[app("handle", 10)], |watch, index, sample| {
        sample.gil = Gil::Other(None);
        if index > 3 {
            sample.kernel = watch.look(Doing::WaitingForGil);
        }
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.detail.as_deref()), (Cause::GilWait, Some("another thread holds the GIL")));
    assert_eq!(stall.site, Some(app("handle", 10)));
}

#[test]
fn a_holder_of_the_gil_without_a_processor_is_not_to_blame() {
    // Of 120 ms, what the holder ran, per millisecond; whether the watch knows it; the cause.
    for (ran_ns, known, cause) in [
        (0, true, Cause::CpuStarved),
        (MS / 4, true, Cause::CpuStarved),
        (MS * 3 / 4, true, Cause::GilWait),
        (0, false, Cause::GilWait),
    ] {
        let mut watch = Watch::new();
        watch.idle(5);
        watch.iteration(120, &[app("handle", 10)], |watch, index, sample| {
            sample.gil = Gil::Other(Some(4242));
            watch.holder_run_ns = known.then_some(70 * MS + index * ran_ns);
            sample.kernel = watch.look(Doing::WaitingForGil).filter(|_| index % 5 == 0);
        });
        let stall = watch.only_stall();
        assert_eq!(stall.cause, cause, "{ran_ns}: {stall:#?}");
        let is_told = stall.detail.as_deref().is_some_and(|detail| detail.contains("whose holder was runnable"));
        assert_eq!(is_told, cause == Cause::CpuStarved, "{stall:#?}");
    }
}

#[test]
fn one_sample_where_many_were_due_names_no_cause() {
    let mut watch = Watch::new();
    watch.idle(5);
    let since_ns = watch.at_ns;
    watch.pass(160 * MS);
    watch.next_callback();
    let mut sample = watch.away_sample(since_ns, &[app("handle", 10)]);
    sample.gil = Gil::Other(Some(4242));
    sample.kernel = watch.look(Doing::WaitingForGil);
    watch.feed(&sample);
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.site), (Cause::Unknown, Some(app("handle", 10))));
}

#[test]
fn a_collection_is_named() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(300, &[app("handle", 10), app("allocate", 5)], |watch, index, sample| {
        sample.moved = index < 20;
        sample.collecting = index >= 20;
        watch.run_ns += MS;
        sample.kernel = watch.look(Doing::Running);
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.detail.as_deref()), (Cause::Gc, None), "{stall:#?}");
    assert!(stall.advice.contains("gc.freeze()"), "{}", stall.advice);
}

#[test]
fn a_thread_without_a_processor_is_starved_and_a_quota_is_named() {
    for throttled in [false, true] {
        let mut watch = Watch::new();
        watch.idle(5);
        watch.iteration(200, &[app("handle", 10)], |watch, index, sample| {
            // It runs for 20 ms of every 100, and the kernel counts a wait when it is over.
            match index % 100 {
                0 => {
                    watch.starved_ns += if index > 0 { 80 * MS } else { 0 };
                    watch.throttled_us += if throttled && index > 0 { 80_000 } else { 0 };
                }
                1..20 => watch.run_ns += MS,
                _ => {}
            }
            sample.moved = index % 100 < 20;
            sample.kernel = watch.look(Doing::Running);
        });
        let stall = watch.only_stall();
        assert_eq!(stall.cause, Cause::CpuStarved, "{stall:#?}");
        // 80 ms that are counted, and 80 ms that last.
        assert_eq!(stall.evidence.starved_ns, Some(160 * MS));
        assert_eq!(stall.detail.as_deref().is_some_and(|detail| detail.contains("quota")), throttled, "{stall:#?}");
        assert_eq!(stall.advice.contains("quota"), throttled);
    }
}

#[test]
fn a_starved_sampler_judges_by_the_clocks_of_the_kernel() {
    let mut watch = Watch::new();
    watch.idle(5);
    // An earlier iteration gives the clocks to compare with.
    watch.iteration(20, &[app("handle", 1)], |watch, _, sample| sample.kernel = watch.look(Doing::Running));
    watch.idle(100);
    for (starved_ns, cause) in [(150 * MS, Cause::CpuStarved), (0, Cause::Unknown)] {
        watch.alerts.clear();
        let since_ns = watch.at_ns;
        watch.pass(160 * MS);
        watch.run_ns += 5 * MS;
        watch.starved_ns += starved_ns;
        watch.next_callback();
        let mut sample = watch.away_sample(since_ns, &[app("handle", 10)]);
        sample.kernel = watch.look(Doing::Running);
        watch.feed(&sample);
        let stall = watch.only_stall();
        assert_eq!(stall.cause, cause, "{stall:#?}");
    }
}

#[test]
fn a_stopped_process_is_suspended_whether_the_kernel_or_a_note_says_so() {
    for by_note in [false, true] {
        let mut watch = Watch::new();
        watch.idle(5);
        watch.iteration(150, &[app("handle", 10)], |watch, index, sample| {
            let stopped = (20..145).contains(&index);
            match (by_note, index) {
                (true, 20) => watch.note(NoteKind::Stopped),
                (true, 145) => watch.note(NoteKind::Continued),
                _ => {}
            }
            let doing = if stopped && !by_note { Doing::Stopped } else { Doing::Running };
            sample.kernel = watch.look(doing);
        });
        let stall = watch.only_stall();
        assert_eq!(stall.cause, Cause::Suspended, "{stall:#?}");
        assert_eq!(stall.evidence.stopped, 125);
    }
}

#[test]
fn callbacks_that_are_short_but_many_have_a_commonest_site() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(160, &[], |watch, index, sample| {
        sample.callback = Some(watch.next_callback());
        let inner = if index % 3 == 0 { app("rare", 9) } else { app("often", 5) };
        sample.stack = watch.stack(&[inner]);
        sample.task = Some(watch.task(&format!("Task-{index}")));
        sample.ready = Some(1_000 - index as u32);
        sample.moved = true;
    });
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::ManyCallbacks, "{stall:#?}");
    assert_eq!((stall.callbacks, stall.task.clone()), (Some(160), None));
    assert_eq!(stall.site, Some(app("often", 5)));
    assert_eq!(stall.ready_waiting, Some(1_000));
    assert!(stall.advice.contains("Semaphore"), "{}", stall.advice);
}

#[test]
fn a_callback_that_takes_the_larger_part_is_to_blame_among_many() {
    let mut watch = Watch::new();
    watch.idle(5);
    let long = watch.task("long");
    watch.iteration(150, &[app("short", 9)], |watch, index, sample| {
        if (30..120).contains(&index) {
            let number = if index == 30 { watch.next_callback() } else { sample.callback.unwrap() };
            sample.callback = Some(number);
            sample.task = Some(long);
            sample.stack = watch.stack(&[app("nap", 5)]);
            sample.gil = Gil::Free;
            sample.kernel = watch.look(call("clock_nanosleep", None));
        } else {
            sample.callback = Some(watch.next_callback());
            sample.moved = true;
        }
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.site.clone()), (Cause::BlockingCall, Some(app("nap", 5))), "{stall:#?}");
    assert_eq!(stall.task.and_then(|task| task.name).as_deref(), Some("long"));
}

#[test]
fn samples_that_do_not_tell_give_an_unknown_cause_with_the_reason() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |_, _, sample| sample.gil = Gil::Unknown);
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::Unknown, "{stall:#?}");
    assert_eq!(stall.detail.as_deref(), Some("150 of 150 samples do not show what the thread was doing"));
    assert_eq!(stall.site, Some(app("handle", 10)));
}

#[test]
fn a_page_fault_is_a_blocking_call_without_a_call() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |watch, _, sample| sample.kernel = watch.look(Doing::Fault));
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::BlockingCall);
    assert!(stall.detail.is_some_and(|detail| detail.starts_with("page fault")));
}

#[test]
fn a_sleep_that_keeps_the_gil_is_native_code() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |watch, index, sample| {
        sample.kernel = if index % 3 == 0 { None } else { watch.look(call("clock_nanosleep", None)) };
    });
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::Native, "{stall:#?}");
    assert_eq!(stall.detail.as_deref(), Some("holding the GIL while sleeping in clock_nanosleep"));
    assert!(stall.advice.contains("process pool"));
}

#[test]
fn samples_between_two_looks_at_the_kernel_mean_what_the_looks_say() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |watch, index, sample| {
        sample.gil = Gil::Free;
        sample.moved = index == 0;
        sample.kernel = watch.look(call("read", Some(3))).filter(|_| index % 10 == 9);
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.evidence.in_call, stall.evidence.unclear), (Cause::BlockingCall, 141, 9));
}

#[test]
fn a_stop_that_only_some_looks_can_see_lasts_from_one_to_the_next() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(150, &[app("handle", 10)], |watch, index, sample| {
        let stopped = (10..140).contains(&index);
        sample.moved = !stopped;
        sample.kernel = watch.look(if !stopped {
            Doing::Running
        } else if index % 5 == 0 {
            Doing::Stopped
        } else {
            Doing::Fault
        });
        // Clocks and state are read together, each fifth time.
        if let Some(look) = sample.kernel.as_mut().filter(|_| index % 5 != 0) {
            (look.run_ns, look.starved_ns, look.throttled_us) = (None, None, None);
        }
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.evidence.stopped), (Cause::Suspended, 130), "{stall:#?}");
    assert_eq!(stall.evidence.starved_ns, Some(0));
}

#[test]
fn clocks_that_are_not_read_at_each_look_tell_all_the_same() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(203, &[app("handle", 10)], |watch, index, sample| {
        watch.run_ns += if index < 20 { MS } else { 0 };
        sample.kernel = watch.look(Doing::Running);
        if let Some(look) = sample.kernel.as_mut().filter(|_| index % 5 != 0) {
            (look.run_ns, look.starved_ns, look.throttled_us) = (None, None, None);
        }
    });
    let stall = watch.only_stall();
    assert_eq!(stall.cause, Cause::CpuStarved, "{stall:#?}");
    assert_eq!((stall.evidence.run_ns, stall.evidence.starved_ns), (Some(19 * MS), Some(180 * MS)));
}

#[test]
fn a_queue_that_gets_shorter_shows_callbacks_that_have_no_numbers() {
    let mut watch = Watch::new();
    watch.idle(5);
    watch.iteration(160, &[app("often", 5)], |_, index, sample| {
        (sample.task, sample.moved) = (None, true);
        sample.ready = Some(1_000 - 2 * index as u32);
    });
    let stall = watch.only_stall();
    assert_eq!((stall.cause, stall.callbacks), (Cause::ManyCallbacks, Some(319)), "{stall:#?}");
}
