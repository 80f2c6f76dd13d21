//! Type objects: the type of an object as its type object describes it, read once per type.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::builtin::read_flags;
pub use super::builtin::type_of;
use super::container::find_str_key;
use super::layout::Layout;
use super::text::{read_c_str, read_str};
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: bytes of a type's name.
const MAX_NAME: usize = 512;

/// LIMIT: bases walked; deeper class hierarchies do not occur outside generated code.
const MAX_BASES: usize = 64;

/// LIMIT: types kept. Programs have thousands; more means that the data is misleading us.
const MAX_TYPES: usize = 1 << 20;

const INVALID: ReadError = ReadError::Invalid("type");

/// Bits of `tp_flags`. CPython: Include/object.h; unchanged since 3.8 where they exist.
mod flag {
    pub(super) const INLINE_VALUES: u64 = 1 << 2;
    pub(super) const MANAGED_DICT: u64 = 1 << 4;
    pub(super) const HEAP_TYPE: u64 = 1 << 9;
    pub(super) const TYPE_SUBCLASS: u64 = 1 << 31;
}

/// The contents of a type object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// The type object.
    pub addr: Addr,
    /// `tp_name`: with the module for types written in C, without it for classes.
    pub name: String,
    /// Bytes of an instance.
    pub basicsize: i64,
    /// Bytes of each item of a variable-sized instance.
    pub itemsize: i64,
    /// `tp_flags`.
    pub flags: u64,
    /// Offset of the dict pointer; 0: none, negative: from the end.
    pub dictoffset: i64,
    /// `tp_base`; only `object` has none.
    pub base: Option<Addr>,
    /// Created at run time: a class, or a type of a C module that is created from a specification.
    pub is_heap: bool,
}

impl TypeInfo {
    /// Whether the interpreter manages the instances' dict, stored before the object (3.11+).
    pub fn has_managed_dict(&self) -> bool {
        self.flags & flag::MANAGED_DICT != 0
    }

    /// Whether instances have room for attribute values after them (3.13+).
    pub fn has_inline_values(&self) -> bool {
        self.flags & flag::INLINE_VALUES != 0
    }
}

/// Whether the type or one of its bases is called `name`, without a cache: for built-in types without a bit in the
/// flags.
pub(crate) fn has_base_named(view: &mut View<'_>, layout: &Layout, ty: Addr, name: &str) -> Result<bool, ReadError> {
    let mut next = Some(ty);
    for _ in 0..MAX_BASES {
        let Some(ty) = next else { return Ok(false) };
        if read_name(view, layout, ty)? == name {
            return Ok(true);
        }
        next = view.pointer(ty, layout.types.base)?;
    }
    Err(ReadError::Limit("base types"))
}

fn read_name(view: &mut View<'_>, layout: &Layout, ty: Addr) -> Result<String, ReadError> {
    // A name is a C string and need not be aligned.
    let raw = view.u64(ty, layout.types.name)?;
    let name = Addr::new(raw).ok_or(ReadError::BadPointer(raw))?;
    read_c_str(view, name, MAX_NAME)
}

/// The types read so far. A cache may outlive a view, provided that the process is the same and the caller accepts that
/// a class can be destroyed and its address reused for another one.
#[derive(Debug, Default)]
pub struct TypeCache {
    types: FxHashMap<Addr, Rc<TypeInfo>>,
    /// `type` and those of its subclasses read so far.
    metatypes: FxHashSet<Addr>,
}

