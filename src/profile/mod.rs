//! Aggregates the events of a period of time, and the recording that keeps the events.
//!
//! Architecture invariant: nothing here judges, shows or reads the target; this module only aggregates events of the
//! model. A recording therefore gives the same profile as the live watch did. (`tests/layering`: only `model` may be
//! used.)

mod chains;
mod coroutines;
mod edges;
mod folding;
mod labels;
mod live;
mod loops;
pub mod names;
pub mod recording;
mod sameness;
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
pub use labels::Label;
pub use loops::{Iteration, Lag, LoopProfile};
pub use slices::Slices;
pub use timeline::{LoopBin, TaskBin, Timeline};
pub use totals::{Profile, longest_period_ns, period_ns};
pub use waits::WaitProfile;
pub use weights::{By, Weighted};
