//! `asyncprof attach`: each stall as it happens, a summary at the end, and files if asked. It must not know how any of them
//! is made.

use std::path::Path;
use std::thread;

use crossbeam_channel::bounded;

use super::args::{AttachArgs, Color};
use super::output::Destination;
use super::product::{self, Product, Style, Watched};
use super::recording::{Place, Recording};
use super::signals::Signals;
use super::watching::{self, Listeners, verdict};
use super::{Exit, Failure, meaning, processes};
use crate::detect::analysis::Analysis;
use crate::sampler::{self, Stop};

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
    let watch = sampler::start(pid, &watching::options(&args.watch, stop))?;
    let header = watch.header.clone();
    let mut listeners = Listeners::new(&header, color);
    listeners.recording = outputs.recording.as_ref().map(|place| Recording::create(place, &header)).transpose()?;
    watching::announce(&header, None, false);
    let mut analysis = Analysis::with_folding(header.clone(), product::folding(args.flame));
    listeners.analysis = Some(&mut analysis);
    let outcome = listeners.follow(watch, &args.watch);
    let recording = listeners.recording;
    let verdict = verdict(&outcome, &header);
    // Of nothing there is nothing to write; of what was seen before a failure there is.
    if !matches!(verdict, Err(ref failure) if failure.exit != Exit::Own) {
        outputs.write(&Watched::to_its_end(analysis), args, color)?;
    }
    if let Some(recording) = &recording {
        recording.verdict()?;
    }
    verdict
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
        outputs.files.push((Product::Report(args.format), Destination::Stdout));
        let products: Vec<Product> = outputs.files.iter().map(|(product, _)| *product).collect();
        meaning::check(args.flame, &products, "what is written here")?;
        Ok(outputs)
    }

    fn write(&self, watched: &Watched, args: &AttachArgs, color: Color) -> Result<(), Failure> {
        let style = Style { color, limit: args.limit };
        self.files.iter().try_for_each(|(product, destination)| product::write(*product, watched, destination, style))
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
