//! "At least" is a lower bound: short waits at one line, and short tasks at one address, are not one long one.

use serde_json::Value;

use crate::expect::list;
use crate::setting::Setting;
use crate::{Case, FEW, TWO};

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "repeated_waits",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: repeated_waits_are_not_one_long_one,
    },
    Case {
        program: "reused_task_addresses",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: short_tasks_are_not_one_old_one,
    },
];

/// The times of a coroutine whose name says that they are lower bounds must not be above this.
fn assert_at_most(report: &Value, coroutine: &str, field: &str, most_ms: f64) {
    let kind = list(&report["tasks"]).iter().find(|kind| kind["coroutine"] == coroutine);
    let kind = kind.unwrap_or_else(|| panic!("no {coroutine} in {:#}", report["tasks"]));
    let said = kind[field].as_f64().unwrap_or(0.0);
    assert!(said <= most_ms, "{coroutine}: {field} {said}, but it is {most_ms} at most");
}

fn repeated_waits_are_not_one_long_one(setting: &Setting) {
    let running = setting.start();
    let report = running.attach(5);
    // A loop that gets no processor waits a little longer than it asked for.
    const SLACK_MS: f64 = 50.0;
    let truth =
        [("poller", 200.0), ("event_user", 100.0), ("event_setter", 100.0), ("consumer", 150.0), ("producer", 150.0)];
    for (coroutine, most_ms) in truth.into_iter().chain([("parent", 50.0), ("sleep", 50.0)]) {
        assert_at_most(&report, coroutine, "longest_wait_ms_at_least", most_ms + SLACK_MS);
    }
}

fn short_tasks_are_not_one_old_one(setting: &Setting) {
    let running = setting.start();
    let report = running.attach(5);
    for field in ["oldest_ms_at_least", "longest_wait_ms_at_least"] {
        assert_at_most(&report, "job", field, 80.0);
    }
    assert_at_most(&report, "main", "longest_wait_ms_at_least", 80.0);
}
