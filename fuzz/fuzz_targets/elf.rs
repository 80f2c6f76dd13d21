//! See `src/targets/elf.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| asyncprof_fuzz::targets::run("elf", input));
