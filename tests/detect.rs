//! What each rule says of snapshots made by hand, and where it keeps silent.

mod samples;

use asyncprof::detect::check::SiteKind;
use asyncprof::detect::{RULES, judge, rules};
use asyncprof::model::Snapshot;
use asyncprof::model::snapshot::*;
use samples::Sample;

fn found(snapshot: &Snapshot, rule: &str) -> Vec<Finding> {
    judge(snapshot).into_iter().filter(|finding| finding.rule.as_str() == rule).collect()
}

fn messages(snapshot: &Snapshot, rule: &str) -> Vec<String> {
    found(snapshot, rule).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert!(judge(&samples::empty()).is_empty());
    assert!(judge(&samples::fan_in()).is_empty());
    assert!(judge(&samples::many(100)).is_empty());
}

#[test]
fn rules_have_distinct_kebab_case_names() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.info.id.as_str()).collect();
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn the_readme_lists_every_rule_as_the_registry_describes_it() {
    let readme = include_str!("../README.md");
    let header = "| rule | severity | what one snapshot shows | what only time can tell |\n|---|---|---|---|\n";
    let table = RULES.iter().map(|rule| {
        let severities: Vec<&str> = rule.info.severities.iter().map(|severity| severity.as_str()).collect();
        let (id, title, time) = (&rule.info.id, rule.info.title, rule.info.only_time_tells);
        format!("| `{id}` | {} | {title} | {time} |\n", severities.join(", "))
    });
    let expected = format!("{header}{}\n", table.collect::<String>());
    assert!(readme.contains(&expected), "the README's table of findings must be:\n{expected}");
}

#[test]
fn the_schemas_list_every_rule() {
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.info.id.as_str()).collect();
    let dump: serde_json::Value = serde_json::from_str(include_str!("dump.schema.json")).unwrap();
    assert_eq!(dump["$defs"]["finding"]["properties"]["rule"]["examples"], serde_json::json!(rules));
    let check: serde_json::Value = serde_json::from_str(include_str!("check.schema.json")).unwrap();
    let listed = &check["$defs"]["site"]["properties"]["kind"]["enum"];
    let mut listed: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|kind| kind.as_str()).collect();
    let mut kinds: Vec<&str> = SiteKind::all().map(SiteKind::as_str).collect();
    listed.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(listed, kinds);
}

#[test]
fn a_rule_reports_only_the_severities_that_it_lists() {
    for snapshot in [samples::small(), samples::fan_in(), samples::many(100)] {
        for finding in judge(&snapshot) {
            let info = rules::find(&finding.rule).unwrap();
            assert!(info.severities.contains(&finding.severity), "{finding:?}");
        }
    }
    assert!(RULES.iter().all(|rule| rule.info.severities.is_sorted_by(|a, b| a > b)));
}

#[test]
fn the_worst_comes_first() {
    let severities: Vec<Severity> = judge(&samples::small()).iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "{severities:?}");
    assert_eq!(severities.first(), Some(&Severity::Error));
}

#[test]
fn orphans_of_one_coroutine_are_one_finding() {
    let mut sample = Sample::new();
    for number in 0..5 {
        let task = sample.task(&format!("Task-{number}"), &[("refresh", 5)]);
        sample.edit(task).orphaned = Some(true);
    }
    let other = sample.task("other", &[("notify", 9)]);
    sample.edit(other).orphaned = Some(true);
    let unknown = sample.task("unknown", &[("refresh", 5)]);
    sample.edit(unknown).orphaned = None;
    assert_eq!(
        messages(&sample.0, "orphaned-task"),
        [
            "5 refresh tasks (/app/main.py) are still pending, but nothing awaits them and nothing but the event loop \
             references them: Task-0, Task-1, Task-2 and 2 more",
            "other (notify in /app/main.py) is still pending, but nothing awaits it and nothing but the event loop \
             references it",
        ]
    );
}

#[test]
fn a_failed_task_that_somebody_waits_for_is_not_forgotten() {
    let mut sample = Sample::new();
    let main = sample.task("main", &[("main", 1)]);
    let failed = sample.task("failed", &[]);
    sample.edit(failed).state = TaskState::Done;
    sample.edit(failed).unretrieved_exception = Some("ValueError: no".into());
    assert_eq!(
        messages(&sample.0, "exception-never-retrieved"),
        ["failed failed, and its exception was never retrieved: ValueError: no"]
    );
    sample.awaits(main, WaitKind::Gather, &[failed]);
    assert!(found(&sample.0, "exception-never-retrieved").is_empty());
}

