//! Writes a recording during the watch: collects events in blocks, and hands each whole block to the kernel.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zstd::bulk::Compressor;

use super::block::{Head, Kind, MAGIC, MAX_UNPACKED, VERSION};
use super::callbacks::Callbacks;
use super::codes::Coded as _;
use super::encode::{self, Payload};
use super::living::Living;
use crate::model::event::{Batch, Event, Header, LoopSample, NoteKind, Source, TaskChanges, TaskLook};
use crate::model::tables::{Tables, UndefinedError};

/// A block is written when its events span this much time. Events that are not yet written are lost if asyncprof is
/// killed.
const BLOCK_NS: u64 = 2_000_000_000;
/// A block is written when it has collected about this many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// The state of all live tasks is repeated when this much time has passed.
const STATE_NS: u64 = 30_000_000_000;
/// Tasks in one event, including the tasks they wait for; larger events are split into several with the same time, so
/// that none becomes larger than a block may be.
const TASKS_AN_EVENT: usize = 1 << 16;
/// The zstd compression level: it costs a few milliseconds every two seconds, on the machine of the watched program.
const COMPRESSION: i32 = 6;
/// A recording reveals names, paths and texts of the target to its readers.
const MODE: u32 = 0o600;

/// Writes a recording.
///
/// Dropping the writer also writes what was collected, but only [`Writer::finish`] reports whether that succeeded and
/// marks the recording as complete.
pub struct Writer<W: Write> {
    /// `None` once it is finished.
    out: Option<W>,
    compressor: Compressor<'static>,
    /// Number of the next block.
    number: u32,
    /// The tables that the numbers in batches refer to, by source.
    tables: [Tables; 2],
    payload: Payload,
    callbacks: Callbacks,
    living: Living,
    /// Time of the latest event.
    last_ns: u64,
    /// When the state of the tasks was last written.
    state_ns: u64,
    /// Bytes taken by that state, and bytes written since.
    state_len: usize,
    since_state: usize,
    /// A block could not be written: the next one that is written has to be the state.
    lost: bool,
}

impl Writer<File> {
    /// Creates the file, readable by its owner only, and writes what is known at the beginning. With `overwrite`, an
    /// existing file is replaced.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] without `overwrite`, and any other error of the file system.
    pub fn create(path: &Path, overwrite: bool, header: &Header) -> io::Result<Self> {
        if overwrite && fs::symlink_metadata(path).is_ok() {
            // A new file under the same name: a process that has the old one open does not see the new one, whatever
            // the old mode was, and a link is replaced like a file.
            fs::remove_file(path)?;
        }
        Self::new(OpenOptions::new().write(true).mode(MODE).create_new(true).open(path)?, header)
    }
}

