//! Layer 5: many instants. What a stretch of time adds up to.
//!
//! Nothing here knows the target, what is good or bad, or how anything is shown: it counts.

mod chains;
mod coroutines;
mod live;
mod loops;
mod names;
mod quality;
mod totals;
mod waits;

pub use chains::{Label, Weighted};
pub use coroutines::CoroutineProfile;
pub use loops::{Iteration, Lag, LoopProfile};
pub use quality::Quality;
pub use totals::{By, Naming, Profile};
pub use waits::WaitProfile;