#[test]
fn a_deadlock_through_locks_is_told_lock_by_lock() {
    let findings = found(&samples::cycle(), "await-cycle");
    let told: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "deadlock: Task-3 waits for a lock held by Task-5, which waits for a lock held by Task-3",
            "deadlock: a waits for b, which waits for c, which waits for a",
        ]
    );
    assert_eq!(findings[0].tasks, [TaskId(0), TaskId(1)]);
    assert_eq!(findings[0].evidence["stuck_behind"], 1);
}

#[test]
fn a_task_that_wants_its_own_lock_waits_for_itself() {
    let mut sample = Sample::new();
    let task = sample.task("again", &[("update", 1)]);
    sample.wants(task, WaitKind::Lock, &[task]);
    assert_eq!(messages(&sample.0, "await-cycle"), ["deadlock: again waits for a lock held by itself"]);
}

#[test]
fn a_circle_that_somebody_can_open_is_no_deadlock() {
    // The first holder of the semaphore is stuck behind it, the second only sleeps.
    let mut sample = Sample::new();
    let waiter = sample.task("waiter", &[]);
    let holder = sample.task("holder", &[]);
    let sleeper = sample.task("sleeper", &[]);
    sample.waits(sleeper, WaitKind::Sleep, None);
    sample.awaits(holder, WaitKind::Task, &[waiter]);
    sample.wants(waiter, WaitKind::Semaphore, &[holder, sleeper]);
    assert!(found(&sample.0, "await-cycle").is_empty());
    // Without the second it is one.
    sample.wants(waiter, WaitKind::Semaphore, &[holder]);
    assert_eq!(found(&sample.0, "await-cycle").len(), 1);
    // A condition may be notified by anybody.
    sample.wants(waiter, WaitKind::Condition, &[holder]);
    assert!(found(&sample.0, "await-cycle").is_empty());
    // And who is ready can go on, whatever it waited for.
    sample.wants(waiter, WaitKind::Lock, &[holder]);
    sample.edit(waiter).state = TaskState::Ready;
    assert!(found(&sample.0, "await-cycle").is_empty());
}

#[test]
fn a_blocking_call_names_the_programs_own_frame() {
    let mut sample = Sample::new();
    let task = sample.task("Task-7", &[("handle", 20), ("load", 31)]);
    let library = sample.frame("get", "/venv/lib/python3.12/site-packages/requests/api.py", 73);
    let python = sample.frame("SSLSocket.read", "/usr/lib/python3.12/ssl.py", 1100);
    sample.edit(task).stack.extend([library, python]);
    sample.runs(task, ThreadState::Syscall("recvfrom".into()));
    let findings = found(&sample.0, "blocking-call");
    assert_eq!(
        findings[0].message,
        "Task-7 blocks the event loop in load (/app/main.py:31): its thread is waiting for the network (recvfrom)"
    );
    assert_eq!(findings[0].evidence["innermost"], "SSLSocket.read (/usr/lib/python3.12/ssl.py:1100)");
    assert!(findings[0].advice.contains("async client"));

    for state in [ThreadState::Running, ThreadState::WaitingGil, ThreadState::Idle, ThreadState::Unknown] {
        sample.0.threads[0].state = state.clone();
        assert!(found(&sample.0, "blocking-call").is_empty(), "{state:?}");
    }
}

#[test]
fn a_loop_asleep_outside_a_task_is_blocked_by_a_callback_unless_it_polls() {
    let mut sample = Sample::new();
    sample.0.threads[0].state = ThreadState::Syscall("clock_nanosleep".into());
    assert_eq!(
        messages(&sample.0, "blocking-call"),
        ["a callback blocks the event loop: its thread is sleeping (clock_nanosleep)"]
    );
    sample.0.threads[0].state = ThreadState::Syscall("epoll_wait".into());
    assert!(found(&sample.0, "blocking-call").is_empty());
    sample.0.threads[0].state = ThreadState::Syscall("clock_nanosleep".into());
    sample.0.loops[0].running = None;
    assert!(found(&sample.0, "blocking-call").is_empty(), "nobody knows whether the loop runs");
}

#[test]
fn a_blocking_call_is_told_only_of_a_loop_that_was_shown_to_be_in_a_callback() {
    let mut sample = Sample::new();
    let task = sample.task("Task-7", &[("handle", 20)]);
    sample.runs(task, ThreadState::Syscall("clock_nanosleep".into()));
    use LoopPosition::{Iteration, Native, NotRunning, Parked, Selector, Unknown};
    for position in [Selector, Iteration, Native, Parked, NotRunning, Unknown] {
        sample.0.loops[0].position = position;
        assert!(found(&sample.0, "blocking-call").is_empty(), "{position:?}");
    }
    sample.0.loops[0].position = LoopPosition::Interrupted;
    assert_eq!(
        messages(&sample.0, "blocking-call"),
        [
            "code that interrupted the selector, such as a signal handler, blocks the event loop: its thread is sleeping \
         (clock_nanosleep)"
        ]
    );
}

