//! Both tiers on fake targets: on a clock that moves only when something works or sleeps, and as threads.

pub(super) mod fakes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender, bounded};
use fakes::{FakeTarget, World, task_info};

use super::account::Account;
use super::clock::fake::FakeClock;
use super::clock::{Clock, SystemClock};
use super::governor::{Governor, Rates};
use super::loop_tier::LoopTier;
use super::outbox::Outbox;
use super::parts::{LoopParts, TaskParts};
use super::shared::Shared;
use super::target_state::Stopper;
use super::task_tier::TaskTier;
use super::watch::begin;
use super::*;
use crate::model::Snapshot;
use crate::model::event::{Batch, Event, Header, Health, NoteKind, Source};
use crate::model::snapshot::{Finding, RuleId, Severity, TaskId};
use crate::model::tables::TaskNo;
use crate::remote::MemoryLimit;
use crate::remote::ReadError;

/// One finding about all tasks.
fn judge_all(snapshot: &Snapshot) -> Vec<Judged> {
    let finding = Finding {
        rule: RuleId::new("made-up"),
        severity: Severity::Info,
        message: String::new(),
        tasks: (0..snapshot.tasks.len() as u32).map(TaskId).collect(),
        evidence: Default::default(),
        advice: String::new(),
    };
    vec![Judged { finding, site: None }]
}

const ASKED: Rates = Rates { loop_hz: 1000.0, task_hz: 10.0 };

/// A tier on the fake clock, and its output.
struct Stage {
    clock: Arc<FakeClock>,
    target: Arc<FakeTarget>,
    shared: Arc<Shared>,
    batches: Receiver<Batch>,
    sender: Sender<Batch>,
}

impl Stage {
    fn new(room: usize) -> Self {
        let clock = Arc::new(FakeClock::default());
        clock.pass(100 * SECOND);
        let (sender, batches) = bounded(room);
        let shared = Arc::new(Shared::new(Stop::default(), Sharing::default(), ASKED.task_hz));
        Self { target: FakeTarget::new(&clock), clock, shared, batches, sender }
    }

    fn loop_tier(&self) -> LoopTier {
        LoopTier::new(LoopParts {
            shared: self.shared.clone(),
            target: self.target.clone(),
            clock: self.clock.clone(),
            outbox: Outbox::new(Source::Loops, self.sender.clone()),
            tasks_gate: Outbox::new(Source::Tasks, self.sender.clone()).gate(),
            governor: Governor::new(ASKED, 0.05),
            cpu_budget: 0.05,
            stops: None,
            wait_for_python: false,
            account: Account::open(self.shared.sharing(), 0),
        })
    }

    fn task_tier(&self) -> TaskTier {
        TaskTier::new(TaskParts {
            shared: self.shared.clone(),
            target: self.target.clone(),
            clock: self.clock.clone(),
            outbox: Outbox::new(Source::Tasks, self.sender.clone()),
            cpu_budget: 0.05,
            memory: MemoryLimit::NONE,
            stops: None,
            judge: Some(Arc::new(judge_all)),
            findings_every_ns: 10 * SECOND,
        })
    }

    /// Runs a loop tier for `seconds` and returns its events.
    fn watch_loops(&self, tier: &mut LoopTier, seconds: f64) -> Vec<Event> {
        let end = self.clock.now_ns() + (seconds * 1e9) as u64;
        let mut events = Vec::new();
        while self.clock.now_ns() < end && !self.shared.is_over() {
            tier.step();
            events.extend(self.take());
        }
        events
    }

    fn watch_tasks(&self, tier: &mut TaskTier, seconds: f64) -> Vec<Event> {
        let end = self.clock.now_ns() + (seconds * 1e9) as u64;
        let mut events = Vec::new();
        while self.clock.now_ns() < end && !self.shared.is_over() {
            tier.step();
            events.extend(self.take());
        }
        events
    }

    fn take(&self) -> Vec<Event> {
        self.batches.try_iter().flat_map(|batch| batch.events).collect()
    }

    /// Ends a loop tier whose task tier is gone.
    fn end(&self, tier: &mut LoopTier) -> Vec<Event> {
        let (_, done) = bounded(0);
        tier.run(&done);
        self.take()
    }
}

fn notes(events: &[Event]) -> Vec<NoteKind> {
    events.iter().filter_map(|event| if let Event::Note(note) = event { Some(note.kind) } else { None }).collect()
}

fn samples(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Loop(_))).count()
}

