//! A process over time: its event loops ([`loops`]) and its tasks ([`tasks`]), sampled again and again.
//!
//! Architecture invariant: nothing here knows time. The sampler decides when a sample is taken, so that a watch can be tested
//! without waiting; only the model leaves. tests/layering.rs holds the edges.

pub mod loops;
pub mod tasks;
