//! Whether a program does well enough: one run or several, judged against budgets and against earlier runs. Pure: it
//! takes the measurements of runs and returns a judgement with its numbers.
//!
//! ```text
//! Analysis -> Run -+-> budgets
//!                  +-> sites      against earlier runs: what is there now and was not before
//!                  +-> comparison against earlier runs: what got worse by more than noise explains
//! ```
//!
//! INVARIANT: a question without data does not pass. A run that did not go well is judged for that, never by its
//! numbers.

mod baseline;
mod budgets;
mod comparison;
mod criteria;
mod item;
mod judgement;
mod metrics;
mod new_sites;
mod noise;
mod run;
mod self_test;
mod sites;
pub mod stats;

pub use baseline::{Baseline, Difference, Fingerprint};
pub use budgets::Budgets;
pub use criteria::Criteria;
pub use item::{Item, Numbers, Subject, Verdict};
pub use judgement::{Before, Judgement, judge};
pub use metrics::{Metric, Unit};
pub use noise::{Noise, Taint, Tolerance};
pub use run::{Circumstances, Problem, Run, threshold_to_look_with};
pub use self_test::{SelfTest, SmallestEffect};
pub use sites::{Site, SiteKind};
