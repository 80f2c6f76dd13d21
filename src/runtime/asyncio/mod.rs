//! asyncio: tasks, futures, event loops, and what waits for what.
//!
//! asyncio's own Python code is recognised by the names it has had in every version; where its C structures are, and how
//! versions differ, is what [`layout`] says.

pub mod callback;
pub mod event_loop;
pub mod future;
pub mod iteration;
pub mod layout;
pub mod locate;
pub mod lock;
pub mod ownership;
pub mod registry;
pub mod task;
pub mod wait;
