//! What the lists of interpreters, threads and tasks need: another try when they changed while being walked, and each task
//! once.

use rustc_hash::FxHashSet;

use crate::remote::{Addr, ReadError, View};

/// LIMIT: how often a list that changed while being walked is walked again.
const ATTEMPTS: u64 = 5;

/// Walks lists until they hold together. Answers also how often they did not.
///
/// # Errors
/// When no more reads can succeed, or the last attempt failed too.
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

/// Keeps each task once. Interpreters can share what lists their tasks: up to 3.11 asyncio's C module is one for the whole
/// process.
pub(crate) fn keep_each_once(tasks: &mut Vec<Addr>, interpreters: usize) {
    if interpreters > 1 {
        let mut seen = FxHashSet::default();
        tasks.retain(|task| seen.insert(*task));
    }
}
