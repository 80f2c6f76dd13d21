//! Code objects: read once, after which every frame that runs one is a lookup. Names, file, line table and the names of
//! local variables.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::container::read_tuple;
use super::layout::{CodeBody, Layout};
use super::line_table::LineIndex;
use super::text::{read_bytes_object, read_str};
use super::types::TypeCache;
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: local variables of one function.
const MAX_LOCALS: i32 = 100_000;

/// Bits of `co_localspluskinds`. CPython: Include/internal/pycore_code.h, v3.11.7.
const KIND_CELL: u8 = 0x40;
const KIND_FREE: u8 = 0x80;

/// The data of a code object that its frames need.
#[derive(Debug)]
pub struct CodeInfo {
    /// `co_qualname` (3.11+), else `co_name`.
    pub function: Arc<str>,
    /// `co_filename`.
    pub file: Arc<str>,
    /// `co_firstlineno`.
    pub first_line: i32,
    /// Deepest evaluation stack, entries.
    pub stack_size: u32,
    /// 3.11+: locals, cells and free variables before the evaluation stack. Earlier: from the three tuples.
    pub locals: u32,
    /// Address of the first instruction, if instructions are pointers (3.11+).
    first_instruction: Option<u64>,
    lines: LineIndex,
}

impl CodeInfo {
    /// The line of the instruction `offset` bytes into the bytecode.
    pub fn line_at(&self, offset: i64) -> Option<u32> {
        self.lines.line_of(offset)
    }

    /// Whether it is the interpreter's own: the interpreter enters a class's `__init__` through its own piece of
    /// bytecode, which has the same name for everything.
    // CPython: Objects/codeobject.c, v3.12.1: _Py_InitCleanup.
    pub fn is_interpreters_own(&self) -> bool {
        &*self.function == "__init__" && &*self.file == "__init__"
    }

    /// Whether it is the code that a thread begins with: the program itself, or the start of a thread.
    // CPython: Lib/threading.py, Thread._bootstrap; Lib/runpy.py, _run_module_as_main.
    pub fn begins_a_thread(&self) -> bool {
        match self.function.rsplit('.').next() {
            Some("<module>" | "_run_module_as_main") => true,
            Some("_bootstrap") => self.file.ends_with("threading.py"),
            _ => false,
        }
    }

    /// Byte offset of an instruction pointer into the main copy of the bytecode.
    pub fn offset_of(&self, instruction: u64) -> Option<i64> {
        self.first_instruction.and_then(|first| (instruction as i64).checked_sub(first as i64))
    }
}

/// A name in a function and whether its slot holds a cell.
#[derive(Debug)]
pub struct Local {
    /// The variable.
    pub name: Arc<str>,
    /// Whether the slot holds a cell whose content is the value.
    pub is_cell: bool,
}

/// Code objects of one attachment.
///
/// INVARIANT: an entry is trusted for one snapshot only (the owner clears the cache between snapshots or checks what
/// was read for it, see `View::sharing`), because a code object can be freed and another one created at its address.
#[derive(Default)]
pub struct CodeCache {
    infos: FxHashMap<Addr, Rc<CodeInfo>>,
    locals: FxHashMap<Addr, Rc<[Local]>>,
    names: FxHashMap<Addr, Arc<str>>,
}

impl CodeCache {
    /// The code object at `addr`.
    pub fn get(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        addr: Addr,
    ) -> Result<Rc<CodeInfo>, ReadError> {
        if let Some(info) = self.infos.get(&addr) {
            return Ok(info.clone());
        }
        let info = Rc::new(view.sharing(|view| self.read(view, layout, types, addr))?);
        self.infos.insert(addr, info.clone());
        Ok(info)
    }

