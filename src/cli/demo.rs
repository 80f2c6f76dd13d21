//! `asyncprof demo`: an example program from inside this binary, started with the user's Python, watched for some seconds and
//! ended. It must not know what is wrong with the example.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::args::{ByName, Color, DemoArgs, ReportFormat};
use super::output::Destination;
use super::product::{self, Product, Style, Watched};
use super::signals::Signals;
use super::watching::{self, Listeners, verdict};
use super::{Exit, Failure, note};
use crate::detect::analysis::Analysis;
use crate::sampler::{self, Stop};

/// The program. Runs on every Python that is supported, without any package.
const PROGRAM: &str = include_str!("../../examples/demo.py");

/// How long it is watched when nothing is said.
const DURATION: Duration = Duration::from_secs(5);
/// Entries of each list: as much as fits into the head at a first look.
const SHOWN: usize = 5;
/// How long the example lives on if we should not be there to end it.
const AFTERLIFE: Duration = Duration::from_secs(60);

pub(super) fn run(args: &DemoArgs, color: Color) -> Result<Exit, Failure> {
    let folder = Folder::make()?;
    let signals = Signals::listen()?;
    let stop = Stop::default();
    let mut example = Example::start(args, &folder.program)?;
    let (watching, done) = bounded::<()>(0);
    thread::scope(|scope| {
        watching::relay(scope, &signals, None, stop.clone(), done);
        let _watching = watching;
        let pid = example.wait_until_ready(&stop)?;
        note(&format!("{} runs as process {pid} and is watched for some seconds", folder.program.display()));
        watch(pid, args, &stop, color, &folder)
    })
}

fn watch(pid: i32, args: &DemoArgs, stop: &Stop, color: Color, folder: &Folder) -> Result<Exit, Failure> {
    let mut how = args.watch.clone();
    how.duration.get_or_insert(DURATION);
    let watch = sampler::start(pid, &watching::options(&how, stop))?;
    let header = watch.header.clone();
    let mut listeners = Listeners::new(&header, color);
    listeners.analysis = Some(Analysis::new(header.clone()));
    let exit = verdict(&listeners.follow(watch, &how), &header)?;
    let Some(analysis) = listeners.analysis else { return Ok(exit) };
    let watched = Watched::to_its_end(analysis);
    let style = Style { color, limit: Some(SHOWN) };
    let picture = Destination::check(&folder.picture, false)?;
    product::write(Product::Flamegraph(ByName::Run), &watched, &picture, style)?;
    product::write(Product::Report(ReportFormat::Text), &watched, &Destination::Stdout, style)?;
    super::output::to_stdout(|out| {
        writeln!(out, "\nFlame graph of what the loop executed: {}", folder.picture.display())
    })?;
    Ok(exit)
}

/// Where the example and its picture are. It stays: the report names lines of the example.
struct Folder {
    program: PathBuf,
    picture: PathBuf,
}

impl Folder {
    fn make() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Own, format!("cannot write the example program: {error}"))
                .hint("TMPDIR=/another/folder asyncprof demo")
        };
        let folder = tempfile::Builder::new().prefix("asyncprof-demo-").tempdir().map_err(failed)?;
        std::fs::write(folder.path().join("demo.py"), PROGRAM).map_err(failed)?;
        let folder = folder.keep();
        Ok(Self { program: folder.join("demo.py"), picture: folder.join("flamegraph.svg") })
    }
}

/// The running example; it ends with this value.
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
            Failure::new(Exit::Own, format!("cannot start {}: {error}", python.display()))
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

    /// Returns when the example has said that everything is under way, with its process id: the Python we started may have
    /// started another.
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
        let last = errors.lines().last().unwrap_or("it said nothing");
        Err(if stop.is_asked() {
            Failure::new(Exit::Gone, "ended before the example was ready")
        } else {
            Failure::new(Exit::Own, format!("the example program did not start: {last}"))
                .hint("it needs Python 3.8 or later: asyncprof demo --python /path/to/python3")
        })
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Nobody needs what it said when it was ended.
        let _ = std::fs::remove_file(&self.errors);
    }
}
