//! Exceptions in words.

use super::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// `Type: text` of an exception, the text only where its first argument is a str.
pub fn describe_exception(reader: &mut Reader<'_, '_>, exception: Addr) -> Result<String, ReadError> {
    let ty = reader.view.object(exception, reader.layout.object.ob_type)?;
    let class = reader.caches.types.qualified_name(reader.view, reader.layout, ty)?;
    // CPython: Include/cpython/pyerrors.h, PyException_HEAD: dict, then args.
    let args = reader.layout.object.size + 8;
    let text = match reader.field(exception, args)? {
        Some(args) => match optional(reader.tuple(args))?.unwrap_or_default().first() {
            Some(&first) => optional(reader.str(first))?,
            None => None,
        },
        None => None,
    };
    Ok(match text {
        Some(text) if !text.is_empty() => format!("{class}: {text}"),
        _ => class,
    })
}
