//! Execution frames of both kinds: frame objects up to 3.10, frames embedded in generators and thread stacks from 3.11
//! on. A frame is read raw, as addresses; naming it is a second step that can use the caches of code objects.

use std::sync::Arc;

use super::block::Block;
use super::caches::Caches;
use super::code::{CodeCache, CodeInfo};
pub(crate) use super::layout::rows::{EMBEDDED_HEADER, FRAME_OBJECT_HEADER};
use super::layout::{CodeBody, EmbeddedFrames, FrameObjects, Frames, GeneratorFrame, Layout, StackTop};
use crate::remote::{Addr, ReadError, View};

/// LIMIT: entries of one frame's locals and evaluation stack together.
pub const MAX_SLOTS: u64 = 200_000;

/// Owner of a frame that is embedded in a generator. CPython: Include/internal/pycore_frame.h, v3.11.7.
pub const OWNED_BY_GENERATOR: i8 = 1;

/// A raw frame: addresses, without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Its code object.
    pub code: Addr,
    /// Its position in the bytecode.
    pub instruction: Instruction,
    /// The generator, coroutine or async generator that owns it.
    pub generator: Option<Addr>,
    /// Address of its first local.
    pub locals: Addr,
    /// Number of slots (locals, then evaluation stack) that hold values; 0 while the frame runs.
    pub live_slots: u32,
}

/// The position of a frame in its bytecode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Bytes from the start of the bytecode; -1 or less: not started.
    Offset(i64),
    /// 3.11+: an address in the bytecode, and the index of the thread's copy of it (0: the main one).
    Pointer {
        /// Address.
        at: u64,
        /// Index of the copy.
        copy: i32,
    },
}

/// A frame with its name and line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedFrame {
    /// Qualified name where the version has one, else the name.
    pub function: Arc<str>,
    /// `co_filename`.
    pub file: Arc<str>,
    /// The line, unless the bytecode has none there.
    pub line: Option<u32>,
}

impl RawFrame {
    /// The frame's name and line.
    pub fn name(&self, view: &mut View<'_>, layout: &Layout, caches: &mut Caches) -> Result<NamedFrame, ReadError> {
        let info = caches.codes.get(view, layout, &mut caches.types, self.code)?;
        let function = match (layout.code.qualname, self.generator) {
            // Before 3.11 only the generator has the qualified name.
            (None, Some(generator)) => {
                let qualname = view.object(generator, layout.generator.qualname)?;
                caches.codes.name(view, layout, qualname)?
            }
            _ => info.function.clone(),
        };
        let line = match self.offset(view, layout, &info)? {
            Some(offset) => info.line_at(offset),
            None => u32::try_from(info.first_line).ok(),
        };
        Ok(NamedFrame { function, file: info.file.clone(), line })
    }

    /// Bytes into the bytecode; `None` if the frame has not started.
    fn offset(&self, view: &mut View<'_>, layout: &Layout, info: &CodeInfo) -> Result<Option<i64>, ReadError> {
        match self.instruction {
            Instruction::Offset(offset) => Ok((offset >= 0).then_some(offset)),
            Instruction::Pointer { at, copy: 0 } => match info.offset_of(at) {
                // 3.11 and 3.12 store the last started instruction: before the first one, the unit before it.
                Some(-2) => Ok(Some(0)),
                Some(offset) if offset >= 0 => Ok(Some(offset)),
                _ => Err(ReadError::Invalid("instruction pointer")),
            },
            Instruction::Pointer { at, copy } => {
                let first = self.thread_local_bytecode(view, layout, copy)?;
                let offset = (at as i64).wrapping_sub(first as i64);
                if offset < 0 { Err(ReadError::Invalid("instruction pointer")) } else { Ok(Some(offset)) }
            }
        }
    }

    /// Whether it has not gone beyond its first instruction.
    pub fn is_at_its_beginning(&self, view: &mut View<'_>, layout: &Layout) -> Result<bool, ReadError> {
        match (self.instruction, &layout.code.body) {
            (Instruction::Offset(offset), _) => Ok(offset <= 0),
            (Instruction::Pointer { at, copy: 0 }, CodeBody::Inline { adaptive, .. }) => {
                Ok(self.code.add(*adaptive).is_some_and(|first| at <= first.raw()))
            }
            (Instruction::Pointer { at, copy }, _) => Ok(at <= self.thread_local_bytecode(view, layout, copy)?),
        }
    }