    fn read(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        addr: Addr,
    ) -> Result<CodeInfo, ReadError> {
        let ty = view.object(addr, layout.object.ob_type)?;
        let ty = types.get(view, layout, ty)?;
        if ty.is_heap || &*ty.name != "code" {
            return Err(ReadError::Invalid("code object"));
        }
        let code = &layout.code;
        let name = view.object(addr, code.qualname.unwrap_or(code.name))?;
        let file = view.object(addr, code.filename)?;
        let first_line = view.i32(addr, code.firstlineno)?;
        let table = view.object(addr, code.linetable)?;
        let table = read_bytes_object(view, layout, table)?;
        let stack_size =
            u32::try_from(view.i32(addr, code.stacksize)?).map_err(|_| ReadError::Invalid("stack size"))?;
        let (locals, first_instruction) = match code.body {
            CodeBody::Inline { adaptive, nlocalsplus, .. } => {
                let locals = view.i32(addr, nlocalsplus)?;
                if !(0..=MAX_LOCALS).contains(&locals) {
                    return Err(ReadError::Invalid("number of locals"));
                }
                (locals as u32, Some(addr.raw() + adaptive))
            }
            CodeBody::Objects { .. } => (self.locals(view, layout, addr)?.len() as u32, None),
        };
        Ok(CodeInfo {
            function: self.name(view, layout, name)?,
            file: self.name(view, layout, file)?,
            first_line,
            stack_size,
            locals,
            first_instruction,
            lines: LineIndex::parse(&table, code.line_table, first_line),
        })
    }

    /// The part of a code object that identifies it: names, first line, line table.
    pub fn identity(layout: &Layout, code: Addr) -> Option<Span> {
        let fields = &layout.code;
        let places = [fields.filename, fields.name, fields.firstlineno, fields.linetable];
        let first = places.iter().copied().chain(fields.qualname).min()?;
        let last = places.iter().copied().chain(fields.qualname).max()?;
        Some(Span::new(code.add(first)?, (last + 8 - first) as usize))
    }

    /// A str object that is a name: read once, shared.
    pub fn name(&mut self, view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Arc<str>, ReadError> {
        if let Some(name) = self.names.get(&addr) {
            return Ok(name.clone());
        }
        let name: Arc<str> = view.sharing(|view| read_str(view, layout, addr))?.into();
        self.names.insert(addr, name.clone());
        Ok(name)
    }

    /// The variables of the code object at `addr`, in order of their slots.
    pub fn locals(&mut self, view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Rc<[Local]>, ReadError> {
        if let Some(locals) = self.locals.get(&addr) {
            return Ok(locals.clone());
        }
        let locals: Rc<[Local]> = view.sharing(|view| self.read_locals(view, layout, addr))?.into();
        self.locals.insert(addr, locals.clone());
        Ok(locals)
    }

    fn read_locals(&mut self, view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<Local>, ReadError> {
        let mut locals = Vec::new();
        match layout.code.body {
            CodeBody::Objects { varnames, cellvars, freevars, .. } => {
                for (field, is_cell) in [(varnames, false), (cellvars, true), (freevars, true)] {
                    let tuple = view.object(addr, field)?;
                    for name in read_tuple(view, layout, tuple)? {
                        locals.push(Local { name: self.name(view, layout, name)?, is_cell });
                    }
                }
            }
            CodeBody::Inline { localsplusnames, localspluskinds, .. } => {
                let names = view.object(addr, localsplusnames)?;
                let kinds = view.object(addr, localspluskinds)?;
                let kinds = read_bytes_object(view, layout, kinds)?;
                for (name, kind) in read_tuple(view, layout, names)?.into_iter().zip(kinds) {
                    let is_cell = kind & (KIND_CELL | KIND_FREE) != 0;
                    locals.push(Local { name: self.name(view, layout, name)?, is_cell });
                }
            }
        }
        Ok(locals)
    }

    /// The names of the free variables of the code object at `addr`, in order of the function's closure.
    pub fn free_variables(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        addr: Addr,
    ) -> Result<Vec<Arc<str>>, ReadError> {
        match layout.code.body {
            CodeBody::Objects { freevars, .. } => {
                let tuple = view.object(addr, freevars)?;
                read_tuple(view, layout, tuple)?.into_iter().map(|name| self.name(view, layout, name)).collect()
            }
            CodeBody::Inline { localsplusnames, localspluskinds, .. } => {
                let names = view.object(addr, localsplusnames)?;
                let kinds = view.object(addr, localspluskinds)?;
                let kinds = read_bytes_object(view, layout, kinds)?;
                let names = read_tuple(view, layout, names)?.into_iter().zip(kinds);
                names.filter(|(_, kind)| kind & KIND_FREE != 0).map(|(name, _)| self.name(view, layout, name)).collect()
            }
        }
    }
}
