//! Decodes the bytes of a block into events. Every number is checked against its table, because the input is untrusted.

use std::sync::Arc;

use super::before::Before;
use super::codes::{self, Coded};
use super::fields::{self, Pass, Result, Table};
use super::wire::{Cursor, Malformed, inside};
use crate::model::event::{Batch, Event, Header, NoteKind, Source, TaskLook};
use crate::model::snapshot::Frame;
use crate::model::tables::Definitions;

/// LIMIT: items in a block (texts, names, events, tasks named in events, 64 bytes of copied text). A block of our own
/// writer holds a tenth of this, and the state of very many tasks half of it.
const MAX_THINGS: usize = 2 << 20;

/// The content of the header block. Anything after its last field belongs to a later version and is skipped.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    let mut header = Header::default();
    let from = &mut Cursor::new(bytes, MAX_THINGS);
    let poses = &mut Vec::new();
    fields::header(&mut Decoder { from, texts: &[], names: &Definitions::default(), poses }, &mut header)?;
    Ok(header)
}

/// The content of the end mark: how the recording ended.
pub(super) fn end(bytes: &[u8]) -> Result<NoteKind> {
    NoteKind::decode(Cursor::new(bytes, 0).byte()?)
}

/// The batches of a block, in the order in which they were written. The first batch of each source resets its tables
/// and defines all names of the block.
pub(super) fn batches(bytes: &[u8]) -> Result<Vec<Batch>> {
    let from = &mut Cursor::new(bytes, MAX_THINGS);
    let texts: &[Arc<str>] = &(0..from.count()?).map(|_| from.text().map(Arc::from)).collect::<Result<Vec<_>>>()?;
    let (mut names, none) = (Definitions::default(), Definitions::default());
    fields::definitions(&mut Decoder { from, texts, names: &none, poses: &mut Vec::new() }, &mut names)?;
    let names = &names;
    let mut told = [Told::default(), Told::default()];
    let mut batches: Vec<Batch> = Vec::new();
    while !from.is_at_end() {
        from.charge(1)?;
        let code = from.byte()?;
        if code == codes::BATCH {
            let source = Source::decode(from.byte()?)?;
            let begins_anew = !std::mem::replace(&mut told[usize::from(source.code())].begun, true);
            let definitions = if begins_anew { names.clone() } else { Definitions::default() };
            batches.push(Batch { source, begins_anew, definitions, events: Vec::new() });
            continue;
        }
        let batch = batches.last_mut().ok_or(Malformed("an event is of no source"))?;
        let Told { poses, before, .. } = &mut told[usize::from(batch.source.code())];
        let mut event = Event::decode(code)?;
        fields::event(&mut Decoder { from, texts, names, poses }, before, &mut event)?;
        batch.events.push(event);
    }
    Ok(batches)
}

/// What the events of one source are decoded against.
#[derive(Default)]
struct Told {
    /// Whether a batch of this source has already defined the names.
    begun: bool,
    poses: Poses,
    before: Before,
}

/// Poses of tasks, and what each takes off the budget.
type Poses = Vec<(TaskLook, usize)>;

struct Decoder<'d, 'b> {
    from: &'d mut Cursor<'b>,
    texts: &'d [Arc<str>],
    names: &'d Definitions,
    poses: &'d mut Poses,
}

impl Pass for Decoder<'_, '_> {
    const READS: bool = true;

    fn byte(&mut self, value: &mut u8) -> Result {
        *value = self.from.byte()?;
        Ok(())
    }

    fn varint(&mut self, value: &mut u64) -> Result {
        *value = self.from.varint()?;
        Ok(())
    }

    fn text(&mut self, text: &mut String) -> Result {
        *text = self.from.text()?.to_owned();
        Ok(())
    }

    fn count(&mut self, _: usize) -> Result<usize> {
        self.from.count()
    }

    fn text_at(&mut self, number: u64, text: &mut Arc<str>) -> Result {
        *text = self.texts[inside(number, self.texts.len())?].clone();
        Ok(())
    }

    fn frame_at(&mut self, number: u64, frame: &mut Option<Frame>) -> Result {
        let frames = &self.names.frames;
        *frame = Some(frames[inside(number, frames.len())?].clone());
        Ok(())
    }

    fn len_of(&self, table: Table) -> usize {
        match table {
            Table::Stacks => self.names.stacks.len(),
            Table::Tasks => self.names.tasks.len(),
            Table::Loops => self.names.loops.len(),
        }
    }

    fn charge(&mut self, things: usize) -> Result {
        self.from.charge(things)
    }

    fn pose(&mut self, look: &mut TaskLook) -> Result {
        let number = self.from.varint()?;
        if let Some(known) = (number >> 1).checked_sub(1) {
            let (known, named) = &self.poses[inside(known, self.poses.len())?];
            self.from.charge(*named)?;
            *look = TaskLook { task: look.task, ..known.clone() };
        } else {
            fields::pose(self, look)?;
            let named = look.wait.as_ref().map_or(0, |wait| wait.tasks.len() + wait.held_by.len());
            self.poses.push((look.clone(), named));
        }
        look.born = number & 1 != 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::recording::encode;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_what_was_put(pid: i32, number: u64, float: f64, flag: bool, text: String, list: Vec<String>) {
            let put = Header {
                pid,
                python: text.clone(),
                free_threaded: flag,
                command: list.clone(),
                started_ns: number,
                cpu_budget: float,
                machine: list.into_iter().map(|name| (name, text.clone())).collect(),
                ..Header::default()
            };
            let read = header(&encode::header(&put)).unwrap();
            prop_assert_eq!(read.cpu_budget.to_bits(), float.to_bits());
            prop_assert_eq!(Header { cpu_budget: 0.0, ..read }, Header { cpu_budget: 0.0, ..put });
        }
    }
}
