//! See `src/targets/containers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| asyncprof_fuzz::targets::run("containers", input));
