//! Layer 1: the target process as the kernel shows it — memory, mapped files, threads, permissions.
//!
//! Nothing here knows Python. Every byte that comes from the target is hostile input: it may be torn, freed, or
//! written to mislead us.

pub mod addr;
pub mod live;
pub mod memory;
pub mod view;

pub use addr::{Addr, Span};
pub use memory::{Memory, ReadError};
pub use view::View;
