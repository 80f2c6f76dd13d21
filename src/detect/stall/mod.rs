//! Event loops that stay away from their selector: which, since when, how long at least and at most, why, where, and
//! what to do.
//!
//! A stall is one iteration of a loop that keeps the loop from its selector for the threshold or longer. A loop that is busy
//! all the time with short iterations is healthy: all its samples show it away, each since a moment ago.

mod advice;
mod detector;
mod iteration;
mod judge;
mod record;
mod site;
mod tally;

pub use detector::StallDetector;
pub use record::{Alert, Cause, Evidence, Iteration, Stall};
