//! See `src/targets/line_table.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| asyncprof_fuzz::targets::run("line_table", input));
