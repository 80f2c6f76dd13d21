//! Strings, bytes and numbers.

use asyncprof::python::{int, text};
use asyncprof::remote::View;

use super::memory::split;

/// Runs the target.
pub fn run(input: &[u8]) {
    let Some((layout, memory, at)) = split(input) else { return };
    let view = &mut View::new(&memory);
    if let Ok(read) = text::read_str(view, &layout, at) {
        assert!(read.chars().count() <= text::MAX_STR_CHARS + 1);
    }
    let _ = text::read_c_str(view, at, 512);
    let _ = text::read_bytes_object(view, &layout, at);
    let _ = int::read_int(view, &layout, at);
    let _ = int::read_float(view, &layout, at);
}
