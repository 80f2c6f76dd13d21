//! Parts shared by several JSON formats. A field added here is added to each of them.

pub(super) mod finding;
pub(super) mod frame;
pub(super) mod header;
pub(super) mod loop_id;
