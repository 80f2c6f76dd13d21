//! Layer 2: CPython's objects, frames, coroutines, code and threads, read from outside, and their layouts per version.
//!
//! Nothing here knows asyncio. Only the files under [`layout`] compare version numbers; everyone else asks the layout.

pub mod attribute;
pub mod awaitable;
pub(crate) mod block;
pub(crate) mod builtin;
pub mod caches;
pub(crate) mod circle;
pub mod code;
pub mod container;
pub mod coroutine;
pub mod exception_stack;
pub mod frame;
pub mod frame_table;
pub mod gc;
pub mod int;
pub mod interpreter;
pub mod layout;
pub mod line_table;
pub mod locate;
pub mod modules;
pub mod pthread;
pub mod reader;
pub mod refcount;
pub mod stack;
pub mod stack_watch;
pub mod text;
pub mod types;
pub mod weak_set;
