//! asyncprof shows what a live Python async process is doing, from outside, without touching it.
//!
//! # The way of the data
//!
//! ```text
//! target memory -> python objects -> asyncio -> capture, watch -> model -> profile -> detect -> render -> cli
//! ```
//!
//! A folder is a layer, a file is one noun, and `use` points to earlier layers only. `tests/layering.rs` holds the allowed
//! edges as a table.
//!
//! | layer | knows | must not know |
//! |---|---|---|
//! | [`remote`] | the kernel: process memory, maps, ELF, /proc, stopping | Python |
//! | [`python`] | CPython's objects, frames, coroutines, code, threads, and their layout in each version | asyncio |
//! | [`runtime`] | asyncio: loops, tasks, futures, what waits for what | the output |
//! | [`model`] | what is known of a process, as owned, inert data | how it was read |
//! | [`capture`] | one instant: the session that is attached, and the snapshot it takes | files, terminals |
//! | [`watch`] | loops and tasks looked at again and again | when to look |
//! | [`sampler`] | when to look, again and again: deadlines, the CPU budget, the channel | how anything is read or shown |
//! | [`profile`] | many instants: what they add up to | the target, what is good or bad, the output |
//! | [`detect`] | what is wrong in a snapshot or a watch, how two watches differ, whether runs are good enough | I/O, the clock |
//! | [`render`] | a snapshot, a watch or a judgement as bytes, one file a format | the target, the terminal |
//! | [`cli`] | people: options, exit codes, files, terminal | how anything is read |
//!
//! # Invariants
//!
//! 1. Only [`capture`] and [`watch`] read the target, and only the [`sampler`] and [`cli`] may ask them to. What the others work on,
//!    the [`model`], holds no addresses that could be followed. Keys of tasks and loops are names, nothing more.
//! 2. Nothing before [`cli`] prints or exits. (`tests/layering.rs`)
//! 3. Python versions are compared only in [`python::layout`]; everyone else asks the layout. (`tests/layering.rs`)
//! 4. No byte of the target can make us panic, loop without bound or allocate without bound. The target is hostile input.
//!    What it calls its things is made visible before it is shown. (`tests/render.rs`)
//! 5. Written formats have their own types and a version; no type of the model is serialised by derive. ([`render::json`])
//! 6. The target keeps running, whatever happens to us. We never stop it unless asked, and a stop is owned by a guard.
//! 7. Unknown is a value. It is never shown as "good", as zero, or guessed; a rule that cannot know is silent.
//!    (`tests/detect.rs`)
//!
//! # Where to add things
//!
//! - A rule: a file in `src/detect/rules/` and a line in [`detect::RULES`].
//! - A format: a file in the folder of `src/render/` for what it is made from (a snapshot, a report, an export, a check, a
//!   difference), a row in the table of `src/cli/input/formats.rs`, and a golden file; for an export also a check in
//!   `tests/export/`. Markup, style and script of the HTML page are files of their own in `src/render/report/html/`.
//! - Something that `asyncprof check` compares or limits: a variant of [`detect::check::Metric`], and where
//!   [`detect::check::Run`] gets it from.
//! - An option: a field in `src/cli/input/args/`; help, manual, completions, variables and the keys of
//!   `asyncprof.toml` follow from it.
//! - A Python version: a row in [`python::layout`].
//! - A budget for tests: `pytest-plugin/`, a Python package that knows the program's JSON and nothing of this library.

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
