//! `asyncprof attach`: each stall as it happens, a summary at the end, and files if asked. It must not know how any of them
//! is made.

use std::path::Path;
use std::thread;

use crossbeam_channel::bounded;

use super::args::{AttachArgs, Color, ReportFormat};
use super::family::{self, Host, Member, Wanted};
use super::output::{self, Destination};
use super::product::{self, Product, Style, Watched};
use super::recording::{Place, Recording};
use super::signals::Signals;
use super::watching::{self, Listeners};
use super::{Exit, Failure, meaning, note, processes};
use crate::detect::analysis::Analysis;
use crate::model::event::Header;
use crate::sampler::Stop;

pub(super) fn run(args: &AttachArgs, color: Color) -> Result<Exit, Failure> {
    let outputs = Outputs::check(args)?;
    let pid = processes::resolve(&args.target)?;
    let signals = Signals::listen()?;
    let stop = Stop::default();
    let (watching, done) = bounded::<()>(0);
    thread::scope(|scope| {
        watching::relay(scope, &signals, None, stop.clone(), done);
        // Dropped at the end of the scope, in whatever way that comes.
        let _watching = watching;
        watch(pid, args, color, &outputs, &stop)
    })
}

fn watch(pid: i32, args: &AttachArgs, color: Color, outputs: &Outputs, stop: &Stop) -> Result<Exit, Failure> {
    let wanted = Wanted { pid, subprocesses: args.below.subprocesses, is_ours: false };
    let members = family::watch(wanted, &args.watch, stop, &mut Terminal { args, outputs, color })?;
    let verdict = family::verdict(&members);
    let anybody_seen = members.iter().any(Member::has_samples);
    let mut written = Ok(());
    let mut is_first = true;
    for mut member in members {
        if let Some(recording) = &member.listeners.recording {
            written = written.and(recording.verdict());
        }
        // Of several, one in which no event loop was seen is of no use to anybody.
        if wanted.subprocesses && anybody_seen && !member.has_samples() {
            if let Some(recording) = member.listeners.recording.take() {
                recording.discard();
            }
            continue;
        }
        // Of nothing there is nothing to write; of what was seen before a failure there is.
        let is_worth_it = !matches!(verdict, Err(ref failure) if failure.exit != Exit::Own);
        if let Some(analysis) = member.listeners.analysis.take().filter(|_| is_worth_it) {
            let below = member.is_below.then_some(member.header.pid);
            let watched = Watched::to_its_end(analysis);
            written = written.and(outputs.write(&watched, args, color, below, std::mem::take(&mut is_first)));
        }
    }
    written.and(verdict)
}

/// Each process is told of on the terminal, and summed up at the end.
struct Terminal<'a> {
    args: &'a AttachArgs,
    outputs: &'a Outputs,
    color: Color,
}

impl Host for Terminal<'_> {
    fn welcome(&mut self, header: &Header, is_below: bool, again: bool) -> Result<Option<Listeners>, Failure> {
        let mut listeners = Listeners::new(header, self.color);
        listeners.analysis = Some(Analysis::with_folding(header.clone(), product::folding(self.args.flame)));
        match &self.outputs.recording {
            Some(place) if is_below => {
                let place = place.for_process(header.pid, again);
                match place.and_then(|place| Recording::create(&place, header)) {
                    Ok(recording) => listeners.recording = Some(recording),
                    Err(failure) => {
                        note(&format!("the subprocess {} is not recorded: {}", header.pid, failure.message));
                    }
                }
            }
            Some(place) => listeners.recording = Some(Recording::create(place, header)?),
            None => {}
        }
        if is_below {
            watching::announce_below(header, None);
        } else {
            watching::announce(header, None, false);
        }
        Ok(Some(listeners))
    }
}

/// What is written at the end, checked before anything is watched for it.
struct Outputs {
    recording: Option<Place>,
    /// The summary last: what a person reads is best at the bottom.
    files: Vec<(Product, Destination)>,
}

impl Outputs {
    fn check(args: &AttachArgs) -> Result<Self, Failure> {
        let mut outputs = Self { recording: None, files: Vec::new() };
        for path in &args.output {
            if path.extension().is_some_and(|ending| ending == "aprof") {
                if outputs.recording.replace(Place::check(path, args.force)?).is_some() {
                    return Err(Failure::new(Exit::Usage, "one recording is enough: several -o end in .aprof"));
                }
                continue;
            }
            let destination = Destination::check(path, args.force)?;
            if !matches!(destination, Destination::Stdout) {
                outputs.files.push((product_of(path, args)?, destination));
            }
        }
        product::check_terminal(args.format, &Destination::Stdout)?;
        if args.below.subprocesses && args.format == ReportFormat::Html {
            return Err(Failure::new(Exit::Usage, "several HTML reports cannot go to stdout one after the other")
                .hint("give -o x.html: the page of subprocess 4212 is in x.4212.html"));
        }
        outputs.files.push((Product::Report(args.format), Destination::Stdout));
        let products: Vec<Product> = outputs.files.iter().map(|(product, _)| *product).collect();
        meaning::check(args.flame, &products, "what is written here")?;
        Ok(outputs)
    }

    /// Writes all of one process; `below` is its id when it is not the one that was asked for.
    fn write(
        &self,
        watched: &Watched,
        args: &AttachArgs,
        color: Color,
        below: Option<i32>,
        is_first: bool,
    ) -> Result<(), Failure> {
        let style = Style { color, limit: args.limit };
        let mut written = Ok(());
        for (product, destination) in &self.files {
            if matches!(destination, Destination::Stdout) && !is_first && args.format != ReportFormat::Json {
                written = written.and(output::to_stdout(|out| writeln!(out)));
            }
            match below.map_or(Ok(None), |pid| destination.for_process(pid).map(Some)) {
                Ok(other) => {
                    let destination = other.as_ref().unwrap_or(destination);
                    written = written.and(product::write(*product, watched, destination, style));
                }
                Err(failure) => note(&format!("not written: {}", failure.message)),
            }
        }
        written
    }
}

fn product_of(path: &Path, args: &AttachArgs) -> Result<Product, Failure> {
    Product::of_ending(path, args.flame.by).ok_or_else(|| match product::export_of_ending(path) {
        // Written while a recording is read, which has all events in it.
        Some(_) => Failure::new(Exit::Usage, format!("{} can only be made of a recording", path.display()))
            .hint(format!("give -o x.aprof, then: asyncprof export x.aprof -o {}", path.display())),
        None => Failure::new(Exit::Usage, format!("{}: the ending does not say what to write", path.display()))
            .hint("known are .aprof .html .svg .folded .speedscope.json .pb.gz .json .md .txt"),
    })
}