#[test]
fn a_process_of_one_thread_waits_for_no_other_thread() {
    let mut sample = Sample::new();
    let task = sample.task("Task-7", &[("handle", 20)]);
    sample.runs(task, ThreadState::Syscall("futex".into()));
    assert!(messages(&sample.0, "blocking-call")[0].contains("thread lock"));
    sample.0.kernel_threads = 1;
    let findings = found(&sample.0, "blocking-call");
    assert!(findings[0].message.ends_with("waiting for a lock that nothing else in this process can release (futex)"));
    assert!(!findings[0].advice.contains("other threads"), "{}", findings[0].advice);
}

#[test]
fn gil_contention_names_the_holder_only_where_it_was_shown() {
    let mut sample = Sample(samples::small());
    sample.0.threads[0].state = ThreadState::WaitingGil;
    assert_eq!(messages(&sample.0, "gil-contention"), ["the event loop waits for the GIL"]);
    sample.0.threads[0].waits_behind = Some(1);
    assert_eq!(
        messages(&sample.0, "gil-contention"),
        ["the event loop waits for the GIL, which thread asyncio_0 holds in load_report (/app/report.py:9)"]
    );
    sample.0.threads[1].stack_end = Some("torn".into());
    assert_eq!(
        messages(&sample.0, "gil-contention"),
        ["the event loop waits for the GIL, which thread asyncio_0 holds"],
        "the innermost frame is not known"
    );
    assert!(found(&sample.0, "blocking-call").is_empty());
}

#[test]
fn of_a_stopped_process_nothing_is_said_that_only_an_instant_shows() {
    let mut snapshot = samples::small();
    snapshot.halt = Some(Halt::JobControl);
    assert!(snapshot.loops[0].ready.is_some_and(|ready| ready > 100));
    let of_instant =
        |finding: &Finding| rules::find(&finding.rule).is_some_and(|info| info.scope == rules::Scope::Instant);
    assert!(!judge(&snapshot).iter().any(of_instant), "{:?}", judge(&snapshot));
    assert_eq!(
        messages(&snapshot, "process-stopped"),
        ["the process is stopped by a signal: none of its threads runs, and no event loop gets on"]
    );
    snapshot.forget_halt();
    assert!(found(&snapshot, "process-stopped").is_empty());
    assert!(snapshot.threads.iter().all(|thread| thread.state == ThreadState::Unknown));
}

#[test]
fn a_ready_queue_is_a_backlog_only_behind_a_running_task() {
    let mut sample = Sample::new();
    sample.0.loops[0].ready = Some(5_000);
    assert!(found(&sample.0, "ready-queue-backlog").is_empty());
    let task = sample.task("busy", &[("crunch", 3)]);
    sample.runs(task, ThreadState::Running);
    sample.0.loops[0].ready = Some(5_000);
    let findings = found(&sample.0, "ready-queue-backlog");
    assert_eq!(findings[0].severity, Severity::Warning);
    assert_eq!(findings[0].message, "5000 callbacks are queued while busy runs in crunch (/app/main.py:3)");
    sample.0.loops[0].ready = Some(100);
    assert_eq!(found(&sample.0, "ready-queue-backlog")[0].severity, Severity::Info);
    sample.0.loops[0].ready = None;
    assert!(found(&sample.0, "ready-queue-backlog").is_empty(), "unknown is not many");
}

#[test]
fn doubts_about_the_reading_are_findings_too() {
    let mut snapshot = samples::empty();
    snapshot.python.tested = false;
    snapshot.python.version = "3.15.2".into();
    snapshot.python.free_threaded = true;
    snapshot.consistent = false;
    assert_eq!(
        judge(&snapshot).into_iter().map(|finding| finding.message).collect::<Vec<_>>(),
        [
            "asyncprof was not tested on CPython 3.15.2 (free-threaded): the output may be wrong",
            "the snapshot could not be proved to be of one moment",
        ]
    );
}

/// A task that waits for a lock, semaphore or queue of which nothing is left.
fn lacks(sample: &mut Sample, id: TaskId, kind: WaitKind, held_by: &[TaskId], resource: Resource) {
    sample.wants(id, kind, held_by);
    if let Some(awaiting) = &mut sample.edit(id).awaiting {
        awaiting.resource = Some(resource);
    }
}

