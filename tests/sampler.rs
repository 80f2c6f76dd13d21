//! A watch on running programs: what comes out of the channel, and what becomes of it when the program exits, executes another
//! one, or is stopped. It judges when something was read and what was said about the target, not what was seen.
//!
//! Nothing sleeps here: the tests wait for what the watch says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use asyncprof::capture::session::FailureKind;
use asyncprof::model::Snapshot;
use asyncprof::model::event::{Batch, Event, KeptFinding, NoteKind, Phase, Source};
use asyncprof::model::snapshot::{Finding, RuleId, Severity, TaskId};
use asyncprof::model::tables::{Tables, TaskNo};
use asyncprof::remote::Process;
use asyncprof::remote::thread_watch::ThreadWatch;
use asyncprof::sampler::{End, Judged, Options, Outcome, Stop, StopLimits, Watch, start};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::pythons::{Interpreter, Matrix, newest};
use support::trials::{missing, missing_python};

support::trials::trials! {
    the_account_of_a_thread_that_runs_grows,
    loops_are_sampled_at_their_rate_until_the_watch_is_stopped,
    everything_is_looked_at_early_and_at_the_end_and_judged,
    a_loop_that_is_away_is_seen_away,
    a_process_that_exits_ends_the_watch,
    a_process_that_executes_another_program_is_attached_to_anew,
    a_stop_by_a_signal_is_noted_and_so_is_its_end,
    a_program_that_becomes_python_later_is_waited_for,
    whoever_waits_for_python_can_be_stopped,
    a_target_that_is_stopped_for_each_sample_goes_on,
}

/// LIMIT: a watch that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A loop that is mostly idle. On a line from stdin it does what the line says.
const IDLE: &str = r#"
import asyncio, os, sys, time

async def tick():
    while True:
        await asyncio.sleep(0.005)

def told():
    line = sys.stdin.readline()
    if line == "exec\n":
        os.execv(sys.executable, [sys.executable, "-c", os.environ["SCRIPT"]])
    if line == "sleep\n":
        time.sleep(0.3)
        print("slept", flush=True)
        return
    asyncio.get_running_loop().stop()

async def main():
    asyncio.get_running_loop().add_reader(0, told)
    ticks = [asyncio.create_task(tick()) for _ in range(5)]
    print("ready", flush=True)
    await asyncio.wait(ticks)

try:
    asyncio.run(main())
except RuntimeError:
    pass
"#;

/// Looked for once: that takes longer than most of the tests.
static INTERPRETERS: LazyLock<Vec<Interpreter>> = LazyLock::new(|| {
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    matrix.found
});

/// A running program. Dropping it ends it.
struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn spawn(mut command: Command) -> Self {
        let command = command.env("SCRIPT", IDLE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn idle(interpreter: &Interpreter) -> Self {
        let mut command = Command::new(&interpreter.path);
        command.args(["-c", IDLE]);
        let mut program = Self::spawn(command);
        program.hear("ready");
        program
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    fn hear(&mut self, line: &str) {
        let mut heard = String::new();
        self.stdout.read_line(&mut heard).unwrap();
        assert_eq!(heard.trim(), line);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a watch has said so far.
struct Listener<'w> {
    watch: &'w Watch,
    tables: [Tables; 2],
    events: Vec<Event>,
    anew: usize,
}

impl<'w> Listener<'w> {
    fn new(watch: &'w Watch) -> Self {
        Self { watch, tables: Default::default(), events: Vec::new(), anew: 0 }
    }

    /// Takes a batch; `false` when there will be no other.
    fn take(&mut self) -> bool {
        match self.watch.batches.recv_timeout(PATIENCE) {
            Ok(batch) => self.add(batch),
            Err(error) if error.is_disconnected() => return false,
            Err(_) => panic!("the watch says nothing; the last was {:?}", self.events.last()),
        }
        true
    }

    fn add(&mut self, batch: Batch) {
        let tables = &mut self.tables[usize::from(batch.source == Source::Tasks)];
        if batch.begins_anew {
            *tables = Tables::default();
            self.anew += usize::from(batch.source == Source::Loops);
        }
        tables.define(&batch.definitions).unwrap();
        for event in &batch.events {
            if let Event::Loop(sample) = event {
                assert!(tables.event_loop(sample.event_loop).is_some());
                assert!(sample.stack.is_none_or(|stack| !tables.frames_outermost_first(stack).is_empty()));
            }
        }
        self.events.extend(batch.events);
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(self.take() && Instant::now() < deadline, "not seen: {what}; notes: {:?}", self.notes());
        }
    }

    fn samples(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Loop(_))).count()
    }

    /// Tasks that there were at the last look, all of which must have been named.
    fn tasks(&self) -> Option<u32> {
        let mut alive = BTreeSet::new();
        let mut total = None;
        for event in &self.events {
            let Event::Tasks(changes) = event else { continue };
            alive.extend(changes.changed.iter().map(|look| look.task));
            changes.ended.iter().for_each(|task| assert!(alive.remove(task)));
            assert!(alive.iter().all(|task| self.tables[1].task(*task).is_some()));
            assert_eq!(alive.len(), changes.total as usize);
            total = Some(changes.total);
        }
        total
    }

    fn notes(&self) -> Vec<NoteKind> {
        // How busy the machine is, is not the question here.
        let notes = self.events.iter().filter_map(|event| match event {
            Event::Note(note) if note.kind != NoteKind::Adjusted => Some(note.kind),
            _ => None,
        });
        notes.collect()
    }
}

