//! Sends a tier's events as batches over a bounded channel, without ever making the tier wait. When the channel is
//! full, samples are lost and counted; names are not, nor is anything that later events depend on.
//!
//! What happens to an event that does not fit into the channel:
//! - a loop sample is lost, and counted;
//! - task changes are merged into one: a slow receiver sees fewer moments, never a wrong state. Each merge is counted;
//! - of findings and of health, only the latest matters;
//! - notes are kept.
//!
//! INVARIANT: a receiver that adds the definitions of each batch to its tables before it handles the events can resolve
//! every number in them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Sender;
use rustc_hash::FxHashMap;

use crate::model::event::{Batch, Event, Source};
use crate::model::tables::{Definitions, LoopNo, Mark, Tables};

use super::condense::{condense, size};
use super::shared::lock;

/// LIMIT: names in the tables of one source; about 100 MB here, and as much in the receiver. Then the tables are reset,
/// unless the names in use at one moment are more than a fourth of it.
const MAX_NAMES: usize = 400_000;
/// LIMIT: tasks in changes that wait for room in the channel; then everything is sent again.
const MAX_MERGED: usize = 1_000_000;

/// LIMIT: how long the last batch waits for room in the channel.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiverDropped;

/// The sending end of the channel of one source, which another thread can close: while a sender is left, the receiver
/// waits for it.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Mutex<Option<Sender<Batch>>>>);

impl Gate {
    /// Nothing more is sent.
    pub(super) fn close(&self) {
        *lock(&self.0) = None;
    }

    /// Sends a batch, waiting for room up to `timeout`. Returns what did not fit.
    fn send(&self, batch: Batch, timeout: Duration) -> Result<Option<Batch>, ReceiverDropped> {
        let Some(sender) = lock(&self.0).clone() else { return Err(ReceiverDropped) };
        match sender.send_timeout(batch, timeout) {
            Ok(()) => Ok(None),
            Err(error) if error.is_timeout() => Ok(Some(error.into_inner())),
            Err(_) => Err(ReceiverDropped),
        }
    }
}

/// The events of one source, its tables, and what has been sent of them.
#[derive(Debug)]
pub(super) struct Outbox {
    source: Source,
    gate: Gate,
    tables: Tables,
    /// Everything before this was sent or is in `definitions`.
    mark: Mark,
    /// Taken from the tables, not sent yet.
    definitions: Definitions,
    /// The tables were reset and the receiver has not been informed yet.
    begins_anew: bool,
    events: Vec<Event>,
    /// Names added since the tables were reset, and how many there were once everything had been sent.
    names: usize,
    names_at_first: Option<usize>,
    most_names: usize,
    lost: u64,
    gaps: Gaps,
}

impl Outbox {
    /// An outbox that has sent nothing yet.
    pub(super) fn new(source: Source, sender: Sender<Batch>) -> Self {
        Self {
            source,
            gate: Gate(Arc::new(Mutex::new(Some(sender)))),
            tables: Tables::default(),
            mark: Mark::default(),
            definitions: Definitions::default(),
            begins_anew: false,
            events: Vec::new(),
            names: 0,
            names_at_first: None,
            most_names: MAX_NAMES,
            lost: 0,
            gaps: Gaps::default(),
        }
    }

    /// The tables that number the names in this source's events.
    pub(super) fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Adds an event. All numbers in it refer to [`Outbox::tables`] as they are now.
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Number of events that wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Samples lost until now because the channel was full.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The longest time between two samples of a loop that were sent, since the last call.
    pub(super) fn take_longest_gap(&mut self) -> u64 {
        std::mem::take(&mut self.gaps.longest_ns)
    }

    /// Keeps the gaps of these loops only: one that returns later does not count as missed in the meantime.
    pub(super) fn keep_gaps_of(&mut self, is_there: impl Fn(LoopNo) -> bool) {
        self.gaps.last.retain(|event_loop, _| is_there(*event_loop));
    }

    /// What closes it.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Sends what is waiting, if the channel has room.
    pub(super) fn flush(&mut self) -> Result<(), ReceiverDropped> {
        self.flush_within(Duration::ZERO)
    }

    /// Sends what is waiting, and waits for room: for the end, when there are no more deadlines.
    pub(super) fn flush_at_end(&mut self) -> Result<(), ReceiverDropped> {
        self.flush_within(SHUTDOWN_TIMEOUT)
    }

