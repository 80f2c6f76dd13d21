//! Layer 5: many instants. What a stretch of time adds up to.
//!
//! Nothing here knows the target, what is good or bad, or how anything is shown: it counts.

mod chains;
mod coroutines;
mod edges;
mod folding;
mod live;
mod loops;
pub mod names;
pub mod recording;
mod slices;
mod stacks;
mod tasks;
mod timeline;
mod totals;
mod waits;
mod weights;

pub use coroutines::CoroutineProfile;
pub use edges::AwaitEdge;
pub use folding::{Folding, Naming, Threads};
pub use loops::{Iteration, Lag, LoopProfile};
pub use slices::Slices;
pub use timeline::{LoopBin, TaskBin, Timeline};
pub use totals::{Profile, longest_period_ns, period_ns};
pub use waits::WaitProfile;
pub use weights::{By, Label, Weighted};