/// The task was seen to move after it was read.
fn moves(sample: &mut Sample, id: TaskId) {
    sample.edit(id).awaiting.as_mut().expect("it waits").has_moved = true;
}

fn used_up(key: u64, bound: Option<u64>) -> Resource {
    Resource { key, free: Some(0), bound, pool: None, is_abandoned: false, still_ms: None }
}

#[test]
fn a_lock_that_nobody_alive_holds_is_told_only_if_that_was_proved() {
    let mut sample = Sample::new();
    let tasks = ["a", "b"].map(|name| sample.task(name, &[("use", 3)]));
    for task in tasks {
        lacks(&mut sample, task, WaitKind::Lock, &[], used_up(1, Some(1)));
    }
    assert!(found(&sample.0, "lock-holder-ended").is_empty(), "holders that are not seen are not gone");
    let abandoned = Resource { is_abandoned: true, still_ms: Some(300), ..used_up(1, Some(1)) };
    for task in tasks {
        lacks(&mut sample, task, WaitKind::Lock, &[], abandoned);
    }
    let findings = found(&sample.0, "lock-holder-ended");
    assert_eq!(findings.len(), 1, "one for each lock");
    assert_eq!((findings[0].severity, &findings[0].tasks[..]), (Severity::Warning, &tasks[..]));
    assert!(
        findings[0].message.starts_with("2 tasks (a and b) wait for a lock that is taken"),
        "{}",
        findings[0].message
    );
    for task in tasks {
        lacks(&mut sample, task, WaitKind::Lock, &[], Resource { still_ms: None, ..abandoned });
    }
    assert_eq!(found(&sample.0, "lock-holder-ended")[0].severity, Severity::Info, "it may have moved");
}

#[test]
fn a_loop_that_sleeps_beside_a_ready_callback_was_not_woken() {
    let mut sample = Sample::new();
    sample.0.loops[0].ready = Some(1);
    assert!(found(&sample.0, "missed-wakeup").is_empty(), "it may be about to wake");
    sample.0.loops[0].asleep_beside_ready_ms = Some(300);
    assert_eq!(
        messages(&sample.0, "missed-wakeup"),
        [
            "missed wakeup: a callback is ready, but the event loop of thread 4211 sleeps in its selector (for 300 ms while it was \
          watched): another thread, or a signal handler, made it ready without call_soon_threadsafe()"
        ]
    );
}

#[test]
fn a_lock_held_across_a_wait_is_a_warning_only_if_nothing_moves() {
    let mut sample = Sample::new();
    let holder = sample.task("refresh", &[("refresh", 7)]);
    sample.waits(holder, WaitKind::Event, None);
    let waiting = sample.task("handler", &[("handle", 9)]);
    lacks(&mut sample, waiting, WaitKind::Lock, &[holder], used_up(1, Some(1)));
    assert_eq!(found(&sample.0, "lock-convoy")[0].severity, Severity::Info);
    let still = Resource { still_ms: Some(300), ..used_up(1, Some(1)) };
    lacks(&mut sample, waiting, WaitKind::Lock, &[holder], still);
    assert_eq!(found(&sample.0, "lock-convoy")[0].severity, Severity::Warning);
    assert_eq!(
        messages(&sample.0, "lock-convoy"),
        [
            "1 task waits for a lock (handler) held by refresh, which waits for an event at refresh (/app/main.py:7); nothing moved for 300 ms"
        ]
    );
    // A timer ends by itself.
    sample.waits(holder, WaitKind::Sleep, None);
    assert_eq!(found(&sample.0, "lock-convoy")[0].severity, Severity::Info);
    sample.wants(holder, WaitKind::Lock, &[holder]);
    assert!(found(&sample.0, "lock-convoy").is_empty(), "the deadlock is told instead");
}

#[test]
fn a_full_queue_is_mentioned_unless_its_consumer_comes() {
    let mut sample = Sample::new();
    let producer = sample.task("producer", &[("produce", 5)]);
    lacks(&mut sample, producer, WaitKind::QueuePut, &[], used_up(1, Some(50)));
    assert_eq!(found(&sample.0, "queue-full").len(), 1);
    moves(&mut sample, producer);
    assert!(found(&sample.0, "queue-full").is_empty(), "the producer goes on");
    lacks(&mut sample, producer, WaitKind::QueuePut, &[], Resource { still_ms: Some(300), ..used_up(1, Some(50)) });
    assert_eq!(found(&sample.0, "queue-full")[0].severity, Severity::Info);
    let consumer = sample.task("consumer", &[("consume", 8)]);
    lacks(&mut sample, consumer, WaitKind::QueueGet, &[], used_up(1, Some(50)));
    assert!(found(&sample.0, "queue-full").is_empty(), "the consumer is being woken");
}

