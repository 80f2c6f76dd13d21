//! Containers, types and attributes.

use asyncprof::python::attribute::AttributeCache;
use asyncprof::python::types::TypeCache;
use asyncprof::python::{container, weak_set};
use asyncprof::remote::View;

use super::memory::split;

/// Runs the target.
pub fn run(input: &[u8]) {
    let Some((layout, memory, at)) = split(input) else { return };
    let view = &mut View::new(&memory);
    let types = &mut TypeCache::new();
    let _ = container::read_tuple(view, &layout, at);
    let _ = container::read_list(view, &layout, at);
    let _ = container::read_dict_items(view, &layout, at);
    let _ = container::find_str_key(view, &layout, at, "name");
    let _ = container::read_set(view, &layout, at);
    let _ = container::read_deque(view, &layout, at);
    let _ = weak_set::read_weak_set(view, &layout, types, at);
    let _ = AttributeCache::new().read(view, &layout, types, at, "name");
    let _ = AttributeCache::new().read_slot(view, &layout, types, at, "name");
    let _ = types.qualified_name(view, &layout, at);
}
