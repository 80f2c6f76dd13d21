//! Batches of a watch, as they come from a sampler or a recording.

use asyncprof::detect::analysis::{Analysis, Stalls, shortest_sure_stall_ns};
use asyncprof::detect::stall::{Alert, Cause};
use asyncprof::model::event::*;
use asyncprof::model::snapshot::{Finding, FrameId, RuleId, Severity};
use asyncprof::model::tables::{Definitions, Mark, StackNode, Tables};

use crate::builder::{MS, THRESHOLD, Watch, app};

fn header() -> Header {
    Header {
        pid: 1,
        python: "3.12.1".into(),
        free_threaded: false,
        executable: "/usr/bin/python3".into(),
        command: vec!["python3".into(), "app.py".into()],
        started_at: "2026-01-01T00:00:00Z".into(),
        started_ns: 5_000 * MS,
        loop_rate_hz: 1_000.0,
        task_rate_hz: 10.0,
        stall_threshold_ns: THRESHOLD,
        cpu_budget: 0.05,
        blocking: false,
        asyncprof: "0.1.0".into(),
        machine: Vec::new(),
    }
}

/// Sends what it is told in batches, and says each name once.
struct Sender {
    watch: Watch,
    said: Mark,
    begins_anew: bool,
    analysis: Analysis,
    alerts: Vec<Alert>,
}

impl Sender {
    fn new() -> Self {
        Self {
            watch: Watch::new(),
            said: Mark::default(),
            begins_anew: false,
            analysis: Analysis::new(header()),
            alerts: Vec::new(),
        }
    }

    fn send(&mut self, source: Source, events: Vec<Event>) {
        let definitions = self.watch.tables.since(self.said);
        self.said = self.watch.tables.mark();
        let begins_anew = std::mem::take(&mut self.begins_anew);
        let batch = Batch { source, begins_anew, definitions, events };
        self.alerts.extend(self.analysis.absorb(&batch).unwrap());
    }

    /// Samples of a stall, one each millisecond, in batches of so many.
    fn stall(&mut self, ms: u64, in_batches_of: usize) {
        let since_ns = self.watch.at_ns;
        let mut events = Vec::new();
        for _ in 0..ms {
            self.watch.pass(MS);
            events.push(Event::Loop(self.watch.away_sample(since_ns, &[app("handle", 10)])));
            if events.len() == in_batches_of {
                self.send(Source::Loops, std::mem::take(&mut events));
            }
        }
        self.watch.pass(MS);
        events.push(Event::Loop(self.watch.idle_sample()));
        self.send(Source::Loops, events);
    }

    fn begin_anew(&mut self) {
        self.watch.tables = Tables::default();
        self.said = Mark::default();
        self.begins_anew = true;
    }
}

