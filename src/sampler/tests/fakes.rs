//! A fake target: its state and the cost of reading it can be changed while it is watched.

use std::sync::{Arc, Mutex};

use crate::capture::session::AttachError;
use crate::model::Snapshot;
use crate::model::event::{Gil, LoopSample, Phase, StopTotals, TaskChanges, TaskLook};
use crate::model::snapshot::{Python, Reading, Task, TaskState};
use crate::model::tables::{LoopInfo, LoopNo, Tables, TaskInfo, TaskNo};
use crate::remote::{AccessError, ReadError};
use crate::sampler::clock::fake::FakeClock;
use crate::sampler::readers::{Effort, LookError, LoopReader, Target, TaskReader};
use crate::sampler::target_state::Sight;

pub(in crate::sampler) fn loop_info(key: u64) -> LoopInfo {
    LoopInfo { key, class: "asyncio.Loop".into(), thread: None, thread_name: None }
}

pub(in crate::sampler) fn loop_sample(at_ns: u64, event_loop: LoopNo) -> LoopSample {
    LoopSample {
        at_ns,
        event_loop,
        phase: Phase::Selecting,
        away_since_ns: None,
        away_precision_ns: 1,
        callback: None,
        task: None,
        stack: None,
        outer: 0,
        coroutines: 0,
        torn: false,
        moved: false,
        ready: None,
        gil: Gil::Unknown,
        collecting: false,
        kernel: None,
        holder_stack: None,
    }
}

pub(in crate::sampler) fn task_info(key: u64) -> TaskInfo {
    TaskInfo { key, name: Some(format!("Task-{key}").as_str().into()), coroutine: None }
}

pub(in crate::sampler) fn task_look(task: TaskNo) -> TaskLook {
    TaskLook { task, born: false, state: TaskState::Waiting, stack: None, torn: false, wait: None }
}

pub(in crate::sampler) fn changes(at_ns: u64) -> TaskChanges {
    TaskChanges {
        at_ns,
        took_ns: 0,
        changed: Vec::new(),
        ended: Vec::new(),
        total: 0,
        complete: true,
        contexts: Some(0),
        timers: Vec::new(),
    }
}

/// State and costs of a fake target; times are nanoseconds.
#[derive(Clone, Debug)]
pub(in crate::sampler) struct World {
    pub(in crate::sampler) sight: Sight,
    pub(in crate::sampler) loops: u64,
    pub(in crate::sampler) tasks: u64,
    pub(in crate::sampler) sample_cost: u64,
    pub(in crate::sampler) look_cost: u64,
    pub(in crate::sampler) deep_cost: u64,
    /// The error of every read.
    pub(in crate::sampler) failure: Option<ReadError>,
    pub(in crate::sampler) attachable: bool,
    pub(in crate::sampler) snapshot_fails: bool,
    pub(in crate::sampler) generation: u64,
    pub(in crate::sampler) panics: bool,
    /// How often each was requested.
    pub(in crate::sampler) attached: u64,
    pub(in crate::sampler) rediscovered: u64,
    pub(in crate::sampler) snapshots: u64,
}

pub(in crate::sampler) struct FakeTarget {
    clock: Arc<FakeClock>,
    world: Arc<Mutex<World>>,
}

impl FakeTarget {
    pub(in crate::sampler) fn new(clock: &Arc<FakeClock>) -> Arc<Self> {
        let world = World {
            sight: Sight { alive: true, stopped: None, same_program: Some(true) },
            loops: 1,
            tasks: 3,
            sample_cost: 10_000,
            look_cost: 100_000,
            deep_cost: 1_000_000,
            failure: None,
            attachable: true,
            snapshot_fails: false,
            generation: 0,
            panics: false,
            attached: 0,
            rediscovered: 0,
            snapshots: 0,
        };
        Arc::new(Self { clock: clock.clone(), world: Arc::new(Mutex::new(world)) })
    }

    pub(in crate::sampler) fn change(&self, change: impl FnOnce(&mut World)) -> World {
        let mut world = self.world.lock().unwrap();
        change(&mut world);
        world.clone()
    }

    pub(in crate::sampler) fn world(&self) -> World {
        self.change(|_| {})
    }

    fn reader(&self) -> FakeReader {
        FakeReader { clock: self.clock.clone(), world: self.world.clone(), numbers: Vec::new(), is_new: true }
    }
}

impl Target for FakeTarget {
    fn see(&self) -> Sight {
        self.world().sight
    }

    fn allow_ns(&self, _cpu_ns: u64) {}

    fn stops(&self) -> StopTotals {
        StopTotals::default()
    }