fn watch(program: &Program, options: &Options) -> Watch {
    start(program.pid(), options).unwrap_or_else(|error| panic!("{error}"))
}

fn loops_are_sampled_at_their_rate_until_the_watch_is_stopped() {
    if INTERPRETERS.is_empty() {
        missing_python("no Python on this machine");
    }
    for interpreter in &*INTERPRETERS {
        let program = Program::idle(interpreter);
        // Enough for an unoptimised build, so that nobody lowers the rate.
        let watch = watch(&program, &Options { cpu_budget: 1.0, ..Options::default() });
        assert_eq!((watch.header.pid, watch.header.python.as_str()), (program.pid(), interpreter.version.as_str()));
        let mut listener = Listener::new(&watch);
        listener.until("half a second of samples", |listener| listener.samples() > 500);
        // Those that tick, and the one that waits for them.
        listener.until("every task", |listener| listener.tasks() == Some(6));
        assert_eq!(listener.tables[0].loops().len(), 1, "{}", interpreter.version);
        watch.stop();
        while listener.take() {}
        assert_eq!(listener.notes(), [NoteKind::Ended]);
        let Some(Event::Health(last)) = listener.events.last().cloned() else { panic!("no health at the end") };
        let (samples, events) = (listener.samples() as u64, listener.events);
        assert_eq!((last.loop_samples, last.lost), (samples, 0), "{}", interpreter.version);
        let times: Vec<u64> = events.iter().filter(|e| matches!(e, Event::Loop(_))).map(Event::at_ns).collect();
        let (first, end) = (times[0], times[times.len() - 1]);
        // Whoever came late skipped the deadline, and counted it.
        assert!(samples <= (end - first) / 1_000_000 + 2);
        assert!(samples + last.late + last.dropped + 2 >= (end - first) / 1_000_000, "{last:?}");
        assert_eq!(watch.join(), Outcome { end: End::Asked, error: None, found_no_loop: false, health: last });
    }
}

fn everything_is_looked_at_early_and_at_the_end_and_judged() {
    let interpreter = newest();
    let program = Program::idle(interpreter);
    let judge = |snapshot: &Snapshot| {
        let tasks = (0..snapshot.tasks.len() as u32).map(TaskId).collect();
        let (message, advice) = (snapshot.pid.to_string(), String::new());
        let finding = Finding {
            rule: RuleId::new("every-task"),
            severity: Severity::Info,
            message,
            tasks,
            evidence: Default::default(),
            advice,
        };
        vec![Judged { finding, site: None }]
    };
    let options = Options { judge: Some(Arc::new(judge)), cpu_budget: 1.0, ..Options::default() };
    let watch = watch(&program, &options);
    let mut listener = Listener::new(&watch);
    let findings = |listener: &Listener<'_>| -> Vec<Vec<KeptFinding>> {
        let found = listener.events.iter().filter_map(|event| match event {
            Event::Findings { findings, .. } => Some(findings.clone()),
            _ => None,
        });
        found.collect()
    };
    listener.until("findings", |listener| !findings(listener).is_empty());
    // The last look is not too soon after the first.
    let first = listener.events.iter().rfind(|event| matches!(event, Event::Findings { .. })).unwrap().at_ns();
    let is_later = |event: &Event| event.at_ns() > first + 1_500_000_000;
    listener.until("a second and a half", |listener| listener.events.iter().any(is_later));
    watch.stop();
    while listener.take() {}
    let found = findings(&listener);
    assert_eq!(found.len(), 2);
    for looked in found {
        assert_eq!(looked[0].finding.message, program.pid().to_string());
        // Numbers of the task tier: the same task has the same number in a look at all tasks and in one at everything.
        let mut numbers = looked[0].tasks.clone();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..6).map(TaskNo).collect::<Vec<_>>());
    }
}

