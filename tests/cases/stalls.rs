//! Stalls in places where a stack does not look like a loop's: below greenlets, in signal handlers, in nested loops, in eager tasks
//! and under a web framework. All are found, with line, task and cause.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::expect::{Stall, assert_in_order, assert_never_says, assert_stalls, functions, own_stalls, task};
use crate::setting::{Setting, get};
use crate::{Case, EVERY_SHAPE, NONE, TWO};

const SLEEP: &[&str] = &["sleep"];
const CPU: &[&str] = &["cpu"];

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "greenlet_blocking",
        arguments: SLEEP,
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_sleep_below_a_greenlet_is_a_stall,
    },
    Case {
        program: "greenlet_blocking",
        arguments: CPU,
        asyncio: TWO,
        uvloop: TWO,
        judge: work_below_a_greenlet_is_a_stall,
    },
    Case {
        program: "greenlet_blocking",
        arguments: &["whole"],
        asyncio: TWO,
        uvloop: TWO,
        judge: a_stack_goes_on_below_a_greenlet,
    },
    Case {
        program: "greenlet_chain",
        arguments: &["stall"],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_stall_beside_chains_through_greenlets_is_found,
    },
    Case {
        program: "greenlet_chain",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_chain_goes_through_a_greenlet,
    },
    Case {
        program: "signal_handler_blocking",
        arguments: SLEEP,
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_sleep_in_a_signal_handler_is_a_stall,
    },
    Case {
        program: "signal_handler_blocking",
        arguments: &["run"],
        asyncio: TWO,
        uvloop: NONE,
        judge: a_child_in_a_signal_handler_is_a_stall,
    },
    Case {
        program: "signal_handler_blocking",
        arguments: CPU,
        asyncio: TWO,
        uvloop: NONE,
        judge: work_in_a_signal_handler_is_a_stall,
    },
    Case {
        program: "nested_loop",
        arguments: &["block"],
        asyncio: EVERY_SHAPE,
        uvloop: NONE,
        judge: a_stall_beside_a_nested_loop_has_its_line_and_task,
    },
    Case {
        program: "eager_tasks",
        arguments: &[],
        asyncio: &[12, 13, 14, 15],
        uvloop: &[12, 14],
        judge: an_eager_child_is_blamed_and_not_its_parent,
    },
    Case {
        program: "eager_server",
        arguments: &[],
        asyncio: &[12, 13, 14, 15],
        uvloop: &[12, 14],
        judge: an_eager_request_is_blamed,
    },
    Case {
        program: "fastapi_requests",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: EVERY_SHAPE,
        judge: each_request_that_blocks_is_found_with_its_line,
    },
];

/// Longest of a stall of 0.6 s or so of work: a loaded machine takes its time.
const WORK_MS: f64 = 10_000.0;

fn below_greenlet(setting: &Setting, cause: &str, line: &str, most_ms: f64) {
    let running = setting.start();
    let line = setting.line(line);
    let ms = 550.0..most_ms;
    let stall = Stall { function: "query", line, task: Some("req"), cause, detail: &[], ms };
    let report = running.attach(4);
    assert_stalls(&report, 4, &stall);
    for stall in own_stalls(&report) {
        assert_in_order(&functions(stall), &["listener", "query"]);
        let advice = stall["advice"].as_str().unwrap();
        // A function that is not a coroutine cannot await.
        assert_never_says(advice, &["await asyncio.sleep()"]);
    }
    assert_never_says(&running.attach_text(2), &["no stall"]);
}

fn a_sleep_below_a_greenlet_is_a_stall(setting: &Setting) {
    below_greenlet(setting, "blocking_call", "the line that sleeps", 900.0);
}

fn work_below_a_greenlet_is_a_stall(setting: &Setting) {
    below_greenlet(setting, "cpu", "the line that computes", WORK_MS);
}

/// The coroutines that wait for the greenlet belong to the stack.
fn a_stack_goes_on_below_a_greenlet(setting: &Setting) {
    let running = setting.start();
    let report = running.attach(4);
    assert!(!own_stalls(&report).is_empty(), "{:#}", report["sampling"]);
    for stall in own_stalls(&report) {
        assert_in_order(&functions(stall), &["request", "switch", "listener", "query"]);
    }
    // The greenlet runs for three quarters of the time.
    let dumps: Vec<Value> = (0..16).map(|_| running.dump()).collect();
    let running: Vec<&Value> =
        dumps.iter().map(|dump| task(dump, "req")).filter(|req| req["state"] == "running").collect();
    assert!(running.len() >= 4, "{dumps:#?}");
    for req in running {
        assert_in_order(&functions(req), &["request", "switch", "listener", "query"]);
    }
}

