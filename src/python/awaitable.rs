//! How a chain of coroutines continues through a type of awaitable. Determined once per type.

use rustc_hash::FxHashMap;

use super::attribute::AttributeCache;
use super::layout::{Layout, Offset};
use super::types::TypeCache;
use crate::remote::{Addr, ReadError, View};

/// How a chain continues through an object of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwaitableKind {
    /// Coroutine, generator or async generator: a level of the chain.
    Generator,
    /// Passed through: its first field is the next object (coroutine_wrapper, async_generator_asend, ...).
    Wrapper,
    /// A coroutine compiled by Cython: a level without a current line.
    Cython {
        /// Offset of what it awaits.
        awaits: Offset,
        /// Offset of its code object.
        code: Offset,
    },
    /// Anything else: the end of the chain.
    Other,
}

/// Kinds by type address.
#[derive(Default)]
pub struct AwaitableCache {
    kinds: FxHashMap<Addr, AwaitableKind>,
    /// The last one requested: most levels of chains are coroutines.
    last: Option<(Addr, AwaitableKind)>,
}

/// Types implemented in C whose instances are levels. CPython: Objects/genobject.c.
pub(super) const GENERATORS: [&str; 3] = ["coroutine", "generator", "async_generator"];

/// Types implemented in C that wrap one awaitable. CPython: Objects/genobject.c; anext: Objects/iterobject.c, v3.10.13.
const WRAPPERS: [&str; 4] = ["coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"];

impl AwaitableCache {
    /// The kind of the type at `ty`.
    #[inline]
    pub fn kind(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        attributes: &mut AttributeCache,
        ty: Addr,
    ) -> Result<AwaitableKind, ReadError> {
        if let Some((last, kind)) = self.last
            && last == ty
        {
            return Ok(kind);
        }
        let kind = self.find_kind(view, layout, (types, attributes), ty)?;
        self.last = Some((ty, kind));
        Ok(kind)
    }

    fn find_kind(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        (types, attributes): (&mut TypeCache, &mut AttributeCache),
        ty: Addr,
    ) -> Result<AwaitableKind, ReadError> {
        if let Some(&kind) = self.kinds.get(&ty) {
            return Ok(kind);
        }
        let info = types.get(view, layout, ty)?;
        // A user's class may be called `coroutine` too; only the interpreter's own types are not on the heap.
        let kind = if !info.is_heap && GENERATORS.contains(&&*info.name) {
            AwaitableKind::Generator
        } else if !info.is_heap && WRAPPERS.contains(&&*info.name) {
            AwaitableKind::Wrapper
        } else if info.name.starts_with("_cython_") {
            let class = info.name.rsplit('.').next().unwrap_or_default();
            view.sharing(|view| cython_kind(view, layout, (types, attributes), ty, class))?
        } else {
            AwaitableKind::Other
        };
        self.kinds.insert(ty, kind);
        Ok(kind)
    }
}

/// Cython's own coroutine type, whose members give the offsets of its fields.
fn cython_kind(
    view: &mut View<'_>,
    layout: &Layout,
    (types, attributes): (&mut TypeCache, &mut AttributeCache),
    ty: Addr,
    class: &str,
) -> Result<AwaitableKind, ReadError> {
    let (awaits, code) = match class {
        "coroutine" => ("cr_await", "cr_code"),
        "generator" => ("gi_yieldfrom", "gi_code"),
        "coroutine_wrapper" => return Ok(AwaitableKind::Wrapper),
        _ => return Ok(AwaitableKind::Other),
    };
    let awaits = attributes.member_offset(view, layout, types, ty, awaits)?;
    let code = attributes.member_offset(view, layout, types, ty, code)?;
    Ok(match (awaits, code) {
        (Some(awaits), Some(code)) => AwaitableKind::Cython { awaits, code },
        _ => AwaitableKind::Other,
    })
}
