//! Hangs of tasks, locks and loops: named with the chain, from the first dump.

use crate::expect::{assert_found, assert_names, assert_never_says, assert_says, find, list, rules, task, tasks_of};
use crate::setting::Setting;
use crate::{Case, EVERY_SHAPE, FEW, NONE, TWO};

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "lock_reacquired",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_lock_taken_again_is_a_deadlock,
    },
    Case {
        program: "lock_owner_gone",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_lock_of_an_ended_task_is_named,
    },
    Case {
        program: "result_on_own_loop",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_loop_that_waits_for_itself,
    },
    Case {
        program: "two_loops_deadlock",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: two_loops_that_wait_for_each_other,
    },
    Case {
        program: "anyio_deadlock",
        arguments: &[],
        asyncio: FEW,
        uvloop: NONE,
        judge: locks_of_anyio_in_opposite_order,
    },
    Case {
        program: "thread_lock_across_await",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_threading_lock_that_a_suspended_task_holds,
    },
    Case {
        program: "pool_and_queue_hang",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: each_hang_of_a_service_has_its_verdict,
    },
];

fn a_lock_taken_again_is_a_deadlock(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [cycle] = assert_found(&dump, [rules::AWAIT_CYCLE]);
    assert_eq!(tasks_of(&dump, cycle), ["worker-0"], "the others only wait behind it: {cycle:#}");
    assert_names(cycle, &["worker-0", "itself"]);
}

fn a_lock_of_an_ended_task_is_named(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [ended] = assert_found(&dump, [rules::HOLDER_ENDED]);
    assert_eq!(tasks_of(&dump, ended), ["user-0", "user-1", "user-2", "user-3", "user-4"]);
    assert_says(ended["message"].as_str().unwrap(), &["ended"]);
}

fn a_loop_that_waits_for_itself(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [deadlock] = assert_found(&dump, [rules::THREAD_DEADLOCK]);
    assert_names(deadlock, &["handler", "send_file", &setting.line("the line that waits").to_string()]);
    // One thread cannot wait for another.
    if list(&dump["threads"]).len() == 1 {
        assert_never_says(&running.dump_text(), &["another thread", "thread lock", "other threads"]);
    }
}

fn two_loops_that_wait_for_each_other(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [deadlock] = assert_found(&dump, [rules::THREAD_DEADLOCK]);
    let lines = ["the line that blocks", "the line that awaits"].map(|text| setting.line(text).to_string());
    assert_names(deadlock, &["handler", "needs_main", &lines[0], &lines[1]]);
    assert_never_says(&running.dump_text(), &["executor job"]);
}

fn locks_of_anyio_in_opposite_order(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [cycle] = assert_found(&dump, [rules::AWAIT_CYCLE]);
    assert_eq!(tasks_of(&dump, cycle), ["ab", "ba"]);
    for name in ["ab", "ba"] {
        let task = task(&dump, name);
        assert_eq!(task["awaiting"]["kind"], "lock", "{task:#}");
        // The task group that they belong to is an edge.
        assert_eq!(list(&task["awaited_by"]).len(), 1, "{task:#}");
    }
}

fn a_threading_lock_that_a_suspended_task_holds(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [blocked] = assert_found(&dump, [rules::BLOCKING_CALL]);
    assert_eq!((&blocked["severity"], &blocked["evidence"]["held_by"]), (&"error".into(), &"save".into()));
    assert_eq!(tasks_of(&dump, blocked), ["load", "save"]);
    let lines = ["the line that holds the lock", "the line that blocks"].map(|text| setting.line(text).to_string());
    assert_names(blocked, &["load", "save", &lines[0], &lines[1]]);
    assert_never_says(&running.dump_text(), &["another thread", "other threads"]);
}

fn each_hang_of_a_service_has_its_verdict(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [convoy] = assert_found(&dump, [rules::LOCK_CONVOY]);
    // A program that works as well as it should has such pools and queues too.
    let [pool, queue] = [rules::POOL_EXHAUSTED, rules::QUEUE_FULL].map(|rule| find(&dump, rule));
    assert_names(pool, &["query-0", "query-1", "query-2", "37"]);
    assert_names(convoy, &["refresh", "25"]);
    assert_names(queue, &["50", "producer"]);
}
