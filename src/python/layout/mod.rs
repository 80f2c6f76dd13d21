//! The layouts of CPython's structures: one [`Layout`] per minor version and build kind, filled from [`rows`] and, if
//! the target publishes its own table (3.13+), overlaid by its values.
//!
//! INVARIANT: versions are compared in this folder only. A layout contains *where* (byte offsets from the start of the
//! structure, in a GIL build's LP64 layout) and *how* (enums such as [`Frames`]).

mod fields;
pub mod published;
pub mod rows;

pub use fields::*;
