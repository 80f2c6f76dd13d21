//! A watch over tasks says after every look what a dump says of the same process: one test for each program and
//! interpreter. What did not change is not read again, so everything that a look keeps is held against a reading that
//! keeps nothing.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use asyncprof::capture::session::{AttachError, Options, attach, take};
use asyncprof::model::event::{TaskChanges, TaskLook};
use asyncprof::model::snapshot::{Frame, Snapshot, Task, TaskId, TaskState};
use asyncprof::model::tables::{Tables, TaskNo};
use asyncprof::remote::live::LiveMemory;
use asyncprof::watch::tasks::{TaskWatch, TaskWatchStats};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use support::churn;
use support::core::OneCore;
use support::pythons::{Interpreter, Matrix};
use support::target::{Program, Target};
use support::trials::trials_of_missing;

/// Programs that stand still, each of another shape.
const QUIET: [&str; 22] = [
    "as_completed",
    "async_generator_methods",
    "being_cancelled",
    "condition",
    "eager",
    "executor",
    "future_subclass",
    "gather_of_gathers",
    "lazy_names",
    "lock",
    "not_started",
    "owned",
    "pure_python_task",
    "queues",
    "running",
    "semaphore",
    "several_loops",
    "shared_await",
    "shield",
    "task_group",
    "task_subclass",
    "wait_for",
];
/// Seeds of random graphs.
const SEEDS: std::ops::Range<u64> = 1..4;
/// Steps of a target that is told to change, for each interpreter.
const STEPS: u64 = 25;
/// Looks at a target that never rests.
const CHURN_LOOKS: u32 = 1_000;
/// Time in which a target does a few things.
const REST: Duration = Duration::from_micros(20);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let mut trials = trials_of_missing(&matrix);
    for interpreter in &matrix.found {
        let label = interpreter.which.label();
        let mut add = |name: String, test: fn(&Interpreter, &[&str]) -> Result<(), Failed>, arguments: Vec<String>| {
            let interpreter = interpreter.clone();
            trials.push(Trial::test(format!("{label}/{name}"), move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                test(&interpreter, &arguments)
            }));
        };
        for name in QUIET.into_iter().filter(|name| program(name).runs_on(interpreter)) {
            add(
                format!("{name}_is_watched_as_it_is_dumped"),
                a_quiet_target_is_watched_as_it_is_dumped,
                vec![name.into()],
            );
        }
        for seed in SEEDS {
            let arguments = vec!["random_graph".into(), seed.to_string()];
            add(format!("random_graph_{seed}_is_watched"), a_quiet_target_is_watched_as_it_is_dumped, arguments);
            add(format!("changes_{seed}_are_followed"), changes_are_followed, vec![seed.to_string()]);
        }
        add(
            "a_program_that_is_executed_later_is_not_read".into(),
            a_program_that_is_executed_later_is_not_read,
            Vec::new(),
        );
        add("churn_shows_nothing_impossible".into(), churn_shows_nothing_impossible, Vec::new());
        add(
            "churn_on_one_core_shows_nothing_impossible".into(),
            churn_shows_nothing_impossible,
            vec!["one core".into()],
        );
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What was found in one program says nothing of the next one in the same process, even if it is the same interpreter.
fn a_program_that_is_executed_later_is_not_read(interpreter: &Interpreter, _: &[&str]) -> Result<(), Failed> {
    let mut target = Target::start(interpreter, &program("executes_itself"), &[])?;
    let attachment = attach(target.pid() as i32)?;
    take(&attachment, &Options::default(), &|_| {})?;
    target.tell("go on", 1)?;
    match take(&attachment, &Options::default(), &|_| {}) {
        Err(AttachError::Executed { .. }) => Ok(()),
        Err(error) => Err(format!("not understood: {error}").into()),
        Ok(_) => Err("the old program was read in the new one".into()),
    }
}

fn program(name: &str) -> Program {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("programs");
    Program::read(folder.join(format!("{name}.py")))
}

/// Everything that the looks so far have said, put together.
struct Picture {
    watch: TaskWatch,
    tables: Tables,
    tasks: BTreeMap<TaskNo, TaskLook>,
    looks: u64,
}

impl Picture {
    fn of(target: &Target) -> Result<Self, Failed> {
        let attached = attach(target.pid() as i32)?;
        let memory = Box::new(LiveMemory::new(target.pid() as i32));
        let watch = TaskWatch::new(memory, attached.facts.runtime, attached.layouts)?;
        Ok(Self { watch, tables: Tables::default(), tasks: BTreeMap::new(), looks: 0 })
    }

