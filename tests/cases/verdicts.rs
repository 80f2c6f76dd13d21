//! `check` does not pass what must not pass, and a watch with `--blocking` harms nobody.

use std::process::Command;

use crate::expect::{
    assert_found, assert_names, assert_never_says, assert_nothing_found, assert_says, rules, tasks_of,
};
use crate::setting::{Setting, get};
use crate::{Case, FEW, NONE, TWO};

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "starved_stalls",
        arguments: &[],
        asyncio: FEW,
        uvloop: NONE,
        judge: a_starved_stall_is_judged_by_its_own_processor_time,
    },
    Case {
        program: "fastapi_requests",
        arguments: &["idle"],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_task_of_a_library_is_no_warning,
    },
    Case {
        program: "connection_handlers",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_handler_of_a_connection_is_no_forgotten_task,
    },
    Case {
        program: "locks_in_opposite_order",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_deadlock_does_not_pass,
    },
    Case {
        program: "setgid_across_threads",
        arguments: &[],
        asyncio: TWO,
        uvloop: NONE,
        judge: a_blocking_watch_loses_no_signal,
    },
];

fn a_starved_stall_is_judged_by_its_own_processor_time(setting: &Setting) {
    let (code, text) = setting.check(&["--max-stall", "100ms"]);
    assert_eq!(code, Some(1), "{text}");
    assert_says(&text, &["FAIL", "render"]);
    assert_never_says(&text, &["longest 0.00 ms"]);
}

fn a_task_of_a_library_is_no_warning(setting: &Setting) {
    let running = setting.start();
    get(running.port(), "/block");
    assert_nothing_found(&running.dump());
}

fn a_handler_of_a_connection_is_no_forgotten_task(setting: &Setting) {
    let dump = setting.start().dump();
    let [orphan] = assert_found(&dump, [rules::ORPHANED_TASK]);
    assert_names(orphan, &["forgotten"]);
    assert_eq!(tasks_of(&dump, orphan).len(), 1, "{orphan:#}");
}

fn a_deadlock_does_not_pass(setting: &Setting) {
    let (code, text) = setting.check(&["--max-stall", "100ms", "-d", "4s"]);
    assert_eq!(code, Some(1), "{text}");
    assert_says(&text, &["FAIL", "deadlock"]);
}

fn a_blocking_watch_loses_no_signal(setting: &Setting) {
    let running = setting.start();
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_asyncprof"))
        .args(["record", "--blocking", "-d", "4", "-r", "500", &running.pid().to_string(), "-o"])
        .arg(folder.path().join("watch.aprof"))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let before = running.said()["calls"].as_u64().unwrap();
    running.wait_until("it goes on", |said| said["calls"].as_u64().is_some_and(|calls| calls > before + 10));
}
