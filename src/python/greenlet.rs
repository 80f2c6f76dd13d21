//! The greenlet package, by which one thread has several stacks.

use super::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// Whether an interpreter has imported greenlet, so that its threads can have stacks of greenlets.
///
/// # Errors
/// If no more reads can succeed.
pub fn has_greenlets(reader: &mut Reader<'_, '_>, interpreter: Addr) -> Result<bool, ReadError> {
    Ok(optional(reader.module(interpreter, "greenlet"))?.flatten().is_some())
}