    fn look(&mut self) -> Result<TaskChanges, Failed> {
        self.looks += 1;
        let changes = self.watch.look(&mut self.tables, self.looks)?;
        for task in &changes.ended {
            if self.tasks.remove(task).is_none() {
                return Err(format!("a task ended that was not there: {:?}", self.tables.task(*task)).into());
            }
        }
        for look in &changes.changed {
            let before = self.tasks.insert(look.task, look.clone());
            if look.born && before.is_some() {
                return Err(format!("a task was born that was there: {:?}", self.tables.task(look.task)).into());
            }
            if before.as_ref() == Some(look) {
                return Err(format!("reported as changed, and is as it was: {look:?}").into());
            }
        }
        if self.tasks.len() != changes.total as usize {
            return Err(format!("{} tasks by the changes, {} in all", self.tasks.len(), changes.total).into());
        }
        Ok(changes)
    }

    fn key(&self, task: TaskNo) -> u64 {
        self.tables.task(task).map_or(0, |info| info.key)
    }

    fn keys(&self, tasks: &[TaskNo]) -> BTreeSet<u64> {
        tasks.iter().map(|task| self.key(*task)).collect()
    }

    fn stack(&self, look: &TaskLook) -> Vec<Frame> {
        let frames = look.stack.map(|stack| self.tables.frames_outermost_first(stack)).unwrap_or_default();
        frames.into_iter().cloned().collect()
    }

    /// A task, so that it can be compared.
    fn said(&self, look: &TaskLook) -> Said {
        let wait = look.wait.as_ref();
        Said {
            name: self.tables.task(look.task).and_then(|info| info.name.as_deref().map(str::to_owned)),
            state: look.state,
            stack: self.stack(look),
            wait: wait.map(|wait| SaidWait {
                kind: wait.kind.as_str(),
                detail: wait.detail.clone(),
                tasks: self.keys(&wait.tasks),
                held_by: self.keys(&wait.held_by),
            }),
        }
    }

    /// What the looks and a dump say differently.
    fn differences(&self, dump: &Snapshot) -> Vec<String> {
        let watched: BTreeMap<u64, Said> =
            self.tasks.iter().map(|(task, look)| (self.key(*task), self.said(look))).collect();
        let pending = dump.tasks.iter().filter(|task| task.state != TaskState::Done);
        let dumped: BTreeMap<u64, Said> = pending.map(|task| (task.key, dumped(dump, task))).collect();
        let keys: BTreeSet<u64> = watched.keys().chain(dumped.keys()).copied().collect();
        let mut found = Vec::new();
        for key in keys {
            let (watched, dumped) = (watched.get(&key), dumped.get(&key));
            if watched != dumped {
                found.push(format!("task {key:#x}\n  watched: {watched:?}\n  dumped:  {dumped:?}"));
            }
        }
        if self.tasks.len() != self.tasks.keys().map(|task| self.key(*task)).collect::<BTreeSet<_>>().len() {
            found.push("two tasks have the same key".to_owned());
        }
        for task in self.tasks.keys() {
            let info = self.tables.task(*task);
            let coroutine = info.and_then(|info| info.coroutine.as_ref());
            let root = dump.tasks.iter().find(|task| Some(task.key) == info.map(|info| info.key));
            let root = root.and_then(|task| task.stack.first()).map(|frame| dump.frame(*frame));
            if let (Some(coroutine), Some(root)) = (coroutine, root)
                && (&coroutine.function, &coroutine.file) != (&root.function, &root.file)
            {
                found.push(format!("{info:?} is of the coroutine {root:?}"));
            }
            if coroutine.is_none() && root.is_some() {
                found.push(format!("{info:?} has no coroutine, but a stack"));
            }
        }
        found
    }
}

/// What is said of a task.
#[derive(Debug, PartialEq)]
struct Said {
    name: Option<String>,
    state: TaskState,
    /// Of a task that runs the watch shows nothing: the rest is on a thread's stack.
    stack: Vec<Frame>,
    wait: Option<SaidWait>,
}

/// What is said of a wait.
#[derive(Debug, PartialEq)]
struct SaidWait {
    kind: &'static str,
    detail: Option<asyncprof::model::wait::WaitDetail>,
    /// The tasks it stands for.
    tasks: BTreeSet<u64>,
    held_by: BTreeSet<u64>,
}

fn dumped(dump: &Snapshot, task: &Task) -> Said {
    let frames = if task.state == TaskState::Running { &[][..] } else { &task.stack[..] };
    Said {
        name: task.name.clone(),
        state: task.state,
        stack: frames.iter().map(|frame| dump.frame(*frame).clone()).collect(),
        wait: task.awaiting.as_ref().map(|awaiting| {
            let keys = |tasks: &[TaskId]| tasks.iter().map(|task| dump.task(*task).key).collect();
            let (kind, detail) = (awaiting.kind.as_str(), awaiting.detail.clone());
            SaidWait { kind, detail, tasks: keys(&awaiting.tasks), held_by: keys(&awaiting.held_by) }
        }),
    }
}

fn same_as_dumped(picture: &Picture, target: &Target) -> Result<(), Failed> {
    let dump = take(&attach(target.pid() as i32)?, &Options::default(), &|_| {})?;
    let found = picture.differences(&dump);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n").into()) }
}

