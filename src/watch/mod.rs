//! A process over time: its event loops ([`loops`]) and its tasks ([`tasks`]), sampled repeatedly.
//!
//! Architecture invariant: nothing here depends on time. The sampler decides when a sample is taken, so that a watch
//! can be tested without waiting; only the model leaves this layer. tests/layering holds the edges.

pub mod loops;
pub mod tasks;