impl<W: Write> Writer<W> {
    /// Writes what is known at the beginning.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out: Some(out),
            compressor: Compressor::new(COMPRESSION)?,
            number: 0,
            tables: Default::default(),
            payload: Payload::default(),
            callbacks: Callbacks::default(),
            living: Living::default(),
            last_ns: header.started_ns,
            state_ns: header.started_ns,
            state_len: 0,
            since_state: 0,
            lost: false,
        };
        let start = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        writer.put_block(&start, Kind::Header, &encode::header(header), (header.started_ns, header.started_ns))?;
        Ok(writer)
    }

    /// Adds a batch. It reaches the file once two seconds of events or some hundred kilobytes have accumulated, or
    /// after [`Writer::flush`].
    ///
    /// # Errors
    /// When a block cannot be written: its events are lost, the file is readable up to there, and writing may continue.
    /// With [`io::ErrorKind::InvalidInput`] when the batch refers to something undefined.
    pub fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let index = usize::from(batch.source.code());
        if batch.begins_anew {
            self.tables[index] = Tables::default();
            self.payload.forget_numbers(batch.source);
            if batch.source == Source::Tasks {
                self.living.forget_numbers();
            }
        }
        self.tables[index].define(&batch.definitions).map_err(invalid)?;
        self.payload.begin_batch();
        let mut outcome = Ok(());
        for event in &batch.events {
            for piece in pieces(event).as_deref().unwrap_or(std::slice::from_ref(event)) {
                // The rest of a batch is added even if a block was lost.
                outcome = outcome.and(self.add(batch.source, piece));
            }
        }
        outcome
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// When it cannot be written; the events are lost.
    pub fn flush(&mut self) -> io::Result<()> {
        let payload = std::mem::take(&mut self.payload);
        let Some(span_ns) = payload.span_ns else { return Ok(()) };
        self.put_block(&[], Kind::Events, &payload.finish(), span_ns)?;
        if self.lost || self.state_is_due() { self.put_state() } else { Ok(()) }
    }

    /// Writes what was collected and marks the recording as complete. `how` is why it ends: the target exited, or the
    /// user ended it. `at_ns` is the time, on the clock of the events.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, how: NoteKind, at_ns: u64) -> io::Result<W> {
        self.flush()?;
        self.put_block(&[], Kind::End, &[how.code()], (at_ns, at_ns))?;
        let mut out = self.out.take().expect("only this takes it, and it takes the writer too");
        out.flush()?;
        Ok(out)
    }

    fn add(&mut self, source: Source, event: &Event) -> io::Result<()> {
        let at_ns = event.at_ns();
        let is_long = |(first, last): (u64, u64)| last.max(at_ns) - first.min(at_ns) >= BLOCK_NS;
        let is_full = self.payload.size() >= BLOCK_BYTES || self.payload.span_ns.is_some_and(is_long);
        let flushed = if is_full { self.flush() } else { Ok(()) };
        let tables = &self.tables[usize::from(source.code())];
        let short = match event {
            Event::Loop(sample) => short_callback(&mut self.callbacks, tables, sample).map(Event::Loop),
            _ => None,
        };
        self.payload.add(source, tables, short.as_ref().unwrap_or(event)).map_err(invalid)?;
        // Blocks are encoded against the tasks alive before their first event, so this comes after the flush.
        if let (Source::Tasks, Event::Tasks(changes)) = (source, event) {
            self.living.apply(tables, changes).map_err(invalid)?;
        }
        self.last_ns = self.last_ns.max(at_ns);
        flushed
    }

    fn state_is_due(&self) -> bool {
        // With very many tasks the state is large; it should not become most of the file.
        self.last_ns.saturating_sub(self.state_ns) >= STATE_NS && self.since_state >= self.state_len
    }

    /// Writes the state of all live tasks after the events so far.
    fn put_state(&mut self) -> io::Result<()> {
        let (changes, names) = self.living.as_changes(self.last_ns);
        let mut payload = Payload::default();
        payload.add(Source::Tasks, names, &Event::Tasks(changes)).map_err(invalid)?;
        self.state_len = self.put_block(&[], Kind::State, &payload.finish(), (self.last_ns, self.last_ns))?;
        (self.state_ns, self.since_state, self.lost) = (self.last_ns, 0, false);
        Ok(())
    }

    /// Writes a block, preceded by `before`; returns how many bytes it takes.
    fn put_block(&mut self, before: &[u8], kind: Kind, content: &[u8], span_ns: (u64, u64)) -> io::Result<usize> {
        let number = self.number;
        // This also counts a block that cannot be written: its missing number tells the reader.
        self.number += 1;
        let written = self.try_put_block(before, kind, number, content, span_ns);
        match &written {
            Ok(len) => self.since_state += len,
            Err(_) => self.lost = true,
        }
        written
    }

    fn try_put_block(
        &mut self,
        before: &[u8],
        kind: Kind,
        number: u32,
        content: &[u8],
        (first_ns, last_ns): (u64, u64),
    ) -> io::Result<usize> {
        if content.len() > MAX_UNPACKED {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "one batch is too large for a recording"));
        }
        let packed = self.compressor.compress(content)?;
        let checksum = crc32fast::hash(&packed);
        let head = Head { kind, number, packed: packed.len(), unpacked: content.len(), checksum, first_ns, last_ns };
        let block = [before, &head.to_bytes(), &packed].concat();
        let out = self.out.as_mut().expect("only finish takes it, and that takes the writer too");
        out.write_all(&block)?;
        out.flush()?;
        Ok(block.len())
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        if self.out.is_some() {
            // No caller is left to report an error to; without an end mark the recording does not claim to be complete.
            let _ = self.flush();
        }
    }
}

/// The sample with a short name for its callback, if it has one.
fn short_callback(callbacks: &mut Callbacks, tables: &Tables, sample: &LoopSample) -> Option<LoopSample> {
    let key = tables.event_loop(sample.event_loop)?.key;
    let number = callbacks.number(key, sample.callback?);
    Some(LoopSample { callback: Some(number), ..sample.clone() })
}

fn invalid(error: UndefinedError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Splits an event of very many tasks into several of the same time; `None` if it can stay whole.
fn pieces(event: &Event) -> Option<Vec<Event>> {
    let Event::Tasks(changes) = event else { return None };
    let weight = |look: &TaskLook| 1 + look.wait.as_ref().map_or(0, |wait| wait.tasks.len() + wait.held_by.len());
    let total: usize = changes.changed.iter().map(weight).sum();
    if total + changes.ended.len() + changes.timers.len() <= TASKS_AN_EVENT {
        return None;
    }
    let none = TaskChanges { took_ns: 0, changed: Vec::new(), ended: Vec::new(), timers: Vec::new(), ..*changes };
    let mut pieces: Vec<TaskChanges> = changes
        .ended
        .chunks(TASKS_AN_EVENT)
        .map(|ended| TaskChanges { ended: ended.to_vec(), ..none.clone() })
        .collect();
    let with_timers = |timers: &[_]| TaskChanges { timers: timers.to_vec(), ..none.clone() };
    pieces.extend(changes.timers.chunks(TASKS_AN_EVENT).map(with_timers));
    let mut room = 0;
    for look in &changes.changed {
        let weight = weight(look);
        if room < weight {
            pieces.push(none.clone());
            room = TASKS_AN_EVENT.max(weight);
        }
        room -= weight;
        pieces.last_mut().expect("one was just added").changed.push(look.clone());
    }
    pieces.first_mut()?.took_ns = changes.took_ns;
    Some(pieces.into_iter().map(Event::Tasks).collect())
}
