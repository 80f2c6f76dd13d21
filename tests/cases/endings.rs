//! What was told to end and does not: cancelled tasks, pools, loops and programs.

use serde_json::Value;

use crate::expect::{assert_found, assert_names, assert_never_says, find, list, rules, tasks_of};
use crate::setting::Setting;
use crate::{Case, EVERY_SHAPE, NONE, TWO};

const CANCELLATION: &[u32] = &[11, 12, 14, 15];
const WITH_EXECUTOR: &[u32] = &[9, 11, 12, 14, 15];

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "cancellation_swallowed",
        arguments: &[],
        asyncio: CANCELLATION,
        uvloop: TWO,
        judge: tasks_that_were_asked_to_cancel,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["thread"],
        asyncio: EVERY_SHAPE,
        uvloop: NONE,
        judge: an_interpreter_that_waits_for_a_thread,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["pool"],
        asyncio: EVERY_SHAPE,
        uvloop: NONE,
        judge: an_interpreter_that_waits_for_a_pool,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["tasks"],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_run_that_waits_for_a_task,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["generator"],
        asyncio: EVERY_SHAPE,
        // Which of its coroutines a task of uvloop's own runs is not seen.
        uvloop: NONE,
        judge: a_run_that_waits_for_a_generator,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["executor"],
        asyncio: WITH_EXECUTOR,
        uvloop: TWO,
        judge: a_run_that_waits_for_the_default_executor,
    },
    Case {
        program: "shutdown_waits",
        arguments: &["with"],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_coroutine_that_waits_for_a_pool,
    },
];

/// The finding of this rule that concerns a task with this name.
fn of_task<'v>(dump: &'v Value, name: &str) -> &'v Value {
    let concerns = |one: &&Value| one["rule"] == rules::CANCELLED_TASK && tasks_of(dump, one).contains(&name);
    let found = list(&dump["findings"]).iter().find(concerns);
    found.unwrap_or_else(|| panic!("nothing said of {name} in {:#}", dump["findings"]))
}

fn tasks_that_were_asked_to_cancel(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let line = |text: &str| setting.line(text).to_string();
    let _ = assert_found(&dump, [rules::CANCELLED_TASK]);
    let (swallows, cleans_up, slow) =
        (of_task(&dump, "swallows"), of_task(&dump, "cleans up"), of_task(&dump, "closes slowly"));
    assert_eq!([&swallows["severity"], &cleans_up["severity"], &slow["severity"]], ["warning", "warning", "info"]);
    assert_eq!(tasks_of(&dump, swallows), ["inner", "swallows"], "the task around it passes the request on");
    assert_names(swallows, &["an item of a queue", &line("the line that goes on"), "nothing moved for"]);
    assert!(swallows["evidence"].get("handled_in").is_none(), "it is over: {swallows:#}");
    assert_names(cleans_up, &["an event", &line("the line that cleans up"), "except or finally block of cleans_up"]);
    assert_names(slow, &["a sleep", &line("the line of the timer"), "except or finally block of closes_slowly"]);
    let said: Vec<&Value> =
        list(&dump["findings"]).iter().filter(|finding| finding["rule"] == rules::CANCELLED_TASK).collect();
    assert_eq!(said.len(), 3, "nothing is said of the others: {said:#?}");
}

/// The only finding, a warning.
fn only_shutdown(setting: &Setting, wanted: &[&str]) -> Value {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [shutdown] = assert_found(&dump, [rules::SHUTDOWN_WAITS]);
    assert_names(shutdown, wanted);
    assert_never_says(shutdown["message"].as_str().unwrap(), &["a daemon", "Task-"]);
    dump
}

fn an_interpreter_that_waits_for_a_thread(setting: &Setting) {
    let line = setting.line("the line of the thread").to_string();
    only_shutdown(setting, &["the interpreter waits", "thread consumer", "consume", &line]);
}

fn an_interpreter_that_waits_for_a_pool(setting: &Setting) {
    let line = setting.line("the line of the thread").to_string();
    only_shutdown(setting, &["the interpreter waits", "thread renderer_0", "consume", &line]);
}

fn a_run_that_waits_for_a_task(setting: &Setting) {
    let line = setting.line("the line of the task").to_string();
    let dump =
        only_shutdown(setting, &["has cancelled the tasks", "1 task has not ended", "stubborn", "an event", &line]);
    assert_eq!(tasks_of(&dump, find(&dump, rules::SHUTDOWN_WAITS)), ["stubborn"]);
}

fn a_run_that_waits_for_a_generator(setting: &Setting) {
    let line = setting.line("the line of the generator").to_string();
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [shutdown] = assert_found(&dump, [rules::SHUTDOWN_WAITS]);
    assert_names(shutdown, &["asynchronous generators", "an event", "numbers", &line]);
}

fn a_run_that_waits_for_the_default_executor(setting: &Setting) {
    let line = setting.line("the line of the thread").to_string();
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [shutdown] = assert_found(&dump, [rules::SHUTDOWN_WAITS]);
    assert_names(shutdown, &["loop.shutdown_default_executor()", "consume", &line]);
}

fn a_coroutine_that_waits_for_a_pool(setting: &Setting) {
    let line = setting.line("the line of the thread").to_string();
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [shutdown, _] = assert_found(&dump, [rules::SHUTDOWN_WAITS, rules::BLOCKING_CALL]);
    assert_names(shutdown, &["thread MainThread waits in main", "thread pool renderer", "thread renderer_0", &line]);
}
