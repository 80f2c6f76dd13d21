//! Circles that are still there, each by the use that would have to go. Rows are deleted, never added.

/// Which file uses which: the module that it is a part of, or a neighbour from which there is a way back.
pub(crate) const CIRCLES: &[(&str, &str)] = &[];
