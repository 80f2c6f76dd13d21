//! asyncprof shows what a live Python async process is doing, from outside, without touching it.
//!
//! ```text
//! target's memory -> python -> runtime -> capture, watch (driven by sampler) -> model -> profile, detect -> render -> cli
//! ```
//!
//! A folder is a layer, a file is one noun, and `use` points to earlier layers only.
//!
//! | layer | knows | does not depend on |
//! |---|---|---|
//! | [`remote`] | the kernel: process memory, maps, ELF, /proc, stopping | Python |
//! | [`python`] | CPython's objects, frames, coroutines, code, threads, and their layout in each version | asyncio |
//! | [`model`] | what is known of a process, as owned, inert data | any other layer |
//! | [`runtime`] | asyncio: loops, tasks, futures, what waits for what | the output |
//! | [`capture`] | one instant: attaching, and the snapshot | files, terminals |
//! | [`watch`] | loops and tasks sampled repeatedly | when to sample |
//! | [`sampler`] | when to sample: deadlines, the CPU budget, the channel | how anything is read or shown |
//! | [`profile`] | what many samples add up to; the recording file | the target, what is good or bad, the output |
//! | [`detect`] | what is wrong in a snapshot or a recording, how two recordings differ, whether runs pass | I/O, the clock |
//! | [`render`] | a snapshot, a recording or a verdict as bytes | the target, the terminal |
//! | [`cli`] | people: options, exit codes, files, terminal | how anything is read |
//!
//! `ARCHITECTURE.md` has the invariants, each with its reason and the test that holds it, how a read is proved, and a glossary.
//! `CONTRIBUTING.md` says where a Python version, a rule, a format or an option is added.

pub mod capture;
pub mod cli;
pub mod detect;
pub mod model;
pub mod profile;
pub mod python;
pub mod remote;
pub mod render;
pub mod runtime;
pub mod sampler;
pub mod watch;
