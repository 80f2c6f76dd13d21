//! Layer 3: asyncio as seen from outside: tasks, futures, event loops, and what waits for what.
//!
//! Nothing here knows time or sampling: one reading, one answer. asyncio's own Python code is recognised by the names it
//! has had in every version; where its C structures are is the layout's business.

mod allowance;
pub mod callback;
pub mod event_loop;
pub mod future;
pub mod iteration;
pub mod lock;
pub mod ownership;
pub mod registry;
pub mod task;
pub mod wait;
