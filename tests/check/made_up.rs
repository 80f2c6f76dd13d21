//! Runs and recordings that are made up. It must not know what is tested with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use asyncprof::detect::check::{Metric, Noise, Problem, Run, Site, SiteKind};
use asyncprof::detect::rules;
use asyncprof::model::event::{Batch, Doing, Event, Gil, KernelLook, LoopSample, NoteKind, Phase, Source};
use asyncprof::model::snapshot::Frame;
use asyncprof::model::tables::{LoopInfo, Mark, Tables};
use asyncprof::profile::recording::Writer;

use crate::watches::{MS, header, story};

/// The story of a small server as a recording: ten seconds, stalls up to 339 ms, an orphan.
pub(crate) fn recording(folder: &Path) -> PathBuf {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for batch in story::batches(true) {
        writer.append(&batch).unwrap();
    }
    let path = folder.join("app.aprof");
    fs::write(&path, writer.finish(NoteKind::Ended, 10_000 * MS).unwrap()).unwrap();
    path
}

/// A watch that saw nothing.
pub(crate) fn empty_recording(folder: &Path) -> PathBuf {
    let writer = Writer::new(Vec::new(), &header()).unwrap();
    let path = folder.join("empty.aprof");
    fs::write(&path, writer.finish(NoteKind::Ended, 10 * MS).unwrap()).unwrap();
    path
}

/// A loop that is away for 300 ms, of which its thread has a processor for 20.
pub(crate) fn starved_recording(folder: &Path) -> PathBuf {
    let mut tables = Tables::default();
    let class = "asyncio.unix_events._UnixSelectorEventLoop".into();
    let event_loop = tables.add_loop(&LoopInfo { key: 1, class, thread: Some(4211), thread_name: None });
    let frame = |function: &str, file: &str| Frame { function: function.into(), file: file.into(), line: Some(10) };
    let frames = [frame("_run_once", "/usr/lib/python3.12/asyncio/base_events.py"), frame("handle", "/app/main.py")];
    let stack = tables.add_frames(&frames);
    let sample = |at_ms: u64| {
        let away = (100..400).contains(&at_ms);
        let on_processor_ms = at_ms.saturating_sub(100).min(20);
        Event::Loop(LoopSample {
            at_ns: at_ms * MS,
            event_loop,
            phase: if away { Phase::Away } else { Phase::Selecting },
            away_since_ns: away.then_some(100 * MS),
            away_precision_ns: 1,
            callback: away.then_some(7),
            task: None,
            stack: stack.filter(|_| away),
            outer: 1,
            coroutines: 0,
            torn: false,
            moved: away && on_processor_ms < 20,
            ready: Some(0),
            gil: Gil::Own,
            collecting: false,
            kernel: away.then(|| KernelLook {
                run_ns: Some(on_processor_ms * MS),
                starved_ns: Some(at_ms.saturating_sub(120) * MS),
                ..KernelLook::of(Doing::Running)
            }),
            holder_stack: None,
        })
    };
    let events = (0..500).map(sample).collect();
    let definitions = tables.since(Mark::default());
    let batch = Batch { source: Source::Loops, begins_anew: true, definitions, events };
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.append(&batch).unwrap();
    let path = folder.join("starved.aprof");
    fs::write(&path, writer.finish(NoteKind::Ended, 500 * MS).unwrap()).unwrap();
    path
}

pub(crate) fn stall(function: &str, file: &str, line: u32, length_ms: u64) -> Site {
    Site {
        kind: SiteKind::Stall,
        function: function.into(),
        file: file.into(),
        line: Some(line),
        what: "blocking_call: clock_nanosleep: sleeps".into(),
        count: 1,
        longest_ns: length_ms * MS,
        advice: "Use await asyncio.sleep() instead of time.sleep().".into(),
    }
}

/// Names that would be markup, commands or escapes somewhere.
pub(crate) fn hostile() -> Site {
    Site {
        kind: SiteKind::Finding(&rules::ORPHANED_TASK),
        function: "<script>`a|b`\u{1b}[31m]]>\u{202e}".into(),
        file: "/repo/a b/x,y:z%.py\n::error::pwned".into(),
        line: Some(3),
        what: "Task-1 \"runs\" on & <on>\r\n::warning::x".into(),
        count: 2,
        longest_ns: 0,
        advice: "Keep *it* @all".into(),
    }
}

/// A good run that took so much processor time.
pub(crate) fn run(cpu_ms: f64, sites: &[Site]) -> Run {
    let stalls = || sites.iter().filter(|site| site.kind == SiteKind::Stall).map(|site| site.longest_ns);
    let count =
        |kind: SiteKind| sites.iter().filter(|site| site.kind == kind).map(|site| site.count).sum::<u64>() as f64;
    Run {
        remarks: Vec::new(),
        problem: None,
        values: BTreeMap::from([
            (Metric::Cpu, cpu_ms * 1e6),
            (Metric::Wall, cpu_ms * 1.1e6),
            (Metric::LongestStall, stalls().max().unwrap_or(0) as f64),
            (Metric::Stalls, stalls().filter(|length| *length >= 100 * MS).count() as f64),
            (Metric::P99Lag, 3e6),
            (Metric::Busy, 0.42),
            (Metric::Orphans, count(SiteKind::Finding(&rules::ORPHANED_TASK))),
            (Metric::Unretrieved, count(SiteKind::Finding(&rules::EXCEPTION_NEVER_RETRIEVED))),
            (Metric::Tasks, 12.0),
        ]),
        sites: sites.to_vec(),
        not_judged: Vec::new(),
        threshold_ns: 100 * MS,
        sure_stall_ns: Some(40 * MS),
        samples: 1_000,
        looks: 4,
        noise: Noise { delay_share: Some(0.01), longest_gap_ns: Some(12 * MS), ..Noise::default() },
        spin_ns: Some(5 * MS),
    }
}

/// One that did not go well.
pub(crate) fn failed(how: &str) -> Run {
    Run { problem: Some(Problem::Failed(how.into())), ..run(900.0, &[]) }
}
