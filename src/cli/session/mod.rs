//! A running watch: the processes it follows, what receives its events, and how it is stopped.
//!
//! Architecture invariant: a session never decides what is written at the end; the commands do. So that the same session
//! serves a live summary, a recording and a check.

pub(crate) mod child;
pub(crate) mod process_tree;
pub(crate) mod signals;
pub(crate) mod stopping;
pub(crate) mod watch_session;
