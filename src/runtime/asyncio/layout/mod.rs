//! Where asyncio keeps things: one [`Layout`] per version and build of CPython, built beside that of CPython from
//! [`rows`] and, from 3.14 on, overlaid by the table that asyncio's C module publishes about itself.
//!
//! INVARIANT: outside of `python::layout`, versions are compared in this folder only. (`tests/layering.rs`)

mod fields;
pub mod published;
pub mod rows;

pub use fields::*;
