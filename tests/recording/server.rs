//! What asyncprof would see of a busy server with a thousand tasks: one loop at 1 kHz, all tasks at 10 Hz.

use asyncprof::model::event::*;
use asyncprof::model::snapshot::{Frame, TaskState, WaitDetail, WaitKind};
use asyncprof::model::tables::*;

use super::stream::{Dice, MS, START, Tier};

/// How many tasks live at a time.
const TASKS: usize = 1_000;
/// Share of them that is not as it was a tenth of a second before.
const CHANGED_PERCENT: u64 = 10;
/// Coroutines of which tasks are made, and stacks in which each can be met.
const HANDLERS: usize = 40;
const STACKS_A_HANDLER: usize = 8;
/// Share of the samples in which the loop is away from its selector.
const BUSY_PERCENT: u64 = 60;

pub(crate) struct Server {
    dice: Dice,
    loops: Tier,
    tasks: Tier,
    /// Stacks of a step, outermost first, handler by handler.
    stacks: Vec<Vec<Frame>>,
    /// The tasks, and which handler each runs.
    living: Vec<(TaskInfo, usize)>,
    born: u64,
    now_ns: u64,
}

impl Server {
    pub(crate) fn new() -> Self {
        let mut dice = Dice::new(42);
        let stacks = (0..HANDLERS * STACKS_A_HANDLER).map(|_| stack_of_a_step(&mut dice)).collect();
        let mut server = Self {
            dice,
            loops: Tier::new(Source::Loops),
            tasks: Tier::new(Source::Tasks),
            stacks,
            living: Vec::new(),
            born: 0,
            now_ns: START,
        };
        for _ in 0..TASKS {
            let task = server.new_task();
            server.living.push(task);
        }
        server
    }

    fn new_task(&mut self) -> (TaskInfo, usize) {
        self.born += 1;
        let handler = self.dice.below(HANDLERS as u64) as usize;
        let task = TaskInfo {
            key: 0x7f3a_0000_0000 + self.dice.below(1 << 22) * 16,
            name: Some(format!("Task-{}", self.born).into()),
            coroutine: Some(frame(&format!("Handlers.handle_{handler}"), "/srv/app/handlers.py", handler as u32 * 20)),
        };
        (task, handler)
    }

    /// A second of events, in the batches in which they would come.
    pub(crate) fn second(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for _ in 0..10 {
            batches.push(self.look_at_tasks());
            for _ in 0..5 {
                let samples = (0..20).map(|_| self.sample()).collect();
                batches.push(self.loops.batch(samples));
            }
        }
        let health = Health { at_ns: self.now_ns, loop_samples: 1000, cpu_ns: self.now_ns / 50, ..Health::default() };
        batches.push(self.loops.batch(vec![Event::Health(health)]));
        batches
    }

    fn sample(&mut self) -> Event {
        let dice = &mut self.dice;
        self.now_ns += MS - 60_000 + dice.below(120_000);
        let info = LoopInfo {
            key: 0x7f3a_1000,
            class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
            thread: Some(4211),
            thread_name: Some("MainThread".into()),
        };
        let away = dice.chance(BUSY_PERCENT);
        let (task, handler) = &self.living[dice.below(TASKS as u64) as usize];
        let frames = &self.stacks[handler * STACKS_A_HANDLER + dice.below(STACKS_A_HANDLER as u64) as usize];
        let depth = if away { frames.len() } else { 3 };
        Event::Loop(LoopSample {
            at_ns: self.now_ns,
            event_loop: self.loops.names.add_loop(&info),
            phase: if away { Phase::Away } else { Phase::Selecting },
            away_since_ns: away.then(|| self.now_ns - dice.below(2 * MS)),
            away_precision_ns: 1,
            callback: away.then(|| dice.any()),
            task: away.then(|| self.loops.names.add_task(task)),
            stack: self.loops.names.add_frames(&frames[..depth]),
            outer: 3,
            coroutines: if away { 4 } else { 0 },
            torn: away && dice.chance(5),
            moved: away,
            ready: Some(if away { dice.below(12) as u32 } else { 0 }),
            gil: if away { Gil::Own } else { Gil::Free },
            collecting: dice.chance(1),
            kernel: None,
            holder_stack: None,
        })
    }

    fn look_at_tasks(&mut self) -> Batch {
        let (mut changed, mut ended) = (Vec::new(), Vec::new());
        let first = self.born == TASKS as u64 && self.now_ns == START;
        for index in 0..TASKS {
            // Two of a hundred changes are a task that ends and another that begins.
            let ends = !first && self.dice.chance(CHANGED_PERCENT) && self.dice.chance(2);
            if ends {
                ended.push(self.tasks.names.add_task(&self.living[index].0));
                self.living[index] = self.new_task();
            }
            if first || ends || self.dice.chance(CHANGED_PERCENT) {
                changed.push(self.look(index, ends));
            }
        }
        let changes = TaskChanges {
            at_ns: self.now_ns,
            took_ns: 900_000 + self.dice.below(200_000),
            changed,
            ended,
            total: TASKS as u32,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        };
        self.tasks.batch(vec![Event::Tasks(changes)])
    }

    fn look(&mut self, index: usize, born: bool) -> TaskLook {
        let dice = &mut self.dice;
        let state = dice.of(&[TaskState::Waiting, TaskState::Waiting, TaskState::Waiting, TaskState::Ready]);
        let (task, handler) = &self.living[index];
        let stack = dice.below(STACKS_A_HANDLER as u64) as usize;
        let frames = &self.stacks[handler * STACKS_A_HANDLER + stack];
        // A coroutine waits for one kind of thing at one place.
        let (kind, detail): (WaitKind, WaitDetail) = match stack % 3 {
            0 => (WaitKind::Sleep, WaitDetail::Delay(dice.of(&[30_000_000_000, 100_000_000, 1_000_000_000]))),
            1 => (WaitKind::Socket, WaitDetail::Descriptor(index as i32 + 10)),
            _ => (WaitKind::QueueGet, WaitDetail::Items { len: 0, max: None }),
        };
        let wait = TaskWait { kind, detail: Some(detail), tasks: Vec::new(), held_by: Vec::new() };
        TaskLook {
            task: self.tasks.names.add_task(task),
            born,
            state,
            stack: self.tasks.names.add_frames(&frames[3..8]),
            torn: false,
            wait: (state == TaskState::Waiting).then_some(wait),
        }
    }
}

/// `run_forever` and what asyncio and the program call from there.
fn stack_of_a_step(dice: &mut Dice) -> Vec<Frame> {
    let outer = [
        ("main", "/srv/app/main.py"),
        ("run_forever", "asyncio/base_events.py"),
        ("_run_once", "asyncio/base_events.py"),
    ];
    let mut frames: Vec<Frame> = outer.into_iter().map(|(name, file)| frame(name, file, 600)).collect();
    for depth in 0..8 {
        let part = dice.below(12);
        let line = part as u32 * 30 + dice.below(10) as u32;
        frames.push(frame(&format!("Service{part}.step_{depth}"), &format!("/srv/app/services/part_{part}.py"), line));
    }
    frames
}

fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame { function: function.into(), file: file.into(), line: Some(line) }
}