#[test]
fn permits_are_used_up_only_where_their_holders_are_seen() {
    let mut sample = Sample::new();
    let waiting = sample.task("late", &[("query", 3)]);
    lacks(&mut sample, waiting, WaitKind::Semaphore, &[], used_up(1, None));
    assert!(found(&sample.0, "pool-exhausted").is_empty(), "a semaphore may stand for something else");
    let holder = sample.task("early", &[("query", 4)]);
    lacks(&mut sample, waiting, WaitKind::Semaphore, &[holder], Resource { still_ms: Some(300), ..used_up(1, None) });
    // What the holder waits for is a reply, for all that is known.
    assert_eq!(found(&sample.0, "pool-exhausted")[0].severity, Severity::Info);
    assert_eq!(
        messages(&sample.0, "pool-exhausted"),
        ["no permit of a semaphore is left: held by early; 1 task waits for one; nothing moved for 300 ms"]
    );
}

#[test]
fn permits_of_holders_that_are_not_seen_may_come_free() {
    let mut sample = Sample::new();
    let ids = ["a", "b"].map(|name| sample.task(name, &[("use", 3)]));
    lacks(&mut sample, ids[0], WaitKind::Semaphore, &ids, used_up(1, Some(2)));
    lacks(&mut sample, ids[1], WaitKind::Semaphore, &ids, used_up(1, Some(2)));
    assert_eq!(found(&sample.0, "await-cycle").len(), 1);
    for id in ids {
        lacks(&mut sample, id, WaitKind::Semaphore, &ids, used_up(1, Some(3)));
    }
    assert!(found(&sample.0, "await-cycle").is_empty(), "the third permit is somebody's");
    let mut sample = Sample::new();
    let (id, sleeper) = (sample.task("a", &[("use", 3)]), sample.task("b", &[("use", 3)]));
    lacks(&mut sample, id, WaitKind::Semaphore, &[id], used_up(1, None));
    assert!(found(&sample.0, "await-cycle").is_empty(), "there may be others");
    lacks(&mut sample, id, WaitKind::Semaphore, &[sleeper], used_up(1, Some(3)));
    assert!(
        messages(&sample.0, "pool-exhausted")[0]
            .starts_with("3 of 3 permits of a semaphore or limiter are taken: held, among others, by b;")
    );
}

#[test]
fn a_lock_whose_holder_moves_says_nothing() {
    let mut sample = Sample::new();
    let holder = sample.task("refresh", &[("refresh", 7)]);
    let waiting = sample.task("handler", &[("handle", 9)]);
    sample.waits(holder, WaitKind::Event, None);
    lacks(&mut sample, waiting, WaitKind::Lock, &[holder], used_up(1, Some(1)));
    assert_eq!(found(&sample.0, "lock-convoy").len(), 1);
    moves(&mut sample, waiting);
    assert!(found(&sample.0, "lock-convoy").is_empty(), "they were read at different moments");
}

/// A thread in `result()`, called at line 12.
fn add_result(sample: &mut Sample, of: ResultOf) {
    let caller = sample.frame("handle", "/app/main.py", 12);
    let result = sample.frame("Future.result", "/usr/lib/python3.12/concurrent/futures/_base.py", 451);
    sample.0.threads[0].stack = vec![caller, result];
    sample.0.results.push(ResultWait { thread: 0, outside: 1, timeout_ns: None, of });
}

#[test]
fn a_loop_that_waits_for_its_own_coroutine_is_a_deadlock() {
    let coroutine = |event_loop, is_running| ResultOf::Coroutine {
        function: Some(("send".into(), "/app/main.py".into())),
        event_loop,
        is_running,
    };
    let mut sample = Sample::new();
    sample.0.threads[0].state = ThreadState::Syscall("futex".into());
    add_result(&mut sample, coroutine(Some(LoopId(0)), Some(true)));
    assert_eq!(
        messages(&sample.0, "thread-deadlock"),
        [
            "deadlock: thread MainThread blocks in handle (/app/main.py:12) until it has the result of send, which its event loop \
          has not started, which can only go on after thread MainThread"
        ]
    );
    assert!(found(&sample.0, "blocking-call").is_empty(), "told once");
    for other in [coroutine(None, None), ResultOf::Unknown, ResultOf::Running(0)] {
        sample.0.results[0].of = other.clone();
        let is_own = other == ResultOf::Running(0);
        assert_eq!(found(&sample.0, "thread-deadlock").is_empty(), !is_own, "{other:?}");
    }
    sample.0.results[0].of = coroutine(None, Some(false));
    assert!(
        messages(&sample.0, "loop-not-running")[0].contains("send (/app/main.py), which was given to an event loop")
    );
    sample.0.results[0].of = coroutine(None, None);
    assert!(found(&sample.0, "loop-not-running").is_empty(), "unknown is not stopped");
}

