//! The commands, one file each.

pub(crate) mod attach;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod export;
pub(crate) mod flamegraph;
pub(crate) mod manual;
pub(crate) mod record;
pub(crate) mod report;
