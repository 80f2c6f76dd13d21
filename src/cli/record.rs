//! `asyncprof record`: a process, or a program that it starts, into a file. It must not know what the file holds.

use std::path::Path;
use std::thread;

use crossbeam_channel::bounded;

use super::args::{Color, RecordArgs};
use super::child::{Child, exit_of};
use super::live::length;
use super::recording::{Place, Recording};
use super::signals::Signals;
use super::watching::{self, Listeners, verdict};
use super::{Exit, Failure, note, processes};
use crate::sampler::{self, Stop};

pub(super) fn run(args: &RecordArgs, color: Color) -> Result<Exit, Failure> {
    if let Some(program) = args.command.first() {
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
        let place = place(args, &name)?;
        return run_command(args, &place, color);
    }
    let pid = processes::resolve(&args.target)?;
    let place = place(args, &pid.to_string())?;
    let signals = Signals::listen()?;
    let stop = Stop::default();
    let (watching, done) = bounded::<()>(0);
    thread::scope(|scope| {
        watching::relay(scope, &signals, None, stop.clone(), done);
        let _watching = watching;
        watch(pid, args, &place, &stop, false, color)
    })
}

fn place(args: &RecordArgs, what: &str) -> Result<Place, Failure> {
    match &args.output {
        Some(path) if path == Path::new("-") && !args.command.is_empty() => {
            Err(Failure::new(Exit::Usage, "on stdout the recording and what the program writes would mix")
                .hint("give -o a file, or start the program yourself: asyncprof record PID -o -"))
        }
        Some(path) => Place::check(path, args.force),
        None => Place::check(&Place::default_for(what), args.force),
    }
}

/// Starts a program and records it. Whatever becomes of the recording, the program runs to its end and its status is ours.
fn run_command(args: &RecordArgs, place: &Place, color: Color) -> Result<Exit, Failure> {
    // Before the start: a Ctrl-C in between would leave a program that nobody waits for.
    let signals = Signals::listen()?;
    let child = Child::start(&args.command)?;
    let stop = Stop::default();
    let (watching, done) = bounded::<()>(0);
    thread::scope(|scope| {
        watching::relay(scope, &signals, Some(&child), stop.clone(), done);
        let _watching = watching;
        if let Err(failure) = watch(child.pid(), args, place, &stop, true, color) {
            let nothing_to_see = failure.exit == Exit::Gone || (failure.exit != Exit::Own && child.has_ended());
            if nothing_to_see {
                note("nothing was recorded: the program ended before a Python could be seen in it");
            } else {
                failure.report();
            }
        }
        // Closed when it has ended; nothing is ever sent.
        let _ = child.ended.recv();
    });
    child.wait().map(exit_of)
}

fn watch(pid: i32, args: &RecordArgs, place: &Place, stop: &Stop, ours: bool, color: Color) -> Result<Exit, Failure> {
    let options = sampler::Options { wait_for_python: ours, ..watching::options(&args.watch, stop) };
    let watch = sampler::start(pid, &options)?;
    let header = watch.header.clone();
    let mut listeners = Listeners::new(&header, color);
    let recording = listeners.recording.insert(Recording::create(place, &header)?);
    watching::announce(&header, Some(&recording.name()), ours);
    listeners.recording_is_all = !ours;
    // Our program uses this terminal too.
    listeners.quiet = ours;
    let outcome = listeners.follow(watch, &args.watch);
    if listeners.recording.as_ref().is_some_and(Recording::is_unread) {
        note("nobody reads stdout any more: the recording ends here");
        return Ok(Exit::Fine);
    }
    let verdict = verdict(&outcome, &header);
    if let Some(recording) = &listeners.recording {
        recording.verdict()?;
        let lowered = if outcome.health.lowered_rate { " (less often than asked for, see --cpu-budget)" } else { "" };
        note(&format!(
            "{}: {}, {} samples, {} looks at all tasks{lowered}; asyncprof report {} tells what is in it",
            recording.name(),
            length(outcome.health.at_ns.saturating_sub(header.started_ns)),
            outcome.health.loop_samples,
            outcome.health.task_snapshots,
            recording.file_name(),
        ));
    }
    verdict
}
