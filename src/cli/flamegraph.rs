//! `asyncprof flamegraph`: where the time goes, of a recording or of a process that is watched for it. It must not know how one
//! is drawn.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::args::{Color, FlamegraphArgs};
use super::output::Destination;
use super::product::{self, Product, Style, Watched};
use super::signals::Signals;
use super::watching::{self, Listeners, verdict};
use super::{Exit, Failure, meaning, processes, replay};
use crate::detect::analysis::Analysis;
use crate::profile::Folding;
use crate::sampler::{self, Stop};

/// How long a process is watched when nothing is said.
const DURATION: Duration = Duration::from_secs(10);

pub(super) fn run(args: &FlamegraphArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    if matches!(destination, Destination::Stdout) && io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "a flame graph is not for the terminal").hint("give -o a file.svg"));
    }
    let product = match Product::of_ending(&args.output, args.flame.by) {
        None if product::export_of_ending(&args.output).is_none() => Product::Flamegraph(args.flame.by),
        None | Some(Product::Report(_)) => {
            return Err(Failure::new(Exit::Usage, format!("{} would not be a flame graph", args.output.display()))
                .hint("give -o a file.svg, or a file.folded for other tools"));
        }
        Some(Product::Collapsed(_) | Product::Speedscope(_) | Product::Pprof(_)) if args.diff.is_some() => {
            return Err(Failure::new(Exit::Usage, "a difference is drawn, and needs a file.svg"));
        }
        Some(product) => product,
    };
    meaning::check(args.flame, &[product], "a flame graph")?;
    if let (Some(base), Some(source)) = (&args.diff, &args.source) {
        replay::check_both(base, source)?;
    }
    let base = args.diff.as_deref().map(|base| replay::read(base, None, folding(args))).transpose()?;
    let watched = match source(args)? {
        Source::File(path) => replay::read(path, None, folding(args))?,
        Source::Process(pid) => Watched::to_its_end(watch(pid, args, color)?),
    };
    match base {
        Some(base) => product::write_difference(&base, &watched, args.flame.by, &destination)?,
        None => product::write(product, &watched, &destination, Style { color, limit: None })?,
    }
    Ok(Exit::Fine)
}

fn folding(args: &FlamegraphArgs) -> Folding {
    if args.diff.is_some() { product::folding_to_compare(args.flame) } else { product::folding(args.flame) }
}

enum Source<'a> {
    File(&'a Path),
    Process(i32),
}

/// A number alone is a process; who has a file of that name writes `./4211`.
fn source(args: &FlamegraphArgs) -> Result<Source<'_>, Failure> {
    if let Some(path) = &args.source {
        let pid = path.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        return match pid.map(str::parse::<i32>) {
            None => Ok(Source::File(path)),
            Some(Ok(pid)) if pid > 0 => Ok(Source::Process(pid)),
            Some(_) => Err(Failure::new(Exit::Usage, format!("{} is no process id", path.display()))),
        };
    }
    match (args.pid, &args.name) {
        (Some(pid), _) => Ok(Source::Process(pid)),
        (None, Some(name)) => processes::find_by_name(name).map(Source::Process),
        // INVARIANT: one of the three is required by its definition.
        (None, None) => Err(Failure::new(Exit::Usage, "of which recording or process?")),
    }
}

fn watch(pid: i32, args: &FlamegraphArgs, color: Color) -> Result<Analysis, Failure> {
    let signals = Signals::listen()?;
    let stop = Stop::default();
    let (watching, done) = bounded::<()>(0);
    let mut how = args.watch.clone();
    how.duration.get_or_insert(DURATION);
    thread::scope(|scope| {
        watching::relay(scope, &signals, None, stop.clone(), done);
        let _watching = watching;
        let watch = sampler::start(pid, &watching::options(&how, &stop))?;
        let header = watch.header.clone();
        watching::announce(&header, None, false);
        let analysis = Analysis::with_folding(header.clone(), folding(args));
        let mut listeners = Listeners::silent(&header, color, analysis);
        let outcome = listeners.follow(watch, &how);
        match (verdict(&outcome, &header)?, listeners.analysis) {
            (Exit::Fine, Some(analysis)) => Ok(analysis),
            (exit, _) => Err(Failure::new(exit, format!("nothing was seen of process {pid} to draw"))),
        }
    })
}
