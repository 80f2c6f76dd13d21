//! Layer 5: when to read. Two threads watch a process: the loop tier samples its event loops, the task tier its tasks.
//! Both send what they see as [`Batch`]es over a bounded channel.
//!
//! ```text
//! loop tier: deadline -> LoopReader -> outbox -+
//!    | rates                                   +-> bounded channel -> Watch::batches
//! task tier: deadline -> TaskReader -> outbox -+
//! ```
//!
//! To watch a program's subprocesses too, `discovery` finds those that run an event loop and starts a watch of each;
//! all share one CPU budget.
//!
//! Architecture invariant: the sampler decides when something is read, how often and for how long; how a loop or a task
//! is read, and what is wrong with the result, is left to other layers. The clock and the kernel come in through
//! `clock` and `live` alone, so that every decision about time is tested on a fake clock, without waiting. (`tests.rs`
//! here; `tests/layering` for the layers it may use)
//!
//! INVARIANT: a tier never waits for the receiver; what does not fit into the channel is lost and counted.
//!
//! [`Batch`]: crate::model::event::Batch

mod account;
mod clock;
mod condense;
mod credit;
mod discovery;
mod governor;
mod header;
mod health;
mod live;
mod loop_tier;
mod maintenance;
mod options;
mod outbox;
mod parts;
mod readers;
mod schedule;
mod shared;
mod sharing;
mod stops;
mod target_state;
mod task_tier;
#[cfg(test)]
mod tests;
mod watch;

use clock::SECOND;
pub use discovery::{MAX_WATCHES, NewProcess, follow};
pub use options::{Judge, Judged, Options, StopLimits};
pub use shared::{End, Stop};
pub use sharing::Sharing;
pub use watch::{Outcome, Watch, start};
