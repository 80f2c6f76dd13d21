//! Where CPython keeps things: one [`Layout`] per minor version and build kind, filled from [`rows`] and, where the
//! target publishes its own table (3.13+), overlaid by what it says.
//!
//! INVARIANT: versions are compared in this folder only. A layout says *where* (byte offsets from the start of the
//! structure, in a GIL build's LP64 layout) and *how* (enums such as [`Frames`]).

mod fields;
pub mod published;
pub mod rows;

pub use fields::*;
