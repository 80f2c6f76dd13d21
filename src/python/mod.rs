//! CPython's objects, frames, coroutines, code and threads, read from outside, and their layouts per version.
//!
//! **Architecture invariant:** nothing here depends on asyncio or another runtime, because every runtime is built on
//! these parts, and a second one needs them unchanged. Versions are compared under [`layout`] only, so that a new
//! Python is a new row; all other code uses the layout. Bytes of the target are never trusted: every walk is bounded
//! (`LIMIT:`), and an object that is not what it should be is an error. (`tests/layering`, `tests/hostile*.rs`)

pub mod around_greenlet;
pub mod attribute;
pub mod awaitable;
pub(crate) mod block;
pub(crate) mod builtin;
pub mod caches;
pub mod code;
pub mod container;
pub mod coroutine;
pub(crate) mod cycle;
pub mod exception;
pub mod exception_stack;
pub mod frame;
pub mod frame_table;
pub mod gc;
pub mod greenlet;
mod greenlet_cache;
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
pub mod thread_lock;
pub mod types;
pub mod weak_set;
