//! `asyncprof demo`: an example program inside this binary, started with the user's Python, watched for a few seconds and ended.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::watch::DemoArgs;
use crate::cli::input::formats::Writes;
use crate::cli::input::replay::Watched;
use crate::cli::output::artifact::{self, Style};
use crate::cli::output::destination::{Destination, to_stdout};
use crate::cli::session::signals::Signals;
use crate::cli::session::stopping::run_until_stopped;
use crate::cli::session::watch_session::{self, Listeners, verdict};
use crate::cli::terminal::Color;
use crate::detect::analysis::Analysis;
use crate::profile::By;
use crate::sampler::{self, Stop};

/// The program. Runs on every supported Python, without any package.
const PROGRAM: &str = include_str!("../../../examples/demo.py");

/// How long it is watched by default.
const DURATION: Duration = Duration::from_secs(5);
/// Entries of each list, few enough for a first look.
const SHOWN: usize = 5;
/// How long the example lives on if asyncprof cannot end it.
const AFTERLIFE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &DemoArgs, color: Color) -> Result<Exit, Failure> {
    let folder = Folder::make()?;
    let signals = Signals::listen()?;
    let mut example = Example::start(args, &folder.program)?;
    run_until_stopped(&signals, None, |stop| {
        let pid = example.wait_until_ready(stop)?;
        note(&format!("{} runs as process {pid} and is watched for a few seconds", folder.program.display()));
        watch(pid, args, stop, color, &folder)
    })
}

fn watch(pid: i32, args: &DemoArgs, stop: &Stop, color: Color, folder: &Folder) -> Result<Exit, Failure> {
    let mut how = args.watch.clone();
    how.duration.get_or_insert(DURATION);
    let watch = sampler::start(pid, &watch_session::options(&how, stop))?;
    let header = watch.header.clone();
    let mut listeners = Listeners::reporting(&header, color, Analysis::new(header.clone()));
    let exit = verdict(&listeners.follow(watch, &how), &header)?;
    let Some(analysis) = listeners.analysis else { return Ok(exit) };
    let watched = Watched::live(analysis);
    let style = Style { color, limit: Some(SHOWN), by: By::Run };
    let picture = Destination::check(&folder.picture, false)?;
    let graph = Writes::Flamegraph.choose(None, &folder.picture)?;
    artifact::write(graph, &watched, &picture, style)?;
    let report = Writes::Report.choose(None, Path::new("-"))?;
    artifact::write(report, &watched, &Destination::Stdout, style)?;
    to_stdout(|out| writeln!(out, "\nFlame graph of what the loop executed: {}", folder.picture.display()))?;
    Ok(exit)
}

/// The folder of the example and its flame graph. It is kept, because the report names lines of the example.
struct Folder {
    program: PathBuf,
    picture: PathBuf,
}

impl Folder {
    fn make() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::internal(format!("cannot write the example program: {error}"))
                .hint("TMPDIR=/another/folder asyncprof demo")
        };
        let folder = tempfile::Builder::new().prefix("asyncprof-demo-").tempdir().map_err(failed)?;
        std::fs::write(folder.path().join("demo.py"), PROGRAM).map_err(failed)?;
        let folder = folder.keep();
        Ok(Self { program: folder.join("demo.py"), picture: folder.join("flamegraph.svg") })
    }
}

/// The running example; dropping this ends it.
struct Example {
    process: Child,
    errors: PathBuf,
}

impl Example {
    fn start(args: &DemoArgs, program: &Path) -> Result<Self, Failure> {
        let python = &args.python;
        let lifetime = args.watch.duration.unwrap_or(DURATION) + AFTERLIFE;
        let errors = program.with_extension("stderr");
        let failed = |error: std::io::Error| {
            Failure::internal(format!("cannot start {}: {error}", python.display()))
                .hint("asyncprof demo --python /path/to/python3")
        };
        let process = Command::new(python)
            .arg("-B")
            .arg(program)
            .arg(lifetime.as_secs().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        Ok(Self { process, errors })
    }

    /// Waits until the example says that it is running, with its process id: the Python that was started may have started
    /// another.
    fn wait_until_ready(&mut self, stop: &Stop) -> Result<i32, Failure> {
        let mut said = String::new();
        if let Some(stdout) = self.process.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut said);
        }
        if let Some(pid) = said.strip_prefix("ready ").and_then(|pid| pid.trim().parse().ok()) {
            return Ok(pid);
        }
        let mut errors = String::new();
        let _ = File::open(&self.errors).and_then(|mut file| file.read_to_string(&mut errors));
        let last = errors.lines().last().unwrap_or("it printed nothing");
        Err(if stop.is_asked() {
            Failure::new(Exit::Gone, "ended before the example was ready")
        } else {
            Failure::internal(format!("the example program did not start: {last}"))
                .hint("it needs Python 3.8 or later: asyncprof demo --python /path/to/python3")
        })
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What it printed when it was ended is of no use.
        let _ = std::fs::remove_file(&self.errors);
    }
}