    fn attach(&self) -> Result<bool, AttachError> {
        let mut is_new = false;
        let world = self.change(|world| {
            world.attached += 1;
            if world.attachable {
                is_new = world.sight.same_program == Some(false);
                world.generation += u64::from(is_new);
                world.sight.same_program = Some(true);
            }
        });
        if world.attachable { Ok(is_new) } else { Err(AccessError::NoSuchProcess { pid: 1 }.into()) }
    }

    fn generation(&self) -> u64 {
        self.world().generation
    }

    fn loops(&self) -> Result<Box<dyn LoopReader>, LookError> {
        Ok(Box::new(self.reader()))
    }

    fn tasks(&self) -> Result<Box<dyn TaskReader>, LookError> {
        Ok(Box::new(self.reader()))
    }

    fn snapshot(&self) -> Result<Snapshot, AttachError> {
        let world = self.change(|world| world.snapshots += 1);
        self.clock.work(world.deep_cost);
        if world.snapshot_fails {
            let (pid, why) = (1, String::new());
            return Err(AccessError::Forbidden { pid, why, fix: String::new() }.into());
        }
        Ok(snapshot(world.tasks + 1))
    }
}

/// Reads the fake world; like the real ones it keeps numbers.
struct FakeReader {
    clock: Arc<FakeClock>,
    world: Arc<Mutex<World>>,
    numbers: Vec<LoopNo>,
    is_new: bool,
}

impl FakeReader {
    fn begin(&self, cost: impl FnOnce(&World) -> u64) -> Result<World, LookError> {
        let world = self.world.lock().unwrap().clone();
        self.clock.work(cost(&world));
        assert!(!world.panics, "a fault of ours");
        match world.failure {
            Some(error) => Err(error.into()),
            None => Ok(world),
        }
    }
}

impl LoopReader for FakeReader {
    fn sample(&mut self, tables: &mut Tables, at_ns: u64, out: &mut Vec<LoopSample>) -> Result<Effort, LookError> {
        let world = self.begin(|world| world.sample_cost)?;
        if self.numbers.is_empty() {
            self.numbers = (0..world.loops).map(|key| tables.add_loop(&loop_info(key))).collect();
        }
        out.extend(self.numbers.iter().map(|event_loop| loop_sample(at_ns, *event_loop)));
        Ok(Effort::default())
    }

    fn rediscover(&mut self, _now_ns: u64) -> Result<bool, LookError> {
        self.numbers.clear();
        let mut world = self.world.lock().unwrap();
        world.rediscovered += 1;
        Ok(world.loops > 0)
    }

    fn forget_numbers(&mut self) {
        self.numbers.clear();
    }
}

impl TaskReader for FakeReader {
    fn look(&mut self, tables: &mut Tables, at_ns: u64) -> Result<(TaskChanges, Effort), LookError> {
        let world = self.begin(|world| world.look_cost)?;
        let mut changes = TaskChanges { total: world.tasks as u32, ..changes(at_ns) };
        if std::mem::take(&mut self.is_new) {
            changes.changed = (0..world.tasks).map(|key| task_look(tables.add_task(&task_info(key)))).collect();
        }
        Ok((changes, Effort::default()))
    }

    fn forget_numbers(&mut self) {
        self.is_new = true;
    }
}

fn snapshot(tasks: u64) -> Snapshot {
    let task = |key: u64| Task {
        key,
        name: Some(format!("Task-{key}")),
        class: None,
        state: TaskState::Waiting,
        event_loop: None,
        stack: Vec::new(),
        coroutines: 0,
        stack_end: None,
        awaiting: None,
        awaited_by: Vec::new(),
        parent: None,
        orphaned: None,
        serves_connection: false,
        references: None,
        unretrieved_exception: None,
        cancel_requests: 0,
        cancellation: None,
        still_ms: None,
        age_ms_at_least: None,
    };
    Snapshot {
        unread_tasks: 0,
        pid: 1,
        python: Python {
            version: "3.14.0".into(),
            free_threaded: false,
            executable: "/usr/bin/python3".into(),
            tested: true,
            asyncio_loaded: true,
        },
        taken_at: std::time::SystemTime::UNIX_EPOCH,
        elapsed_us: 0.0,
        stop: None,
        halt: None,
        kernel_threads: 1,
        consistent: true,
        reading: Reading::default(),
        frames: Vec::new(),
        threads: Vec::new(),
        loops: Vec::new(),
        tasks: (0..tasks).map(task).collect(),
        gaps: Vec::new(),
        pools: Vec::new(),
        results: Vec::new(),
    }
}