    fn flush_within(&mut self, timeout: Duration) -> Result<(), ReceiverDropped> {
        let Some(batch) = self.take_batch() else { return Ok(()) };
        match self.gate.send(batch, timeout)? {
            None => self.begins_anew = false,
            Some(batch) => self.take_back(batch),
        }
        Ok(())
    }

    /// Whether the tables are large enough to be reset.
    pub(super) fn is_overfull(&self) -> bool {
        self.names > self.most_names.max(self.names_at_first.unwrap_or(0).saturating_mul(4))
            || self.events.iter().any(|event| matches!(event, Event::Tasks(changes) if size(changes) > MAX_MERGED))
    }

    /// Resets the tables: earlier numbers are no longer valid, and readers that keep numbers must be recreated. What
    /// waits is sent; what does not fit is lost if it contains numbers.
    pub(super) fn reset(&mut self) -> Result<(), ReceiverDropped> {
        self.flush()?;
        let waiting = std::mem::take(&mut self.events);
        for event in waiting {
            match event {
                Event::Note(_) | Event::Health(_) => self.events.push(event),
                Event::Loop(_) | Event::Tasks(_) => self.lost += 1,
                Event::Findings { .. } => {}
            }
        }
        self.tables = Tables::default();
        self.mark = Mark::default();
        self.definitions = Definitions::default();
        self.begins_anew = true;
        (self.names, self.names_at_first) = (0, None);
        self.gaps.last.clear();
        Ok(())
    }

    fn take_batch(&mut self) -> Option<Batch> {
        let new = self.tables.since(self.mark);
        self.mark = self.tables.mark();
        self.names += new.frames.len() + new.stacks.len() + new.tasks.len() + new.loops.len();
        append(&mut self.definitions, new);
        if self.events.is_empty() {
            return None;
        }
        if self.names > 0 {
            self.names_at_first.get_or_insert(self.names);
        }
        // Done before sending, because the batch is gone afterwards; undone if it was not sent.
        self.gaps.begin();
        self.events.iter().for_each(|event| self.gaps.see(event));
        Some(Batch {
            source: self.source,
            begins_anew: self.begins_anew,
            definitions: std::mem::take(&mut self.definitions),
            events: std::mem::take(&mut self.events),
        })
    }

    /// Takes back a batch that was not sent.
    fn take_back(&mut self, batch: Batch) {
        self.gaps.undo();
        self.definitions = batch.definitions;
        let (kept, lost) = condense(batch.events);
        self.events = kept;
        self.lost += lost;
    }
}

fn append(definitions: &mut Definitions, mut new: Definitions) {
    definitions.frames.append(&mut new.frames);
    definitions.stacks.append(&mut new.stacks);
    definitions.tasks.append(&mut new.tasks);
    definitions.loops.append(&mut new.loops);
}

/// Times between the samples of each loop that were sent.
#[derive(Debug, Default)]
struct Gaps {
    last: FxHashMap<LoopNo, u64>,
    longest_ns: u64,
    before: (FxHashMap<LoopNo, u64>, u64),
}

impl Gaps {
    fn begin(&mut self) {
        self.before.0.clone_from(&self.last);
        self.before.1 = self.longest_ns;
    }

    fn see(&mut self, event: &Event) {
        if let Event::Loop(sample) = event
            && let Some(last) = self.last.insert(sample.event_loop, sample.at_ns)
        {
            self.longest_ns = self.longest_ns.max(sample.at_ns.saturating_sub(last));
        }
    }

    fn undo(&mut self) {
        std::mem::swap(&mut self.last, &mut self.before.0);
        self.longest_ns = self.before.1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crossbeam_channel::{Receiver, bounded};
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Health, LoopSample, Note, NoteKind, TaskChanges, TaskLook};
    use crate::model::snapshot::Frame;
    use crate::sampler::tests::fakes::{changes, loop_info, loop_sample, task_info, task_look};

    fn frame(number: u32) -> Frame {
        Frame { function: format!("f{number}").as_str().into(), file: "app.py".into(), line: Some(number) }
    }

    fn note(at_ns: u64) -> Event {
        Event::Note(Note { at_ns, kind: NoteKind::Gap, text: String::new() })
    }

    /// Receives batches as the invariant describes, and checks every number against the intended name.
    #[derive(Default)]
    struct Consumer {
        tables: Tables,
        /// Key and stack number of each live task.
        tasks: BTreeMap<u64, u64>,
        samples: u64,
        notes: u64,
        health: Option<Health>,
    }

