//! Ten seconds of a small server, made up: two loops, stalls of several causes, a gather whose children share a task, an
//! orphan, names that mean harm.

use asyncprof::detect::analysis::Analysis;
use asyncprof::model::event::{
    Batch, Doing, Event, Gil, Health, KeptFinding, KernelLook, LoopSample, Note, NoteKind, Phase, Source, StopTotals,
    TaskChanges, TaskLook, TaskWait,
};
use asyncprof::model::snapshot::{Finding, Frame, RuleId, Severity, TaskState, WaitKind};
use asyncprof::model::tables::{Definitions, LoopInfo, LoopNo, Mark, Tables, TaskInfo, TaskNo};

use super::{MS, header};

const SECONDS: u64 = 10;

/// The events of both sources, in the order of time, and their names.
#[derive(Default)]
struct Story {
    loops: Tables,
    tasks: Tables,
    loop_events: Vec<Event>,
    task_events: Vec<Event>,
}

/// What a loop does for some time.
struct Stay<'s> {
    event_loop: LoopNo,
    from_ms: u64,
    to_ms: u64,
    task: Option<TaskNo>,
    frames: &'s [Frame],
    coroutines: u16,
    doing: Doing,
    moved: bool,
    collecting: bool,
    gil: Gil,
}

fn at(function: &str, file: &str, line: u32) -> Frame {
    Frame { function: function.into(), file: file.into(), line: Some(line) }
}

fn call(name: &str, number: u32, fd: Option<i32>) -> Doing {
    Doing::Call { name: Some(name.into()), number, fd }
}

impl Story {
    fn task(&mut self, key: u64, name: &str, coroutine: &Frame) -> TaskNo {
        let info = TaskInfo { key, name: Some(name.into()), coroutine: Some(coroutine.clone()) };
        // Both tiers give it the same number here, because they meet the tasks in the same order.
        let number = self.loops.add_task(&info);
        assert_eq!(self.tasks.add_task(&info), number);
        number
    }

    fn sample(&mut self, at_ms: u64, event_loop: LoopNo, stay: Option<&Stay<'_>>) {
        let outer = [at("run_forever", "/usr/lib/python3.13/asyncio/base_events.py", 641)];
        let stack = stay.and_then(|stay| self.loops.add_frames(outer.iter().chain(stay.frames)));
        let kernel = stay.map(|stay| KernelLook {
            run_ns: Some(at_ms * MS / 2),
            starved_ns: Some(0),
            ..KernelLook::of(stay.doing.clone())
        });
        self.loop_events.push(Event::Loop(LoopSample {
            at_ns: at_ms * MS + MS / 2,
            event_loop,
            phase: if stay.is_some() { Phase::Away } else { Phase::Selecting },
            away_since_ns: stay.map(|stay| stay.from_ms * MS),
            away_precision_ns: 1,
            callback: stay.map(|stay| stay.from_ms),
            task: stay.and_then(|stay| stay.task),
            stack,
            outer: 1,
            coroutines: stay.map_or(0, |stay| stay.coroutines),
            torn: false,
            moved: stay.is_some_and(|stay| stay.moved),
            ready: Some(stay.map_or(0, |stay| ((at_ms - stay.from_ms) / 10) as u32)),
            gil: stay.map_or(Gil::Free, |stay| stay.gil),
            collecting: stay.is_some_and(|stay| stay.collecting),
            kernel,
            holder_stack: None,
        }));
    }

    fn look(&mut self, at_ms: u64, changed: Vec<TaskLook>, ended: Vec<TaskNo>, total: u32) {
        let changes = TaskChanges {
            at_ns: at_ms * MS,
            took_ns: MS,
            changed,
            ended,
            total,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        };
        self.task_events.push(Event::Tasks(changes));
    }

    fn waits(&mut self, task: TaskNo, frames: &[Frame], kind: WaitKind, detail: &str, tasks: &[TaskNo]) -> TaskLook {
        let detail = (!detail.is_empty()).then(|| detail.into());
        let wait = TaskWait { kind, detail, tasks: tasks.to_vec(), held_by: Vec::new() };
        let stack = self.tasks.add_frames(frames);
        TaskLook { task, born: false, state: TaskState::Waiting, stack, torn: false, wait: Some(wait) }
    }

