//! The built-in type of an object, by the flags of its type: the first check of every reader of objects.

use super::layout::Layout;
use crate::remote::{Addr, ReadError, View};

/// Built-in types whose instances, and those of their subclasses, are marked by a bit in `tp_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Int,
    List,
    Tuple,
    Bytes,
    Str,
    Dict,
}

impl Builtin {
    fn flag(self) -> u64 {
        1 << match self {
            Self::Int => 24,
            Self::List => 25,
            Self::Tuple => 26,
            Self::Bytes => 27,
            Self::Str => 28,
            Self::Dict => 29,
        }
    }

    fn invalid(self) -> ReadError {
        ReadError::Invalid(match self {
            Self::Int => "int",
            Self::List => "list",
            Self::Tuple => "tuple",
            Self::Bytes => "bytes",
            Self::Str => "str",
            Self::Dict => "dict",
        })
    }
}

/// The type of an object.
pub fn type_of(view: &mut View<'_>, layout: &Layout, obj: Addr) -> Result<Addr, ReadError> {
    view.object(obj, layout.object.ob_type)
}

/// Checks that the object is an instance of a built-in type or of a subclass. Memory that was freed and reused is
/// usually detected here.
pub(crate) fn check_builtin(
    view: &mut View<'_>,
    layout: &Layout,
    obj: Addr,
    expected: Builtin,
) -> Result<(), ReadError> {
    let ty = type_of(view, layout, obj)?;
    if read_flags(view, layout, ty)? & expected.flag() == 0 { Err(expected.invalid()) } else { Ok(()) }
}

/// A type's `tp_flags`. The flags that describe the type never change; others, about the interpreter's own caches,
/// change all the time, so these reads are not recorded as dependencies of an answer.
pub(super) fn read_flags(view: &mut View<'_>, layout: &Layout, ty: Addr) -> Result<u64, ReadError> {
    view.passing(|view| view.u64(ty, layout.types.flags))
}
