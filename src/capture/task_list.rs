//! Shared by the lists of interpreters, threads and tasks: retries when a list changed while it was walked, and removal
//! of duplicate tasks.

use rustc_hash::FxHashSet;

use crate::remote::{Addr, ReadError, View};

/// LIMIT: how many times a list that changed while it was walked is walked again.
const ATTEMPTS: u64 = 5;

/// Walks lists until they are consistent. Also returns how often they were not.
///
/// # Errors
/// If no more reads can succeed, or the last attempt failed too.
pub(crate) fn walk_lists<T>(
    view: &mut View<'_>,
    mut walk: impl FnMut(&mut View<'_>) -> Result<T, ReadError>,
) -> Result<(T, u64), ReadError> {
    let mut last = ReadError::Invalid("interpreter list");
    for torn in 0..ATTEMPTS {
        match walk(view) {
            Ok(lists) => return Ok((lists, torn)),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => last = error,
        }
        view.forget();
    }
    Err(last)
}

/// Keeps each task once. Interpreters can share the list of their tasks: up to 3.11 there is one asyncio C module for
/// the whole process.
pub(crate) fn keep_each_once(tasks: &mut Vec<Addr>, interpreters: usize) {
    if interpreters > 1 {
        let mut seen = FxHashSet::default();
        tasks.retain(|task| seen.insert(*task));
    }
}
