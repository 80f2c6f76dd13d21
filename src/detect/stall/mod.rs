//! Event loops that stay busy: which one, since when, for how long (lower and upper bound), why, where, and what to do
//! about it.
//!
//! A stall is one iteration that keeps a loop busy for the threshold or longer. A loop that is constantly busy with
//! short iterations is healthy: all its samples show it busy, but each only since a moment ago.

mod advice;
mod detector;
mod iteration;
mod judge;
mod record;
mod site;
mod tally;

pub use detector::StallDetector;
pub use record::{Alert, Cause, Evidence, Iteration, Stall};
