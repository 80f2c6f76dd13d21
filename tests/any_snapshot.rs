//! Whatever a snapshot holds, judging and writing it neither fails nor says what is not so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod samples;

use asyncprof::detect::{self, rules::deadlock::Waits};
use asyncprof::model::Snapshot;
use asyncprof::model::snapshot::*;
use asyncprof::render::{Options, collapsed, dot, escape, json, svg, text, tree};
use proptest::prelude::*;
use samples::Sample;

const KINDS: [WaitKind; 8] = [
    WaitKind::Task,
    WaitKind::Gather,
    WaitKind::Wait,
    WaitKind::Lock,
    WaitKind::Semaphore,
    WaitKind::Condition,
    WaitKind::Sleep,
    WaitKind::Other,
];

/// Tasks that wait for each other at random, self-waits and circles included.
fn any_graph() -> impl Strategy<Value = Snapshot> {
    let task = (0..KINDS.len(), prop::collection::vec(0_u32..12, 0..4), any::<bool>(), 0_u8..8);
    prop::collection::vec(task, 1..12).prop_map(|tasks| {
        let mut sample = Sample::new();
        let count = tasks.len() as u32;
        for number in 0..count {
            sample.task(&format!("Task-{number}"), &[("work", number % 3)]);
        }
        for (number, (kind, others, by_lock, state)) in (0..).zip(tasks) {
            let others: Vec<TaskId> = others.into_iter().map(|other| TaskId(other % count)).collect();
            match by_lock {
                true => sample.wants(TaskId(number), KINDS[kind], &others),
                false => sample.awaits(TaskId(number), KINDS[kind], &others),
            }
            if state == 0 {
                sample.edit(TaskId(number)).state = TaskState::Ready;
            }
        }
        sample.0
    })
}

fn waits_for(snapshot: &Snapshot, task: TaskId, other: TaskId) -> bool {
    let awaiting = snapshot.task(task).awaiting.as_ref();
    awaiting.is_some_and(|awaiting| awaiting.tasks.contains(&other) || awaiting.held_by.contains(&other))
}

proptest! {
    #[test]
    fn every_circle_that_is_told_is_there(snapshot in any_graph()) {
        let waits = Waits::of(&snapshot);
        for knot in waits.knots() {
            for (position, &task) in knot.circle.iter().enumerate() {
                let next = knot.circle[(position + 1) % knot.circle.len()];
                prop_assert!(waits_for(&snapshot, task, next), "{task:?} does not wait for {next:?}");
                prop_assert!(waits.is_stuck(task));
                prop_assert!(snapshot.task(task).state != TaskState::Ready);
                prop_assert!(knot.members.contains(&task));
            }
        }
    }

    #[test]
    fn who_is_stuck_waits_for_somebody_who_is(snapshot in any_graph()) {
        let waits = Waits::of(&snapshot);
        for task in (0..snapshot.tasks.len() as u32).map(TaskId).filter(|&task| waits.is_stuck(task)) {
            let others = (0..snapshot.tasks.len() as u32).map(TaskId);
            prop_assert!(others.into_iter().any(|other| waits.is_stuck(other) && waits_for(&snapshot, task, other)));
        }
        prop_assert_eq!(waits.stuck() > 0, !waits.knots().is_empty(), "stuck without a circle");
    }

    #[test]
    fn every_task_is_in_the_tree_and_the_overview(snapshot in any_graph()) {
        let findings = detect::judge(&snapshot);
        let formats = [text::write, tree::write, dot::write, json::write, collapsed::write, svg::write];
        for (position, format) in formats.into_iter().enumerate() {
            let mut out = Vec::new();
            format(&snapshot, &findings, &Options::default(), &mut out).unwrap();
            if position == 1 {
                let shown = String::from_utf8(out).unwrap();
                for task in &snapshot.tasks {
                    let name = task.name.as_deref().unwrap();
                    let heads = shown.lines().filter(|line| {
                        let line = line.trim_start_matches(['│', '├', '└', '─', ' ']);
                        line.starts_with(&format!("{name}: "))
                    });
                    prop_assert_eq!(heads.count(), 1, "{} in\n{}", name, shown);
                }
            }
        }
    }

    #[test]
    fn any_name_is_written_harmlessly(name in any::<String>(), function in any::<String>(), file in any::<String>()) {
        let mut sample = Sample::new();
        let task = sample.task(&name, &[]);
        let frame = sample.frame(&function, &file, 1);
        sample.edit(task).stack = vec![frame];
        sample.edit(task).unretrieved_exception = Some(name.clone());
        sample.edit(task).orphaned = Some(true);
        let findings = detect::judge(&sample.0);
        let formats = [text::write, tree::write, dot::write, json::write, collapsed::write];
        for (position, format) in formats.into_iter().enumerate() {
            let mut out = Vec::new();
            format(&sample.0, &findings, &Options::default(), &mut out).unwrap();
            let shown = String::from_utf8(out).unwrap();
            prop_assert!(!shown.contains(|c| c != '\n' && escape::is_deceptive(c)), "{:?}", shown);
            if position == 3 {
                let dump: serde_json::Value = serde_json::from_str(&shown).unwrap();
                prop_assert_eq!(dump["tasks"][0]["name"].as_str(), Some(name.as_str()));
                prop_assert_eq!(dump["tasks"][0]["stack"][0]["function"].as_str(), Some(function.as_str()));
            }
        }
    }
}
