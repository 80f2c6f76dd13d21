//! `asyncprof flamegraph`: where the time goes, in a recording or in a process that is watched for it.

use std::path::Path;
use std::time::Duration;

use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::watch::FlamegraphArgs;
use crate::cli::input::find_process;
use crate::cli::input::formats::{Writes, check_options};
use crate::cli::input::replay::{self, Watched};
use crate::cli::output::artifact::{self, Style};
use crate::cli::output::destination::plan;
use crate::cli::session::signals::Signals;
use crate::cli::session::stopping::run_until_stopped;
use crate::cli::session::watch_session::{self, Listeners, announce, verdict};
use crate::cli::terminal::Color;
use crate::detect::analysis::Analysis;
use crate::profile::Folding;
use crate::sampler::{self, Stop};

/// How long a process is watched by default.
const DURATION: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &FlamegraphArgs, color: Color) -> Result<Exit, Failure> {
    let (format, destination) = plan(Writes::Flamegraph, None, &args.output, args.force)?;
    if args.diff.is_some() && format.name != "svg" {
        return Err(Failure::usage("a differential flame graph can only be written as .svg"));
    }
    check_options(&args.flame.given.0, args.flame.by, &[format], "a flame graph")?;
    if let (Some(base), Some(source)) = (&args.diff, &args.source) {
        replay::check_both(base, source)?;
    }
    let base = args.diff.as_deref().map(|base| replay::read(base, None, folding(args))).transpose()?;
    let watched = match source(args)? {
        Source::File(path) => replay::read(path, None, folding(args))?,
        Source::Process(pid) => {
            let signals = Signals::listen()?;
            Watched::live(run_until_stopped(&signals, None, |stop| watch(pid, args, color, stop))?)
        }
    };
    match base {
        Some(base) => artifact::write_difference(&base, &watched, args.flame.by, &destination)?,
        None => artifact::write(format, &watched, &destination, Style { color, limit: None, by: args.flame.by })?,
    }
    Ok(Exit::Fine)
}

fn folding(args: &FlamegraphArgs) -> Folding {
    if args.diff.is_some() { args.flame.folding_to_compare() } else { args.flame.folding() }
}

enum Source<'a> {
    File(&'a Path),
    Process(i32),
}

/// Digits alone are a process id; a file of that name is `./4211`.
fn source(args: &FlamegraphArgs) -> Result<Source<'_>, Failure> {
    if let Some(path) = &args.source {
        let pid = path.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        return match pid.map(str::parse::<i32>) {
            None => Ok(Source::File(path)),
            Some(Ok(pid)) if pid > 0 => Ok(Source::Process(pid)),
            Some(_) => Err(Failure::usage(format!("'{}' is not a process id", path.display()))),
        };
    }
    match (args.pid, &args.name) {
        (Some(pid), _) => Ok(Source::Process(pid)),
        (None, Some(name)) => find_process::find_by_name(name).map(Source::Process),
        // INVARIANT: one of the three is required by its definition.
        (None, None) => Err(Failure::usage("no recording or process given")),
    }
}

fn watch(pid: i32, args: &FlamegraphArgs, color: Color, stop: &Stop) -> Result<Analysis, Failure> {
    let mut how = args.watch.clone();
    how.duration.get_or_insert(DURATION);
    let watch = sampler::start(pid, &watch_session::options(&how, stop))?;
    let header = watch.header.clone();
    announce(&header, None, false, false);
    let analysis = Analysis::with_folding(header.clone(), folding(args));
    let mut listeners = Listeners::silent(&header, color, analysis);
    let outcome = listeners.follow(watch, &how);
    match (verdict(&outcome, &header)?, listeners.analysis) {
        (Exit::Fine, Some(analysis)) => Ok(analysis),
        (exit, _) => Err(Failure::new(exit, format!("nothing to draw was seen in process {pid}"))),
    }
}