    impl Consumer {
        fn take(&mut self, receiver: &Receiver<Batch>, most: usize) {
            for batch in receiver.try_iter().take(most) {
                if batch.begins_anew {
                    self.tables = Tables::default();
                    self.tasks.clear();
                }
                self.tables.define(&batch.definitions).expect("definitions are whole");
                assert!(batch.events.is_sorted_by_key(Event::at_ns));
                batch.events.iter().for_each(|event| self.see(event));
            }
        }

        fn see(&mut self, event: &Event) {
            match event {
                Event::Loop(sample) => {
                    self.samples += 1;
                    assert!(self.tables.event_loop(sample.event_loop).is_some());
                    let frames = self.tables.frames_outermost_first(sample.stack.expect("each has one"));
                    assert_eq!(*frames[1], frame(sample.ready.expect("what was meant")));
                }
                Event::Tasks(changes) => {
                    for ended in &changes.ended {
                        self.tasks.remove(&self.tables.task(*ended).expect("a number that is known").key);
                    }
                    for look in &changes.changed {
                        let key = self.tables.task(look.task).expect("a number that is known").key;
                        let frames = self.tables.frames_outermost_first(look.stack.expect("each has one"));
                        let state = frames[0].line.expect("each has one");
                        assert!(!look.born || !self.tasks.contains_key(&key), "task {key} was there");
                        self.tasks.insert(key, u64::from(state));
                    }
                    assert_eq!(self.tasks.len(), changes.total as usize);
                }
                Event::Note(_) => self.notes += 1,
                Event::Health(health) => self.health = Some(*health),
                Event::Findings { .. } => {}
            }
        }
    }

    /// An action of a fake source.
    #[derive(Clone, Debug)]
    enum Step {
        Sample(u32),
        Note,
        /// Tasks that are (re)born or change their state, and tasks that end.
        Tasks(Vec<(u64, u32)>, Vec<u64>),
        Flush,
        Take(usize),
        Anew,
    }

    fn step() -> impl Strategy<Value = Step> {
        let changed = proptest::collection::vec((0u64..12, 0u32..9), 0..5);
        prop_oneof![
            4 => (0u32..40).prop_map(Step::Sample),
            1 => Just(Step::Note),
            4 => (changed, proptest::collection::vec(0u64..12, 0..5)).prop_map(|(c, e)| Step::Tasks(c, e)),
            4 => Just(Step::Flush),
            2 => (1usize..4).prop_map(Step::Take),
            1 => Just(Step::Anew),
        ]
    }

    /// Tasks as they are in the target: state by key.
    type World = BTreeMap<u64, u32>;

    /// One sample: what the task tier's reader would return.
    fn look(outbox: &mut Outbox, world: &mut World, at: u64, set: &[(u64, u32)], end: &[u64]) -> TaskChanges {
        let tables = outbox.tables();
        let mut now = changes(at);
        for key in end {
            if world.remove(key).is_some() {
                now.ended.push(tables.add_task(&task_info(*key)));
            }
        }
        let set: World = set.iter().copied().filter(|(key, _)| !end.contains(key)).collect();
        for (key, state) in set {
            let stack = tables.add_frames([&frame(state)]);
            let born = world.insert(key, state).is_none();
            now.changed.push(TaskLook { born, stack, ..task_look(tables.add_task(&task_info(key))) });
        }
        now.total = world.len() as u32;
        now
    }

