//! asyncio: tasks, futures, event loops, and what they wait for.
//!
//! asyncio's own Python code is recognised by its names, which are the same in every version; the places of its C
//! structures, and the differences between versions, are in [`layout`].

mod anyio;
pub mod callback;
pub mod cancellation;
pub mod event_loop;
pub mod executor;
pub mod future;
pub mod iteration;
pub mod layout;
pub mod locate;
pub mod lock;
pub mod ownership;
mod pools;
pub mod registry;
mod runtime;
mod streams;
pub mod task;
pub mod wait;

pub use self::runtime::Asyncio;
