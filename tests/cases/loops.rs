//! Is a loop busy, idle, or not running? For loops that are run in unusual ways, and for those that spin.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::expect::{
    assert_found, assert_names, assert_never_says, assert_no_stalls, assert_nothing_found, assert_says, busy_percent,
    list, rules,
};
use crate::setting::{Running, Setting};
use crate::{Case, EVERY_SHAPE, FEW, NONE, TWO};

/// Enough for a fault that a hundredth of the dumps have.
const DUMPS: usize = 100;

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "parked_loop",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: NONE,
        judge: a_parked_loop_is_not_blocked,
    },
    Case {
        program: "two_depths",
        arguments: &[],
        asyncio: FEW,
        uvloop: EVERY_SHAPE,
        judge: a_loop_at_two_depths_is_idle,
    },
    Case { program: "nested_loop", arguments: &[], asyncio: EVERY_SHAPE, uvloop: NONE, judge: a_nested_loop_is_idle },
    Case {
        program: "busy_and_waiting",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: nothing_is_found_in_a_busy_and_healthy_program,
    },
    Case {
        program: "stopped_process",
        arguments: &[],
        asyncio: TWO,
        uvloop: NONE,
        judge: a_stopped_process_is_said_to_be,
    },
    Case { program: "sleep0_spin", arguments: &[], asyncio: EVERY_SHAPE, uvloop: TWO, judge: a_spinning_loop_is_found },
    Case {
        program: "woken_from_other_thread",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_callback_that_nobody_announced_is_found,
    },
    Case { program: "stopped_loop", arguments: &[], asyncio: FEW, uvloop: TWO, judge: a_loop_that_stopped_is_named },
];

fn assert_healthy(running: &Running, dumps: usize) {
    for _ in 0..dumps {
        assert_nothing_found(&running.dump());
    }
}

fn a_parked_loop_is_not_blocked(setting: &Setting) {
    let running = setting.start();
    assert_healthy(&running, DUMPS / 5);
    assert_no_stalls(&running.attach(3));
    let text = running.attach_text(3);
    assert_says(&text, &["is parked"]);
}

fn a_loop_at_two_depths_is_idle(setting: &Setting) {
    let running = setting.start();
    let report = running.attach(3);
    assert_no_stalls(&report);
    assert!(busy_percent(&report) < 10.0, "{:#}", report["loops"]);
    assert_healthy(&running, DUMPS / 5);
}

fn a_nested_loop_is_idle(setting: &Setting) {
    let running = setting.start();
    assert_healthy(&running, DUMPS / 5);
    let report = running.attach(3);
    assert_no_stalls(&report);
    assert!(busy_percent(&report) < 20.0, "{:#}", report["loops"]);
}

fn nothing_is_found_in_a_busy_and_healthy_program(setting: &Setting) {
    let running = setting.start();
    assert_healthy(&running, DUMPS);
    let report = running.attach(3);
    assert_no_stalls(&report);
    assert_nothing_found(&report);
}

fn a_stopped_process_is_said_to_be(setting: &Setting) {
    let running = setting.start();
    let pid = Pid::from_raw(running.pid().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    running.wait_until_stopped();
    let dump = running.dump();
    assert_found(&dump, [rules::PROCESS_STOPPED]);
    let text = running.dump_text();
    assert_says(&text, &["is stopped"]);
    assert_never_says(&text, &["nothing found", "state unknown"]);
    kill(pid, Signal::SIGCONT).unwrap();
}

fn a_spinning_loop_is_found(setting: &Setting) {
    let running = setting.start();
    // One sample in ten shows a stack that changes every microsecond, and a busy machine allows a hundred samples a second.
    let report = running.attach(8);
    assert_no_stalls(&report);
    let [spin] = assert_found(&report, [rules::LOOP_SPIN]);
    let line = setting.line("the line that polls").to_string();
    assert_names(spin, &["pump", &line]);
    let rate = spin["evidence"]["iterations_per_s"].as_f64();
    assert!(rate.is_some_and(|rate| rate > 1_000.0), "{spin:#}");
    // Steps of a microsecond are seldom seen, on uvloop perhaps never; those of the twenty others yet less.
    let runs = |name: &str| {
        let task = list(&report["tasks"]).iter().find(|task| task["coroutine"] == name);
        task.map_or(0.0, |task| task["run_ms"].as_f64().unwrap())
    };
    assert!(runs("pump") >= 20.0 * runs("web"), "pump {}, web {}", runs("pump"), runs("web"));
    // The rest is the call of a selector that does not wait.
    assert!(busy_percent(&report) > 60.0, "{:#}", report["loops"]);
}

fn a_callback_that_nobody_announced_is_found(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [missed] = assert_found(&dump, [rules::MISSED_WAKEUP]);
    assert_names(missed, &["waiter"]);
    assert_says(missed["advice"].as_str().unwrap(), &["call_soon_threadsafe"]);
}

fn a_loop_that_stopped_is_named(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [stopped] = assert_found(&dump, [rules::LOOP_NOT_RUNNING]);
    let line = setting.line("the line that waits").to_string();
    assert_names(stopped, &["MainThread", "look_up", &line]);
    assert_never_says(&running.attach_text(2), &["try again", "no stall"]);
}