impl TypeCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The type object at `addr`, which must be one: its own type is `type` or a subclass of it.
    pub fn get(&mut self, view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Rc<TypeInfo>, ReadError> {
        if let Some(known) = self.types.get(&addr) {
            return Ok(Rc::clone(known));
        }
        if self.types.len() >= MAX_TYPES {
            return Err(ReadError::Limit("types"));
        }
        let info = Rc::new(view.sharing(|view| {
            view.prefetch([Span::new(addr, layout.types.size as usize)]);
            self.check_metatype(view, layout, addr)?;
            read_type(view, layout, addr)
        })?);
        self.types.insert(addr, Rc::clone(&info));
        Ok(info)
    }

    /// The type of an object.
    pub fn get_type_of(&mut self, view: &mut View<'_>, layout: &Layout, obj: Addr) -> Result<Rc<TypeInfo>, ReadError> {
        let ty = type_of(view, layout, obj)?;
        self.get(view, layout, ty)
    }

    /// The type itself or its first base whose `tp_name` is one of `names`.
    pub fn find_base(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        ty: Addr,
        names: &[&str],
    ) -> Result<Option<Rc<TypeInfo>>, ReadError> {
        let mut next = Some(ty);
        for _ in 0..MAX_BASES {
            let Some(ty) = next else { return Ok(None) };
            let info = self.get(view, layout, ty)?;
            if names.contains(&info.name.as_str()) {
                return Ok(Some(info));
            }
            next = info.base;
        }
        Err(ReadError::Limit("base types"))
    }

    /// Whether the type or one of its bases has the `tp_name`.
    pub fn is_subtype(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        ty: Addr,
        name: &str,
    ) -> Result<bool, ReadError> {
        Ok(self.find_base(view, layout, ty, &[name])?.is_some())
    }

    /// `module.qualname` of a type, without the module for built-in ones.
    pub fn qualified_name(&mut self, view: &mut View<'_>, layout: &Layout, ty: Addr) -> Result<String, ReadError> {
        let info = self.get(view, layout, ty)?;
        if !info.is_heap {
            return Ok(info.name.clone());
        }
        let qualname = view.object(ty, layout.types.heap_qualname)?;
        let qualname = read_str(view, layout, qualname)?;
        match read_module(view, layout, ty)? {
            Some(module) if module != "builtins" => Ok(format!("{module}.{qualname}")),
            _ => Ok(qualname),
        }
    }

    /// A type's type is `type` or derived from it, and `type` is its own type.
    fn check_metatype(&mut self, view: &mut View<'_>, layout: &Layout, ty: Addr) -> Result<(), ReadError> {
        let metatype = type_of(view, layout, ty)?;
        if self.metatypes.contains(&metatype) {
            return Ok(());
        }
        let mut next = metatype;
        for _ in 0..MAX_BASES {
            if read_flags(view, layout, next)? & flag::TYPE_SUBCLASS == 0 {
                return Err(INVALID);
            }
            if read_name(view, layout, next)? == "type" {
                if type_of(view, layout, next)? != next {
                    return Err(INVALID);
                }
                self.metatypes.insert(metatype);
                return Ok(());
            }
            next = view.pointer(next, layout.types.base)?.ok_or(INVALID)?;
        }
        Err(ReadError::Limit("base types"))
    }
}

fn read_type(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<TypeInfo, ReadError> {
    /// LIMIT: bytes of an instance; uvloop's loop, the largest known, has a quarter of a mebibyte.
    const MAX_SIZE: i64 = 1 << 30;
    let types = &layout.types;
    let flags = read_flags(view, layout, addr)?;
    let info = TypeInfo {
        addr,
        name: read_name(view, layout, addr)?,
        basicsize: view.i64(addr, types.basicsize)?,
        itemsize: view.i64(addr, types.itemsize)?,
        flags,
        dictoffset: view.i64(addr, types.dictoffset)?,
        base: view.pointer(addr, types.base)?,
        is_heap: flags & flag::HEAP_TYPE != 0,
    };
    let plausible = (0..=MAX_SIZE).contains(&info.basicsize)
        && (0..=MAX_SIZE).contains(&info.itemsize)
        && (-MAX_SIZE..=MAX_SIZE).contains(&info.dictoffset)
        && !info.name.is_empty();
    if plausible { Ok(info) } else { Err(INVALID) }
}

fn read_module(view: &mut View<'_>, layout: &Layout, ty: Addr) -> Result<Option<String>, ReadError> {
    let Some(dict) = view.pointer(ty, layout.types.dict)? else { return Ok(None) };
    let Some(module) = find_str_key(view, layout, dict, "__module__")? else { return Ok(None) };
    // A class can set `__module__` to anything; only a str is a name.
    match read_str(view, layout, module) {
        Ok(module) => Ok(Some(module)),
        Err(ReadError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