#[test]
fn a_pool_deadlocks_only_when_all_of_its_workers_wait_for_it() {
    let mut sample = Sample::new();
    sample.0.threads.push(Thread { native_id: Some(4212), ..sample.0.threads[0].clone() });
    add_result(&mut sample, ResultOf::Queued(0));
    sample.0.loops.clear();
    let job = Job { thread: 0, outside: 0, function: Some("view".into()) };
    sample.0.pools.push(Pool {
        key: 1,
        name: Some("dbpool".into()),
        workers: Some(1),
        running: vec![job.clone()],
        queued: Some(1),
        queued_functions: vec![("write".into(), 1)],
        oldest: Some("write".into()),
        shut_down_by: Vec::new(),
        still_ms: None,
    });
    assert_eq!(found(&sample.0, "thread-deadlock").len(), 1);
    sample.0.pools[0].still_ms = Some(300);
    assert!(found(&sample.0, "pool-exhausted").is_empty(), "the deadlock is told instead");
    sample.0.pools[0].workers = Some(2);
    assert!(found(&sample.0, "thread-deadlock").is_empty(), "another worker may be started");
    assert!(found(&sample.0, "pool-exhausted").is_empty(), "and takes the job");
    sample.0.pools[0].running.push(Job { thread: 1, ..job });
    assert!(found(&sample.0, "thread-deadlock").is_empty(), "the other worker does not wait");
    assert_eq!(found(&sample.0, "pool-exhausted")[0].severity, Severity::Warning);
}

#[test]
fn an_orphan_that_a_library_starts_on_purpose_is_only_mentioned() {
    let mut sample = Sample::new();
    let task = sample.task("Task-2", &[]);
    let file = "/v/lib/python3.12/site-packages/uvicorn/lifespan/on.py";
    let frame = sample.frame("LifespanOn.main", file, 86);
    sample.edit(task).stack = vec![frame];
    sample.edit(task).orphaned = Some(true);
    let findings = found(&sample.0, "orphaned-task");
    assert_eq!(findings[0].severity, Severity::Info);
    assert!(findings[0].message.ends_with("it is uvicorn's own"), "{}", findings[0].message);
}

#[test]
fn a_lock_that_changes_hands_is_no_deadlock() {
    let mut sample = Sample::new();
    let (a, b) = (sample.task("a", &[("use", 3)]), sample.task("b", &[("use", 3)]));
    lacks(&mut sample, b, WaitKind::Lock, &[a], used_up(2, Some(1)));
    lacks(&mut sample, a, WaitKind::Lock, &[b], used_up(1, Some(1)));
    assert_eq!(found(&sample.0, "await-cycle").len(), 1);
    lacks(&mut sample, a, WaitKind::Lock, &[b], Resource { free: Some(1), ..used_up(1, Some(1)) });
    assert!(found(&sample.0, "await-cycle").is_empty());
    lacks(&mut sample, a, WaitKind::Lock, &[b], used_up(1, Some(1)));
    moves(&mut sample, a);
    assert!(found(&sample.0, "await-cycle").is_empty());
}

#[test]
fn another_runtime_is_named_where_a_thread_runs_it_and_not_asyncio() {
    let mut sample = Sample::new();
    let trio = sample.frame("run", "/venv/lib/python3.12/site-packages/trio/_core/_run.py", 2535);
    let asyncio = sample.frame("BaseEventLoop._run_once", "/usr/lib/python3.12/asyncio/base_events.py", 1987);
    assert!(found(&sample.0, "other-runtime").is_empty());
    sample.0.threads[0].stack = vec![trio];
    let [said] = &*messages(&sample.0, "other-runtime") else { panic!("{:?}", messages(&sample.0, "other-runtime")) };
    assert!(said.starts_with("trio runs in ") && said.contains("not asyncio"), "{said}");
    let own = sample.frame("pump", "/srv/gevent/app.py", 3);
    sample.0.threads[0].stack = vec![own];
    assert!(found(&sample.0, "other-runtime").is_empty(), "a folder of the program itself");
    // A guest of asyncio: the loop that blocks is asyncio's.
    sample.0.threads[0].stack = vec![asyncio, trio];
    assert!(found(&sample.0, "other-runtime").is_empty());
}

