//! Pools of threads: which jobs run, which are queued, and a pool that waits for itself.

use crate::expect::{assert_found, assert_names, rules};
use crate::setting::Setting;
use crate::{Case, FEW, NONE, TWO};

pub(crate) const CASES: &[Case] = &[
    Case {
        program: "executor_waits_for_itself",
        arguments: &[],
        asyncio: FEW,
        uvloop: TWO,
        judge: a_pool_that_waits_for_itself,
    },
    Case { program: "executor_starved", arguments: &[], asyncio: FEW, uvloop: NONE, judge: a_full_pool_is_named },
    Case { program: "anyio_limiter", arguments: &[], asyncio: FEW, uvloop: NONE, judge: a_limiter_that_is_used_up },
];

fn a_pool_that_waits_for_itself(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [deadlock] = assert_found(&dump, [rules::THREAD_DEADLOCK]);
    assert_names(deadlock, &["dbpool", "view", &setting.line("the line that waits").to_string()]);
}

fn a_full_pool_is_named(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [full] = assert_found(&dump, [rules::POOL_EXHAUSTED]);
    let line = setting.line("the line that waits").to_string();
    assert_names(full, &["6 of 6", "44", "slow_report", &line, "getaddrinfo"]);
}

/// That a connection, once given back, would be what the holders wait for is only in the program's own code: what can be
/// read is who has the tokens, what they do in their threads, and who waits for one.
fn a_limiter_that_is_used_up(setting: &Setting) {
    let running = setting.start();
    running.wait_until_still();
    let dump = running.dump();
    let [exhausted] = assert_found(&dump, [rules::POOL_EXHAUSTED]);
    assert_names(exhausted, &["8 of 8", "take", "give_back"]);
}