fn health(events: &[Event]) -> Vec<Health> {
    events.iter().filter_map(|event| if let Event::Health(health) = event { Some(*health) } else { None }).collect()
}

#[test]
fn a_loop_tier_with_time_to_spare_keeps_every_deadline() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    let events = stage.watch_loops(&mut tier, 3.02);
    assert!((2_990..=3_030).contains(&samples(&events)), "{}", samples(&events));
    assert_eq!((tier.totals.late, notes(&events)), (0, vec![]));
    let health = health(&events);
    assert_eq!(health.len(), 3);
    assert!(health.iter().all(|health| health.longest_gap_ns == 1_000_000 && !health.lowered_rate));
    assert!(health[2].loop_samples.abs_diff(3_000) < 10 && health[2].cpu_ns > 0);
    assert!(stage.target.world().rediscovered >= 6);
}

#[test]
fn a_tier_that_was_kept_from_running_counts_it_and_goes_on_without_a_burst() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    stage.watch_loops(&mut tier, 0.5);
    stage.clock.pass(300_000_000);
    let events = stage.watch_loops(&mut tier, 0.2);
    assert!((298..=301).contains(&tier.totals.late), "{}", tier.totals.late);
    assert!(samples(&events) <= 201, "{}", samples(&events));
}

#[test]
fn samples_that_cost_too_much_become_fewer_and_that_is_said() {
    let stage = Stage::new(1_000);
    stage.target.change(|world| world.sample_cost = 200_000);
    let mut tier = stage.loop_tier();
    tier.open();
    let events = stage.watch_loops(&mut tier, 20.0);
    assert!(notes(&events).contains(&NoteKind::Adjusted));
    let last = *health(&events).last().unwrap();
    assert!(last.lowered_rate && last.loop_rate_hz < 260.0 && last.loop_rate_hz >= 50.0, "{last:?}");
    stage.target.change(|world| world.sample_cost = 10_000);
    let events = stage.watch_loops(&mut tier, 40.0);
    assert_eq!(health(&events).last().unwrap().loop_rate_hz, 1000.0);
    assert_eq!(notes(&events).last(), Some(&NoteKind::Adjusted));
}

#[test]
fn a_process_that_exits_ends_the_watch_with_a_note() {
    for failure in [None, Some(ReadError::Gone)] {
        let stage = Stage::new(1_000);
        let mut tier = stage.loop_tier();
        tier.open();
        stage.watch_loops(&mut tier, 0.3);
        stage.target.change(|world| (world.sight.alive, world.failure) = (false, failure));
        let events = stage.end(&mut tier);
        assert_eq!(notes(&events), [NoteKind::Exited]);
        assert!(matches!(events.last(), Some(Event::Health(_))), "the last word is how it went");
        assert_eq!(stage.shared.ended(), Some((End::Exited, None)));
    }
}

#[test]
fn memory_that_is_gone_before_the_process_is_not_worth_a_note() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    stage.watch_loops(&mut tier, 0.3);
    stage.target.change(|world| (world.failure, world.attachable) = (Some(ReadError::Gone), false));
    assert_eq!(notes(&stage.watch_loops(&mut tier, 0.2)), []);
    assert_eq!(tier.totals.dropped, 1);
    stage.target.change(|world| world.sight.alive = false);
    assert_eq!(notes(&stage.end(&mut tier)), [NoteKind::Exited]);
}

#[test]
fn another_program_is_attached_to_anew() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    stage.watch_loops(&mut tier, 0.3);
    stage.target.change(|world| {
        world.sight.same_program = Some(false);
        world.failure = Some(ReadError::Invalid("thread"));
        world.attachable = false;
    });
    let events = stage.watch_loops(&mut tier, 2.0);
    assert_eq!((notes(&events), samples(&events) < 52), (vec![NoteKind::Executed], true));
    stage.target.change(|world| (world.failure, world.attachable) = (None, true));
    let until = stage.clock.now_ns() + SECOND;
    let mut batches = Vec::new();
    while stage.clock.now_ns() < until {
        tier.step();
        batches.extend(stage.batches.try_iter());
    }
    assert_eq!(batches.iter().filter(|batch| batch.begins_anew).count(), 1);
    let events: Vec<Event> = batches.into_iter().flat_map(|batch| batch.events).collect();
    assert!(samples(&events) > 800 && notes(&events).is_empty());
}