fn a_chain_goes_through_a_greenlet(setting: &Setting) {
    let dump = setting.start().dump();
    let waiting = task(&dump, "wait");
    assert_in_order(&functions(waiting), &["wait", "spawn", "waits_outer", "waits_inner", "sleep"]);
    assert_eq!(waiting["awaiting"]["kind"], "sleep", "{waiting:#}");
}

fn a_stall_beside_chains_through_greenlets_is_found(setting: &Setting) {
    let line = setting.line("the line that blocks");
    let ms = 280.0..600.0;
    let stall = Stall { function: "blocks_below", line, task: Some("stall"), cause: "blocking_call", detail: &[], ms };
    assert_stalls(&setting.start().attach(4), 4, &stall);
}

fn in_signal_handler(setting: &Setting, cause: &str, detail: &[&str], line: &str, most_ms: f64) {
    let running = setting.start();
    let line = setting.line(line);
    let stall = Stall { function: "reap", line, task: None, cause, detail, ms: 650.0..most_ms };
    let report = running.attach(4);
    assert_stalls(&report, 3, &stall);
    let text = running.attach_text(2);
    assert_never_says(&text, &["no stall"]);
    // uvloop calls handlers as it calls any other callback.
    if !setting.is_uvloop() {
        assert!(text.contains("signal handler"), "{text}");
    }
}

fn a_sleep_in_a_signal_handler_is_a_stall(setting: &Setting) {
    in_signal_handler(setting, "blocking_call", &["sleep"], "the line that sleeps", 1_000.0);
}

fn a_child_in_a_signal_handler_is_a_stall(setting: &Setting) {
    in_signal_handler(setting, "blocking_call", &["child", "wait4", "poll"], "the line that runs a program", 1_000.0);
}

fn work_in_a_signal_handler_is_a_stall(setting: &Setting) {
    in_signal_handler(setting, "cpu", &[], "the line that computes", WORK_MS);
}

fn a_stall_beside_a_nested_loop_has_its_line_and_task(setting: &Setting) {
    let running = setting.start();
    let line = setting.line("the line that blocks");
    let report = running.attach(5);
    let (ms, cause) = (380.0..700.0, "blocking_call");
    assert_stalls(&report, 2, &Stall { function: "handler", line, task: None, cause, detail: &["sleep"], ms });
    for stall in own_stalls(&report) {
        assert!(stall["task"].as_str().is_some_and(|name| name.starts_with("handler-")), "{stall:#}");
    }
}

fn an_eager_child_is_blamed_and_not_its_parent(setting: &Setting) {
    let running = setting.start();
    let line = setting.line("the line that blocks");
    let (ms, cause) = (380.0..700.0, "blocking_call");
    let stall = Stall { function: "child", line, task: Some("child"), cause, detail: &["sleep"], ms };
    assert_stalls(&running.attach(4), 5, &stall);
}

fn an_eager_request_is_blamed(setting: &Setting) {
    let running = setting.start();
    let line = setting.line("the line that blocks");
    let (ms, cause) = (180.0..400.0, "blocking_call");
    let stall = Stall { function: "handler", line, task: Some("req"), cause, detail: &["sleep"], ms };
    assert_stalls(&running.attach(4), 6, &stall);
}

fn each_request_that_blocks_is_found_with_its_line(setting: &Setting) {
    const REQUESTS: usize = 12;
    let running = setting.start();
    let port = running.port();
    // The first request imports what the others find imported.
    get(port, "/block");
    let report = running.attach_while(9, || {
        for _ in 0..REQUESTS {
            get(port, "/block");
            // A pause of the load, in which the loop is idle.
            thread::sleep(Duration::from_millis(200));
        }
    });
    let line = setting.line("the line that blocks");
    let (ms, cause) = (290.0..600.0, "blocking_call");
    assert_stalls(&report, REQUESTS, &Stall { function: "block", line, task: None, cause, detail: &[], ms });
    assert_eq!(own_stalls(&report).len(), REQUESTS);
}