    fn loop_named(&mut self, key: u64, class: &str, thread: i32, name: &str) -> LoopNo {
        self.loops.add_loop(&LoopInfo {
            key,
            class: class.into(),
            thread: Some(thread),
            thread_name: Some(name.into()),
        })
    }

    /// As a watch sends them: a few of one source, a few of the other, names when they are first used.
    fn batches(self, ended: bool) -> Vec<Batch> {
        let mut task_events = self.task_events;
        if ended {
            let text = "the time was over".into();
            task_events.push(Event::Note(Note { at_ns: SECONDS * 1_000 * MS, kind: NoteKind::Ended, text }));
        }
        let mut batches: Vec<Batch> = [(Source::Tasks, &self.tasks), (Source::Loops, &self.loops)]
            .map(|(source, tables)| {
                let definitions = tables.since(Mark::default());
                Batch { source, begins_anew: true, definitions, events: Vec::new() }
            })
            .into();
        let (mut tasks, mut loops) = (task_events.into_iter().peekable(), self.loop_events.into_iter().peekable());
        for until_ms in (100..=SECONDS * 1_000 + 100).step_by(100) {
            let next_tasks = std::iter::from_fn(|| tasks.next_if(|event| event.at_ns() < until_ms * MS));
            batches.push(batch(Source::Tasks, next_tasks.collect()));
            let next_loops = std::iter::from_fn(|| loops.next_if(|event| event.at_ns() < until_ms * MS));
            batches.push(batch(Source::Loops, next_loops.collect()));
        }
        batches
    }
}

fn batch(source: Source, events: Vec<Event>) -> Batch {
    Batch { source, begins_anew: false, definitions: Definitions::default(), events }
}

fn orphan(task: TaskNo) -> KeptFinding {
    KeptFinding {
        finding: Finding {
            rule: RuleId::new("orphaned-task"),
            severity: Severity::Warning,
            message: "refresh-\u{1b}[31m1 waits in <b>refresh</b>, and nothing refers to it but its event loop".into(),
            tasks: Vec::new(),
            evidence: [("references".to_owned(), serde_json::json!(0))].into_iter().collect(),
            advice: "Keep a reference to the task, or start it in an asyncio.TaskGroup.".into(),
        },
        tasks: vec![task],
        site: Some(at("refresh", "/app/cache.py", 71)),
    }
}

