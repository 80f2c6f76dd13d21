//! Attaching: from a process id, or a saved image, to a snapshot. The thin edge where the clock and the kernel come in;
//! the reading itself is `capture`, its result is made inert by `assemble`. It must not know who asks.

use std::time::{Duration, Instant, SystemTime};

use super::assemble::{Taken, assemble};
use super::facts::{FACTS_SCHEMA, Facts, Stillness};
use super::instant::capture;
use crate::model::Snapshot;
use crate::python::caches::Caches;
use crate::python::int::read_int;
use crate::python::layout::published::{MAX_TABLE, PublishedError, overlay};
use crate::python::layout::{Layout, Version, rows};
use crate::python::locate::{LocateError, Located, locate};
use crate::python::reader::Reader;
use crate::remote::image::{Image, ImageError, Recorder};
use crate::remote::live::LiveMemory;
use crate::remote::stopped::{StopError, StoppedMemory};
use crate::remote::{AccessError, Addr, Memory, Process, ReadError, View};
use crate::runtime::{Layouts, asyncio};

/// LIMIT: how long stopping the target may take before we let it go on and give up.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stop the target while it is read.
    pub blocking: bool,
}

/// How far the reading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being read, in a word or two.
    pub stage: &'static str,
    /// How many are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
}

/// What kind of failure, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The kernel does not let us.
    Forbidden,
    /// There is no such process, or it ended before it could be read.
    Gone,
    /// Not a Python that is supported.
    Unsupported,
    /// A saved image that cannot be used.
    BadImage,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The process is out of reach.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No CPython that can be read was found in it.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// It could not be stopped, as was asked.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// What the interpreter publishes about itself cannot be used.
    #[error("cannot read Python in process {pid}: {error}")]
    Published {
        /// The process.
        pid: i32,
        /// Why.
        error: PublishedError,
    },
    /// Its memory does not hold together.
    #[error("cannot read process {pid}: {error}")]
    Read {
        /// The process.
        pid: i32,
        /// Why.
        error: ReadError,
    },
    /// A saved image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A saved image that holds something else than a Python process.
    #[error("the image does not describe a Python process: {0}")]
    Facts(String),
}

impl AttachError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Access(error) => Some(error.hint()),
            Self::Locate(error) => Some(error.hint()),
            Self::Stop(error) => Some(error.hint()),
            Self::Published { error, .. } => Some(error.hint().to_owned()),
            Self::Read { error: ReadError::Forbidden | ReadError::Gone, .. } => None,
            Self::Read { .. } => Some(
                "the interpreter may be starting or ending: try again, or with --blocking; if it stays so, it is a \
                 build that is not supported"
                    .to_owned(),
            ),
            Self::Image(error) => Some(error.hint().to_owned()),
            Self::Facts(_) => Some("images are written by asyncprof itself".to_owned()),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Access(error) | Self::Locate(LocateError::Access(error)) => access_kind(error),
            Self::Locate(_) | Self::Published { .. } => FailureKind::Unsupported,
            Self::Stop(error) => match error {
                StopError::Access(error) => access_kind(error),
                _ => FailureKind::Forbidden,
            },
            Self::Read { error: ReadError::Forbidden, .. } => FailureKind::Forbidden,
            Self::Read { error: ReadError::Gone, .. } => FailureKind::Gone,
            Self::Read { .. } => FailureKind::Unsupported,
            Self::Image(_) | Self::Facts(_) => FailureKind::BadImage,
        }
    }
}

fn access_kind(error: &AccessError) -> FailureKind {
    match error {
        AccessError::NoSuchProcess { .. }
        | AccessError::Thread { .. }
        | AccessError::Zombie { .. }
        | AccessError::Exited { .. } => FailureKind::Gone,
        AccessError::KernelThread { .. } | AccessError::OtherArchitecture { .. } => FailureKind::Unsupported,
        AccessError::Forbidden { .. } | AccessError::Proc { .. } => FailureKind::Forbidden,
    }
}

/// Somebody who can tell whether the target stood still.
pub trait Witness {
    /// Whether no thread of the target ran since the reading began. `false` means that it is not known.
    fn nothing_ran(&mut self) -> bool;
}

/// The kernel's account of the target's threads.
struct KernelWitness<'p> {
    process: &'p Process,
    before: Option<Stillness>,
}

impl Witness for KernelWitness<'_> {
    fn nothing_ran(&mut self) -> bool {
        let lasted = self.before.as_ref().is_some_and(|before| before.lasted(self.process));
        // The next question is about what is read from now on.
        self.before = Stillness::observe(self.process);
        lasted
    }
}

/// An image or a stopped process: nothing runs.
struct Stopped;

impl Witness for Stopped {
    fn nothing_ran(&mut self) -> bool {
        true
    }
}

/// A process in which a Python that can be read was found: what every way of looking at it starts from.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The process.
    pub process: Process,
    /// Where the interpreter is, and what the kernel says of the threads.
    pub facts: Facts,
    /// Where things are in this interpreter.
    pub layouts: Layouts,
    /// For example `3.12.1`.
    pub version: String,
}

/// Finds Python in a process and what is needed to read it.
///
/// # Errors
/// Why it cannot be read; each has a hint.
pub fn attach(pid: i32) -> Result<Attachment, AttachError> {
    let process = Process::open(pid)?;
    let live = LiveMemory::new(pid);
    let located = locate(&process, &live)?;
    let facts = Facts::gather(&process, &live, &located);
    let attached = layouts(&live, &facts).and_then(|layouts| {
        let version =
            version(&live, &facts, &layouts.python).map_err(|error| AttachError::Read { pid: facts.pid, error })?;
        Ok((layouts, version))
    });
    let (layouts, version) = attached.map_err(|error| explained(error, &process))?;
    Ok(Attachment { process, facts, layouts, version })
}

