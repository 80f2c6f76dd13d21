//! Layer 6: many instants. What a watch over time saw, kept in a file ([`recording`]). It must not know the target, what is
//! wrong with it, nor how anything is shown.

pub mod recording;
