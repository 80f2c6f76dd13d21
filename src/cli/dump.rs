//! `asyncprof dump`: one instant of a process, judged and written. It must not know any format.

use super::args::{Color, DumpArgs};
use super::output::{self, Destination};
use super::progress::try_snapshot;
use super::{Exit, Failure, hint, image, note, processes};
use crate::capture::session;
use crate::detect;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity};
use crate::render::{self, Format};

pub(super) fn run(args: &DumpArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    let format = match args.format {
        Some(name) => name.into(),
        None => output::format_of(&args.output).unwrap_or(Format::Text),
    };
    let snapshot = snapshot_of(args)?;
    let findings = detect::judge(&snapshot);
    let options = render::Options {
        limit: args.limit,
        width: output::width(),
        color: destination.shows_color(color),
        full_task_names: args.full_task_names,
    };
    destination.write(|out| render::write(format, &snapshot, &findings, &options, out))?;
    let exit = verdict(&snapshot, args.image.is_none(), &findings, args.fail_on.map(Severity::from));
    // The process is about to end: giving back a hundred thousand small pieces one by one would only make it wait.
    std::mem::forget(snapshot);
    Ok(exit)
}

/// The snapshot, of a process or of what was saved of one.
fn snapshot_of(args: &DumpArgs) -> Result<Snapshot, Failure> {
    if let Some(path) = &args.image {
        return image::load(path);
    }
    if let Some(path) = &args.save_image {
        // Before any process is chosen, let alone stopped.
        let destination = Destination::check(path, args.force)?;
        return image::save(processes::resolve(&args.target)?, &destination);
    }
    let pid = processes::resolve(&args.target)?;
    try_snapshot(pid, session::Options { blocking: args.blocking })?.map_err(|error| processes::failure_of(pid, error))
}

/// The exit code of a dump that was written. `is_live`: the process is there, and perhaps others below it.
fn verdict(snapshot: &Snapshot, is_live: bool, findings: &[Finding], fail_on: Option<Severity>) -> Exit {
    let python = &snapshot.python;
    let below = || if is_live { processes::hint_of_below(snapshot.pid) } else { None };
    if !python.asyncio_loaded {
        note(&format!("process {} runs CPython {}, but has not loaded asyncio", snapshot.pid, python.version));
        hint(&below().unwrap_or_else(|| {
            "if its event loop runs in a child (gunicorn, --workers), give the child's id: asyncprof doctor lists them"
                .to_owned()
        }));
        return Exit::Unsupported;
    }
    if snapshot.loops.is_empty() && snapshot.tasks.is_empty() {
        note(&format!("process {} has loaded asyncio, but has no event loop and no tasks now", snapshot.pid));
        hint(&below().unwrap_or_else(|| {
            "it may be starting or between two runs: try again; a server's workers are processes of their own"
                .to_owned()
        }));
        return Exit::Unsupported;
    }
    match fail_on {
        Some(least) if findings.iter().any(|finding| finding.severity >= least) => Exit::Found,
        _ => Exit::Fine,
    }
}