#[test]
fn batches_make_no_difference_to_a_stall() {
    let stalls: Vec<_> = [1, 7, 1_000]
        .into_iter()
        .map(|size| {
            let mut sender = Sender::new();
            sender.stall(250, size);
            assert_eq!(sender.alerts.len(), 3);
            sender.analysis.stalls().worst_first().into_iter().cloned().collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(stalls[0].len(), 1);
    assert!(stalls.iter().all(|other| *other == stalls[0]));
    assert_eq!(stalls[0][0].site, Some(app("handle", 10)));
}

#[test]
fn tables_that_begin_anew_mean_something_else_by_the_same_numbers() {
    let mut sender = Sender::new();
    sender.stall(150, 10);
    sender.begin_anew();
    sender.watch.tables.add_frames(&[app("other", 1)]);
    sender.stall(120, 10);
    let stalls = sender.analysis.stalls().worst_first();
    assert_eq!(stalls.iter().map(|stall| stall.at_least_ns / MS).collect::<Vec<_>>(), [150, 120]);
    assert!(stalls.iter().all(|stall| stall.site == Some(app("handle", 10))));
}

#[test]
fn stalls_that_last_at_the_end_are_kept_as_ongoing() {
    let mut sender = Sender::new();
    let since_ns = sender.watch.at_ns;
    sender.watch.pass(300 * MS);
    let sample = sender.watch.away_sample(since_ns, &[]);
    sender.send(Source::Loops, vec![Event::Loop(sample)]);
    assert_eq!(sender.analysis.stalls().total().count, 0);
    assert_eq!(sender.analysis.finish().len(), 1);
    assert!(sender.analysis.stalls().worst_first()[0].ongoing);
    assert_eq!(sender.analysis.duration_ns(), 300 * MS);
}

#[test]
fn of_very_many_stalls_the_longest_are_kept_and_all_are_counted() {
    let mut sender = Sender::new();
    let count = 2 * Stalls::KEPT as u64 + 100;
    let mut events = Vec::new();
    for number in 0..count {
        let since_ns = sender.watch.at_ns;
        sender.watch.pass(THRESHOLD + (number * 7_919) % count);
        events.push(Event::Loop(sender.watch.away_sample(since_ns, &[])));
        events.push(Event::Loop(sender.watch.idle_sample()));
    }
    sender.send(Source::Loops, events);
    let stalls = sender.analysis.stalls();
    assert_eq!(stalls.total().count, count);
    assert_eq!(stalls.total().at_least_ns, count * THRESHOLD + (0..count).sum::<u64>());
    assert_eq!(stalls.totals().keys().collect::<Vec<_>>(), [&Cause::Native]);
    let kept: Vec<u64> = stalls.worst_first().iter().map(|stall| stall.at_least_ns - THRESHOLD).collect();
    let longest: Vec<u64> = (0..count).rev().take(Stalls::KEPT).collect();
    assert_eq!(kept, longest);
}

#[test]
fn definitions_that_do_not_fit_are_refused_and_nothing_of_the_batch_is_taken() {
    let mut sender = Sender::new();
    let undefined = StackNode { caller: None, frame: FrameId(9) };
    let note = Event::Note(Note { at_ns: 1, kind: NoteKind::Gap, text: "x".into() });
    for begins_anew in [false, true] {
        let definitions = Definitions { stacks: vec![undefined], ..Definitions::default() };
        let batch = Batch { source: Source::Loops, begins_anew, definitions, events: vec![note.clone()] };
        assert!(sender.analysis.absorb(&batch).is_err());
    }
    assert_eq!(sender.analysis.notes(), []);
}

#[test]
fn findings_have_the_names_of_their_tasks_and_the_last_ones_count() {
    let mut sender = Sender::new();
    let (first, second) = (sender.watch.task("first"), sender.watch.task("second"));
    for tasks in [vec![first], vec![first, second]] {
        let finding = Finding {
            rule: RuleId::new("orphaned-task"),
            severity: Severity::Warning,
            message: "m".into(),
            tasks: Vec::new(),
            evidence: Default::default(),
            advice: "a".into(),
        };
        let findings = vec![KeptFinding { finding, tasks, site: None }];
        sender.send(Source::Tasks, vec![Event::Findings { at_ns: 1, findings }]);
    }
    assert_eq!(sender.analysis.findings().len(), 1);
    assert_eq!(sender.analysis.findings()[0].tasks, ["first", "second"]);
}

#[test]
fn the_shortest_sure_stall_is_longer_than_the_threshold_by_the_longest_gap() {
    let mut sender = Sender::new();
    assert_eq!(sender.analysis.shortest_sure_stall_ns(), None);
    for longest_gap_ns in [3 * MS, 8 * MS, 2 * MS] {
        let health = Health { longest_gap_ns, loop_rate_hz: 500.0, ..Health::default() };
        sender.send(Source::Loops, vec![Event::Health(health)]);
    }
    assert_eq!(sender.analysis.shortest_sure_stall_ns(), Some(THRESHOLD + 8 * MS));
    assert_eq!(shortest_sure_stall_ns(THRESHOLD, 0, 500.0), THRESHOLD + 2 * MS);
    assert_eq!(shortest_sure_stall_ns(THRESHOLD, 0, 0.0), u64::MAX);
}
