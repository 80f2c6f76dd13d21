//! Layer 2: CPython's objects, frames, coroutines, code and threads, read from outside, and their layouts per version.
//!
//! Nothing here knows asyncio. Only the files under [`layout`] compare version numbers; everyone else asks the layout.

pub mod layout;
pub mod locate;
