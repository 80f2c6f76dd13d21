//! The layouts of asyncio's structures: one [`Layout`] per version and build of CPython, built next to that of CPython
//! from [`rows`] and, from 3.14 on, overlaid by the table that asyncio's C module publishes about itself.
//!
//! INVARIANT: outside `python::layout`, versions are compared in this folder only. (`tests/layering`)

mod fields;
pub mod published;
pub mod rows;

pub use fields::*;