/// Takes one snapshot of a process.
pub fn take(pid: i32, options: &Options, progress: &dyn Fn(Progress)) -> Result<Snapshot, AttachError> {
    let process = Process::open(pid)?;
    let live = LiveMemory::new(pid);
    let located = locate(&process, &live)?;
    let snapshot = if options.blocking {
        let stopped = StoppedMemory::stop(&process, STOP_LIMIT)?;
        read(&stopped, &Facts::gather(&process, &live, &located), &mut Stopped, progress)
    } else {
        let mut witness = KernelWitness { process: &process, before: Stillness::observe(&process) };
        read(&live, &Facts::gather(&process, &live, &located), &mut witness, progress)
    };
    snapshot.map_err(|error| explained(error, &process))
}

/// The memory of a process that has ended in the meantime reads like one that is forbidden or was never there.
fn explained(error: AttachError, process: &Process) -> AttachError {
    match error {
        _ if !process.is_same() => AccessError::Exited { pid: process.pid() }.into(),
        AttachError::Read { error: ReadError::Forbidden, .. } => AccessError::forbidden(process.pid()).into(),
        other => other,
    }
}

/// Takes a snapshot and saves what was read for it, so that it can be read again without the process.
pub fn record_image(pid: i32) -> Result<(Image, Snapshot), AttachError> {
    let process = Process::open(pid)?;
    let live = LiveMemory::new(pid);
    let located: Located = locate(&process, &live)?;
    let stopped = StoppedMemory::stop(&process, STOP_LIMIT)?;
    let recorder = Recorder::new(&stopped);
    let facts = Facts::gather(&process, &live, &located);
    let snapshot = read(&recorder, &facts, &mut Stopped, &|_| {}).map_err(|error| explained(error, &process))?;
    let facts = serde_json::to_value(&facts).map_err(|error| AttachError::Facts(error.to_string()))?;
    Ok((recorder.image(facts), snapshot))
}

/// Takes a snapshot of a saved image.
pub fn take_image(image: &Image) -> Result<Snapshot, AttachError> {
    let facts: Facts =
        serde_json::from_value(image.facts().clone()).map_err(|error| AttachError::Facts(error.to_string()))?;
    if facts.schema != FACTS_SCHEMA {
        return Err(AttachError::Facts(format!("its format is {:?}, not {FACTS_SCHEMA:?}", facts.schema)));
    }
    read(image, &facts, &mut Stopped, &|_| {})
}

fn read(
    memory: &dyn Memory,
    facts: &Facts,
    witness: &mut dyn Witness,
    progress: &dyn Fn(Progress),
) -> Result<Snapshot, AttachError> {
    let (at, started) = (SystemTime::now(), Instant::now());
    let failed = |error| AttachError::Read { pid: facts.pid, error };
    let layouts = layouts(memory, facts)?;
    let version = version(memory, facts, &layouts.python).map_err(failed)?;
    let captured = capture(memory, facts, &layouts, witness, progress).map_err(failed)?;
    let taken = Taken { at, elapsed_us: started.elapsed().as_secs_f64() * 1e6, version };
    Ok(assemble(captured, facts, &layouts.python, taken))
}

/// The rows of the target's version, completed by what the target publishes.
fn layouts(memory: &dyn Memory, facts: &Facts) -> Result<Layouts, AttachError> {
    let published = |error| AttachError::Published { pid: facts.pid, error };
    let unreadable = |error| AttachError::Read { pid: facts.pid, error };
    let Some(mut python) = rows::row(facts.minor, facts.free_threaded) else {
        return Err(unreadable(ReadError::Invalid("version")));
    };
    let mut view = View::new(memory);
    if python.runtime.publishes_offsets {
        let runtime = Addr::new(facts.runtime).ok_or_else(|| unreadable(ReadError::BadPointer(facts.runtime)))?;
        let table = view.bytes(runtime, MAX_TABLE).map_err(unreadable)?;
        python = overlay(python, &table).map_err(published)?;
    }
    let mut asyncio = asyncio::layout::rows::row(&python);
    if let Some(addr) = facts.asyncio_debug.and_then(Addr::new) {
        let table = view.bytes(addr, asyncio::layout::published::TABLE).map_err(unreadable)?;
        asyncio = asyncio::layout::published::overlay(asyncio, &python, &table).map_err(published)?;
    }
    Ok(Layouts { python, asyncio })
}

/// The whole version: as the program says, or as `sys.hexversion` does, which at the same time shows that dicts, strs and
/// ints are where the layout says.
fn version(memory: &dyn Memory, facts: &Facts, layout: &Layout) -> Result<String, ReadError> {
    if let Some(hex) = facts.version_hex {
        return Ok(Version::from_hex(hex).to_string());
    }
    let runtime = Addr::new(facts.runtime).ok_or(ReadError::BadPointer(facts.runtime))?;
    let (mut view, mut caches) = (View::new(memory), Caches::default());
    let interpreter = view.object(runtime, layout.runtime.interpreters_head)?;
    let mut reader = Reader::new(&mut view, layout, &mut caches);
    let sys = reader.view.object(interpreter, layout.interp.sysdict)?;
    let hex = reader.key(sys, "hexversion")?.ok_or(ReadError::Invalid("sys.hexversion"))?;
    let hex = read_int(reader.view, layout, hex)?;
    let version = u32::try_from(hex).map(Version::from_hex).map_err(|_| ReadError::Invalid("sys.hexversion"))?;
    // A row of another minor version would read nonsense from here on.
    if version.is_of(facts.minor) { Ok(version.to_string()) } else { Err(ReadError::Invalid("sys.hexversion")) }
}
