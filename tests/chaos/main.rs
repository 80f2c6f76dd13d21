//! Whatever happens to asyncprof and its target meanwhile: the target goes on and its results are right, and asyncprof ends as
//! documented and leaves nothing behind that cannot be read. Each test is a run that follows from its seed.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dice;
mod plan;
mod process;
#[path = "../support/mod.rs"]
mod support;
mod target;
mod watcher;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;

use dice::Dice;
use plan::{Command as Watches, Deed, Kind, Plan};
use process::{has_ended, signal, state, within};
use support::pythons::{Interpreter, Matrix};
use support::trials::trials_of_missing;
use target::{STATUS, Target, command_line};
use watcher::{Circumstances, Watcher};

const RUNS: u64 = 60;
/// No watch of a run begins later.
const RUN: Duration = Duration::from_millis(1300);

fn main() -> ExitCode {
    attend_to_interrupts();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let matrix = Matrix::find();
    let mut trials = Vec::new();
    if let Some(seed) = number("ASYNCPROF_CHAOS_SEED") {
        trials.extend(trial(seed, &matrix));
    } else {
        let first = first_seed();
        eprintln!("first seed: {first}");
        trials.extend(trials_of_missing(&matrix));
        let runs = number("ASYNCPROF_CHAOS_RUNS").unwrap_or(RUNS);
        trials.extend((first..first + runs).filter_map(|seed| trial(seed, &matrix)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A shell has its background jobs ignore SIGINT, and what they start inherits that: an interrupt that comes before asyncprof
/// is ready would be lost. Runs this program again without that.
fn attend_to_interrupts() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    if ignored & 1 << (Signal::SIGINT as i32 - 1) != 0 {
        let itself = env::current_exe().unwrap();
        let error = Command::new("env").arg("--default-signal=INT").arg(itself).args(env::args_os().skip(1)).exec();
        panic!("cannot run env: {error}");
    }
}

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// By the clock: other runs each time.
fn first_seed() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() * 1000
}

/// The run of a seed, such as `record_blocking/python3.12/1700000000017`; none without an interpreter.
fn trial(seed: u64, matrix: &Matrix) -> Option<Trial> {
    let interpreters = matrix.found.len() as u64;
    let position = usize::try_from(seed.checked_rem(interpreters)?).unwrap();
    let (interpreter, kind) = (matrix.found[position].clone(), Kind::of(seed, interpreters));
    let name = format!("{}/{}/{seed}", kind.name(), interpreter.which.label());
    Some(Trial::test(name, move || {
        run(kind, &interpreter, seed).map_err(|fault| {
            let repeat = format!("ASYNCPROF_CHAOS_SEED={seed} cargo test --test chaos");
            Failed::from(format!("{fault}\nwith {}\nto repeat: {repeat}", interpreter.path.display()))
        })
    }))
}

fn run(kind: Kind, interpreter: &Interpreter, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let program = command_line(interpreter, &folder.path().join("said.json"), seed);
    let mut dice = Dice::new(seed);
    match kind.command {
        Watches::RecordProgram => run_command(kind, &program, &mut dice, folder.path()),
        _ => watch_running(kind, &program, &mut dice, folder.path()),
    }
}

/// `record -- CMD`.
fn run_command(kind: Kind, program: &[String], dice: &mut Dice, folder: &Path) -> Result<(), String> {
    let (plan, watcher) = (Plan::of(dice), Watcher::new(kind, 0, folder));
    let mut target = Target::start(watcher.running(&plan, program), &folder.join("said.json"))?;
    let asyncprof = target.child.id();
    sleep(plan.delay);
    let result = do_deed(&plan, kind, asyncprof, &target).and_then(|()| {
        let ended = matches!(plan.deed, Deed::Ask(_) | Deed::KillTarget);
        if !ended {
            target.check_goes_on()?;
            target.ask_to_end();
        }
        if plan.deed == Deed::KillTarget { Ok(()) } else { target.check_ends_well() }
    });
    result.map_err(|fault| format!("{fault}\nafter {plan:?}\n{}", watcher.errors()))?;
    let status = watcher.wait_for_end(&mut target.child)?;
    let killed = plan.deed == Deed::KillTarget;
    let code = if killed { 128 + Signal::SIGKILL as i32 } else { STATUS };
    watcher.check_end(status, plan.deed, Circumstances::default(), code)?;
    watcher.check_files(status, plan.deed).map_err(|fault| format!("{fault}\nafter {plan:?}"))
}

/// Watches of a process that runs, one after the other.
fn watch_running(kind: Kind, program: &[String], dice: &mut Dice, folder: &Path) -> Result<(), String> {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stderr(std::fs::File::create(folder.join("stderr")).unwrap());
    let mut target = Target::start(command, &folder.join("said.json"))?;
    let begun = Instant::now();
    for number in 0.. {
        let plan = Plan::of(dice);
        let watcher = Watcher::new(kind, number, folder);
        watch(kind, &plan, &watcher, &target)
            .map_err(|fault| format!("{fault}\nin watch {number} of the run: {plan:?}\n{}", watcher.errors()))?;
        if plan.deed == Deed::KillTarget {
            return Ok(());
        }
        if begun.elapsed() > RUN {
            break;
        }
    }
    target.ask_to_end();
    target.check_ends_well()?;
    match target.child.wait().unwrap().code() {
        Some(STATUS) => Ok(()),
        code => Err(format!("harmed: the target exits with {code:?}")),
    }
}

fn watch(kind: Kind, plan: &Plan, watcher: &Watcher, target: &Target) -> Result<(), String> {
    let (generation, _) = target.progress();
    let mut asyncprof: Child = watcher.watching(plan, target.pid).spawn().map_err(|error| error.to_string())?;
    // A dump takes a tenth of a second.
    sleep(if kind.command == Watches::Dump { plan.delay / 10 } else { plan.delay });
    do_deed(plan, kind, asyncprof.id(), target)?;
    let status = watcher.wait_for_end(&mut asyncprof)?;
    let killed = plan.deed == Deed::KillTarget;
    if !killed {
        target.check_goes_on()?;
    }
    let executed = killed || target.progress().0 != generation;
    watcher.check_end(status, plan.deed, Circumstances { killed, executed }, 0)?;
    watcher.check_files(status, plan.deed)
}

/// What is done, and then asking asyncprof to end, if it does not end by itself.
fn do_deed(plan: &Plan, kind: Kind, asyncprof: u32, target: &Target) -> Result<(), String> {
    let ask_to_end = || {
        sleep(plan.pause);
        if kind.command != Watches::RecordProgram {
            signal(asyncprof, Signal::SIGINT);
        }
    };
    match plan.deed {
        Deed::Nothing => {}
        Deed::Kill => signal(asyncprof, Signal::SIGKILL),
        Deed::Ask(wanted) => signal(asyncprof, wanted),
        Deed::Suspend(wanted) => {
            let checked = suspend(asyncprof, wanted, plan.pause, || {
                // SIGSTOP cannot be caught: it can come while asyncprof keeps the target stopped.
                if kind.blocking && wanted == Signal::SIGSTOP { Ok(()) } else { target.check_goes_on() }
            });
            ask_to_end();
            checked?;
        }
        Deed::SuspendTarget(wanted) => {
            suspend(target.pid, wanted, plan.pause, || Ok(()))?;
            ask_to_end();
        }
        Deed::KillTarget => signal(target.pid, Signal::SIGKILL),
    }
    Ok(())
}

/// Suspends a process for some time, and checks something meanwhile.
fn suspend(pid: u32, how: Signal, pause: Duration, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    signal(pid, how);
    // In a process group without a shell the kernel ignores SIGTSTP, unless it is caught.
    let suspended = within(Duration::from_secs(1), || state(pid) == Some('T') || has_ended(pid));
    sleep(pause);
    let checked = if suspended && !has_ended(pid) { check() } else { Ok(()) };
    signal(pid, Signal::SIGCONT);
    checked
}
