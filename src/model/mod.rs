//! What is known of a process, as owned, inert data: one instant ([`snapshot`]), what a watch over time consists of
//! ([`event`]), what tasks wait for ([`wait`]), and names said once ([`tables`]).
//!
//! **Architecture invariant:** nothing here can read the target, and nothing here uses another layer, so that whatever works
//! on the model cannot read it either. (`tests/layering.rs`)

pub mod event;
pub mod snapshot;
pub mod tables;
pub mod wait;

pub use snapshot::Snapshot;
