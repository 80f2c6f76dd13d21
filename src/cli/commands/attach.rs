//! `asyncprof attach`: reports each stall as it happens, a summary at the end, and files if asked.

use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::watch::AttachArgs;
use crate::cli::input::find_process;
use crate::cli::input::formats::{Format, Writes, check_options};
use crate::cli::input::replay::Watched;
use crate::cli::output::artifact::{self, Style};
use crate::cli::output::destination::{self, Destination};
use crate::cli::output::recording_file::{Recording, check_place};
use crate::cli::session::process_tree::{self, Attached, Member, Wanted};
use crate::cli::session::signals::Signals;
use crate::cli::session::stopping::run_until_stopped;
use crate::cli::session::watch_session::{Listeners, announce};
use crate::cli::terminal::Color;
use crate::detect::analysis::Analysis;
use crate::sampler::Stop;

pub(crate) fn run(args: &AttachArgs, color: Color) -> Result<Exit, Failure> {
    let outputs = Outputs::check(args)?;
    let pid = find_process::resolve(&args.target)?;
    let signals = Signals::listen()?;
    run_until_stopped(&signals, None, |stop| watch(pid, args, color, &outputs, stop))
}

fn watch(pid: i32, args: &AttachArgs, color: Color, outputs: &Outputs, stop: &Stop) -> Result<Exit, Failure> {
    let wanted = Wanted { pid, subprocesses: args.below.subprocesses, is_ours: false };
    let members =
        process_tree::watch(wanted, &args.watch, stop, &mut |attached| listeners(attached, args, color, outputs))?;
    let verdict = process_tree::verdict(&members);
    let any_samples = members.iter().any(Member::has_samples);
    let mut written = Ok(());
    let mut is_first = true;
    for mut member in members {
        if let Some(recording) = &member.listeners.recording {
            written = written.and(recording.verdict());
        }
        // A process of several in which no event loop was seen is of no interest.
        if wanted.subprocesses && any_samples && !member.has_samples() {
            member.discard_recording();
            continue;
        }
        // What was seen before an internal error is worth writing; after other failures there is nothing.
        let is_worth_it = !matches!(verdict, Err(ref failure) if failure.exit != Exit::Internal);
        if let Some(analysis) = member.listeners.analysis.take().filter(|_| is_worth_it) {
            let below = member.is_below.then_some(member.header.pid);
            let watched = Watched::live(analysis);
            written = written.and(outputs.write(&watched, args, color, below, std::mem::take(&mut is_first)));
        }
    }
    written.and(verdict)
}

/// A process is reported on the terminal and analyzed, and recorded if asked.
fn listeners(
    attached: Attached<'_>,
    args: &AttachArgs,
    color: Color,
    outputs: &Outputs,
) -> Result<Option<Listeners>, Failure> {
    let Attached { header, is_below, again } = attached;
    let analysis = Analysis::with_folding(header.clone(), args.flame.folding());
    let mut listeners = Listeners::reporting(header, color, analysis);
    listeners.recording = match &outputs.recording {
        Some(place) if is_below => Recording::create_below(place, header, again),
        Some(place) => Some(Recording::create(place, header)?),
        None => None,
    };
    announce(header, None, is_below, false);
    Ok(Some(listeners))
}

/// What is written at the end, checked before anything is watched for it.
struct Outputs {
    recording: Option<Destination>,
    /// The summary last, so that it is at the bottom of the terminal.
    files: Vec<(&'static Format, Destination)>,
}

impl Outputs {
    fn check(args: &AttachArgs) -> Result<Self, Failure> {
        let mut outputs = Self { recording: None, files: Vec::new() };
        for path in &args.output {
            if path.extension().is_some_and(|ending| ending == "aprof") {
                if outputs.recording.replace(check_place(path, args.force)?).is_some() {
                    return Err(Failure::usage("only one recording can be written: several -o end in .aprof"));
                }
                continue;
            }
            let destination = Destination::check(path, args.force)?;
            if !matches!(destination, Destination::Stdout) {
                let format = Writes::Attach.by_ending(path);
                outputs.files.push((format.ok_or_else(|| Writes::Attach.unknown_ending(path))?, destination));
            }
        }
        Destination::Stdout.check_terminal(args.format)?;
        if args.below.subprocesses && args.format.name == "html" {
            return Err(Failure::usage("cannot write several HTML reports to stdout")
                .hint("give -o x.html: the page of subprocess 4212 is written to x.4212.html"));
        }
        outputs.files.push((args.format, Destination::Stdout));
        let formats: Vec<&Format> = outputs.files.iter().map(|(format, _)| *format).collect();
        check_options(&args.flame.given.0, args.flame.by, &formats, "what is written here")?;
        Ok(outputs)
    }

    /// Writes everything about one process; `below` is its id if it is a subprocess.
    fn write(
        &self,
        watched: &Watched,
        args: &AttachArgs,
        color: Color,
        below: Option<i32>,
        is_first: bool,
    ) -> Result<(), Failure> {
        let style = Style { color, limit: args.limit, by: args.flame.by };
        let mut written = Ok(());
        for (format, destination) in &self.files {
            if matches!(destination, Destination::Stdout) && !is_first && format.name != "json" {
                written = written.and(destination::to_stdout(|out| writeln!(out)));
            }
            match below.map_or(Ok(None), |pid| destination.for_process(pid, false).map(Some)) {
                Ok(other) => {
                    let destination = other.as_ref().unwrap_or(destination);
                    written = written.and(artifact::write(format, watched, destination, style));
                }
                Err(failure) => note(&format!("not written: {}", failure.message)),
            }
        }
        written
    }
}
