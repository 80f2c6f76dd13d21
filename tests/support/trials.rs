//! Tests that need something this machine may lack, such as an interpreter or a browser. Without it they are reported as
//! ignored, with the reason, never as passed. `#[test]` cannot do that, so their files have no test harness of Rust's.

use std::panic::{UnwindSafe, catch_unwind, resume_unwind};

use libtest_mimic::{Completion, Trial};

use super::pythons::Matrix;

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
pub fn trial(name: &str, test: impl FnOnce() + UnwindSafe + Send + 'static) -> Trial {
    Trial::ignorable_test(name.replace(' ', ""), move || match catch_unwind(test) {
        Ok(()) => Ok(Completion::Completed),
        Err(end) => match end.downcast::<Missing>() {
            Ok(missing) => Ok(Completion::ignored_with(missing.0)),
            Err(panic) => resume_unwind(panic),
        },
    })
}

/// The `main` of a file of tests, from their names. A test that is not listed is dead code, which the compiler reports.
#[allow(unused_macros, reason = "each test binary that includes this folder uses a part of it")]
macro_rules! trials {
    ($($test:path),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            let trials = vec![$($crate::support::trials::trial(stringify!($test), $test)),*];
            libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code()
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use trials;