/// What happens in the ten seconds.
pub(crate) fn batches(ended: bool) -> Vec<Batch> {
    let mut story = Story::default();
    let main_loop = story.loop_named(0x10, "asyncio.unix_events._UnixSelectorEventLoop", 4211, "MainThread");
    let second_loop = story.loop_named(0x20, "uvloop.Loop", 4219, "worker | loop");
    let (serve, fetch, refresh) =
        (at("serve", "/app/main.py", 10), at("Client.fetch", "/app/client.py", 30), at("refresh", "/app/cache.py", 60));
    let load = at("load_settings", "/app/settings.py", 5);
    let server = story.task(0x100, "Task-1", &serve);
    let fetchers: Vec<TaskNo> =
        (0..3).map(|number| story.task(0x200 + number, &format!("fetch-{number}"), &fetch)).collect();
    let shared = story.task(0x300, "settings", &load);
    let orphaned = story.task(0x400, "refresh-\u{1b}[31m1", &refresh);

    let fetching = [at("Client.fetch", "/app/client.py", 34), at("ask", "/app/client.py", 52)];
    let report = [
        at("serve", "/app/main.py", 22),
        at("build_report", "/app/report.py", 88),
        at("get", "/app/.venv/lib/python3.13/site-packages/requests/api.py", 73),
        at("readinto", "/usr/lib/python3.13/socket.py", 719),
    ];
    let crunch = [at("on_timer", "/app/stats.py", 12), at("histogram", "/app/stats.py", 31)];
    let parse = [at("Client.fetch", "/app/client.py", 40), at("parse", "/app/client.py", 61)];
    let stay = |from_ms: u64, to_ms: u64| Stay {
        event_loop: main_loop,
        from_ms,
        to_ms,
        task: None,
        frames: &[],
        coroutines: 0,
        doing: Doing::Running,
        moved: true,
        collecting: false,
        gil: Gil::Own,
    };
    let mut stays = Vec::new();
    for (number, length) in [(0, 140), (1, 340), (2, 180)] {
        let from = 1_000 + number * 2_000;
        let blocked = Stay {
            task: Some(server),
            frames: &report,
            coroutines: 1,
            doing: call("recvfrom", 45, Some(7)),
            moved: false,
            gil: Gil::Free,
            ..stay(from, from + length)
        };
        stays.push(blocked);
    }
    stays.push(Stay { frames: &crunch, ..stay(7_000, 7_210) });
    stays.push(Stay {
        collecting: true,
        moved: false,
        frames: &parse,
        task: Some(fetchers[0]),
        coroutines: 1,
        ..stay(8_000, 8_120)
    });
    for step in 0..90 {
        stays.push(Stay {
            frames: &parse,
            task: Some(fetchers[1]),
            coroutines: 1,
            ..stay(step * 10 + 5, step * 10 + 8)
        });
    }
    // The last one has not ended when the watch does.
    stays.push(Stay { event_loop: second_loop, frames: &crunch, ..stay(9_800, 10_000) });
    for at_ms in 0..SECONDS * 1_000 {
        for event_loop in [main_loop, second_loop] {
            let runs = |stay: &&Stay<'_>| stay.event_loop == event_loop && (stay.from_ms..stay.to_ms).contains(&at_ms);
            story.sample(at_ms, event_loop, stays.iter().find(runs));
        }
    }

    let gathering = [at("serve", "/app/main.py", 18), at("gather", "/app/helpers.py", 7)];
    let mut changed = vec![story.waits(server, &gathering, WaitKind::Gather, "", &fetchers)];
    for (number, &fetcher) in fetchers.iter().enumerate() {
        let look = match number {
            0 => story.waits(fetcher, &fetching, WaitKind::Socket, "fd 7", &[]),
            _ => story.waits(fetcher, &fetching[..1], WaitKind::Task, "", &[shared]),
        };
        changed.push(look);
    }
    changed.push(story.waits(shared, &[at("load_settings", "/app/settings.py", 9)], WaitKind::Sleep, "0.5 s", &[]));
    let refreshing = [at("refresh", "/app/cache.py", 71)];
    changed.push(story.waits(orphaned, &refreshing, WaitKind::Future, "", &[]));
    story.look(0, changed, Vec::new(), 6);
    let mut next = 0;
    for at_ms in (100..=SECONDS * 1_000).step_by(100) {
        let mut changed = Vec::new();
        let mut ended = Vec::new();
        if at_ms == 6_000 {
            ended.push(shared);
            for &fetcher in &fetchers[1..] {
                changed.push(story.waits(fetcher, &fetching, WaitKind::Socket, "fd 9", &[]));
            }
        }
        if at_ms % 500 == 0 {
            next += 1;
            let leaked = story.task(0x1_000 + next, &format!("refresh-{}", next + 1), &refresh);
            changed.push(TaskLook { born: true, ..story.waits(leaked, &refreshing, WaitKind::Future, "", &[]) });
        }
        story.look(at_ms, changed, ended, 5 + next as u32);
    }
    let note = Note { at_ns: 4_200 * MS, kind: NoteKind::Gap, text: "3 tasks could not be read\u{202e}".into() };
    story.task_events.push(Event::Note(note));
    story.task_events.push(Event::Findings { at_ns: 9_900 * MS, findings: vec![orphan(orphaned)] });
    if ended {
        story.task_events.push(Event::Health(health()));
    }
    story.task_events.sort_by_key(Event::at_ns);
    story.batches(ended)
}

/// How the watch says it went.
fn health() -> Health {
    Health {
        at_ns: SECONDS * 1_000 * MS,
        loop_samples: 20_000,
        task_snapshots: 101,
        dropped: 3,
        lost: 1,
        torn: 57,
        partial: 12,
        late: 40,
        cpu_ns: 170 * MS,
        loop_rate_hz: 1_000.0,
        task_rate_hz: 10.0,
        lowered_rate: true,
        longest_gap_ns: 4 * MS,
        stops: StopTotals::default(),
    }
}

/// The story, judged.
pub(crate) fn analysis(ended: bool) -> Analysis {
    let mut analysis = Analysis::new(header());
    for batch in batches(ended) {
        analysis.absorb(&batch).unwrap();
    }
    analysis.finish();
    analysis
}

/// A watch in which nothing was seen.
pub(crate) fn nothing() -> Analysis {
    let mut analysis = Analysis::new(header());
    analysis.finish();
    analysis
}
