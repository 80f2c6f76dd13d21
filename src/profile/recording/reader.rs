//! Reads a recording, block by block: what cannot be read is skipped and reported.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustc_hash::FxHashSet;
use zstd::bulk::Decompressor;

use super::block::{HEAD, Head, Kind, MAGIC, OLDEST_VERSION, VERSION};
use super::decode;
use super::error::RecordingError;
use super::input::Input;
use super::living::MAX_LIVING;
use crate::model::event::{Batch, Event, Header, Note, NoteKind, Source, TaskChanges};
use crate::model::tables::{Definitions, TaskInfo, TaskNo};

/// LIMIT: blocks with a valid head and a damaged content, inside which the next block is searched for. A partly written
/// block is followed by the next one before its own end; but a file of nothing but heads could make us read it many
/// thousand times. Above the limit the length in the head is trusted.
const MAX_LOOKED_INTO: u32 = 128;

/// LIMIT: bytes that all blocks together may unpack to, for each byte of the file, beyond [`SPARE_UNPACKED`]. Recordings unpack
/// to five times their size, and no block of one was seen to unpack to more than twelve times its own. A file that is made to
/// unpack to very much would otherwise cost a minute for each 16 KB.
const UNPACKED_PER_BYTE: u64 = 64;

/// LIMIT: bytes that any recording may unpack to. Very many tasks with the same name and stack, read one after the other, take
/// nearly no space in the file.
const SPARE_UNPACKED: u64 = 8 << 20;

/// How a recording ends, and what could not be read. Known once all batches were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was read.
    Complete {
        /// Why the recording ended.
        how: NoteKind,
        /// When it ended.
        at_ns: u64,
    },
    /// It has no end mark: asyncprof was killed, the disk was full, the file is still being written, or it was cut off.
    Truncated {
        /// Bytes of the file up to the end of the last whole block.
        at_byte: u64,
        /// Time of the last event in it; `None` when it has no events.
        after_ns: Option<u64>,
    },
    /// Something in the middle could not be read.
    Damaged {
        /// Number of damaged ranges.
        places: u32,
        /// Number of bytes lost.
        bytes: u64,
        /// Whether it has its end mark.
        complete: bool,
        /// Time of the last event that was read; `None` when there was none.
        after_ns: Option<u64>,
    },
}

/// Reads a recording. Memory is bounded by the largest block and by the number of tasks alive at a time.
pub struct Reader<R> {
    input: Input<R>,
    header: Header,
    unpack: Decompressor<'static>,
    /// Number of the next block.
    expected: u64,
    /// Read, but not yet returned.
    batches: VecDeque<Batch>,
    living: FxHashSet<TaskInfo>,
    /// Blocks were lost, so `living` can hold tasks that have ended.
    lost: bool,
    looked_into: u32,
    /// Bytes that the blocks have unpacked to.
    unpacked: u64,
    /// Where the last whole block ends.
    whole_to: u64,
    places: u32,
    damaged_bytes: u64,
    last_ns: Option<u64>,
    end: Option<(NoteKind, u64)>,
    at_end: bool,
}

impl Reader<File> {
    /// Opens a recording.
    ///
    /// # Errors
    /// When the file is not a recording, or not even its beginning can be read.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::new(File::open(path).map_err(RecordingError::Unreadable)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads a recording from its first byte on.
    ///
    /// # Errors
    /// When the bytes are not a recording, or not even its beginning can be read.
    pub fn new(file: R) -> Result<Self, RecordingError> {
        let mut input = Input::new(file);
        let start = MAGIC.len() + size_of_val(&VERSION);
        let found = input.peek(start).map_err(RecordingError::Unreadable)?;
        if found.len() < MAGIC.len() {
            return Err(if MAGIC.starts_with(found) { RecordingError::Empty } else { RecordingError::Foreign });
        }
        let Some(version) = found.strip_prefix(&MAGIC) else { return Err(RecordingError::Foreign) };
        let version = version.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(RecordingError::Empty)?;
        match version {
            OLDEST_VERSION..=VERSION => {}
            older if older < OLDEST_VERSION => return Err(RecordingError::Older(older)),
            newer => return Err(RecordingError::Newer(newer)),
        }
        input.pass(start);
        let mut unpack = Decompressor::new().map_err(RecordingError::Unreadable)?;
        let header = read_header(&mut input, &mut unpack)?;
        Ok(Self {
            whole_to: input.at(),
            input,
            header,
            unpack,
            expected: 1,
            batches: VecDeque::new(),
            living: FxHashSet::default(),
            lost: false,
            looked_into: 0,
            unpacked: 0,
            places: 0,
            damaged_bytes: 0,
            last_ns: None,
            end: None,
            at_end: false,
        })
    }

