//! Attaching to a process, and snapshots of an attached process or a saved image. This is the thin layer where the
//! clock and the kernel come in; the reading itself is `instant`, and `assemble` turns its result into the model.

use std::time::{Duration, Instant, SystemTime};

use super::assemble::{Taken, assemble};
use super::facts::{FACTS_SCHEMA, Facts};
use super::instant::capture;
use super::progress::Progress;
use super::witness::{KernelWitness, Stopped, Witness};
use crate::model::Snapshot;
use crate::model::snapshot::Stop;
use crate::python::caches::Caches;
use crate::python::int::read_int;
use crate::python::layout::published::{MAX_TABLE, PublishedError, overlay};
use crate::python::layout::{Layout, Version, rows};
use crate::python::locate::{LocateError, locate};
use crate::python::reader::Reader;
use crate::remote::access::fix_of;
use crate::remote::halt::Halt;
use crate::remote::image::{Image, ImageError, Recorder};
use crate::remote::live::LiveMemory;
use crate::remote::permission::is_readable;
use crate::remote::stopped::{StopError, StoppedMemory};
use crate::remote::{AccessError, Addr, GiveUp, Memory, MemoryLimit, Process, Program, ReadError, Until, View};
use crate::runtime::layouts::{LayoutError, Layouts};

/// How to take a snapshot.
#[derive(Clone, Debug)]
pub struct Options {
    /// Stop the target while it is read, for this long at most. What takes longer is read again while it runs.
    pub longest_stop: Option<Duration>,
    /// When to give up.
    pub give_up: Option<GiveUp>,
    /// How much memory asyncprof may use. Tasks for which there is none are not read.
    pub memory: MemoryLimit,
}

impl Default for Options {
    fn default() -> Self {
        Self { longest_stop: None, give_up: None, memory: MemoryLimit::NONE }
    }
}

/// The kind of failure, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The kernel denies access.
    Forbidden,
    /// The process does not exist, or it ended before it could be read.
    Gone,
    /// Not a supported Python.
    Unsupported,
    /// A saved image that cannot be used.
    BadImage,
}

/// Why no snapshot could be taken.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The process cannot be accessed.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No supported CPython was found in it.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// It could not be stopped as requested.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// The data that the interpreter publishes about itself cannot be used.
    #[error("cannot read Python in process {pid}: {error}")]
    Published {
        /// The process.
        pid: i32,
        /// Why.
        error: PublishedError,
    },
    /// It executes another program than when it was attached to.
    #[error("process {pid} now executes another program")]
    Executed {
        /// The process.
        pid: i32,
    },
    /// Its memory is inconsistent.
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
    /// A saved image of something other than a Python process.
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
            Self::Executed { .. } => Some("try again: it is another program from now on".to_owned()),
            Self::Read { error: ReadError::Forbidden | ReadError::Gone, .. } => None,
            Self::Read { error: ReadError::Kernel(errno), .. } => fix_of(*errno).map(str::to_owned),
            Self::Read { .. } => Some(
                "the interpreter may be starting or ending: try again, or with --blocking; if it stays so, it is a \
                 build that is not supported"
                    .to_owned(),
            ),
            Self::Image(error) => Some(error.hint().to_owned()),
            Self::Facts(_) => Some("images are written by asyncprof itself".to_owned()),
        }
    }

    /// The kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Access(error) | Self::Locate(LocateError::Access(error)) => access_kind(error),
            Self::Locate(_) | Self::Published { .. } => FailureKind::Unsupported,
            Self::Stop(error) => match error {
                StopError::Access(error) => access_kind(error),
                _ => FailureKind::Forbidden,
            },
            Self::Read { error: ReadError::Forbidden, .. } => FailureKind::Forbidden,
            Self::Executed { .. } | Self::Read { error: ReadError::Gone | ReadError::GivenUp, .. } => FailureKind::Gone,
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
        AccessError::Forbidden { .. } | AccessError::Hidden { .. } | AccessError::Proc { .. } => FailureKind::Forbidden,
    }
}

/// A process in which a supported Python was found. It is found once, and passed on to everything that reads it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The process.
    pub process: Process,
    /// The program it executes, where known.
    pub program: Option<Program>,
    /// Where the interpreter is, and what the kernel reports about the threads.
    pub facts: Facts,
    /// The structure layouts of this interpreter.
    pub layouts: Layouts,
    /// For example `3.12.1`.
    pub version: String,
}

