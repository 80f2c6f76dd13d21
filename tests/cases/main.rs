//! What asyncprof says of programs whose truth is known, each a sample of a kind of fault that people met: one test for each case,
//! interpreter and event loop, such as `greenlet_blocking.sleep/python3.12/uvloop`. The programs are in `tests/programs/cases`.
//! A test asks for what is true, and that nothing untrue stands beside it. With `ASYNCPROF_ALL_CASES=1` each case runs on several
//! interpreters, otherwise on one for each loop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod endings;
mod executors;
mod expect;
mod gil;
mod hangs;
mod loops;
mod pools;
mod setting;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod verdicts;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use setting::Setting;
use support::pythons::{Interpreter, Matrix};
use support::trials::{missing, trial};

/// A program in one situation, and what must be said of it.
pub(crate) struct Case {
    /// File of the program, without its ending.
    program: &'static str,
    /// What the program is told, which is part of the test's name.
    arguments: &'static [&'static str],
    /// Minor versions with asyncio's own loop; an older one than the program needs is left out.
    asyncio: &'static [u32],
    /// Minor versions with uvloop.
    uvloop: &'static [u32],
    judge: fn(&Setting),
}

/// The oldest and the newest, and those between them whose frames or tasks are of another shape.
const EVERY_SHAPE: &[u32] = &[8, 11, 12, 14, 15];
/// For what does not depend on frames.
const FEW: &[u32] = &[8, 12, 14];
const TWO: &[u32] = &[12, 14];
const NONE: &[u32] = &[];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Who shares a processor with another test is starved, which is another cause.
    arguments.test_threads = Some(1);
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let all = [
        stalls::CASES,
        loops::CASES,
        gil::CASES,
        times::CASES,
        verdicts::CASES,
        hangs::CASES,
        executors::CASES,
        endings::CASES,
        pools::CASES,
    ];
    let (without_gil, with_gil): (Vec<_>, Vec<_>) =
        matrix.found.into_iter().partition(|interpreter| interpreter.which.free_threaded);
    let usual = all.into_iter().flatten().flat_map(|case| trials_of(case, &with_gil));
    let trials = usual.chain(gil::WITHOUT_GIL.iter().flat_map(|case| trials_of(case, &without_gil))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Cases, or their first words, of which asyncprof does not say yet what their tests ask for. It says nothing untrue
/// of them that a test could hold on to, or says it in words that are not there yet.
const NOT_SAID_YET: &[&str] = &[];

fn trials_of(case: &'static Case, found: &[Interpreter]) -> Vec<Trial> {
    let mut trials = Vec::new();
    // All of them together take twenty minutes.
    let all = std::env::var_os("ASYNCPROF_ALL_CASES").is_some();
    for (event_loop, minors, usual) in [("asyncio", case.asyncio, 14), ("uvloop", case.uvloop, 12)] {
        let minors = if !all && minors.contains(&usual) { &[usual][..] } else { minors };
        let wanted = |one: &&Interpreter| minors.contains(&one.which.minor);
        for interpreter in found.iter().filter(wanted) {
            let setting = Setting::new(case.program, case.arguments, interpreter, event_loop);
            if !setting.program.runs_on(interpreter) {
                continue;
            }
            let name = format!("{}/{}/{event_loop}", setting.name(), interpreter.which.label());
            trials.push(trial(&name.clone(), move || {
                if NOT_SAID_YET.iter().any(|words| name.starts_with(words)) {
                    missing("asyncprof does not say this yet");
                }
                setting.require_packages();
                (case.judge)(&setting);
            }));
        }
    }
    trials
}
