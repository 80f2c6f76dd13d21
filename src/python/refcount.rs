//! The reference count of an object: the result of `sys.getrefcount()` minus one.

use super::layout::{Layout, RefCount};
use crate::remote::{Addr, ReadError, View};

/// The reference count of an object; `None` if it is immortal, since the number is meaningless then.
///
/// # Errors
/// `Invalid("reference count")` for a count that no live object can have.
// CPython: Include/refcount.h (object.h up to 3.13).
pub fn read_refcount(view: &mut View<'_>, layout: &Layout, object: Addr) -> Result<Option<i64>, ReadError> {
    const IMMORTAL_BIT: u32 = 1 << 31;
    let count = match layout.object.refcount {
        RefCount::Plain => view.i64(object, 0)?,
        RefCount::Low32 => match view.u32(object, 0)? {
            count if count & IMMORTAL_BIT != 0 => return Ok(None),
            count => i64::from(count),
        },
        RefCount::Biased { local, shared } => match view.u32(object, local)? {
            u32::MAX => return Ok(None),
            // The low two bits of the shared part are flags.
            count => i64::from(count) + (view.i64(object, shared)? >> 2),
        },
    };
    if count > 0 { Ok(Some(count)) } else { Err(ReadError::Invalid("reference count")) }
}
