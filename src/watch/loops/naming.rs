//! Maps frames to numbers of stacks, so that a stack seen before costs a single lookup.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::snapshot::Frame;
use crate::model::tables::{StackId, Tables};
use crate::python::block::Block;
use crate::python::caches::Caches;
use crate::python::code::CodeCache;
use crate::python::frame::{Instruction, RawFrame};
use crate::python::layout::{Frames, GeneratorFrame, Layout};
use crate::python::reader::optional;
use crate::remote::{Addr, Memory, ReadError, Span, View};

/// LIMIT: stacks whose numbers are kept. Before 3.11 each generator makes its own stacks, and generators are
/// short-lived.
const MAX_STACKS: usize = 65_536;

/// LIMIT: code objects that are kept; each of them is read again at every check. A program that creates code at run
/// time has an unlimited number of them.
const MAX_CODES: usize = 32_768;

/// Maps frames to the names of their functions.
///
/// INVARIANT: data kept by the address of a code object is used only while that object's names, first line and line
/// table are unchanged ([`CodeCache::identity`]); the owner calls [`Naming::verify`] for every new stack, and
/// [`Naming::still_holds`] regularly.
#[derive(Default)]
pub(super) struct Naming {
    pub(super) caches: Caches,
    /// The identity of each code object when it was read.
    identities: FxHashMap<Addr, Vec<u8>>,
    /// Before 3.11: the qualified names of the generators of each code object.
    qualnames: FxHashMap<Addr, Arc<str>>,
    /// By caller, code, instruction and the generator that gives the frame its name.
    stacks: FxHashMap<(Option<StackId>, Addr, Instruction, Option<Addr>), StackId>,
}

impl Naming {
    /// Forgets everything known by address.
    fn forget(&mut self) {
        *self = Self::default();
    }

    /// The tables were reset: their numbers are no longer valid.
    pub(super) fn on_tables_reset(&mut self) {
        self.stacks.clear();
    }

    /// Reads the identity of these frames' code objects again, in one call, and forgets everything if one of them has
    /// been replaced or there are too many. Returns whether nothing had to be forgotten.
    pub(super) fn verify(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        frames: impl Iterator<Item = RawFrame>,
    ) -> Result<bool, ReadError> {
        self.check(memory, layout, frames.map(|frame| frame.code).collect())
    }

    /// As above for all known code objects. Returns whether nothing had to be forgotten.
    pub(super) fn still_holds(&mut self, memory: &dyn Memory, layout: &Layout) -> Result<bool, ReadError> {
        self.check(memory, layout, self.identities.keys().copied().collect())
    }

    fn check(&mut self, memory: &dyn Memory, layout: &Layout, mut codes: Vec<Addr>) -> Result<bool, ReadError> {
        codes.sort_unstable();
        codes.dedup();
        let spans: Vec<Span> = codes.iter().filter_map(|code| CodeCache::identity(layout, *code)).collect();
        let mut out = vec![0; spans.iter().map(|span| span.len).sum()];
        let mut results = Vec::with_capacity(spans.len());
        memory.read_batch(&spans, &mut out, &mut results);
        let mut rest = &out[..];
        let mut changed = self.identities.len() > MAX_CODES;
        for ((code, span), result) in codes.iter().zip(&spans).zip(&results) {
            let (bytes, after) = rest.split_at(span.len);
            rest = after;
            if let Err(error) = result
                && error.is_fatal()
            {
                return Err(*error);
            }
            match self.identities.get(code) {
                Some(known) if known == bytes => {}
                Some(_) => changed = true,
                None if result.is_ok() => {
                    self.identities.insert(*code, bytes.to_vec());
                }
                None => {}
            }
        }
        if changed {
            self.forget();
        }
        Ok(!changed)
    }

    /// The number of the stack with this innermost frame; `caller` itself for the interpreter's own frames.
    pub(super) fn stack(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        caller: Option<StackId>,
        frame: &RawFrame,
    ) -> Result<Option<StackId>, ReadError> {
        // Before 3.11 the generator holds the name.
        let named_by = if layout.code.qualname.is_some() { None } else { frame.generator };
        let key = (caller, frame.code, frame.instruction, named_by);
        if let Some(stack) = self.stacks.get(&key) {
            return Ok(Some(*stack));
        }
        let mut view = View::new(memory);
        let info = self.caches.codes.get(&mut view, layout, &mut self.caches.types, frame.code)?;
        if info.is_interpreters_own() {
            return Ok(caller);
        }
        let plain = RawFrame { generator: None, ..*frame }.name(&mut view, layout, &mut self.caches)?;
        let (function, is_certain) = match named_by {
            Some(generator) => self.qualified_name(&mut view, layout, frame, generator)?,
            None => (None, true),
        };
        let function = function.unwrap_or(plain.function);
        let number = tables.add_frame(&Frame { function, file: plain.file, line: plain.line });
        let stack = tables.add_stack(caller, number);
        if is_certain {
            if self.stacks.len() >= MAX_STACKS {
                self.stacks.clear();
            }
            self.stacks.insert(key, stack);
        }
        Ok(Some(stack))
    }