impl Attachment {
    /// Finds Python in a process and everything needed to read it.
    ///
    /// # Errors
    /// If it cannot be read; each error has a hint.
    pub fn to(process: Process) -> Result<Self, AttachError> {
        let program = Program::of(process.living_thread());
        let memory = LiveMemory::of(&process);
        let found = locate(&process, &memory).map_err(AttachError::from).and_then(|located| {
            let facts = Facts::gather(&process, &memory, &located);
            let layouts = layouts(&memory, &facts)?;
            let version = version(&memory, &facts, &layouts.python)?;
            Ok((facts, layouts, version))
        });
        match found {
            // If it executes another program now, the next check finds that out: this one no longer runs.
            Ok((facts, layouts, version)) if process.is_same() => {
                let program = program.or_else(|| Program::of(process.living_thread()));
                Ok(Self { process, program, facts, layouts, version })
            }
            Ok(_) => Err(AccessError::Exited { pid: process.pid() }.into()),
            Err(error) => Err(explained(error, &process)),
        }
    }

    /// Makes sure that this is still the process and the program that was attached to.
    fn check(&self) -> Result<(), AttachError> {
        let pid = self.process.pid();
        if !self.process.is_same() {
            return Err(AccessError::Exited { pid }.into());
        }
        match self.program.as_ref().and_then(|program| program.still_runs_in(self.process.living_thread())) {
            Some(false) => Err(AttachError::Executed { pid }),
            Some(true) | None => Ok(()),
        }
    }
}

/// [`Attachment::to`] the process with this id.
///
/// # Errors
/// If it cannot be read; each error has a hint.
pub fn attach(pid: i32) -> Result<Attachment, AttachError> {
    Attachment::to(Process::open(pid)?)
}

/// Takes one snapshot of the attached process.
///
/// # Errors
/// If it cannot be read. Another process that has got its id, or another program that it executes now, is not read in
/// its place.
pub fn take(attachment: &Attachment, options: &Options, progress: &dyn Fn(Progress)) -> Result<Snapshot, AttachError> {
    attachment.check()?;
    let Attachment { process, facts, layouts, version, .. } = attachment;
    let halt = Halt::of(process);
    let read_it = |memory: &dyn Memory, witness: &mut dyn Witness| {
        read(memory, &facts.renewed(process, halt), layouts, version.clone(), options.memory, witness, progress)
    };
    let until = |memory| Until { memory, give_up: options.give_up.clone() };
    let (stopped, stop) = match options.longest_stop {
        Some(limit) => while_stopped(process, limit, |memory| read_it(memory, &mut Stopped))?,
        None => (None, None),
    };
    let snapshot = match stopped {
        Some(snapshot) => Ok(snapshot),
        None => read_it(&until(LiveMemory::of(process)), &mut KernelWitness::new(process)),
    };
    let mut snapshot = snapshot.map(|snapshot| Snapshot { stop, ..snapshot });
    // It may have continued, or been stopped, in between.
    if let Ok(snapshot) = &mut snapshot
        && Halt::of(process) != halt
    {
        snapshot.forget_halt();
        snapshot.forget_stillness();
    }
    attachment.check()?;
    snapshot.map_err(|error| explained(error, process))
}

/// Reads a process while it is stopped, for `limit` at most. Nothing is returned of a process that did not stop, or
/// that continued before everything was read; the stop is returned in any case.
fn while_stopped<T>(
    process: &Process,
    limit: Duration,
    read: impl FnOnce(&StoppedMemory) -> Result<T, AttachError>,
) -> Result<(Option<T>, Option<Stop>), AttachError> {
    let memory = match StoppedMemory::stop(process, limit) {
        Ok(memory) => memory,
        Err(StopError::Deadline { .. }) => return Ok((None, Some(Stop { duration: limit, covers_reading: false }))),
        Err(error) => return Err(error.into()),
    };
    let result = read(&memory);
    let stopped = memory.end();
    let stop = Stop { duration: stopped.duration, covers_reading: !stopped.cut_short };
    let result = if stop.covers_reading { Some(result?) } else { None };
    Ok((result, Some(stop)))
}