    proptest! {
        #[test]
        fn samples_get_lost_but_never_names_nor_the_state_of_tasks(
            room in 1usize..4, steps in proptest::collection::vec(step(), 1..200),
        ) {
            let (sender, receiver) = bounded(room);
            let mut outbox = Outbox::new(Source::Loops, sender);
            let (mut consumer, mut world) = (Consumer::default(), World::new());
            let (mut samples, mut notes, mut is_anew) = (0u64, 0u64, false);
            for (at, step) in (1u64..).zip(steps) {
                match step {
                    Step::Sample(number) => {
                        samples += 1;
                        let tables = outbox.tables();
                        let stack = tables.add_frames([&frame(1000), &frame(number)]);
                        let event_loop = tables.add_loop(&loop_info(u64::from(number % 2)));
                        let sample = LoopSample { stack, ready: Some(number), ..loop_sample(at, event_loop) };
                        outbox.push(Event::Loop(sample));
                    }
                    Step::Note => {
                        notes += 1;
                        outbox.push(note(at));
                    }
                    Step::Tasks(set, end) => {
                        let mut now = look(&mut outbox, &mut world, at, &set, &end);
                        if std::mem::take(&mut is_anew) {
                            // A new reader reports everything.
                            let all: Vec<(u64, u32)> = world.iter().map(|(key, state)| (*key, *state)).collect();
                            now = look(&mut outbox, &mut world, at, &all, &[]);
                        }
                        outbox.push(Event::Tasks(now));
                    }
                    Step::Flush => outbox.flush().unwrap(),
                    Step::Take(most) => consumer.take(&receiver, most),
                    Step::Anew => {
                        outbox.reset().unwrap();
                        is_anew = true;
                    }
                }
            }
            let all: Vec<(u64, u32)> = world.iter().map(|(key, state)| (*key, *state)).collect();
            let last = look(&mut outbox, &mut world, 1_000, &all, &[]);
            outbox.push(Event::Tasks(last));
            consumer.take(&receiver, usize::MAX);
            outbox.flush().unwrap();
            consumer.take(&receiver, usize::MAX);
            let world: BTreeMap<u64, u64> = world.into_iter().map(|(key, state)| (key, u64::from(state))).collect();
            prop_assert_eq!(&consumer.tasks, &world);
            prop_assert_eq!(consumer.notes, notes);
            prop_assert!(consumer.samples <= samples && consumer.samples + outbox.lost() >= samples);
        }
    }

    #[test]
    fn a_sample_that_was_lost_makes_the_gap_longer() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(Source::Loops, sender);
        let event_loop = outbox.tables().add_loop(&loop_info(1));
        let mut send = |at| {
            outbox.push(Event::Loop(loop_sample(at, event_loop)));
            outbox.flush().unwrap();
            (outbox.lost(), outbox.take_longest_gap())
        };
        assert_eq!((send(10), send(15), send(20)), ((0, 0), (1, 0), (2, 0)));
        receiver.recv().unwrap();
        assert_eq!(send(25), (2, 15));
        receiver.recv().unwrap();
        assert_eq!(send(26), (2, 1));
    }

    #[test]
    fn a_loop_that_was_not_there_was_not_missed() {
        let (sender, receiver) = bounded(9);
        let mut outbox = Outbox::new(Source::Loops, sender);
        let event_loop = outbox.tables().add_loop(&loop_info(1));
        outbox.push(Event::Loop(loop_sample(10, event_loop)));
        outbox.flush().unwrap();
        outbox.keep_gaps_of(|_| false);
        outbox.push(Event::Loop(loop_sample(90, event_loop)));
        outbox.flush().unwrap();
        assert_eq!((outbox.take_longest_gap(), receiver.len()), (0, 2));
    }

    #[test]
    fn tables_begin_anew_when_names_pile_up_but_not_because_many_live() {
        let (sender, _receiver) = bounded(99);
        let mut outbox = Outbox { most_names: 100, ..Outbox::new(Source::Loops, sender) };
        let add = |outbox: &mut Outbox, numbers: std::ops::Range<u32>| {
            for number in numbers {
                outbox.tables().add_frame(&frame(number));
            }
            outbox.push(note(1));
            outbox.flush().unwrap();
            outbox.is_overfull()
        };
        assert!(!add(&mut outbox, 0..200), "all of these are there at once");
        assert!(!add(&mut outbox, 200..790) && add(&mut outbox, 790..801));
        outbox.reset().unwrap();
        assert!(!add(&mut outbox, 0..10) && !add(&mut outbox, 10..100) && add(&mut outbox, 100..102));
    }

    #[test]
    fn nobody_who_listens_ends_the_tier() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(Source::Loops, sender);
        drop(receiver);
        assert_eq!(outbox.flush(), Ok(()), "nothing to say");
        outbox.push(note(1));
        assert_eq!(outbox.flush(), Err(ReceiverDropped));
    }

    #[test]
    fn the_last_batch_waits_for_room_but_not_for_ever() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(Source::Loops, sender);
        for at in 0..2 {
            outbox.push(note(at));
            outbox.flush_within(Duration::ZERO).unwrap();
        }
        assert_eq!((receiver.recv().unwrap().events.len(), outbox.len()), (1, 1));
        outbox.flush_within(Duration::ZERO).unwrap();
        assert_eq!((receiver.recv().unwrap().events.len(), outbox.len()), (1, 0));
    }
}