/// The first look says what a dump says, the second nothing, and neither does it read any task again.
fn a_quiet_target_is_watched_as_it_is_dumped(interpreter: &Interpreter, arguments: &[&str]) -> Result<(), Failed> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let mut target = Target::start(interpreter, &program(&arguments[0]), &arguments[1..])?;
    target.wait_until_still()?;
    let mut picture = Picture::of(&target)?;
    let first = picture.look()?;
    same_as_dumped(&picture, &target)?;
    if !first.complete || first.changed.iter().any(|look| look.born) || !first.ended.is_empty() {
        return Err(format!("the first look at what stands still: {first:?}").into());
    }
    let walked = picture.watch.stats().walked;
    let second = picture.look()?;
    if !second.changed.is_empty() || !second.ended.is_empty() || !second.complete {
        return Err(format!("nothing has changed, but: {second:?}").into());
    }
    let stats = picture.watch.stats();
    if stats.walked != walked || stats.torn + stats.dropped + stats.forgotten > 0 {
        return Err(format!("nothing has changed, but something was read again: {stats:?}").into());
    }
    picture.watch.on_tables_reset();
    picture.tables = Tables::default();
    picture.tasks.clear();
    if picture.look()?.changed.iter().any(|look| look.born) {
        return Err("a task was born only because numbers began anew".into());
    }
    same_as_dumped(&picture, &target)
}

/// Tasks begin, move on, change their names and end; after each step the looks together say what a dump says.
fn changes_are_followed(interpreter: &Interpreter, arguments: &[&str]) -> Result<(), Failed> {
    let mut target = Target::start(interpreter, &program("told"), &[arguments[0].to_owned()])?;
    target.wait_until_still()?;
    let mut picture = Picture::of(&target)?;
    picture.look()?;
    same_as_dumped(&picture, &target)?;
    let (mut born, mut ended) = (0, 0);
    for step in 1..=STEPS {
        target.tell("go on", step)?;
        let changes = picture.look()?;
        born += changes.changed.iter().filter(|look| look.born).count();
        ended += changes.ended.len();
        same_as_dumped(&picture, &target)
            .map_err(|failed| format!("after step {step}: {}", failed.message().unwrap_or_default()))?;
        if !changes.complete {
            return Err(format!("after step {step}: not every task was seen").into());
        }
    }
    // A target that does not change would pass everything above.
    if born < 10 || ended < 10 {
        return Err(format!("in {STEPS} steps {born} tasks were born and {ended} ended").into());
    }
    let TaskWatchStats { pages, forgotten, .. } = picture.watch.stats();
    if forgotten > 0 || pages > 20 * (picture.tasks.len() as u64 + 50) {
        let tasks = picture.tasks.len();
        return Err(format!("{pages} pages are kept for {tasks} tasks, all was forgotten {forgotten} times").into());
    }
    Ok(())
}

/// The target creates and finishes tasks all the time: the long-lived are always right, nothing impossible is shown.
/// On one core with who looks, a target loses it for each look, wherever it is, and then stands still.
fn churn_shows_nothing_impossible(interpreter: &Interpreter, arguments: &[&str]) -> Result<(), Failed> {
    let core = if arguments == ["one core"] { Some(OneCore::take()?) } else { None };
    let mut target = Target::start(interpreter, &program("churn"), &[])?;
    let truth = target.said()?;
    let mut picture = Picture::of(&target)?;
    let mut seen = 0;
    for round in 0..CHURN_LOOKS {
        let looked = picture.look();
        if !target.is_alive() {
            return Err(target.death("ended while it was read").into());
        }
        looked?;
        let found = churn::violations(&truth, &as_dump(&picture), &mut seen);
        if !found.is_empty() {
            return Err(format!("in look {} of {CHURN_LOOKS}:\n{}", round + 1, found.join("\n")).into());
        }
        if core.is_some() {
            std::thread::sleep(REST);
        }
    }
    // A reader that drops every short-lived task would pass everything above.
    if seen == 0 {
        return Err(format!("{CHURN_LOOKS} looks show not one short-lived task").into());
    }
    Ok(())
}

/// The picture in the words of a dump, as far as they are judged.
fn as_dump(picture: &Picture) -> Value {
    let frame = |frame: Frame| json!({"function": *frame.function, "file": *frame.file, "line": frame.line});
    let tasks = picture.tasks.iter().map(|(task, look)| {
        json!({
            "id": format!("{:#x}", picture.key(*task)),
            "name": picture.said(look).name,
            "state": look.state.as_str(),
            "stack": picture.stack(look).into_iter().map(frame).collect::<Vec<_>>(),
            "stack_end": look.torn.then_some("torn"),
        })
    });
    json!({"tasks": tasks.collect::<Vec<_>>()})
}
