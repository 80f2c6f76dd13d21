//! What is fuzzed: all code that decodes bytes from a process or a file.

pub mod targets;
