//! The runtime's lists of interpreters and threads: checks whether the objects at the places in the layout are
//! plausible.

use crate::python::layout::Layout;
use crate::remote::{Addr, Memory, ReadError};

/// LIMIT: interpreters and threads checked to prove the layout; a longer list has proved it already.
const MAX_PROOF: usize = 256;

/// The result of a walk over the lists.
pub(super) enum Proof {
    Running,
    Starting,
    Finalizing,
    Contradiction(&'static str),
}

/// Checks whether the runtime's interpreters and threads are where they should be.
pub(super) fn prove(memory: &dyn Memory, runtime: Addr, layout: &Layout) -> Result<Proof, ReadError> {
    let word = |addr: Addr, offset: u64| {
        memory.read_u64(addr.add(offset).ok_or(ReadError::BadPointer(addr.raw().wrapping_add(offset)))?)
    };
    let pointer = |addr: Addr, offset: u64| match word(addr, offset)? {
        0 => Ok(None),
        raw => Addr::aligned(raw).map(Some).ok_or(ReadError::BadPointer(raw)),
    };
    let Some(first) = pointer(runtime, layout.runtime.interpreters_head)? else {
        // A runtime that has shut down has no interpreters either.
        return Ok(if word(runtime, layout.runtime.finalizing)? == 0 { Proof::Starting } else { Proof::Finalizing });
    };
    if word(runtime, layout.runtime.finalizing)? != 0 {
        return Ok(Proof::Finalizing);
    }
    let (mut interpreter, mut budget, mut threads) = (Some(first), MAX_PROOF, 0);
    while let Some(interp) = interpreter.filter(|_| budget > 0) {
        budget -= 1;
        let mut thread = pointer(interp, layout.interp.threads_head)?;
        while let Some(tstate) = thread.filter(|_| budget > 0) {
            budget -= 1;
            if pointer(tstate, layout.thread.interp)? != Some(interp) {
                return Ok(Proof::Contradiction("a thread does not belong to the interpreter that lists it"));
            }
            threads += 1;
            thread = pointer(tstate, layout.thread.next)?;
        }
        interpreter = pointer(interp, layout.interp.next)?;
    }
    Ok(if threads > 0 { Proof::Running } else { Proof::Starting })
}