/// The task was asked to cancel, and goes on.
fn is_asked(sample: &mut Sample, id: TaskId, handled_in: Option<usize>, still_ms: Option<u64>) {
    let task = sample.edit(id);
    (task.state, task.cancel_requests) = (TaskState::Cancelling, 1);
    task.cancellation = Some(Cancellation { requests: 1, handled_in });
    task.still_ms = still_ms;
}

#[test]
fn a_cancelled_task_is_a_warning_only_if_nothing_ends_its_cleanup() {
    let mut sample = Sample::new();
    let task = sample.task("worker", &[("serve", 5), ("stop", 9)]);
    sample.edit(task).cancel_requests = 1;
    assert!(found(&sample.0, "cancelled-task-waits").is_empty(), "it is not known whether the request has reached it");
    sample.waits(task, WaitKind::Event, None);
    is_asked(&mut sample, task, Some(0), None);
    assert_eq!(found(&sample.0, "cancelled-task-waits")[0].severity, Severity::Info);
    is_asked(&mut sample, task, Some(0), Some(300));
    assert_eq!(found(&sample.0, "cancelled-task-waits")[0].severity, Severity::Warning);
    assert_eq!(
        messages(&sample.0, "cancelled-task-waits"),
        [
            "worker was asked to cancel but still waits for an event at stop (/app/main.py:9), in an except or finally block of \
          serve (/app/main.py:5) that handles the CancelledError; nothing moved for 300 ms"
        ]
    );
    sample.waits(task, WaitKind::Sleep, None);
    assert_eq!(found(&sample.0, "cancelled-task-waits")[0].severity, Severity::Info, "the timer ends the cleanup");
    is_asked(&mut sample, task, None, Some(300));
    assert_eq!(
        found(&sample.0, "cancelled-task-waits")[0].severity,
        Severity::Info,
        "it may never have been taken back"
    );
    let waiter = sample.task("waiter", &[("main", 3)]);
    sample.awaits(waiter, WaitKind::Task, &[task]);
    assert_eq!(found(&sample.0, "cancelled-task-waits")[0].severity, Severity::Warning, "it has swallowed the request");
}

#[test]
fn a_task_that_passes_a_cancellation_on_is_not_told() {
    let mut sample = Sample::new();
    let (outer, inner) = (sample.task("outer", &[("run", 3)]), sample.task("inner", &[("work", 7)]));
    sample.awaits(outer, WaitKind::Gather, &[inner]);
    sample.waits(inner, WaitKind::QueueGet, None);
    is_asked(&mut sample, outer, None, Some(300));
    is_asked(&mut sample, inner, None, Some(300));
    let findings = found(&sample.0, "cancelled-task-waits");
    assert_eq!((findings.len(), &findings[0].tasks[..]), (1, &[inner][..]));
}

#[test]
fn a_run_at_its_end_names_the_tasks_that_do_not_end() {
    let mut sample = Sample::new();
    let task = sample.task("worker", &[("serve", 5)]);
    sample.waits(task, WaitKind::Event, None);
    let runner = sample.frame("_cancel_all_tasks", "/usr/lib/python3.12/asyncio/runners.py", 206);
    let own = sample.frame("_cancel_all_tasks", "/app/main.py", 20);
    sample.0.threads[0].stack = vec![own];
    assert!(found(&sample.0, "shutdown-waits").is_empty(), "a function of the program");
    sample.0.threads[0].stack = vec![runner];
    is_asked(&mut sample, task, None, Some(300));
    assert_eq!(
        messages(&sample.0, "shutdown-waits"),
        [
            "the run of the event loop is at its end and has cancelled the tasks that were left, but 1 task has not ended: worker \
          waits for an event at serve (/app/main.py:5); nothing moved for 300 ms"
        ]
    );
    assert!(found(&sample.0, "cancelled-task-waits").is_empty(), "told once");
    sample.edit(task).cancellation = None;
    assert!(found(&sample.0, "shutdown-waits").is_empty(), "the request is on its way");
    // Up to 3.10.
    (sample.edit(task).state, sample.edit(task).cancel_requests) = (TaskState::Waiting, 0);
    assert_eq!(found(&sample.0, "shutdown-waits").len(), 1);
    sample.edit(task).still_ms = None;
    assert!(
        found(&sample.0, "shutdown-waits").is_empty(),
        "it was read before it was cancelled, for all that is known"
    );
}