#[test]
fn a_process_that_lives_but_cannot_be_read_any_more_is_given_up() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    stage.watch_loops(&mut tier, 0.3);
    stage.target.change(|world| (world.failure, world.attachable) = (Some(ReadError::Forbidden), false));
    let events = stage.watch_loops(&mut tier, 60.0);
    assert_eq!(notes(&events), [NoteKind::Gap]);
    let (end, error) = stage.shared.ended().unwrap();
    assert_eq!((end, error.is_some()), (End::Unreadable, true));
    assert_eq!(notes(&stage.end(&mut tier)), [NoteKind::Ended]);
}

#[test]
fn a_loop_that_is_not_there_yet_is_found_soon_after_it_is() {
    let stage = Stage::new(1_000);
    stage.target.change(|world| world.loops = 0);
    let mut tier = stage.loop_tier();
    tier.open();
    let events = stage.watch_loops(&mut tier, 2.0);
    assert_eq!((samples(&events), notes(&events)), (0, vec![]));
    let world = stage.target.change(|world| world.loops = 1);
    assert!(world.attached >= 4 && world.rediscovered >= 30, "{world:?}");
    let events = stage.watch_loops(&mut tier, 0.5);
    assert!(samples(&events) > 400);
}

#[test]
fn stops_and_suspensions_are_noted() {
    let stage = Stage::new(1_000);
    let mut tier = stage.loop_tier();
    tier.open();
    stage.watch_loops(&mut tier, 0.3);
    stage.target.change(|world| world.sight.stopped = Some(Stopper::JobControl));
    let mut events = stage.watch_loops(&mut tier, 0.3);
    stage.target.change(|world| world.sight.stopped = None);
    events.extend(stage.watch_loops(&mut tier, 0.3));
    stage.clock.suspend(5 * SECOND);
    events.extend(stage.watch_loops(&mut tier, 0.3));
    assert_eq!(notes(&events), [NoteKind::Stopped, NoteKind::Continued, NoteKind::Suspended]);
}

#[test]
fn nobody_who_takes_samples_makes_them_lost_but_does_not_stop_the_tier() {
    let stage = Stage::new(2);
    let mut tier = stage.loop_tier();
    tier.open();
    let end = stage.clock.now_ns() + SECOND;
    while stage.clock.now_ns() < end {
        tier.step();
    }
    assert_eq!(tier.totals.samples, 1_001, "sampled on time all the same");
    assert!(tier.parts.outbox.lost() > 800);
    let taken = samples(&stage.take()) as u64;
    assert!(taken > 50 && taken + tier.parts.outbox.lost() + tier.parts.outbox.len() as u64 >= 1_001);
}

#[test]
fn the_task_tier_looks_at_its_rate_and_has_everything_judged_now_and_then() {
    let stage = Stage::new(1_000);
    let mut tier = stage.task_tier();
    let events = stage.watch_tasks(&mut tier, 25.0);
    let looks = events.iter().filter(|event| matches!(event, Event::Tasks(_))).count();
    assert!((245..=251).contains(&looks), "{looks}");
    let findings: Vec<&Event> = events.iter().filter(|event| matches!(event, Event::Findings { .. })).collect();
    assert_eq!(findings.len(), 3);
    let Event::Findings { findings, .. } = findings[0] else { unreachable!() };
    // The task sample has three tasks, the snapshot a fourth.
    assert_eq!(findings[0].tasks, [TaskNo(0), TaskNo(1), TaskNo(2), TaskNo(3)]);
    assert_eq!(tier.parts.outbox.tables().task(TaskNo(3)), Some(&task_info(3)));
    assert!(findings[0].finding.tasks.is_empty());
}

#[test]
fn a_full_snapshot_that_fails_is_counted_and_reported_once_with_the_age_of_the_findings() {
    let stage = Stage::new(1_000);
    let mut tier = stage.task_tier();
    let reported = |events: Vec<Event>| -> Vec<String> {
        let notes =
            events.into_iter().filter_map(|event| if let Event::Note(note) = event { Some(note) } else { None });
        notes.inspect(|note| assert_eq!(note.kind, NoteKind::Gap)).map(|note| note.text).collect()
    };
    assert_eq!(reported(stage.watch_tasks(&mut tier, 5.0)), [""; 0]);
    stage.target.change(|world| world.snapshot_fails = true);
    let notes = reported(stage.watch_tasks(&mut tier, 20.0));
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(note.starts_with("a full snapshot failed, the findings are 10 s old: "), "{note}");
    assert_eq!(tier.totals.dropped, 2);
    // After one that succeeds, the next failure is reported again.
    stage.target.change(|world| world.snapshot_fails = false);
    assert_eq!(reported(stage.watch_tasks(&mut tier, 10.0)), [""; 0]);
    stage.target.change(|world| world.snapshot_fails = true);
    assert_eq!(reported(stage.watch_tasks(&mut tier, 10.0)).len(), 1);
}

