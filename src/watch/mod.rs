//! A process over time: its event loops ([`loops`]) and its tasks ([`tasks`]), looked at again and again.
//!
//! INVARIANT: when to look is decided by the sampler; what leaves is [`crate::model`].

pub mod loops;
pub mod tasks;
