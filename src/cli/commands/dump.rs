//! `asyncprof dump`: one snapshot of a process, judged and written.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use crate::capture::session::{self, AttachError};
use crate::cli::failure::{Exit, Failure, hint, note};
use crate::cli::input::args::dump::DumpArgs;
use crate::cli::input::find_process;
use crate::cli::input::formats::{Writer, Writes};
use crate::cli::input::units::MAX_STOP;
use crate::cli::output::destination::{Destination, plan};
use crate::cli::output::progress::try_snapshot;
use crate::cli::session::signals;
use crate::cli::terminal::Color;
use crate::detect;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity};
use crate::remote::image::{Image, ImageError};
use crate::render::Options;

pub(crate) fn run(args: &DumpArgs, color: Color) -> Result<Exit, Failure> {
    let (format, destination) = plan(Writes::Dump, args.format, &args.output, args.force)?;
    let Writer::Snapshot(write) = format.writer else { return Err(format.misplaced()) };
    let snapshot = snapshot_of(args)?;
    let findings = detect::judge(&snapshot);
    let options = Options { full_task_names: args.full_task_names, ..destination.options(color, args.limit) };
    destination.write(|out| write(&snapshot, &findings, &options, out))?;
    let exit = verdict(&snapshot, args.image.is_none(), &findings, args.fail_on);
    // The process is about to end: freeing a hundred thousand small pieces one by one would only delay it.
    std::mem::forget(snapshot);
    Ok(exit)
}

/// The snapshot of a process or of a saved image.
fn snapshot_of(args: &DumpArgs) -> Result<Snapshot, Failure> {
    if let Some(path) = &args.image {
        return load_image(path);
    }
    if let Some(path) = &args.save_image {
        // Before any process is found, let alone stopped.
        let destination = Destination::check(path, args.force)?;
        signals::suspend_between_stops()?;
        return save_image(find_process::resolve(&args.target)?, args, &destination);
    }
    let pid = find_process::resolve(&args.target)?;
    let longest_stop = args.blocking.then_some(args.max_stop);
    if longest_stop.is_some() {
        signals::suspend_between_stops()?;
    }
    let options = session::Options { longest_stop, memory: args.max_memory, ..session::Options::default() };
    try_snapshot(pid, options)?.map_err(|error| find_process::failure_of(pid, error))
}

fn load_image(path: &Path) -> Result<Snapshot, Failure> {
    let read = || -> Result<Snapshot, AttachError> {
        let file = File::open(path).map_err(ImageError::Io)?;
        session::take_image(&Image::load(BufReader::new(file))?)
    };
    read().map_err(|error| Failure::from(error).about(path))
}

/// Takes a snapshot while the process is stopped, and saves the memory that was read.
fn save_image(pid: i32, args: &DumpArgs, destination: &Destination) -> Result<Snapshot, Failure> {
    let Destination::File { path, .. } = destination else {
        return Err(Failure::usage("an image can only be saved to a file").hint("give --save-image a file"));
    };
    let (image, snapshot) = session::record_image(pid, args.max_stop, args.max_memory)?;
    destination.write(|out| image.save(out).map_err(io::Error::other))?;
    note(&format!(
        "{} holds memory of process {pid}: names, paths and exception messages, which can be secret",
        path.display(),
    ));
    if snapshot.stop.is_some_and(|stop| !stop.covers_reading) {
        note(&format!("process {pid} was not stopped while all of it was read: the image may not be of one moment"));
        let longer = 4 * args.max_stop;
        if longer <= MAX_STOP {
            hint(&format!("allow longer stops: --max-stop {}ms", longer.as_millis()));
        }
    }
    Ok(snapshot)
}

/// The exit code of a dump that was written. `is_live`: it is of a process, which can have subprocesses.
fn verdict(snapshot: &Snapshot, is_live: bool, findings: &[Finding], fail_on: Option<Severity>) -> Exit {
    let python = &snapshot.python;
    let below = || if is_live { find_process::hint_of_below(snapshot.pid) } else { None };
    if !python.asyncio_loaded {
        note(&format!("process {} runs CPython {}, but has not loaded asyncio", snapshot.pid, python.version));
        hint(&below().unwrap_or_else(|| {
            "if its event loop runs in a subprocess (gunicorn, --workers), pass the id of that: asyncprof doctor lists them"
                .to_owned()
        }));
        return Exit::Unsupported;
    }
    if snapshot.loops.is_empty() && snapshot.tasks.is_empty() {
        note(&format!("process {} has loaded asyncio, but has no event loop and no tasks now", snapshot.pid));
        // A thread that waits for a loop says more.
        if !snapshot.results.is_empty() {
            return Exit::Unsupported;
        }
        hint(&below().unwrap_or_else(|| {
            "it may be starting or between two runs: try again; a server's workers are separate processes".to_owned()
        }));
        return Exit::Unsupported;
    }
    match fail_on {
        Some(least) if findings.iter().any(|finding| finding.severity >= least) => Exit::Found,
        _ => Exit::Fine,
    }
}
