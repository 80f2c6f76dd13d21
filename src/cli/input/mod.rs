//! What the user gives: options, settings, processes, recordings and source files.
//!
//! Architecture invariant: nothing here writes a result, so that everything given is known to be usable before any work is
//! done for it.

pub(crate) mod args;
pub(crate) mod config;
pub(crate) mod find_process;
pub(crate) mod formats;
pub(crate) mod replay;
pub(crate) mod sources;
pub(crate) mod units;
