//! Locks of `threading` that suspended frames hold by `with`.

use super::frame::{RawFrame, untag};
use super::layout::LockObject;
use super::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// LIMIT: entries of one evaluation stack that are examined.
const MAX_ENTRIES: u32 = 1_000;

/// `PyMutex`: locked, and a thread waits for it. CPython: Include/cpython/pylock.h, v3.14.10.
const LOCKED_AND_AWAITED: u8 = 3;

/// How a lock shows which threads wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwaitedBy {
    /// Threads in a futex with this address.
    Futex(u64),
    /// Some thread: which one is not known.
    Some,
    /// No thread.
    None,
}

/// The locks that a suspended frame will give back when it leaves its `with` blocks.
///
/// # Errors
/// If the frame cannot be read.
pub fn read_held_locks(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
    let mut locks = Vec::new();
    let locals = reader.code(frame.code)?.locals;
    // 3.14+: the method, then the object. CPython: Python/bytecodes.c, v3.14.10: LOAD_SPECIAL.
    let mut follows_method = false;
    for index in locals..frame.live_slots.min(locals.saturating_add(MAX_ENTRIES)) {
        let raw = frame.slot(reader.view, index)?;
        let Some(object) = untag(reader.layout, raw) else { continue };
        let Some(ty) = optional(reader.type_of(object))? else { continue };
        match ty.name.as_str() {
            // CPython: Python/ceval.c, 3.8 to 3.13: SETUP_WITH, BEFORE_WITH.
            "builtin_function_or_method" => {
                let builtin = &reader.layout.builtin;
                let owner = reader.view.object(object, builtin.cfunction_self)?;
                let definition = reader.view.object(object, builtin.cfunction_def)?;
                if &*reader.caches.method_name(reader.view, definition)? == "__exit__" && is_lock(reader, owner)? {
                    locks.push(owner);
                }
            }
            name if follows_method && is_name_of_lock(name) => locks.push(object),
            _ => {}
        }
        follows_method = ty.name == "method_descriptor";
    }
    Ok(locks)
}

fn is_name_of_lock(name: &str) -> bool {
    matches!(name, "_thread.lock" | "_thread.RLock")
}

fn is_lock(reader: &mut Reader<'_, '_>, object: Addr) -> Result<bool, ReadError> {
    Ok(optional(reader.type_of(object))?.is_some_and(|ty| is_name_of_lock(&ty.name)))
}

/// Who waits for a lock.
///
/// # Errors
/// If it cannot be read.
pub fn read_awaited_by(reader: &mut Reader<'_, '_>, lock: Addr) -> Result<AwaitedBy, ReadError> {
    Ok(match reader.layout.lock {
        LockObject::Semaphore(at) => AwaitedBy::Futex(reader.view.u64(lock, at)?),
        LockObject::Mutex(at) if reader.view.u8(lock, at)? & LOCKED_AND_AWAITED == LOCKED_AND_AWAITED => {
            AwaitedBy::Some
        }
        LockObject::Mutex(_) => AwaitedBy::None,
    })
}
