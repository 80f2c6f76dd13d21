//! Layer 1: the target process as the kernel shows it: memory, mapped files, threads, permissions.
//!
//! Architecture invariant: nothing here depends on Python. Bytes are only copied, located and compared here; the layers
//! above interpret them, so that every memory (live, stopped, saved image, test) is read by the same code.
//! (`tests/layering`) Every byte of the target is untrusted input: it may be torn, freed, or crafted to mislead us.

pub mod access;
pub mod addr;
mod arena;
pub mod descendants;
pub mod elf;
mod elf_memory;
pub mod halt;
pub mod image;
pub mod kernel_thread;
pub mod live;
pub mod maps;
pub mod memory;
pub mod own_memory;
pub mod permission;
pub mod process;
pub mod program;
pub mod stopped;
pub mod store;
pub mod thread_watch;
pub mod view;

pub use access::AccessError;
pub use addr::{Addr, Span};
pub use memory::{GiveUp, Memory, ReadError, Until};
pub use own_memory::MemoryLimit;
pub use process::Process;
pub use program::Program;
pub use view::View;
