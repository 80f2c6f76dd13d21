//! The async runtimes as seen from outside: loops, tasks, futures, and what they wait for. One folder per runtime.
//!
//! **Architecture invariant:** a runtime returns data of the model from a single reading. It does not depend on time or
//! sampling, so that the dump and the watches use it alike, and it produces no text, so that every output can word the
//! same fact its own way. (`tests/layering`: it may use `remote`, `python` and `model` only.)

mod allowance;
pub mod asyncio;
pub mod interface;
pub mod layouts;
pub mod record;
pub mod references;
pub mod runtimes;
pub mod wait;
pub mod wait_graph;
