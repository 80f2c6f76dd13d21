//! Files that claim to be programs or libraries.

use asyncprof::remote::elf::{Elf, Wanted};

/// Runs the target.
pub fn run(input: &[u8]) {
    for local_symbols in [false, true] {
        let wanted = Wanted {
            sections: &[".PyRuntime", ".AsyncioDebug"],
            symbols: &["_PyRuntime", "Py_Version"],
            local_symbols,
        };
        let Ok(elf) = Elf::parse(input, wanted) else { continue };
        let _ = (elf.section(".PyRuntime"), elf.symbol("_PyRuntime"));
    }
}
