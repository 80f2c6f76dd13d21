//! What is known of a process, as owned, inert data: one snapshot ([`snapshot`]), the events of a watch ([`event`]),
//! what tasks wait for ([`wait`]), interned names ([`tables`]), and whose code a file is ([`origin`]).
//!
//! **Architecture invariant:** nothing here can read the target or use another layer, so code that works on the model
//! cannot read the target either. (`tests/layering`)

pub mod event;
pub mod origin;
pub mod snapshot;
pub mod tables;
pub mod wait;

pub use snapshot::Snapshot;
