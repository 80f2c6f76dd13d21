//! Encodes events as the bytes of a block. Their numbers already refer to the block's own tables.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::before::Before;
use super::codes::{self, Coded};
use super::fields::{self, Pass, Result};
use super::names::{Translation, Translator};
use super::wire::{put_text, put_varint, shortened};
use crate::model::event::{Event, Header, Source, TaskLook};
use crate::model::snapshot::Frame;
use crate::model::tables::{Mark, Tables, UndefinedError};

const CANNOT_FAIL: &str = "only what is read can be malformed";

/// Approximate size of a stack, a task or a loop in the tables.
const BYTES_A_NAME: usize = 8;

/// Texts of a block, each stored once.
#[derive(Debug, Default)]
struct Texts {
    numbers: FxHashMap<Arc<str>, u32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        let text = shortened(text);
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.into(), number);
        put_text(&mut self.bytes, text);
        number
    }
}

/// What the next event of a source is encoded against.
#[derive(Debug, Default)]
struct Told {
    /// Maps the source's numbers to the block's.
    known: Translation,
    before: Before,
    /// Encoded poses of tasks, without the task, and their numbers.
    poses: Poses,
}

type Poses = FxHashMap<Box<[u8]>, u32>;

/// A block being collected.
#[derive(Debug, Default)]
pub(super) struct Payload {
    texts: Texts,
    /// Names of all sources: most tasks and frames named by one source are named by the other too.
    names: Tables,
    told: [Told; 2],
    events: Vec<u8>,
    /// The source whose events are being added.
    source: Option<Source>,
    /// Times of the earliest and of the latest event.
    pub(super) span_ns: Option<(u64, u64)>,
}

impl Payload {
    /// Approximate number of bytes collected.
    pub(super) fn size(&self) -> usize {
        let names: usize = self.told.iter().map(|told| told.known.len()).sum();
        self.events.len() + self.texts.bytes.len() + BYTES_A_NAME * names
    }

    /// Forgets a source's numbers: they mean something else from now on.
    pub(super) fn forget_numbers(&mut self, source: Source) {
        self.told[usize::from(source.code())].known = Translation::default();
    }

    /// The next event begins a batch.
    pub(super) fn begin_batch(&mut self) {
        self.source = None;
    }

    /// Adds an event; its numbers refer to `tables`.
    ///
    /// # Errors
    /// When it refers to an entry that `tables` does not have. Nothing is added then.
    pub(super) fn add(
        &mut self,
        source: Source,
        tables: &Tables,
        event: &Event,
    ) -> std::result::Result<(), UndefinedError> {
        let Told { known, before, poses } = &mut self.told[usize::from(source.code())];
        let mut event = Translator { from: tables, to: &mut self.names, known }.event(event)?;
        if self.source != Some(source) {
            self.source = Some(source);
            self.events.extend([codes::BATCH, source.code()]);
        }
        self.events.push(event.code());
        let mut encoder = Encoder { out: &mut self.events, texts: &mut self.texts, names: &mut self.names, poses };
        fields::event(&mut encoder, before, &mut event).expect(CANNOT_FAIL);
        let at_ns = event.at_ns();
        let (first, last) = self.span_ns.unwrap_or((at_ns, at_ns));
        self.span_ns = Some((first.min(at_ns), last.max(at_ns)));
        Ok(())
    }

    /// The whole block.
    pub(super) fn finish(mut self) -> Vec<u8> {
        // Tasks refer to frames, which have to be defined before the frames are written.
        let coroutines: Vec<Frame> = self.names.tasks().iter().filter_map(|task| task.coroutine.clone()).collect();
        for frame in &coroutines {
            self.names.add_frame(frame);
        }
        let mut all = self.names.since(Mark::default());
        let mut definitions = Vec::new();
        let (out, poses) = (&mut definitions, &mut Poses::default());
        let mut encoder = Encoder { out, texts: &mut self.texts, names: &mut self.names, poses };
        fields::definitions(&mut encoder, &mut all).expect(CANNOT_FAIL);
        let mut out = Vec::with_capacity(self.texts.bytes.len() + definitions.len() + self.events.len() + 5);
        put_varint(&mut out, self.texts.numbers.len() as u64);
        out.extend(self.texts.bytes);
        out.extend(definitions);
        out.extend(self.events);
        out
    }
}

/// The content of the header block.
pub(super) fn header(header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    let (texts, names, poses) = (&mut Texts::default(), &mut Tables::default(), &mut Poses::default());
    fields::header(&mut Encoder { out: &mut out, texts, names, poses }, &mut header.clone()).expect(CANNOT_FAIL);
    out
}

struct Encoder<'e> {
    out: &'e mut Vec<u8>,
    texts: &'e mut Texts,
    names: &'e mut Tables,
    poses: &'e mut Poses,
}

impl Pass for Encoder<'_> {
    const READS: bool = false;

    fn byte(&mut self, value: &mut u8) -> Result {
        self.out.push(*value);
        Ok(())
    }

    fn varint(&mut self, value: &mut u64) -> Result {
        put_varint(self.out, *value);
        Ok(())
    }

    fn text(&mut self, text: &mut String) -> Result {
        put_text(self.out, text);
        Ok(())
    }

    fn count(&mut self, len: usize) -> Result<usize> {
        put_varint(self.out, len as u64);
        Ok(len)
    }

    fn text_number(&mut self, text: &str) -> u64 {
        self.texts.number(text).into()
    }

    fn frame_number(&mut self, frame: &Frame) -> u64 {
        self.names.add_frame(frame).0.into()
    }

    fn pose(&mut self, look: &mut TaskLook) -> Result {
        let mut pose = Vec::new();
        let (texts, names, poses) = (&mut *self.texts, &mut *self.names, &mut *self.poses);
        fields::pose(&mut Encoder { out: &mut pose, texts, names, poses }, look)?;
        let known = self.poses.get(&pose[..]).map_or(0, |number| u64::from(*number) + 1);
        put_varint(self.out, known << 1 | u64::from(look.born));
        if known == 0 {
            self.out.extend(&pose);
            self.poses.insert(pose.into(), self.poses.len() as u32);
        }
        Ok(())
    }
}
