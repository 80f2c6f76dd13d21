//! Tests that need something this machine may lack, such as an interpreter or a browser. Without it they are reported as
//! ignored, with the reason, never as passed. `#[test]` cannot do that, so their files have no test harness of Rust's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use libtest_mimic::{Completion, Trial};

use super::pythons::Interpreter;
use super::pythons::{Matrix, Wanted};

/// What ends a test that cannot run here.
struct Missing(String);

/// Ends the running test as ignored: this machine lacks what it needs.
pub fn missing(what: &str) -> ! {
    // Not `panic!`, which would print a message and a backtrace.
    resume_unwind(Box::new(Missing(what.to_owned())))
}

/// As [`missing`], for an interpreter: a failure where every interpreter is required.
pub fn missing_python(what: &str) -> ! {
    assert!(!Matrix::all_required(), "missing: {what}");
    missing(what)
}

/// One function as a test.
pub fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name.replace(' ', ""), move || match catch_unwind(AssertUnwindSafe(test)) {
        Ok(()) => Ok(Completion::Completed),
        Err(end) => match end.downcast::<Missing>() {
            Ok(missing) => Ok(Completion::ignored_with(missing.0)),
            Err(panic) => resume_unwind(panic),
        },
    })
}

/// One function as a test on each of these interpreters, such as `python3.12/NAME`.
pub fn trials_on(pythons: &[Wanted], name: &str, test: fn(&Interpreter)) -> Vec<Trial> {
    let on = |(which, found): &Wanted| {
        let (label, found) = (which.label(), found.clone());
        trial(&format!("{label}/{name}"), move || match found {
            Some(interpreter) => test(&interpreter),
            None => missing_python(&format!("no {label} on this machine")),
        })
    };
    pythons.iter().map(on).collect()
}

/// A test for each interpreter that is missing, so that a run shows what it does not cover.
pub fn trials_of_missing(matrix: &Matrix) -> Vec<Trial> {
    let of = |label: String| {
        trial(&format!("matrix/{label}_is_there"), move || missing_python(&format!("no {label} on this machine")))
    };
    matrix.missing.iter().map(|which| of(which.label())).collect()
}

/// The `main` of a file of tests, from their names: those that run once, and those that run on each of some interpreters. A
/// test that is not listed is dead code, which the compiler reports.
#[allow(unused_macros, reason = "each test binary that includes this folder uses a part of it")]
macro_rules! trials {
    (on each of $pythons:expr => $($on_each:path),* $(,)?) => {
        $crate::support::trials::trials! { ; on each of $pythons => $($on_each),* }
    };
    ($($test:path),* $(,)? $(; on each of $pythons:expr => $($on_each:path),* $(,)?)?) => {
        fn main() -> std::process::ExitCode {
            #[allow(unused_mut, reason = "not every file has tests that run on each interpreter")]
            let mut trials: Vec<_> = [$($crate::support::trials::trial(stringify!($test), $test)),*].into();
            $(
                let pythons = $pythons;
                $(trials.extend($crate::support::trials::trials_on(&pythons, stringify!($on_each), $on_each));)*
            )?
            libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code()
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use trials;
