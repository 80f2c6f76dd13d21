//! The state that the next event of a block is encoded against: writer and reader both keep it, event by event.

use crate::model::event::{Doing, Event, Gil, KernelLook, LoopSample, Phase};
use crate::model::tables::LoopNo;

/// The events so far, as far as later events refer to them.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Time of the last event.
    pub(super) at_ns: u64,
    /// The loop of the last sample.
    pub(super) event_loop: u32,
    /// The last sample of each loop.
    samples: Vec<LastSample>,
}

/// The last values recorded for a loop.
#[derive(Clone, Debug)]
pub(super) struct LastSample {
    pub(super) sample: LoopSample,
    /// From the last sample that had one.
    pub(super) kernel: KernelLook,
}

impl LastSample {
    /// What the first sample of a loop is encoded against.
    pub(super) fn unseen() -> Self {
        let kernel = KernelLook::of(Doing::Running);
        let sample = LoopSample {
            at_ns: 0,
            event_loop: LoopNo(0),
            phase: Phase::Selecting,
            away_since_ns: None,
            away_precision_ns: 0,
            callback: None,
            task: None,
            stack: None,
            outer: 0,
            coroutines: 0,
            torn: false,
            moved: false,
            ready: None,
            gil: Gil::Free,
            collecting: false,
            kernel: None,
            holder_stack: None,
        };
        Self { sample, kernel }
    }
}

impl Before {
    /// The last values recorded for a loop. INVARIANT: the number is an index into the block's table, which bounds the
    /// memory.
    pub(super) fn of_loop(&mut self, number: u32) -> &mut LastSample {
        let index = number as usize;
        if index >= self.samples.len() {
            self.samples.resize_with(index + 1, LastSample::unseen);
        }
        &mut self.samples[index]
    }

    /// Advances past an event.
    pub(super) fn pass(&mut self, event: &Event) {
        self.at_ns = event.at_ns();
        if let Event::Loop(sample) = event {
            self.event_loop = sample.event_loop.0;
            let last = self.of_loop(sample.event_loop.0);
            if let Some(kernel) = &sample.kernel {
                last.kernel = kernel.clone();
            }
            last.sample = LoopSample { kernel: None, ..sample.clone() };
        }
    }
}
