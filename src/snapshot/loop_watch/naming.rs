//! From frames to numbers of stacks, so that a stack which was seen before costs one lookup. It must not know loops.

use rustc_hash::FxHashMap;

use crate::python::caches::Caches;
use crate::python::code::CodeCache;
use crate::python::frame::{Instruction, RawFrame};
use crate::python::layout::Layout;
use crate::python::stack_watch::WatchedFrame;
use crate::snapshot::model::Frame;
use crate::snapshot::tables::{StackId, Tables};
use crate::target::{Addr, Memory, ReadError, Span, View};

/// Names what frames run.
///
/// INVARIANT: what is kept by the address of a code object is used only as long as that object's names, first line and line
/// table are the ones that were read ([`CodeCache::identity`]); who owns this calls [`Naming::verify`] for every stack that is
/// new, and [`Naming::forget`] now and then.
#[derive(Default)]
pub(super) struct Naming {
    pub(super) caches: Caches,
    /// What the identity of a code object was when it was read.
    identities: FxHashMap<Addr, Vec<u8>>,
    /// By code, instruction and what the frame's generator is called by, with the caller.
    stacks: FxHashMap<(Option<StackId>, Addr, Instruction, Option<Addr>), StackId>,
}

impl Naming {
    /// Forgets everything that is known by address.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Forgets the numbers, whose tables began anew.
    pub(super) fn forget_numbers(&mut self) {
        self.stacks.clear();
    }

    /// Reads again what the code objects of these frames are known by, in one call, and forgets everything if one of them
    /// is another one by now.
    pub(super) fn verify(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        frames: &[WatchedFrame],
    ) -> Result<(), ReadError> {
        let mut codes: Vec<Addr> = frames.iter().filter_map(|frame| Some(frame.frame?.code)).collect();
        codes.sort_unstable();
        codes.dedup();
        let spans: Vec<Span> = codes.iter().filter_map(|code| CodeCache::identity(layout, *code)).collect();
        let mut out = vec![0; spans.iter().map(|span| span.len).sum()];
        let mut results = Vec::with_capacity(spans.len());
        memory.read_batch(&spans, &mut out, &mut results);
        let mut rest = &out[..];
        let mut changed = false;
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
        Ok(())
    }

    /// The number of the stack that has this frame as its innermost.
    pub(super) fn stack(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        caller: Option<StackId>,
        frame: &RawFrame,
    ) -> Result<StackId, ReadError> {
        // Before 3.11 the generator knows the name.
        let named_by = if layout.code.qualname.is_some() { None } else { frame.generator };
        let key = (caller, frame.code, frame.instruction, named_by);
        if let Some(stack) = self.stacks.get(&key) {
            return Ok(*stack);
        }
        let named = frame.name(&mut View::new(memory), layout, &mut self.caches)?;
        let frame = tables.add_frame(&Frame { function: named.function, file: named.file, line: named.line });
        let stack = tables.add_stack(caller, frame);
        self.stacks.insert(key, stack);
        Ok(stack)
    }
}