fn a_loop_that_is_away_is_seen_away() {
    let interpreter = newest();
    let mut program = Program::idle(interpreter);
    let watch = watch(&program, &Options::default());
    let mut listener = Listener::new(&watch);
    listener.until("a sample", |listener| listener.samples() > 0);
    program.say("sleep");
    program.hear("slept");
    let is_away = |event: &&Event| {
        matches!(event, Event::Loop(sample) if sample.phase == Phase::Away
            && sample.away_since_ns.is_some_and(|since| sample.at_ns.saturating_sub(since) > 200_000_000))
    };
    listener.until("a loop that was away for long", |listener| listener.events.iter().any(|event| is_away(&event)));
}

fn a_process_that_exits_ends_the_watch() {
    let interpreter = newest();
    let mut program = Program::idle(interpreter);
    let watch = watch(&program, &Options::default());
    let mut listener = Listener::new(&watch);
    listener.until("a sample", |listener| listener.samples() > 0);
    program.say("end");
    // Nobody waits for it: it stays a zombie.
    while listener.take() {}
    assert_eq!(listener.notes(), [NoteKind::Exited]);
    assert_eq!(watch.join().end, End::Exited);
    program.child.wait().unwrap();
}

fn a_process_that_executes_another_program_is_attached_to_anew() {
    let interpreter = newest();
    let mut program = Program::idle(interpreter);
    let watch = watch(&program, &Options::default());
    let mut listener = Listener::new(&watch);
    listener.until("a sample", |listener| listener.samples() > 0);
    program.say("exec");
    program.hear("ready");
    listener.until("the note", |listener| listener.notes() == [NoteKind::Executed]);
    let (before, anew) = (listener.samples(), listener.anew);
    listener.until("a new beginning", |listener| listener.anew > anew);
    listener.until("samples of the new program", |listener| listener.samples() > before + 100);
}

fn a_stop_by_a_signal_is_noted_and_so_is_its_end() {
    let interpreter = newest();
    let program = Program::idle(interpreter);
    let watch = watch(&program, &Options::default());
    let mut listener = Listener::new(&watch);
    listener.until("a sample", |listener| listener.samples() > 0);
    kill(Pid::from_raw(program.pid()), Signal::SIGSTOP).unwrap();
    listener.until("the stop", |listener| listener.notes() == [NoteKind::Stopped]);
    kill(Pid::from_raw(program.pid()), Signal::SIGCONT).unwrap();
    listener.until("its end", |listener| listener.notes() == [NoteKind::Stopped, NoteKind::Continued]);
}

fn a_program_that_becomes_python_later_is_waited_for() {
    let interpreter = newest();
    let mut command = Command::new("sh");
    command.args(["-c", "echo waiting; read line; exec \"$0\" -c \"$SCRIPT\""]).arg(&interpreter.path);
    let mut program = Program::spawn(command);
    program.hear("waiting");
    let pid = program.pid();
    let options = Options { wait_for_python: true, ..Options::default() };
    let started = thread::spawn(move || start(pid, &options));
    program.say("go on");
    let watch = started.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
    let mut listener = Listener::new(&watch);
    listener.until("samples of a loop that was not there at first", |listener| listener.samples() > 100);
}

fn whoever_waits_for_python_can_be_stopped() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo waiting; read line"]);
    let mut program = Program::spawn(command);
    program.hear("waiting");
    let stop = Stop::default();
    let options = Options { wait_for_python: true, stop: stop.clone(), ..Options::default() };
    let pid = program.pid();
    let started = thread::spawn(move || start(pid, &options).map(|watch| watch.header.clone()));
    stop.ask();
    assert_eq!(started.join().unwrap().map_err(|error| error.kind()), Err(FailureKind::Unsupported));
}

fn a_target_that_is_stopped_for_each_sample_goes_on() {
    let interpreter = newest();
    let mut program = Program::idle(interpreter);
    let watch = watch(
        &program,
        &Options {
            stops: Some(StopLimits { longest: Duration::from_millis(20), share: 0.5 }),
            loop_rate_hz: 200.0,
            ..Options::default()
        },
    );
    let mut listener = Listener::new(&watch);
    listener.until("samples", |listener| listener.samples() > 50);
    watch.stop();
    while listener.take() {}
    assert_eq!(listener.notes(), [NoteKind::Ended]);
    assert_eq!(watch.join().end, End::Asked);
    program.say("sleep");
    program.hear("slept");
}

fn the_account_of_a_thread_that_runs_grows() {
    let process = Process::open(std::process::id() as i32).unwrap();
    let watch = ThreadWatch::open(&process, nix::unistd::gettid().as_raw());
    let Some(before) = watch.schedule() else { missing("this kernel keeps no account of threads (schedstat)") };
    let start = Instant::now();
    while start.elapsed().as_millis() < 5 {}
    assert!(watch.schedule().unwrap().run_ns > before.run_ns);
}