    /// The qualified name of a generator, if it is still the one whose frame was read; otherwise that of the last
    /// generator with the same code, if known. The flag says whether it is the same generator.
    fn qualified_name(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        frame: &RawFrame,
        generator: Addr,
    ) -> Result<(Option<Arc<str>>, bool), ReadError> {
        let GeneratorFrame::Object { frame: frame_at, code, .. } = layout.generator.frame else {
            return Ok((None, true));
        };
        // One piece, so that name, frame and code belong to one moment.
        let fields = [frame_at, code, layout.generator.qualname];
        let last = fields.into_iter().max().unwrap_or(0) + 8;
        let bytes = optional(view.bytes(generator, last as usize))?.unwrap_or_default();
        let block = Block(&bytes);
        let is_it = block.u64(code).ok() == Some(frame.code.raw())
            && block.u64(frame_at).ok().and_then(|at| at.checked_add(frame_offset(layout))) == Some(frame.locals.raw());
        if is_it && let Ok(qualname) = block.object(layout.generator.qualname) {
            let name = self.caches.codes.name(view, layout, qualname)?;
            self.qualnames.insert(frame.code, Arc::clone(&name));
            return Ok((Some(name), true));
        }
        Ok((self.qualnames.get(&frame.code).cloned(), false))
    }
}

/// Offset of the locals in a frame object.
fn frame_offset(layout: &Layout) -> u64 {
    match &layout.frames {
        Frames::Objects(fields) => fields.localsplus,
        Frames::Embedded(fields) => fields.localsplus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::layout::rows;
    use crate::remote::image::Image;

    /// Memory that never changes.
    struct Still;

    impl Memory for Still {
        fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            out.fill(0);
            results.clear();
            results.resize(spans.len(), Ok(()));
        }
    }

    #[test]
    fn code_that_is_made_without_end_is_not_kept_without_end() {
        let layout = rows::row(12, false).expect("3.12 is known");
        let mut naming = Naming::default();
        let mut forgotten = 0;
        for first in (0..4 * MAX_CODES).step_by(1_000) {
            let codes = (first..first + 1_000).map(|n| Addr::new(0x10_0000 + 256 * n as u64).expect("not 0"));
            forgotten += u32::from(!naming.check(&Still, &layout, codes.collect()).expect("all is read"));
            assert!(naming.identities.len() <= MAX_CODES + 1_000);
        }
        assert_eq!(forgotten, 3, "and is said to be forgotten");
    }

    #[test]
    fn generators_that_are_made_without_end_leave_a_bounded_number_of_stacks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/3.8.apimage");
        let image = Image::load(std::fs::File::open(path).expect("the image is there")).expect("it is an image");
        let layout = rows::row(8, false).expect("3.8 is known");
        let (mut naming, mut tables) = (Naming::default(), Tables::default());
        let objects = image
            .pieces()
            .flat_map(|(start, bytes)| (start..start + bytes.len() as u64).step_by(8).filter_map(Addr::aligned));
        let is_code = |naming: &mut Naming, addr: Addr| {
            let Caches { codes, types, .. } = &mut naming.caches;
            codes.get(&mut View::new(&image), &layout, types, addr).is_ok()
        };
        let code = objects.into_iter().find(|addr| is_code(&mut naming, *addr)).expect("the image has code");
        let frame = |offset: i64| RawFrame {
            code,
            instruction: Instruction::Offset(offset),
            generator: None,
            locals: code,
            live_slots: 0,
        };
        let mut name = |naming: &mut Naming, offset| {
            naming.stack(&image, &layout, &mut tables, None, &frame(offset)).expect("its code was read")
        };
        let stack = name(&mut naming, -1).expect("it is not the interpreter's own");
        // Frames of other generators, each with stacks of its own.
        let generators = (1..MAX_STACKS as u64).map(|n| Addr::new(0x10_0000 + 64 * n).expect("not 0"));
        let keys = generators.map(|generator| (None, code, Instruction::Offset(-1), Some(generator)));
        naming.stacks.extend(keys.map(|key| (key, stack)));
        assert_eq!(naming.stacks.len(), MAX_STACKS);
        name(&mut naming, -2);
        assert!(naming.stacks.len() <= MAX_STACKS, "{}", naming.stacks.len());
        assert_eq!(name(&mut naming, -1), Some(stack), "it has the same number after its key was forgotten");
    }
}
