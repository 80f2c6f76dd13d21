//! Threads that keep the GIL: the loop waits for it, which is no lock of another thread and no blocking call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::expect::{assert_names, assert_no_stalls, assert_nothing_found, assert_says, list, rules};
use crate::setting::{Running, Setting, get};
use crate::{Case, EVERY_SHAPE, FEW, NONE, TWO};

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "gil_wait",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: a_long_wait_names_who_keeps_the_gil,
    },
    Case {
        program: "gil_hog",
        arguments: &[],
        asyncio: EVERY_SHAPE,
        uvloop: TWO,
        judge: many_short_waits_name_who_keeps_the_gil,
    },
    Case {
        program: "gil_endpoint",
        arguments: &[],
        asyncio: FEW,
        uvloop: FEW,
        judge: a_busy_endpoint_is_gil_contention,
    },
];

/// On builds that have no GIL.
pub(crate) const WITHOUT_GIL: &[Case] = &[
    Case {
        program: "gil_wait",
        arguments: &[],
        asyncio: &[13],
        uvloop: NONE,
        judge: nobody_waits_where_there_is_no_gil,
    },
    Case {
        program: "gil_hog",
        arguments: &[],
        asyncio: &[13],
        uvloop: NONE,
        judge: nobody_waits_where_there_is_no_gil,
    },
];

const DUMPS: usize = 40;

/// Dumps find GIL contention or nothing; the tasks of a server's library are judged elsewhere.
fn assert_dumps_blame_nothing_else(running: &Running) {
    for _ in 0..DUMPS {
        let mut dump = running.dump();
        let found = dump["findings"].as_array_mut().unwrap();
        found.retain(|finding| finding["rule"] != rules::GIL_CONTENTION && finding["rule"] != rules::ORPHANED_TASK);
        assert_nothing_found(&dump);
    }
}

/// The finding of a report on the GIL.
fn contention(report: &Value) -> &Value {
    let found = list(&report["findings"]);
    let one = found.iter().find(|finding| finding["rule"] == rules::GIL_CONTENTION);
    one.unwrap_or_else(|| panic!("no {} among {found:#?}", rules::GIL_CONTENTION))
}

/// The share of time in which the only loop waited for the GIL.
fn waiting_percent(report: &Value) -> f64 {
    report["loops"][0]["waiting_for_gil_percent"].as_f64().unwrap()
}

fn a_long_wait_names_who_keeps_the_gil(setting: &Setting) {
    let running = setting.start();
    assert_dumps_blame_nothing_else(&running);
    let report = running.attach(4);
    assert!(waiting_percent(&report) > 50.0, "{:#}", report["loops"]);
    assert!(!list(&report["stalls"]).is_empty(), "{:#}", report["sampling"]);
    for stall in list(&report["stalls"]) {
        assert_eq!(stall["cause"], "gil_wait", "{stall:#}");
        assert_says(&stall.to_string(), &["keep_the_gil"]);
    }
    assert_names(contention(&report), &["keep_the_gil", &setting.line("the line that keeps the GIL").to_string()]);
}

fn many_short_waits_name_who_keeps_the_gil(setting: &Setting) {
    let running = setting.start();
    assert_dumps_blame_nothing_else(&running);
    let report = running.attach(4);
    assert!(waiting_percent(&report) > 40.0, "{:#}", report["loops"]);
    assert_names(contention(&report), &["crunch", &setting.line("the line that keeps the GIL").to_string()]);
}

fn nobody_waits_where_there_is_no_gil(setting: &Setting) {
    let running = setting.start();
    for _ in 0..DUMPS {
        assert_nothing_found(&running.dump());
    }
    let report = running.attach(3);
    assert_nothing_found(&report);
    assert_no_stalls(&report);
    assert!(report["loops"][0]["waiting_for_gil_percent"].is_null(), "{:#}", report["loops"]);
}

fn a_busy_endpoint_is_gil_contention(setting: &Setting) {
    let running = setting.start();
    let port = running.port();
    get(port, "/cpu");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for path in ["/cpu", "/cpu", "/fast"] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    get(port, path);
                }
            });
        }
        let ends = Ends(&over);
        assert_dumps_blame_nothing_else(&running);
        let report = running.attach(4);
        drop(ends);
        assert_names(contention(&report), &["summarise", &setting.line("the line that keeps the GIL").to_string()]);
    });
}

/// Ends the load also where an assertion fails, whose panic would wait for it.
struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
