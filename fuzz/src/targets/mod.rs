//! The fuzz targets as plain functions: run by libFuzzer with new inputs (`scripts/fuzz`), and by `tests/corpus.rs` with those that
//! were found.

mod baseline;
mod blocks;
mod containers;
mod elf;
mod image;
mod line_table;
mod maps;
mod memory;
mod published;
mod recording;
mod report;
mod snapshot;
mod text;

/// What is run with an input.
pub type Target = fn(&[u8]);

/// Each target and its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("baseline", baseline::run),
    ("containers", containers::run),
    ("elf", elf::run),
    ("image", image::run),
    ("line_table", line_table::run),
    ("maps", maps::run),
    ("published", published::run),
    ("recording", recording::run),
    ("report", report::run),
    ("snapshot", snapshot::run),
    ("text", text::run),
];

/// Runs a target.
pub fn run(name: &str, input: &[u8]) {
    let (_, run) = TARGETS.iter().find(|(known, _)| *known == name).expect("every file of a target names one of these");
    run(input);
}
