//! Finds the table of offsets that asyncio's C module publishes.

use super::layout::Layout;
use crate::python::locate::find_section;
use crate::remote::{Addr, Memory, Process};

/// The module and its section. CPython: Modules/_asynciomodule.c, v3.14.10.
const MODULE: &str = "_asyncio";
const SECTION: &str = ".AsyncioDebug";

/// The table of offsets, if this version has one and the module is already loaded: that happens when the program
/// imports asyncio.
pub fn find_table(process: &Process, memory: &dyn Memory, layout: &Layout) -> Option<Addr> {
    layout.publishes_offsets().then(|| find_section(process, memory, MODULE, SECTION)).flatten()
}
