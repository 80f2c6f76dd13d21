//! The async runtimes as seen from outside: loops, tasks, futures, and what waits for what. One folder each.
//!
//! **Architecture invariant:** a runtime answers from one reading with data of the model. It knows neither time nor
//! sampling, so that the dump and the watches ask it alike, and it makes no sentences, so that every output can word the
//! same fact its own way. (`tests/layering.rs`: it may use `remote`, `python` and `model` only.)

mod allowance;
pub mod asyncio;
pub mod wait_graph;

use crate::python::layout::Layout;

/// Where the interpreter and the runtimes in it keep things.
#[derive(Clone, Debug, PartialEq)]
pub struct Layouts {
    /// CPython.
    pub python: Layout,
    /// asyncio.
    pub asyncio: asyncio::layout::Layout,
}
