//! All distinct frames of a snapshot, each named once. A raw frame is a lookup; names and lines are read only for a new
//! one.

use rustc_hash::FxHashMap;

use super::frame::{Instruction, NamedFrame, RawFrame};
use super::reader::Reader;
use crate::remote::{Addr, ReadError};

/// Named frames, numbered.
#[derive(Default)]
pub struct FrameTable {
    frames: Vec<NamedFrame>,
    by_name: FxHashMap<NamedFrame, u32>,
    by_place: FxHashMap<(Addr, Instruction, Option<Addr>), u32>,
}

impl FrameTable {
    /// The number of a frame.
    pub fn number(&mut self, reader: &mut Reader<'_, '_>, raw: &RawFrame) -> Result<u32, ReadError> {
        // If only the generator has the qualified name, that name is part of the frame's identity.
        let qualname = match (reader.layout.code.qualname, raw.generator) {
            (None, Some(generator)) => Some(reader.view.object(generator, reader.layout.generator.qualname)?),
            _ => None,
        };
        let place = (raw.code, raw.instruction, qualname);
        if let Some(&number) = self.by_place.get(&place) {
            return Ok(number);
        }
        let named = raw.name(reader.view, reader.layout, reader.caches)?;
        let number = self.number_named(&named);
        self.by_place.insert(place, number);
        Ok(number)
    }

    /// The number of a frame with this name.
    pub fn number_named(&mut self, named: &NamedFrame) -> u32 {
        if let Some(&number) = self.by_name.get(named) {
            return number;
        }
        let number = self.frames.len() as u32;
        self.frames.push(named.clone());
        self.by_name.insert(named.clone(), number);
        number
    }

    /// Forgets the names of code objects: code can be freed, and its address reused for other code. Numbers stay valid.
    pub fn forget_code(&mut self) {
        self.by_place.clear();
    }

    /// The frame with this number.
    pub fn get(&self, number: u32) -> Option<&NamedFrame> {
        self.frames.get(number as usize)
    }

    /// All frames, in the order of their numbers.
    pub fn into_frames(self) -> Vec<NamedFrame> {
        self.frames
    }
}
