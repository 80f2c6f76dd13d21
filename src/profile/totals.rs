//! What a stretch of time adds up to: loops, what they ran, what tasks waited for. It takes events in the order of time,
//! live or from a recording, and can be asked at any moment. It must not know what is good or bad.
//!
//! INVARIANT: it holds no number of the tables it is given beyond a call, but those it forgets when told that they begin
//! anew. Its memory grows with the number of distinct stacks and of tasks alive, not with the length of the watch, and for
//! distinct stacks there is a limit, after which the rest is `<other>`.

use crate::snapshot::event::{Event, Header, KeptFinding, Note};
use crate::snapshot::tables::{LoopNo, Tables};

use super::{CoroutineProfile, Iteration, LoopProfile, Quality, WaitProfile, Weighted};

/// What a flame graph is weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What event loops execute: time away from the selector, callbacks included.
    Run,
    /// Where tasks wait.
    Await,
    /// What tasks do with their time: run, wait, be ready.
    Wall,
}

/// What becomes of the counters in names of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `Task-17` and `Task-18` are `Task-*`, because where time goes does not depend on a counter.
    #[default]
    Folded,
    /// Names as they are; a program that names each task otherwise soon reaches the limit of distinct stacks.
    Full,
}

/// The totals of a watch.
#[derive(Debug)]
pub struct Profile {}

impl Profile {
    /// Nothing seen yet.
    pub fn new(header: &Header, naming: Naming) -> Self {
        let _ = (header, naming);
        Self {}
    }

    /// Adds an event. Events come in the order of time of their source; `tables` are those its numbers belong to, the same
    /// for loops and tasks.
    pub fn absorb(&mut self, event: &Event, tables: &Tables) {
        let _ = (event, tables);
    }

    /// Adds one iteration of a loop that was seen. Whoever follows the iterations says each once.
    pub fn iteration(&mut self, event_loop: LoopNo, iteration: Iteration, tables: &Tables) {
        let _ = (event_loop, iteration, tables);
    }

    /// The tables begin anew: numbers from before mean something else from now on.
    pub fn forget_numbers(&mut self) {}

    /// Counts what still lasts up to this moment. Call it before asking; the watch may go on afterwards.
    pub fn settle(&mut self, at_ns: u64) {
        let _ = at_ns;
    }

    /// Event loops, in the order in which they were met.
    pub fn loops(&self) -> &[LoopProfile] {
        &[]
    }

    /// Tasks by their coroutine, in the order in which they were met.
    pub fn coroutines(&self) -> &[CoroutineProfile] {
        &[]
    }

    /// Waits by await stack and kind, most time first.
    pub fn waits(&self) -> Vec<WaitProfile<'_>> {
        Vec::new()
    }

    /// Stitched stacks with their time, heaviest first: a task stands under the tasks that wait for it.
    pub fn weights(&self, by: By) -> Vec<Weighted<'_>> {
        let _ = by;
        Vec::new()
    }

    /// What loops executed by stack alone, without what awaits it, most time first.
    pub fn runs(&self) -> Vec<Weighted<'_>> {
        Vec::new()
    }

    /// How far to trust all this.
    pub fn quality(&self) -> Quality {
        Quality::default()
    }

    /// What the last look at everything found.
    pub fn findings(&self) -> &[KeptFinding] {
        &[]
    }

    /// What happened to the target, in the order of time.
    pub fn notes(&self) -> &[Note] {
        &[]
    }
}