    /// What was known when the watch began.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next batch; `None` at the end. The first batch of each source in a block resets the tables. Where something
    /// could not be read, a gap is noted, and at the next state of all tasks in the file the tasks that ended in the
    /// gap are reported as ended.
    ///
    /// # Errors
    /// When the file cannot be read any further. Damage is not an error, but see [`Reader::ending`].
    pub fn next_batch(&mut self) -> Option<Result<Batch, RecordingError>> {
        while self.batches.is_empty() && !self.at_end {
            if let Err(error) = self.read_block() {
                self.at_end = true;
                return Some(Err(RecordingError::Unreadable(error)));
            }
        }
        self.batches.pop_front().map(Ok)
    }

    /// How the recording ends, as far as it was read.
    pub fn ending(&self) -> Ending {
        match self.end {
            _ if self.places > 0 => Ending::Damaged {
                places: self.places,
                bytes: self.damaged_bytes,
                complete: self.end.is_some(),
                after_ns: self.last_ns,
            },
            Some((how, at_ns)) => Ending::Complete { how, at_ns },
            None => Ending::Truncated { at_byte: self.whole_to, after_ns: self.last_ns },
        }
    }

    /// Reads up to and including the next whole block, or to the end.
    fn read_block(&mut self) -> io::Result<()> {
        let mut head = self.input.head()?;
        loop {
            let Some(found) = head else {
                head = self.input.pass_to_head()?;
                self.at_end = head.is_none();
                if self.at_end {
                    return Ok(());
                }
                continue;
            };
            if self.take_in(found)? {
                return Ok(());
            }
            head = if self.looked_into < MAX_LOOKED_INTO {
                self.looked_into += 1;
                None
            } else {
                let len = self.input.peek(HEAD + found.packed)?.len();
                self.input.pass(len);
                self.input.head()?
            };
        }
    }

    /// Processes the block at the current position; returns whether it is whole and belongs here.
    fn take_in(&mut self, head: Head) -> io::Result<bool> {
        if u64::from(head.number) < self.expected || head.kind == Kind::Header {
            return Ok(false);
        }
        // The blocks lost are those before this one, not this one itself.
        let missed = self.whole_to != self.input.at() || u64::from(head.number) != self.expected;
        let end = self.input.at() + (HEAD + head.packed) as u64;
        let block = self.input.peek(HEAD + head.packed)?;
        let Some(packed) = block.get(HEAD..).filter(|packed| packed.len() == head.packed) else { return Ok(false) };
        let mut batches = Vec::new();
        if head.kind != Kind::State || self.lost || missed {
            let allowed = SPARE_UNPACKED + UNPACKED_PER_BYTE * end;
            if self.unpacked + head.unpacked as u64 > allowed {
                return Ok(false);
            }
            let Some(content) = content(&mut self.unpack, head, packed) else { return Ok(false) };
            self.unpacked += content.len() as u64;
            if head.kind == Kind::End {
                let Ok(how) = decode::end(&content) else { return Ok(false) };
                self.end = Some((how, head.last_ns));
                self.at_end = true;
            } else {
                let Ok(found) = decode::batches(&content) else { return Ok(false) };
                let is_state = matches!(&found[..], [Batch { source: Source::Tasks, events, .. }] if events.len() == 1);
                if head.kind == Kind::State && !is_state {
                    return Ok(false);
                }
                batches = found;
            }
        }
        if missed {
            self.note_gap(head);
        }
        self.input.pass(HEAD + head.packed);
        self.whole_to = self.input.at();
        self.expected = u64::from(head.number) + 1;
        match head.kind {
            Kind::State => batches.iter_mut().for_each(|batch| self.reconcile(batch)),
            _ => self.last_ns = self.last_ns.max(Some(head.last_ns)),
        }
        self.follow(&batches);
        self.batches.extend(batches);
        Ok(true)
    }

