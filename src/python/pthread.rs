//! The kernel's id of a thread, for versions whose thread state has only `pthread_self()`: an address inside the C
//! library's own structure, which also holds the kernel's id.

use crate::remote::{Addr, ReadError, View};

/// Offset of the kernel's thread id in glibc on x86_64 (`struct pthread.tid`; seen in 2.36 and 2.43).
const GLIBC_TID: u64 = 720;

/// The structure is searched this far if the id is not at the usual place (other C libraries, other machines).
const SEARCHED: usize = 2304;

/// The kernel's id of the thread whose `pthread_self()` is `pthread_id`, if exactly one of `kernel_threads` is found in
/// its structure.
pub fn find_native_id(view: &mut View<'_>, pthread_id: u64, kernel_threads: &[i32]) -> Result<Option<i32>, ReadError> {
    let Some(pthread) = Addr::aligned(pthread_id) else { return Ok(None) };
    match view.i32(pthread, GLIBC_TID) {
        Ok(id) if kernel_threads.contains(&id) => return Ok(Some(id)),
        Err(ReadError::Pending) => return Err(ReadError::Pending),
        _ => {}
    }
    let bytes = match view.bytes(pthread, SEARCHED) {
        Ok(bytes) => bytes,
        Err(ReadError::Pending) => return Err(ReadError::Pending),
        Err(_) => return Ok(None),
    };
    let (words, _) = bytes.as_chunks::<4>();
    let mut hits = words.iter().map(|word| i32::from_le_bytes(*word)).filter(|id| kernel_threads.contains(id));
    match (hits.next(), hits.next()) {
        (Some(id), None) => Ok(Some(id)),
        _ => Ok(None),
    }
}
