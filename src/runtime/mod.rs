//! The async runtimes as seen from outside: loops, tasks, futures, and what waits for what. One folder each.
//!
//! Nothing here knows time or sampling: one reading, one answer.

mod allowance;
pub mod asyncio;
pub mod wait_graph;
