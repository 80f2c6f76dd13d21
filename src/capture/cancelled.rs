//! Tasks that were asked to cancel, have been given the CancelledError, and wait for something else.

use rustc_hash::FxHashMap;

use super::task_walk::{Proof, TaskWalk};
use crate::model::snapshot::Cancellation;
use crate::python::caches::Caches;
use crate::python::coroutine::ChainEnd;
use crate::python::layout::Layout;
use crate::python::reader::Reader;
use crate::remote::{ReadError, View};
use crate::runtime::asyncio::cancellation::{count_own_requests, find_handler};
use crate::runtime::record::FutureState;

/// What became of the requests, by index of the task. Nothing before 3.11, where tasks do not count them.
pub(super) fn find_cancelled(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    walks: &[TaskWalk],
) -> Result<FxHashMap<usize, Cancellation>, ReadError> {
    let last = walks.iter().map(|walk| walk.attempt).max().unwrap_or(0);
    let asked = (0..walks.len()).filter(|task| goes_on(&walks[*task]) && walks[*task].is_comparable(last));
    // What was read of a task in an earlier attempt may be out of date by now.
    let mut asked: Vec<usize> = asked.filter(|task| walks[*task].is_as_it_was(view)).collect();
    // Read after the walk, and before it is shown that the task has not moved since: the pages of the walk are of several
    // moments, and only its anchors were shown to be of one.
    let mut now = View::new(view.memory());
    let read = now.wave(&mut asked, |view, task| {
        let mut reader = Reader::new(view, layout, caches);
        let (Some(record), Some(chain)) = (&walks[*task].record, &walks[*task].chain) else { return Ok(None) };
        let Some(own) = count_own_requests(&mut reader, &chain.levels)? else { return Ok(None) };
        let requests = record.cancel_requests.saturating_sub(own);
        if requests == 0 {
            return Ok(None);
        }
        Ok::<_, ReadError>(Some(Cancellation { requests, handled_in: find_handler(&mut reader, &chain.levels)? }))
    });
    let found: Vec<(usize, Cancellation)> =
        asked.iter().zip(read).filter_map(|(task, read)| Some((*task, read.ok().flatten()?))).collect();
    // Who has not moved since it was walked was in that state all the while.
    let proofs = Proof::read(view, found.iter().map(|(task, _)| &walks[*task]))?;
    Ok(found.into_iter().zip(proofs).filter(|(_, proof)| *proof == Proof::Held).map(|(one, _)| one).collect())
}

/// Whether a task was asked to cancel and waits for something that is not cancelled: the request is not on its way.
fn goes_on(walk: &TaskWalk) -> bool {
    let waits = walk.chain.as_ref().is_some_and(|chain| matches!(chain.end, ChainEnd::Object { .. }));
    let asked = walk.record.as_ref().is_some_and(|record| record.cancel_requests > 0 && !record.must_cancel);
    asked && waits && walk.waiter().is_some() && walk.waiter_state == Some(FutureState::Pending)
}
