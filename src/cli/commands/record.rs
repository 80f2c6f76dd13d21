//! `asyncprof record`: records a process, or a program that it starts, to a file.

use std::path::Path;

use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::watch::RecordArgs;
use crate::cli::input::find_process;
use crate::cli::input::units::length;
use crate::cli::output::destination::Destination;
use crate::cli::output::recording_file::{Recording, check_place, default_place};
use crate::cli::session::child::{Child, exit_of};
use crate::cli::session::process_tree::{self, Attached, Member, Wanted};
use crate::cli::session::signals::Signals;
use crate::cli::session::stopping::run_until_stopped;
use crate::cli::session::watch_session::{Listeners, announce};
use crate::cli::terminal::Color;
use crate::sampler::Stop;

pub(crate) fn run(args: &RecordArgs, color: Color) -> Result<Exit, Failure> {
    if let Some(program) = args.command.first() {
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
        let place = place(args, &name)?;
        return run_command(args, &place, color);
    }
    let pid = find_process::resolve(&args.target)?;
    let place = place(args, &pid.to_string())?;
    let signals = Signals::listen()?;
    run_until_stopped(&signals, None, |stop| watch(pid, args, &place, stop, false, color))
}

fn place(args: &RecordArgs, what: &str) -> Result<Destination, Failure> {
    match &args.output {
        Some(path) if path == Path::new("-") && args.below.subprocesses => {
            Err(Failure::usage("cannot write several recordings to stdout").hint("give -o a file"))
        }
        Some(path) if path == Path::new("-") && !args.command.is_empty() => {
            Err(Failure::usage("on stdout the recording and the program's output would mix")
                .hint("give -o a file, or start the program yourself: asyncprof record PID -o -"))
        }
        Some(path) => check_place(path, args.force),
        None => check_place(&default_place(what), args.force),
    }
}

/// Starts a program and records it. Whatever happens to the recording, the program runs to its end, and its status is passed
/// on.
fn run_command(args: &RecordArgs, place: &Destination, color: Color) -> Result<Exit, Failure> {
    // Before the start: otherwise a Ctrl-C in between would leave a program that nobody waits for.
    let signals = Signals::listen()?;
    let child = Child::start(&args.command)?;
    run_until_stopped(&signals, Some(&child), |stop| {
        if let Err(failure) = watch(child.pid(), args, place, stop, true, color) {
            let nothing_to_see = failure.exit == Exit::Gone || (failure.exit != Exit::Internal && child.has_ended());
            if nothing_to_see {
                note("nothing was recorded: the program ended before it ran a Python");
            } else {
                failure.report();
            }
        }
        // Closed when the program has ended; nothing is ever sent.
        let _ = child.ended.recv();
    });
    child.wait().map(exit_of)
}

fn watch(
    pid: i32,
    args: &RecordArgs,
    place: &Destination,
    stop: &Stop,
    ours: bool,
    color: Color,
) -> Result<Exit, Failure> {
    let wanted = Wanted { pid, subprocesses: args.below.subprocesses, is_ours: ours };
    let mut members =
        process_tree::watch(wanted, &args.watch, stop, &mut |attached| listeners(attached, place, ours, color))?;
    if members.iter().any(|member| member.listeners.recording.as_ref().is_some_and(Recording::is_unread)) {
        note("stdout was closed: the recording ends here");
        return Ok(Exit::Fine);
    }
    let verdict = process_tree::verdict(&members);
    if wanted.subprocesses {
        // A process of several in which no event loop was seen is of no interest. If all is well all the same, the watch ended
        // before one could be seen, and the recording that was asked for stays.
        let is_any_seen = members.iter().any(Member::has_samples);
        let stays = matches!(verdict, Ok(Exit::Fine)) && !is_any_seen;
        let is_nothing = |member: &&mut Member| !member.has_samples() && (member.is_below || !stays);
        members.iter_mut().filter(is_nothing).for_each(Member::discard_recording);
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
        note(&format!("one recording per process{}", next_step(first)));
    }
    incomplete.map_or(verdict, Err)
}

/// A process is recorded to a file of its own.
fn listeners(
    attached: Attached<'_>,
    place: &Destination,
    ours: bool,
    color: Color,
) -> Result<Option<Listeners>, Failure> {
    let Attached { header, is_below, again } = attached;
    let recording = if is_below {
        let Some(recording) = Recording::create_below(place, header, again) else { return Ok(None) };
        recording
    } else {
        Recording::create(place, header)?
    };
    announce(header, Some(&recording.name()), is_below, ours);
    let mut listeners = Listeners::new(header, color);
    listeners.recording = Some(recording);
    listeners.recording_is_all = !ours;
    // Our program uses this terminal too.
    listeners.quiet = ours;
    Ok(Some(listeners))
}

/// What one recording holds.
fn sum_up(member: &Member, recording: &Recording) -> Option<String> {
    let health = member.outcome()?.health;
    let lowered = if health.lowered_rate { " (rates lowered, see --cpu-budget)" } else { "" };
    Some(format!(
        "{}: {}, {} loop samples, {} task snapshots{lowered}",
        recording.name(),
        length(health.at_ns.saturating_sub(member.header.started_ns)),
        health.loop_samples,
        health.task_snapshots,
    ))
}

fn next_step(recording: &Recording) -> String {
    format!("; to read it: asyncprof report {}", recording.file_name())
}