#[test]
fn an_interpreter_waits_for_threads_that_are_no_daemons() {
    let mut sample = Sample::new();
    let shutdown = sample.frame("_shutdown", "/usr/lib/python3.12/threading.py", 1594);
    let consume = sample.frame("consume", "/app/main.py", 7);
    sample.0.loops.clear();
    sample.0.threads[0].stack = vec![shutdown];
    let consumer = Thread { name: Some("consumer".into()), stack: vec![consume], ..sample.0.threads[0].clone() };
    sample.0.threads.push(consumer);
    for is_daemon in [None, Some(true)] {
        sample.0.threads[1].is_daemon = is_daemon;
        assert!(found(&sample.0, "shutdown-waits").is_empty(), "{is_daemon:?}");
    }
    sample.0.threads[1].is_daemon = Some(false);
    assert_eq!(found(&sample.0, "shutdown-waits")[0].severity, Severity::Info);
    sample.0.threads[0].asleep_on_lock_ms = Some(300);
    assert_eq!(found(&sample.0, "shutdown-waits")[0].severity, Severity::Warning);
    assert_eq!(
        messages(&sample.0, "shutdown-waits"),
        [
            "the program is at its end, but the interpreter waits for threads that are not daemons: thread consumer, which is in \
          consume (/app/main.py:7); nothing moved for 300 ms"
        ]
    );
}

#[test]
fn a_pool_of_connections_is_a_warning_only_if_all_its_holders_are_seen() {
    let mut sample = Sample::new();
    let holders = ["a", "b"].map(|name| sample.task(name, &[("query", 4)]));
    holders.iter().for_each(|holder| sample.waits(*holder, WaitKind::Event, None));
    let late = sample.task("late", &[("handle", 9)]);
    let of = |pool| Resource { pool: Some(pool), still_ms: Some(300), ..used_up(1, Some(2)) };
    lacks(&mut sample, late, WaitKind::QueueGet, &holders, of(PoolKind::Asyncpg));
    let findings = found(&sample.0, "pool-exhausted");
    assert_eq!(
        (findings[0].severity, &*findings[0].message),
        (
            Severity::Warning,
            "all 2 connections of the asyncpg pool are in use, and 1 task waits for one (late); held by a and b; nothing moved \
             for 300 ms"
        )
    );
    lacks(&mut sample, late, WaitKind::QueueGet, &holders[..1], of(PoolKind::Asyncpg));
    let findings = found(&sample.0, "pool-exhausted");
    assert_eq!(findings[0].severity, Severity::Info, "the other one may give its connection back");
    assert!(findings[0].message.contains("; held, among others, by a;"), "{}", findings[0].message);
    sample.waits(holders[0], WaitKind::Sleep, None);
    lacks(&mut sample, late, WaitKind::QueueGet, &holders, of(PoolKind::Asyncpg));
    assert_eq!(found(&sample.0, "pool-exhausted")[0].severity, Severity::Info, "a timer ends it");
    lacks(&mut sample, late, WaitKind::QueueGet, &[], Resource { free: Some(1), ..of(PoolKind::Asyncpg) });
    assert!(found(&sample.0, "pool-exhausted").is_empty(), "a connection is changing hands");
}

#[test]
fn tasks_that_want_a_second_connection_of_a_used_up_pool_are_a_deadlock() {
    let mut sample = Sample::new();
    let ids = ["a", "b"].map(|name| sample.task(name, &[("query", 4)]));
    let of = |pool, bound| Resource { pool: Some(pool), ..used_up(1, Some(bound)) };
    ids.iter().for_each(|id| lacks(&mut sample, *id, WaitKind::QueueGet, &ids, of(PoolKind::Asyncpg, 2)));
    let told = messages(&sample.0, "await-cycle");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("waits for a connection of the asyncpg pool held by "), "{told:?}");
    assert!(found(&sample.0, "pool-exhausted").is_empty(), "told once");
    ids.iter().for_each(|id| lacks(&mut sample, *id, WaitKind::QueueGet, &ids, of(PoolKind::Asyncpg, 3)));
    assert!(found(&sample.0, "await-cycle").is_empty(), "the third connection is somebody's");
    ids.iter().for_each(|id| lacks(&mut sample, *id, WaitKind::Future, &ids, of(PoolKind::Aiohttp, 2)));
    assert!(found(&sample.0, "await-cycle").is_empty(), "the end of a response gives a connection back");
}
