//! `many_stalls FILE [STALLS [TASKS]]`: writes a synthetic one-hour recording with many stalls and tasks, with which
//! `scripts/bench-html` measures the HTML report.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use asyncprof::model::event::{
    Batch, Doing, Event, Gil, Header, Health, KernelLook, LoopSample, NoteKind, Phase, Source, TaskChanges, TaskLook,
    TaskWait,
};
use asyncprof::model::snapshot::{Frame, TaskState, WaitDetail, WaitKind};
use asyncprof::model::tables::{LoopInfo, LoopNo, Mark, Tables, TaskInfo, TaskNo};
use asyncprof::profile::recording::Writer;

const MS: u64 = 1_000_000;
const HOUR_MS: u64 = 3_600_000;
/// Time between two loop samples, and between two task snapshots.
const SAMPLE_MS: u64 = 20;
const LOOK_MS: u64 = 5_000;
const COROUTINES: usize = 200;
/// Locations where the loop stalls.
const SITES: u64 = 60;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many_stalls: {error}; usage: many_stalls FILE [STALLS [TASKS]]");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let path = arguments.first().ok_or("no file")?;
    let number = |position: usize, default: u64| arguments.get(position).map_or(Ok(default), |text| text.parse());
    let (stalls, tasks) = (number(1, 1_000)?.max(1), number(2, 10_000)?);
    let mut writer = Writer::create(Path::new(path), true, &header())?;
    let mut hour = Hour::new(stalls, tasks);
    for from_ms in (0..HOUR_MS).step_by(LOOK_MS as usize) {
        writer.append(&hour.look(from_ms))?;
        writer.append(&hour.samples(from_ms))?;
    }
    writer.append(&hour.health())?;
    writer.finish(NoteKind::Ended, HOUR_MS * MS)?;
    Ok(())
}

fn header() -> Header {
    Header {
        pid: 4211,
        python: "3.13.1".into(),
        free_threaded: false,
        executable: "/usr/bin/python3.13".into(),
        command: ["python3", "-m", "shop.server", "--workers", "1"].map(String::from).into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        started_ns: 0,
        loop_rate_hz: 1e3 / SAMPLE_MS as f64,
        task_rate_hz: 1e3 / LOOK_MS as f64,
        stall_threshold_ns: 100 * MS,
        cpu_budget: 0.05,
        blocking: false,
        asyncprof: env!("CARGO_PKG_VERSION").into(),
        machine: vec![("cores".into(), "2".into())],
    }
}

struct Hour {
    stalls: u64,
    loops: (Tables, Mark),
    tasks: (Tables, Mark),
    event_loop: LoopNo,
    /// The tasks as the task sampler numbers them, and as the loop sampler does.
    numbers: Vec<TaskNo>,
    runners: Vec<TaskNo>,
    samples: u64,
}

fn at(function: String, file: String, line: u32) -> Frame {
    Frame { function: function.into(), file: file.into(), line: Some(line) }
}

fn coroutine(number: usize) -> Frame {
    at(format!("Service{}.handle_{}", number % 17, number), format!("/srv/shop/services/module_{}.py", number % 40), 12)
}

impl Hour {
    fn new(stalls: u64, tasks: u64) -> Self {
        let (mut loop_names, mut task_names) = (Tables::default(), Tables::default());
        let class = "asyncio.unix_events._UnixSelectorEventLoop".into();
        let main_loop = LoopInfo { key: 1, class, thread: Some(4211), thread_name: Some("MainThread".into()) };
        let event_loop = loop_names.add_loop(&main_loop);
        let info = |number: u64| TaskInfo {
            key: 0x7f00_0000_0000 + number * 0x1c0,
            name: Some(format!("job-{number}").into()),
            coroutine: Some(coroutine(number as usize % COROUTINES)),
        };
        Self {
            stalls,
            event_loop,
            numbers: (0..tasks).map(|number| task_names.add_task(&info(number))).collect(),
            runners: (0..tasks.min(SITES)).map(|number| loop_names.add_task(&info(number))).collect(),
            loops: (loop_names, Mark::default()),
            tasks: (task_names, Mark::default()),
            samples: 0,
        }
    }

    fn batch(source: Source, names: &mut (Tables, Mark), events: Vec<Event>) -> Batch {
        let definitions = names.0.since(names.1);
        let begins_anew = names.1 == Mark::default();
        names.1 = names.0.mark();
        Batch { source, begins_anew, definitions, events }
    }

    /// The stall in progress at `at_ms`: its number and its start.
    fn stall_at(&self, at_ms: u64) -> Option<(u64, u64)> {
        let every_ms = HOUR_MS / self.stalls;
        let number = at_ms / every_ms;
        // From 110 ms to 1 s, mostly short.
        let lasts_ms = 110 + 900 / (1 + number * 7 % 23);
        (number < self.stalls && at_ms % every_ms < lasts_ms.min(every_ms / 2)).then_some((number, number * every_ms))
    }