    /// First instruction of a thread's own copy of the bytecode.
    // CPython: Include/cpython/code.h, v3.14.10: _PyCodeArray is a size followed by that many pointers.
    fn thread_local_bytecode(&self, view: &mut View<'_>, layout: &Layout, copy: i32) -> Result<u64, ReadError> {
        let CodeBody::Inline { thread_local: Some(field), .. } = layout.code.body else {
            return Err(ReadError::Invalid("instruction pointer"));
        };
        // The name of the frame is cached by code object and instruction.
        view.sharing(|view| {
            let array = view.object(self.code, field)?;
            let copies = view.u64(array, 0)?;
            match u64::try_from(copy) {
                Ok(index) if index < copies => view.u64(array, 8 + 8 * index),
                _ => Err(ReadError::Invalid("bytecode copy")),
            }
        })
    }

    /// The raw word in slot `index`, tag bits included.
    pub fn slot(&self, view: &mut View<'_>, index: u32) -> Result<u64, ReadError> {
        view.u64(self.locals, 8 * u64::from(index))
    }

    /// The raw words of the first `limit` slots in use, into `words`, which is cleared first.
    pub fn slots(&self, view: &mut View<'_>, limit: u32, words: &mut Vec<u64>) -> Result<(), ReadError> {
        /// Slots read in one piece: most frames have fewer.
        const PIECE: usize = 64;
        words.clear();
        let slots = self.live_slots.min(limit) as usize;
        while words.len() < slots {
            let count = PIECE.min(slots - words.len());
            let at = self.locals.add(8 * words.len() as u64).ok_or(ReadError::BadPointer(self.locals.raw()))?;
            words.extend(view.piece(at, 8 * count)?.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
        Ok(())
    }

    /// The value of the local variable `name`, through its cell if it has one; `None` if it is unbound or the function
    /// has no such variable.
    pub fn local(
        &self,
        view: &mut View<'_>,
        layout: &Layout,
        codes: &mut CodeCache,
        name: &str,
    ) -> Result<Option<Addr>, ReadError> {
        let locals = codes.locals(view, layout, self.code)?;
        for (index, local) in locals.iter().enumerate() {
            if &*local.name != name {
                continue;
            }
            let raw = self.slot(view, index as u32)?;
            let Some(value) = untag(layout, raw) else { continue };
            if !local.is_cell {
                return Ok(Some(value));
            }
            // Before 3.11 a captured argument has two slots: an empty plain one and a cell.
            if let Some(content) = view.pointer(value, layout.builtin.cell_content)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}

/// The object that a word of a frame refers to, without tag bits; `None` if empty.
pub fn untag(layout: &Layout, raw: u64) -> Option<Addr> {
    Addr::aligned(raw & !layout.object.stackref_tag)
}

/// Whether a word of a frame counts as a reference to its object.
pub fn owns_reference(layout: &Layout, raw: u64) -> bool {
    !layout.object.stackref_borrows || raw & 1 == 0
}

/// The contents of an embedded frame's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmbeddedHeader {
    pub(crate) previous: u64,
    pub(crate) owner: i8,
    pub(crate) frame: Option<RawFrame>,
}

/// Decodes the header of the embedded frame at `addr` from a copy of it. `frame` is `None` for the interpreter's shims,
/// which run no Python code.
pub(crate) fn decode_embedded(
    layout: &Layout,
    fields: &EmbeddedFrames,
    addr: Addr,
    header: Block<'_>,
) -> Result<EmbeddedHeader, ReadError> {
    let executable = header.u64(fields.executable)?;
    let previous = header.u64(fields.previous)?;
    let owner = header.i8(fields.owner)?;
    let is_shim = fields.first_shim_owner.is_some_and(|first| owner >= first);
    if !(0..=fields.last_owner).contains(&owner) {
        return Err(ReadError::Invalid("frame owner"));
    }
    if is_shim {
        return Ok(EmbeddedHeader { previous, owner, frame: None });
    }
    let code = untag(layout, executable).ok_or(ReadError::BadPointer(executable))?;
    let locals = addr.add(fields.localsplus).ok_or(ReadError::BadPointer(addr.raw()))?;
    let copy = fields.tlbc_index.map_or(Ok(0), |at| header.i32(at))?;
    Ok(EmbeddedHeader {
        previous,
        owner,
        frame: Some(RawFrame {
            code,
            instruction: Instruction::Pointer { at: header.u64(fields.instr)?, copy },
            generator: None,
            locals,
            live_slots: live_slots(header, fields.stack, locals)?,
        }),
    })
}

/// Number of slots in use, from the stack pointer or index in the header; 0 if none is saved.
fn live_slots(header: Block<'_>, stack: StackTop, locals: Addr) -> Result<u32, ReadError> {
    let slots = match stack {
        StackTop::Index(at) => u64::try_from(header.i32(at)?).unwrap_or(0),
        StackTop::Pointer(at) => header.u64(at)?.checked_sub(locals.raw()).map_or(0, |bytes| bytes / 8),
        StackTop::Depth(_) => return Err(ReadError::Invalid("frame layout")),
    };
    if slots > MAX_SLOTS { Ok(0) } else { Ok(slots as u32) }
}

/// Decodes the frame at `addr` of a running stack from a copy of its header, and the address of its caller; 0 for none. No
/// frame for the interpreter's shims.
pub(crate) fn decode_running(layout: &Layout, addr: Addr, header: &[u8]) -> Result<(Option<RawFrame>, u64), ReadError> {
    let (frame, previous) = match &layout.frames {
        Frames::Objects(fields) => {
            let header = decode_frame_object(fields, addr, Block(header))?;
            (Some(header.frame), header.back.map_or(0, Addr::raw))
        }
        Frames::Embedded(fields) => {
            let header = decode_embedded(layout, fields, addr, Block(header))?;
            let generator = match layout.generator.frame {
                GeneratorFrame::Embedded { iframe, .. } if header.owner == OWNED_BY_GENERATOR => addr.sub(iframe),
                _ => None,
            };
            (header.frame.map(|frame| RawFrame { generator, ..frame }), header.previous)
        }
    };
    Ok((frame.map(|frame| RawFrame { live_slots: 0, ..frame }), previous))
}

/// Bytes of the header that [`decode_running`] needs.
pub(crate) fn header_len(layout: &Layout) -> usize {
    match &layout.frames {
        Frames::Objects(_) => FRAME_OBJECT_HEADER,
        Frames::Embedded(_) => EMBEDDED_HEADER,
    }
}

/// The contents of a frame object, up to 3.10.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameObjectHeader {
    pub(crate) back: Option<Addr>,
    pub(crate) frame: RawFrame,
    /// `f_lasti` in bytes; below 0 if not started.
    pub(crate) lasti: i64,
    pub(crate) state: Option<i8>,
    /// Up to 3.9: it has no evaluation stack, so it is neither suspended nor about to start.
    pub(crate) without_stack: bool,
}

/// Decodes the frame object at `addr` from a copy of its header.
pub(crate) fn decode_frame_object(
    fields: &FrameObjects,
    addr: Addr,
    header: Block<'_>,
) -> Result<FrameObjectHeader, ReadError> {
    let locals = addr.add(fields.localsplus).ok_or(ReadError::BadPointer(addr.raw()))?;
    let valuestack = header.u64(fields.valuestack)?;
    let top = match fields.stack {
        StackTop::Pointer(at) => header.u64(at)?,
        StackTop::Depth(at) => {
            // Below 0 while the frame runs: nothing is saved.
            u64::try_from(header.i32(at)?).map_or(0, |depth| valuestack.wrapping_add(8 * depth))
        }
        StackTop::Index(_) => return Err(ReadError::Invalid("frame layout")),
    };
    let slots = top.checked_sub(locals.raw()).map_or(0, |bytes| bytes / 8);
    let lasti = i64::from(header.i32(fields.lasti)?) * fields.lasti_unit;
    Ok(FrameObjectHeader {
        back: header.pointer(fields.back)?,
        frame: RawFrame {
            code: header.object(fields.code)?,
            instruction: Instruction::Offset(lasti),
            generator: header.pointer(fields.generator)?,
            locals,
            live_slots: if slots > MAX_SLOTS { 0 } else { slots as u32 },
        },
        lasti,
        without_stack: top == 0,
        state: fields.state.map(|at| header.i8(at)).transpose()?,
    })
}
