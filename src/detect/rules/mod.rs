//! The rules, and the registry from which everything else is derived: dumps, reports, `diff`, `check`, SARIF, the
//! schemas and the README.
//!
//! To add a rule, add a file here with its `INFO` and its `judge`, its `mod` line and a row in [`RULES`].

mod await_cycle;
mod blocking_call;
mod cancelled_task;
mod closing;
pub mod deadlock;
mod exception_never_retrieved;
mod gil_contention;
mod incomplete_reading;
mod lock_convoy;
mod lock_holder_ended;
mod loop_not_running;
mod loop_spin;
mod missed_wakeup;
mod names;
mod orphaned_task;
mod other_runtime;
mod pool_exhausted;
mod process_stopped;
mod queue_full;
mod ready_queue_backlog;
mod resources;
mod rule;
mod shutdown_waits;
mod thread_deadlock;
mod untested_interpreter;

pub use rule::{Rule, RuleInfo, Scope, Subject};

use crate::model::snapshot::RuleId;

// Rules referred to elsewhere: two have budgets in `check`, dumps show deadlocked tasks first, and one is judged over time.
pub use await_cycle::INFO as AWAIT_CYCLE;
pub use exception_never_retrieved::INFO as EXCEPTION_NEVER_RETRIEVED;
pub use gil_contention::INFO as GIL_CONTENTION;
pub use loop_spin::INFO as LOOP_SPIN;
pub use orphaned_task::INFO as ORPHANED_TASK;

/// Every rule; findings of equal severity are shown in this order.
pub static RULES: &[Rule] = &[
    Rule { info: &process_stopped::INFO, judge: process_stopped::judge },
    Rule { info: &await_cycle::INFO, judge: await_cycle::judge },
    Rule { info: &thread_deadlock::INFO, judge: thread_deadlock::judge },
    Rule { info: &loop_not_running::INFO, judge: loop_not_running::judge },
    Rule { info: &missed_wakeup::INFO, judge: missed_wakeup::judge },
    Rule { info: &lock_holder_ended::INFO, judge: lock_holder_ended::judge },
    Rule { info: &shutdown_waits::INFO, judge: shutdown_waits::judge },
    Rule { info: &cancelled_task::INFO, judge: cancelled_task::judge },
    Rule { info: &blocking_call::INFO, judge: blocking_call::judge },
    Rule { info: &gil_contention::INFO, judge: gil_contention::judge },
    Rule { info: &loop_spin::INFO, judge: loop_spin::judge },
    Rule { info: &exception_never_retrieved::INFO, judge: exception_never_retrieved::judge },
    Rule { info: &orphaned_task::INFO, judge: orphaned_task::judge },
    Rule { info: &pool_exhausted::INFO, judge: pool_exhausted::judge },
    Rule { info: &lock_convoy::INFO, judge: lock_convoy::judge },
    Rule { info: &queue_full::INFO, judge: queue_full::judge },
    Rule { info: &ready_queue_backlog::INFO, judge: ready_queue_backlog::judge },
    Rule { info: &other_runtime::INFO, judge: other_runtime::judge },
    Rule { info: &untested_interpreter::INFO, judge: untested_interpreter::judge },
    Rule { info: &incomplete_reading::INFO, judge: incomplete_reading::judge },
];

/// The description of a rule; `None` for a rule of another version of asyncprof.
pub fn find(id: &RuleId) -> Option<&'static RuleInfo> {
    find_by_name(id.as_str())
}

/// The description of the rule with that name.
pub fn find_by_name(name: &str) -> Option<&'static RuleInfo> {
    RULES.iter().map(|rule| rule.info).find(|info| info.id.as_str() == name)
}