    fn samples(&mut self, from_ms: u64) -> Batch {
        let events: Vec<Event> =
            (from_ms..from_ms + LOOK_MS).step_by(SAMPLE_MS as usize).map(|at_ms| self.sample(at_ms)).collect();
        self.samples += events.len() as u64;
        Self::batch(Source::Loops, &mut self.loops, events)
    }

    fn sample(&mut self, at_ms: u64) -> Event {
        let stall = self.stall_at(at_ms);
        let site = stall.map_or(0, |(number, _)| number * 31 % SITES);
        let doing = match site % 3 {
            0 => Doing::Call { name: Some("recvfrom".into()), number: 45, fd: Some(7 + site as i32) },
            _ => Doing::Running,
        };
        let stack = stall.and_then(|(number, _)| {
            let outer = at("run_forever".into(), "/usr/lib/python3.13/asyncio/base_events.py".into(), 641);
            let calls = (0..4 + number % 5)
                .map(|level| at(format!("step_{level}"), format!("/srv/shop/work_{site}.py"), 20 + level as u32 * 9));
            let frames: Vec<Frame> = [outer, coroutine(site as usize)].into_iter().chain(calls).collect();
            self.loops.0.add_frames(&frames)
        });
        Event::Loop(LoopSample {
            at_ns: at_ms * MS,
            event_loop: self.event_loop,
            phase: if stall.is_some() { Phase::Away } else { Phase::Selecting },
            away_since_ns: stall.map(|(_, since_ms)| since_ms * MS),
            away_precision_ns: 1,
            callback: stall.map(|(number, _)| number),
            task: stall.and_then(|_| self.runners.get(site as usize).copied()),
            stack,
            outer: 1,
            coroutines: u16::from(stall.is_some()),
            torn: false,
            moved: site % 3 == 1,
            ready: Some(stall.map_or(0, |(_, since_ms)| ((at_ms - since_ms) / 7) as u32)),
            gil: if stall.is_some() && !site.is_multiple_of(3) { Gil::Own } else { Gil::Free },
            collecting: site % 9 == 2,
            kernel: stall.map(|_| KernelLook {
                run_ns: Some(at_ms * MS / 3),
                starved_ns: Some(0),
                ..KernelLook::of(doing)
            }),
            holder_stack: None,
        })
    }

    /// The first snapshot reports every task, later ones every fiftieth.
    fn look(&mut self, at_ms: u64) -> Batch {
        let round = at_ms / LOOK_MS;
        let chosen: Vec<usize> = (0..self.numbers.len())
            .filter(|number| round == 0 || (*number as u64 + round).is_multiple_of(50))
            .collect();
        let changed: Vec<TaskLook> = chosen.into_iter().map(|number| self.task(number, round)).collect();
        let total = self.numbers.len() as u32;
        let changes = TaskChanges {
            at_ns: at_ms * MS,
            took_ns: MS,
            changed,
            ended: Vec::new(),
            total,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        };
        Self::batch(Source::Tasks, &mut self.tasks, vec![Event::Tasks(changes)])
    }

    fn task(&mut self, number: usize, round: u64) -> TaskLook {
        /// Number of tasks that await later ones.
        const PARENTS: usize = 100;
        let kinds = [WaitKind::Sleep, WaitKind::Socket, WaitKind::Lock, WaitKind::QueueGet, WaitKind::Event];
        let kind = kinds[(number + round as usize) % kinds.len()];
        let awaited: Vec<TaskNo> = match number {
            ..PARENTS => (1..4).filter_map(|step| self.numbers.get(number + step * PARENTS).copied()).collect(),
            _ => Vec::new(),
        };
        let kind = if awaited.is_empty() { kind } else { WaitKind::Gather };
        let calls = (0..2 + number % 4).map(|level| {
            let line = 40 + (number % 3 + level * 10) as u32;
            at(format!("Client{}.call_{level}", number % 23), format!("/srv/shop/clients_{}.py", number % 23), line)
        });
        let frames: Vec<Frame> = [coroutine(number % COROUTINES)].into_iter().chain(calls).collect();
        let detail = (kind == WaitKind::Socket).then_some(WaitDetail::Descriptor((number % 900) as i32));
        TaskLook {
            task: self.numbers[number],
            born: false,
            state: TaskState::Waiting,
            stack: self.tasks.0.add_frames(&frames),
            torn: false,
            wait: Some(TaskWait { kind, detail, tasks: awaited, held_by: Vec::new() }),
        }
    }

    fn health(&mut self) -> Batch {
        let health = Health {
            at_ns: HOUR_MS * MS,
            loop_samples: self.samples,
            task_snapshots: HOUR_MS / LOOK_MS,
            cpu_ns: 40_000 * MS,
            loop_rate_hz: 1e3 / SAMPLE_MS as f64,
            task_rate_hz: 1e3 / LOOK_MS as f64,
            longest_gap_ns: SAMPLE_MS * MS,
            ..Health::default()
        };
        Self::batch(Source::Tasks, &mut self.tasks, vec![Event::Health(health)])
    }
}
