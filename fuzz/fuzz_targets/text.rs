//! Strings, bytes and numbers.
#![no_main]

use asyncprof::python::{int, text};
use asyncprof::remote::View;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((layout, memory, at)) = asyncprof_fuzz::split(input) else { return };
    let view = &mut View::new(&memory);
    if let Ok(read) = text::read_str(view, &layout, at) {
        assert!(read.chars().count() <= text::MAX_STR_CHARS + 1);
    }
    let _ = text::read_c_str(view, at, 512);
    let _ = text::read_bytes_object(view, &layout, at);
    let _ = int::read_int(view, &layout, at);
    let _ = int::read_float(view, &layout, at);
});