    /// Adds an event that says that something before this block could not be read.
    fn note_gap(&mut self, head: Head) {
        let bytes = self.input.at() - self.whole_to;
        self.places += 1;
        self.damaged_bytes += bytes;
        self.lost = true;
        let at_ns = self.last_ns.unwrap_or(self.header.started_ns);
        let ms = head.first_ns.saturating_sub(at_ns) / 1_000_000;
        let text = format!("{bytes} bytes of the recording are damaged or missing: a gap of about {ms} ms");
        self.batches.push_back(Batch {
            source: Source::Tasks,
            begins_anew: true,
            definitions: Definitions::default(),
            events: vec![Event::Note(Note { at_ns, kind: NoteKind::Gap, text })],
        });
    }

    /// Keeps track of which tasks are alive.
    fn follow(&mut self, batches: &[Batch]) {
        let mut tasks: &[TaskInfo] = &[];
        // Most tasks of a block change often within it.
        let mut inserted = Vec::new();
        for batch in batches.iter().filter(|batch| batch.source == Source::Tasks) {
            if batch.begins_anew {
                tasks = &batch.definitions.tasks;
                inserted = vec![false; tasks.len()];
            }
            for changes in batch.events.iter().filter_map(changes_of) {
                for ended in &changes.ended {
                    inserted[ended.0 as usize] = false;
                    self.living.remove(&tasks[ended.0 as usize]);
                }
                for look in &changes.changed {
                    let index = look.task.0 as usize;
                    if !inserted[index] && self.living.len() < MAX_LIVING {
                        inserted[index] = true;
                        self.living.insert(tasks[index].clone());
                    }
                }
            }
        }
    }

    /// After a loss: the state of all tasks, with all other tasks known before reported as ended.
    fn reconcile(&mut self, batch: &mut Batch) {
        let Batch { definitions: Definitions { tasks, .. }, events, .. } = batch;
        let looks = events.iter().filter_map(changes_of).flat_map(|changes| &changes.changed);
        let stays: FxHashSet<&TaskInfo> = looks.map(|look| &tasks[look.task.0 as usize]).collect();
        let mut gone: Vec<TaskInfo> = self.living.iter().filter(|task| !stays.contains(task)).cloned().collect();
        gone.sort_unstable_by(|a, b| (a.key, &a.name).cmp(&(b.key, &b.name)));
        let first = tasks.len();
        tasks.append(&mut gone);
        for event in events {
            if let Event::Tasks(changes) = event {
                changes.ended = (first..tasks.len()).map(|index| TaskNo(index as u32)).collect();
            }
        }
        self.lost = false;
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Batch, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch()
    }
}

fn changes_of(event: &Event) -> Option<&TaskChanges> {
    match event {
        Event::Tasks(changes) => Some(changes),
        _ => None,
    }
}

/// The content of a block; `None` when its checksum does not match.
fn content(unpack: &mut Decompressor<'_>, head: Head, packed: &[u8]) -> Option<Vec<u8>> {
    if crc32fast::hash(packed) != head.checksum {
        return None;
    }
    unpack.decompress(packed, head.unpacked).ok().filter(|content| content.len() == head.unpacked)
}

fn read_header(input: &mut Input<impl Read>, unpack: &mut Decompressor<'_>) -> Result<Header, RecordingError> {
    let damaged = || RecordingError::Damaged("its header is corrupt");
    let start = input.peek(HEAD).map_err(RecordingError::Unreadable)?;
    if start.len() < HEAD {
        return Err(RecordingError::Empty);
    }
    let Some(head) = Head::parse(start).filter(|head| head.kind == Kind::Header && head.number == 0) else {
        return Err(damaged());
    };
    let block = input.peek(HEAD + head.packed).map_err(RecordingError::Unreadable)?;
    if block.len() < HEAD + head.packed {
        return Err(RecordingError::Empty);
    }
    let content = content(unpack, head, &block[HEAD..]).ok_or_else(damaged)?;
    let header = decode::header(&content).map_err(|why| RecordingError::Damaged(why.0))?;
    input.pass(HEAD + head.packed);
    Ok(header)
}