#[test]
fn a_look_at_everything_that_costs_much_is_taken_less_often() {
    let stage = Stage::new(1_000);
    stage.target.change(|world| world.deep_cost = SECOND);
    let mut tier = stage.task_tier();
    stage.watch_tasks(&mut tier, 5.0);
    assert_eq!(
        (stage.target.world().snapshots, tier.totals.deep_share()),
        (1, 0.0),
        "what the first one cost says nothing"
    );
    stage.watch_tasks(&mut tier, 245.0);
    assert_eq!(stage.target.world().snapshots, 4, "a hundred seconds apart, but for the first, which is not believed");
    assert!(tier.totals.deep_share() <= 0.0101);
    assert_eq!(tier.totals.late, 0, "deadlines were given up, not missed");
}

#[test]
fn what_is_attached_to_anew_is_said_anew() {
    let stage = Stage::new(1_000);
    let mut tier = stage.task_tier();
    stage.watch_tasks(&mut tier, 1.0);
    stage.target.change(|world| world.generation += 1);
    tier.step();
    tier.step();
    tier.step();
    let anew: Vec<Batch> = stage.batches.try_iter().filter(|batch| batch.begins_anew).collect();
    assert_eq!(anew.len(), 1);
    assert!(matches!(&anew[0].events[0], Event::Tasks(changes) if changes.changed.len() == 3));
}

#[test]
fn a_task_reader_that_fails_is_made_anew_and_its_failures_are_counted() {
    let stage = Stage::new(1_000);
    let mut tier = stage.task_tier();
    stage.watch_tasks(&mut tier, 1.0);
    stage.target.change(|world| world.failure = Some(ReadError::Invalid("task")));
    let events = stage.watch_tasks(&mut tier, 2.0);
    assert!(events.is_empty() && tier.totals.dropped >= 15);
    stage.target.change(|world| world.failure = None);
    assert!(!stage.watch_tasks(&mut tier, 1.0).is_empty());
}

/// Both tiers as threads, on a running clock.
fn threads(change: impl FnOnce(&mut World)) -> (Watch, Arc<FakeTarget>) {
    let clock = Arc::new(FakeClock::default());
    let target = FakeTarget::new(&clock);
    target.change(change);
    let options = Options { judge: Some(Arc::new(judge_all)), ..Options::default() };
    let header = Header {
        pid: 1,
        python: "3.14.0".into(),
        free_threaded: false,
        executable: String::new(),
        command: Vec::new(),
        started_at: String::new(),
        started_ns: 0,
        loop_rate_hz: options.loop_rate_hz,
        task_rate_hz: options.task_rate_hz,
        stall_threshold_ns: 0,
        cpu_budget: options.cpu_budget,
        blocking: false,
        asyncprof: String::new(),
        machine: Vec::new(),
    };
    (begin(header, target.clone(), Arc::new(SystemClock), &options), target)
}

#[test]
fn a_watch_that_is_stopped_says_everything_and_closes_the_channel() {
    let (watch, _target) = threads(|_| {});
    let (mut events, mut tasks) = (Vec::new(), AtomicU64::new(0));
    for batch in watch.batches.clone() {
        if batch.source == Source::Tasks {
            *tasks.get_mut() += 1;
        }
        events.extend(batch.events);
        if samples(&events) > 50 && tasks.load(Relaxed) > 1 {
            watch.stop();
        }
    }
    assert_eq!(notes(&events), [NoteKind::Ended]);
    let Some(Event::Health(last)) = events.last().cloned() else { panic!("the last word is how it went") };
    let outcome = watch.join();
    assert_eq!(outcome, Outcome { end: End::Asked, error: None, found_no_loop: false, health: last });
    assert_eq!(last.loop_samples, samples(&events) as u64);
    assert!(last.task_snapshots >= 2);
}

#[test]
fn a_panic_in_either_tier_becomes_an_error_and_ends_both() {
    let (watch, _target) = threads(|world| world.panics = true);
    for _ in watch.batches.clone() {}
    let outcome = watch.join();
    assert_eq!(outcome.end, End::Failed);
    assert!(outcome.error.unwrap().contains("a fault of ours"));
}

#[test]
fn a_watch_that_nobody_listens_to_ends() {
    let (watch, _target) = threads(|_| {});
    assert_eq!(watch.join().end, End::ReceiverDropped);
    drop(threads(|_| {}));
}