/// The memory of a process that has just ended reads like that of one that is forbidden or never existed, and that of one that
/// executes a program like that of one that has ended.
fn explained(error: AttachError, process: &Process) -> AttachError {
    let pid = process.pid();
    match error {
        _ if !process.is_same() => AccessError::Exited { pid }.into(),
        AttachError::Read { error: ReadError::Gone, .. }
        | AttachError::Access(AccessError::Exited { .. })
        | AttachError::Locate(LocateError::Access(AccessError::Exited { .. })) => {
            if ends(process) {
                AccessError::Exited { pid }.into()
            } else {
                AttachError::Executed { pid }
            }
        }
        AttachError::Read { error: ReadError::Forbidden, .. }
        | AttachError::Access(AccessError::Forbidden { .. })
        | AttachError::Locate(LocateError::Access(AccessError::Forbidden { .. }))
            if is_readable(process) =>
        {
            AttachError::Executed { pid }
        }
        AttachError::Read { error: ReadError::Forbidden, .. } => AccessError::forbidden(pid).into(),
        other => other,
    }
}

/// Whether a process without memory ends, which can take seconds if it was large. One that executes a program has memory
/// again in a moment.
fn ends(process: &Process) -> bool {
    /// LIMIT: how long to wait for a program to begin.
    const LONGEST_BEGINNING: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + LONGEST_BEGINNING;
    while process.is_same() && Instant::now() < deadline {
        if Program::of(process.living_thread()).is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Takes a snapshot and saves the memory read for it, so that it can be read again without the process. The process is
/// stopped for `longest_stop` at most; if that is too short, the memory is not of one moment. What there is no `memory` for is
/// not read, and so not saved.
///
/// # Errors
/// If it cannot be read; each error has a hint.
pub fn record_image(pid: i32, longest_stop: Duration, memory: MemoryLimit) -> Result<(Image, Snapshot), AttachError> {
    let attachment = attach(pid)?;
    let process = &attachment.process;
    let halt = Halt::of(process);
    let record = |live: &dyn Memory| {
        let recorder = Recorder::new(live);
        let facts = attachment.facts.renewed(process, halt);
        let snapshot = read_all(&recorder, &facts, memory).map_err(|error| explained(error, process))?;
        let facts = serde_json::to_value(&facts).map_err(|error| AttachError::Facts(error.to_string()))?;
        Ok((recorder.image(facts), snapshot))
    };
    let (stopped, stop) = while_stopped(process, longest_stop, |live| record(live))?;
    let (image, snapshot) = match stopped {
        Some(recorded) => recorded,
        None => record(&LiveMemory::of(process))?,
    };
    attachment.check()?;
    let consistent = snapshot.consistent && stop.is_some_and(|stop| stop.covers_reading);
    Ok((image, Snapshot { stop, consistent, ..snapshot }))
}

/// Takes a snapshot of a saved image.
///
/// # Errors
/// If the image cannot be used.
pub fn take_image(image: &Image) -> Result<Snapshot, AttachError> {
    let facts: Facts =
        serde_json::from_value(image.facts().clone()).map_err(|error| AttachError::Facts(error.to_string()))?;
    if facts.schema != FACTS_SCHEMA {
        return Err(AttachError::Facts(format!("its format is {:?}, not {FACTS_SCHEMA:?}", facts.schema)));
    }
    read_all(image, &facts, MemoryLimit::NONE)
}

/// Reads memory that never changes, from the layout on.
fn read_all(memory: &dyn Memory, facts: &Facts, limit: MemoryLimit) -> Result<Snapshot, AttachError> {
    let layouts = layouts(memory, facts)?;
    let version = version(memory, facts, &layouts.python)?;
    read(memory, facts, &layouts, version, limit, &mut Stopped, &|_| {})
}

fn read(
    memory: &dyn Memory,
    facts: &Facts,
    layouts: &Layouts,
    version: String,
    memory_limit: MemoryLimit,
    witness: &mut dyn Witness,
    progress: &dyn Fn(Progress),
) -> Result<Snapshot, AttachError> {
    let (at, started) = (SystemTime::now(), Instant::now());
    let captured = capture(memory, facts, layouts, memory_limit, witness, progress);
    let captured = captured.map_err(|error| AttachError::Read { pid: facts.pid, error })?;
    let reading = started.elapsed().saturating_sub(captured.still.paused);
    let taken = Taken { at, elapsed_us: reading.as_secs_f64() * 1e6, version };
    Ok(assemble(captured, facts, &layouts.python, memory_limit, taken))
}

/// The layouts of the target's version, completed by what the target publishes.
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
    Layouts::new(python, &mut view, facts.asyncio_debug.and_then(Addr::new)).map_err(|error| match error {
        LayoutError::Read(error) => unreadable(error),
        LayoutError::Published(error) => published(error),
    })
}

/// The whole version: as the program publishes it, or from `sys.hexversion`, which also confirms the layout of dicts,
/// strs and ints.
fn version(memory: &dyn Memory, facts: &Facts, layout: &Layout) -> Result<String, AttachError> {
    read_version(memory, facts, layout).map_err(|error| AttachError::Read { pid: facts.pid, error })
}

fn read_version(memory: &dyn Memory, facts: &Facts, layout: &Layout) -> Result<String, ReadError> {
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
    // With the layout of another minor version everything after this would be nonsense.
    if version.is_of(facts.minor) { Ok(version.to_string()) } else { Err(ReadError::Invalid("sys.hexversion")) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;

    use super::super::facts::ThreadFacts;
    use super::super::instant::Capture;
    use super::super::witness::{Look, Side};
    use super::*;
    use crate::remote::Span;

    fn image() -> (Image, Facts, Layouts) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/3.12.apimage");
        let image = Image::load(File::open(path).unwrap()).unwrap();
        let facts: Facts = serde_json::from_value(image.facts().clone()).unwrap();
        let layouts = layouts(&image, &facts).unwrap();
        (image, facts, layouts)
    }

    #[test]
    fn a_process_that_has_got_the_id_is_not_read_for_the_one_that_was_attached_to() {
        let (_, facts, layouts) = image();
        let ours = Process::open(std::process::id() as i32).unwrap();
        let attachment = |process| Attachment {
            process,
            program: None,
            facts: facts.clone(),
            layouts: layouts.clone(),
            version: String::new(),
        };
        let reused = attachment(ours.clone().started_at(ours.start_ticks() - 1));
        let taken = take(&reused, &Options::default(), &|_| {});
        assert!(matches!(taken, Err(AttachError::Access(AccessError::Exited { .. }))), "{taken:?}");
        let found = Attachment::to(reused.process);
        assert!(matches!(found, Err(AttachError::Access(AccessError::Exited { .. }))), "{found:?}");
        assert!(attachment(ours).check().is_ok());
    }

    /// A target that continues, from one image to the other, when it is first asked whether it did.
    struct GoesOn {
        images: [Image; 2],
        went_on: Cell<bool>,
    }

    impl Memory for GoesOn {
        fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            self.images[usize::from(self.went_on.get())].read_batch(spans, out, results);
        }
    }

    impl Witness for &GoesOn {
        fn nothing_ran(&mut self) -> bool {
            self.went_on.replace(true)
        }

        fn is_live(&self) -> bool {
            false
        }

        fn look(&self, thread: &ThreadFacts, side: Side) -> Look {
            Stopped.look(thread, side)
        }
    }

    #[test]
    fn a_retry_does_not_take_new_code_for_what_was_at_its_address() {
        let (image, facts, layouts) = image();
        let captured = |memory: &dyn Memory, witness: &mut dyn Witness| -> Capture {
            capture(memory, &facts, &layouts, MemoryLimit::NONE, witness, &|_| {}).unwrap()
        };
        let before = captured(&image, &mut Stopped);
        let mut view = View::new(&image);
        let mut after = image.clone();
        let mut renamed = 0;
        for walk in before.tasks.iter().filter(|walk| walk.record.as_ref().is_some_and(|r| r.anchor.is_some())) {
            let Some(level) = walk.chain.as_ref().and_then(|chain| chain.levels.first()) else { continue };
            let name = view.object(level.frame.code, layouts.python.code.qualname.unwrap()).unwrap();
            after = after.with_bytes(name.add(layouts.python.unicode.ascii_data).unwrap(), b"#");
            // A reference to the task was added: its reading is torn.
            let count = view.u8(walk.addr, 0).unwrap();
            after = after.with_bytes(walk.addr, &[count + 1]);
            renamed += 1;
        }
        assert!(renamed > 0);
        let target = GoesOn { images: [image, after], went_on: Cell::new(false) };
        let captured = captured(&target, &mut &target);
        assert!(captured.quality.torn >= renamed);
        let frames = captured.frames.into_frames();
        let again: Vec<&_> = captured.tasks.iter().filter(|walk| walk.attempt > 1).collect();
        assert!(!again.is_empty());
        for walk in again {
            let function = &frames[walk.frames[0] as usize].function;
            assert!(function.starts_with('#'), "{function}");
        }
    }
}
