//! `asyncprof record`: a process, or a program that it starts, into a file. It must not know what the file holds.

use std::path::Path;
use std::thread;

use crossbeam_channel::bounded;

use super::args::{Color, RecordArgs};
use super::child::{Child, exit_of};
use super::family::{self, Host, Member, Wanted};
use super::live::length;
use super::recording::{Place, Recording};
use super::signals::Signals;
use super::watching::{self, Listeners};
use super::{Exit, Failure, note, processes};
use crate::model::event::Header;
use crate::sampler::Stop;

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
    if args.below.subprocesses && args.output.as_deref() == Some(Path::new("-")) {
        return Err(Failure::new(Exit::Usage, "several recordings cannot go to stdout").hint("give -o a file"));
    }
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
    let wanted = Wanted { pid, subprocesses: args.below.subprocesses, is_ours: ours };
    let mut members = family::watch(wanted, &args.watch, stop, &mut Files { place, ours, color })?;
    if members.iter().any(|member| member.listeners.recording.as_ref().is_some_and(Recording::is_unread)) {
        note("nobody reads stdout any more: the recording ends here");
        return Ok(Exit::Fine);
    }
    let verdict = family::verdict(&members);
    if wanted.subprocesses {
        discard_empty(&mut members);
    }
    let recordings: Vec<(&Member, &Recording)> =
        members.iter().filter_map(|member| Some((member, member.listeners.recording.as_ref()?))).collect();
    let incomplete = recordings.iter().find_map(|(_, recording)| recording.verdict().err());
    for (member, recording) in &recordings {
        let next = if recordings.len() == 1 { next_step(recording) } else { String::new() };
        if let Some(line) = sum_up(member, recording) {
            note(&format!("{line}{next}"));
        }
    }
    if let [(_, first), _, ..] = recordings.as_slice() {
        note(&format!("each is a recording of its own{}", next_step(first)));
    }
    incomplete.map_or(verdict, Err)
}

/// One file for each process.
struct Files<'a> {
    place: &'a Place,
    ours: bool,
    color: Color,
}

impl Host for Files<'_> {
    fn welcome(&mut self, header: &Header, is_below: bool, again: bool) -> Result<Option<Listeners>, Failure> {
        let recording = if is_below {
            let place = self.place.for_process(header.pid, again);
            match place.and_then(|place| Recording::create(&place, header)) {
                Ok(recording) => recording,
                Err(failure) => {
                    note(&format!("the subprocess {} is not recorded: {}", header.pid, failure.message));
                    return Ok(None);
                }
            }
        } else {
            Recording::create(self.place, header)?
        };
        if is_below {
            watching::announce_below(header, Some(&recording.name()));
        } else {
            watching::announce(header, Some(&recording.name()), self.ours);
        }
        let mut listeners = Listeners::new(header, self.color);
        listeners.recording = Some(recording);
        listeners.recording_is_all = !self.ours;
        // Our program uses this terminal too.
        listeners.quiet = self.ours;
        Ok(Some(listeners))
    }
}

/// Of several, one in which no event loop was seen is of no use to anybody.
fn discard_empty(members: &mut [Member]) {
    for member in members.iter_mut().filter(|member| !member.has_samples()) {
        if let Some(recording) = member.listeners.recording.take() {
            recording.discard();
        }
    }
}

/// What became of one recording.
fn sum_up(member: &Member, recording: &Recording) -> Option<String> {
    let health = member.outcome()?.health;
    let lowered = if health.lowered_rate { " (less often than asked for, see --cpu-budget)" } else { "" };
    Some(format!(
        "{}: {}, {} samples, {} looks at all tasks{lowered}",
        recording.name(),
        length(health.at_ns.saturating_sub(member.header.started_ns)),
        health.loop_samples,
        health.task_snapshots,
    ))
}

fn next_step(recording: &Recording) -> String {
    format!("; asyncprof report {} tells what is in it", recording.file_name())
}
