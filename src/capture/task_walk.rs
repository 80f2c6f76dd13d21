//! Reads one task in steps that can be resumed: its record, its chain, the names of its frames, and then the meaning of
//! the future it waits for. The walks of all tasks advance together in a wave.

use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;

use crate::python::coroutine::{Chain, ChainEnd, ChainWalk};
use crate::python::exception::describe_exception;
use crate::python::frame_table::FrameTable;
use crate::python::reader::{Reader, optional};
use crate::python::refcount::read_refcount;
use crate::python::types::TypeInfo;
use crate::remote::{Addr, ReadError, Span, View};
use crate::runtime::layouts::Layouts;
use crate::runtime::record::{FutureState, TaskRecord, Waited};
use crate::runtime::references::FutureReferences;
use crate::runtime::runtimes::Runtimes;
use crate::runtime::wait::{Place, Wait, WaitKind};
use crate::runtime::wait_graph::Node;

/// A task, as far as it has been read.
pub(crate) struct TaskWalk {
    pub(crate) addr: Addr,
    pub(crate) record: Option<TaskRecord>,
    /// Only present while a page is missing.
    chain_walk: Option<Box<ChainWalk>>,
    pub(crate) chain: Option<Chain>,
    /// Frame numbers of the chain's levels.
    pub(crate) frames: Vec<u32>,
    pub(crate) waiter_state: Option<FutureState>,
    pub(crate) wait: Option<Wait>,
    pub(crate) references: Option<FutureReferences>,
    /// The task group in which it was started, and the task that opened the group.
    pub(crate) group: Option<(Addr, Addr)>,
    /// References to the task from its own frames and callbacks, where they were searched and could be determined.
    pub(crate) own_references: Option<i64>,
    /// The attempt in which it was read.
    pub(crate) attempt: u32,
    pub(crate) exception: Option<String>,
    /// The type that the chain ends in.
    pub(crate) end_type: Option<Rc<TypeInfo>>,
    /// A hash of what its anchors held, if the view has forgotten it.
    print: Option<u64>,
}

/// A task as a node of the wait graph. `wait` is what it waits for, or waited for before it was woken.
pub(crate) fn node<'a, T>(
    task: T,
    wait: Option<&'a Wait>,
    is_suspended: bool,
    entered: &'a [Addr],
    awaiters: &'a [Addr],
) -> Node<'a, T> {
    Node {
        task,
        is_suspended: is_suspended && wait.is_some(),
        targets: wait.map_or(&[], |wait| &wait.targets),
        wanted_lock: wait.and_then(|wait| wait.lock),
        holders: wait.map_or(&[], |wait| &wait.holders),
        has_released: wait.is_some_and(|wait| wait.kind == WaitKind::Condition),
        enters_late: wait.and_then(|wait| wait.resource).is_some_and(|resource| resource.pool.is_some()),
        entered,
        awaiters,
    }
}

/// How many of the innermost levels are examined to find out what a task waits for.
const INNERMOST: usize = 8;

/// Data shared by the walks of all tasks.
pub(crate) struct Shared {
    pub(crate) runtimes: Runtimes,
    pub(crate) frames: FrameTable,
    /// The references to each task are counted.
    pub(crate) counts_references: bool,
    /// An interpreter has imported greenlet.
    pub(crate) has_greenlets: bool,
}

impl Shared {
    pub(crate) fn new(layouts: &Layouts, counts_references: bool) -> Self {
        Self {
            runtimes: Runtimes::new(layouts),
            frames: FrameTable::default(),
            counts_references,
            has_greenlets: false,
        }
    }

    /// Forgets everything known by the address of a type or of code, which can have been freed in the meantime.
    pub(crate) fn forget_addresses(&mut self) {
        self.runtimes.all().for_each(|runtime| runtime.forget_addresses());
        self.frames.forget_code();
    }

    /// Reads something that tasks wait for, and the references to tasks that it holds; `None` if it is of no runtime.
    pub(crate) fn read_waited(
        &mut self,
        reader: &mut Reader<'_, '_>,
        addr: Addr,
    ) -> Result<Option<(Waited, FutureReferences)>, ReadError> {
        self.runtimes.of(reader, addr)?.read_waited(reader, addr)
    }
}

impl TaskWalk {
    pub(crate) fn new(addr: Addr, attempt: u32) -> Self {
        Self {
            addr,
            attempt,
            record: None,
            chain_walk: None,
            chain: None,
            frames: Vec::new(),
            waiter_state: None,
            wait: None,
            references: None,
            group: None,
            own_references: None,
            exception: None,
            end_type: None,
            print: None,
        }
    }

    /// Whether this task is to be shown: pending, or failed with an exception that was never retrieved.
    pub(crate) fn is_shown(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.is_pending() || record.has_unretrieved_exception())
    }

    /// Whether no suspended task can have such a chain, although every piece of it held: its outer levels wait for one
    /// that is running, has finished or has not started. The task was in the middle of a step.
    pub(crate) fn is_between_steps(&self) -> bool {
        let Some(chain) = &self.chain else { return false };
        match chain.end {
            ChainEnd::Finished => true,
            ChainEnd::Running => !chain.levels.is_empty(),
            ChainEnd::NotStarted => chain.levels.len() > 1,
            ChainEnd::Broken(_) => true,
            ChainEnd::Yield | ChainEnd::Object { .. } | ChainEnd::Limit => false,
        }
    }

    /// Reads on until everything is available; ends with [`ReadError::Pending`] where a page is missing.
    pub(crate) fn advance(&mut self, reader: &mut Reader<'_, '_>, shared: &mut Shared) -> Result<(), ReadError> {
        let record = match self.record.take() {
            Some(record) => record,
            None => shared.runtimes.of(reader, self.addr)?.read_task(reader, self.addr)?,
        };
        let done = self.advance_from(reader, shared, &record);
        self.record = Some(record);
        done
    }

    fn advance_from(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        record: &TaskRecord,
    ) -> Result<(), ReadError> {
        if !record.is_pending() {
            if record.has_unretrieved_exception()
                && let Some(exception) = record.future.exception
            {
                self.exception = Some(optional(describe_exception(reader, exception))?.unwrap_or_default());
            }
            return Ok(());
        }
        if self.chain.is_none() {
            let Some(root) = record.coroutine else { return Err(ReadError::Invalid("pending task")) };
            let mut walk =
                self.chain_walk.take().map_or_else(|| ChainWalk::new(root, shared.has_greenlets), |walk| *walk);
            let advanced = walk.advance(reader.view, reader.layout, reader.caches);
            if advanced.is_err() {
                self.chain_walk = Some(Box::new(walk));
                return advanced;
            }
            self.chain = Some(walk.into_chain());
        }
        let Some(chain) = self.chain.take() else { return Err(ReadError::Invalid("chain")) };
        let done = self.finish(reader, shared, record, &chain);
        self.chain = Some(chain);
        done
    }

    fn finish(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        record: &TaskRecord,
        chain: &Chain,
    ) -> Result<(), ReadError> {
        self.frames.reserve_exact(chain.levels.len().saturating_sub(self.frames.len()));
        while let Some(level) = chain.levels.get(self.frames.len()) {
            let number = shared.frames.number(reader, &level.frame)?;
            self.frames.push(number);
        }
        if let (None, ChainEnd::Object { ty, .. }) = (&self.end_type, chain.end) {
            self.end_type = Some(reader.caches.types.get(reader.view, reader.layout, ty)?);
        }
        if self.references.is_none() {
            let references = shared.runtimes.of(reader, self.addr)?.read_references(reader, record)?;
            self.group = references.group();
            self.references = Some(references);
        }
        // Done here, because its frames are at hand. Nearly every task has one reference, from its wakeup; for a task
        // without any other, the references are unlikely to be needed.
        if shared.counts_references
            && self.own_references.is_none()
            && can_be_counted(chain)
            && record.references.is_some_and(|count| count > 1)
        {
            let runtime = shared.runtimes.of(reader, self.addr)?;
            self.own_references = optional(runtime.count_own_references(reader, record, &chain.levels))?;
        }
        Ok(())
    }

    /// The future this task waits for.
    pub(crate) fn waiter(&self) -> Option<Addr> {
        self.record.as_ref().filter(|record| record.is_pending()).and_then(|record| record.waiter)
    }

    /// Determines what the task waits for, from the chain and from the future.
    pub(crate) fn describe(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        waited: Option<&Waited>,
    ) -> Result<(), ReadError> {
        let Some(waited) = waited else {
            // It behaves like a future but is of no runtime.
            self.wait = Some(Wait::new(WaitKind::Other));
            return Ok(());
        };
        // Of ten thousand tasks, most wait for a future in the program's own code.
        if !self
            .frames
            .last()
            .is_some_and(|leaf| shared.frames.get(*leaf).is_some_and(|frame| shared.runtimes.is_own_code(frame)))
        {
            self.wait = Some(waited.wait.clone());
            self.waiter_state = Some(waited.state);
            return Ok(());
        }
        let levels = self.chain.iter().flat_map(|chain| &chain.levels);
        // The innermost few levels are enough to determine the wait.
        let skipped = self.frames.len().saturating_sub(INNERMOST);
        let mut places = Vec::with_capacity(INNERMOST);
        places.extend(
            levels
                .zip(&self.frames)
                .skip(skipped)
                .filter_map(|(level, number)| Some(Place { raw: level.frame, named: shared.frames.get(*number)? })),
        );
        let runtime = shared.runtimes.of(reader, self.addr)?;
        self.wait = Some(runtime.describe_wait(reader, &places, &waited.wait)?);
        self.waiter_state = Some(waited.state);
        Ok(())
    }

    /// The pieces that prove the reading, the task's own first.
    fn anchors(&self) -> Vec<Span> {
        let own = self.record.iter().filter_map(|record| record.anchor.as_ref());
        own.chain(self.chain.iter().flat_map(|chain| chain.anchors.iter())).copied().collect()
    }

    /// Whether it waits for something that is watched for a while.
    pub(crate) fn may_hang(&self) -> bool {
        let is_cancelled = self.record.as_ref().is_some_and(|record| record.cancel_requests > 0);
        is_cancelled || self.wait.as_ref().is_some_and(|wait| wait.resource.is_some() || wait.job.is_some())
    }

    fn hash_anchors(&self, view: &mut View<'_>) -> Option<u64> {
        let (mut hasher, mut bytes) = (DefaultHasher::new(), Vec::new());
        for span in self.anchors() {
            bytes.resize(span.len, 0);
            view.copy(span.addr, &mut bytes).ok()?;
            hasher.write(&bytes);
        }
        Some(hasher.finish())
    }

    /// Remembers what proves the reading, before the view forgets it.
    pub(crate) fn keep_print(&mut self, view: &mut View<'_>) {
        // What cannot be read is not known to be as it was.
        self.print = self.print.or_else(|| Some(self.hash_anchors(view).unwrap_or_default()));
    }

    /// Whether it can be known that nothing changed since it was read, in an attempt before `last` or in the last one.
    pub(crate) fn is_comparable(&self, last: u32) -> bool {
        self.attempt == last || self.print.is_some()
    }

    /// Whether what proves the reading is what the view holds.
    pub(crate) fn is_as_it_was(&self, view: &mut View<'_>) -> bool {
        self.print.is_none_or(|print| self.hash_anchors(view) == Some(print))
    }

    /// Cuts the chain down to the first `held` anchors, because the rest changed.
    pub(crate) fn keep_anchors(&mut self, held: usize) {
        let own = usize::from(self.record.as_ref().is_some_and(|record| record.anchor.is_some()));
        if let Some(chain) = &mut self.chain {
            let kept = held.saturating_sub(own) as u32;
            let levels = chain.levels.iter().take_while(|level| level.anchors <= kept).count();
            // Without the task's own state, not even the outermost level is known to belong to it.
            let levels = if held < own { 0 } else { levels };
            chain.levels.truncate(levels);
            self.frames.truncate(levels);
            chain.end = ChainEnd::Broken(ReadError::Invalid("moment"));
        }
        self.wait = None;
        self.waiter_state = None;
    }
}

/// Whether all references from the frames of a chain can be determined: a running step holds some on its stack that
/// cannot be identified, and those of a torn one are unknown.
pub(crate) fn can_be_counted(chain: &Chain) -> bool {
    !matches!(chain.end, ChainEnd::Running | ChainEnd::Broken(_))
}

/// LIMIT: pieces of memory in one call; the kernel's own limit (UIO_MAXIOV).
const MAX_PIECES: usize = 1024;

/// The result of reading a task's anchors again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// All were unchanged in one call: the task was read at a single moment.
    Held,
    /// Only this number of them, counted from the first, was unchanged.
    Moved(usize),
    /// All that fit into one call were unchanged, and there are more: no call can show that the others belong to the
    /// same moment.
    TooLong(usize),
}

impl Proof {
    /// Reads the anchors of all `walks` again and compares them with the contents of `view`: those of one task in one
    /// call, with as many tasks per call as fit.
    pub(crate) fn read<'w>(
        view: &mut View<'_>,
        walks: impl IntoIterator<Item = &'w TaskWalk>,
    ) -> Result<Vec<Self>, ReadError> {
        let anchors: Vec<Vec<Span>> = walks.into_iter().map(TaskWalk::anchors).collect();
        let mut proofs = Vec::with_capacity(anchors.len());
        while proofs.len() < anchors.len() {
            let mut pieces = 0;
            let fits = |task: &&Vec<Span>| {
                pieces += task.len().min(MAX_PIECES);
                pieces <= MAX_PIECES
            };
            let rest = &anchors[proofs.len()..];
            let count = rest.iter().take_while(fits).count();
            Self::compare(view, &rest[..count], &mut proofs)?;
        }
        Ok(proofs)
    }

    fn compare(view: &mut View<'_>, tasks: &[Vec<Span>], proofs: &mut Vec<Self>) -> Result<(), ReadError> {
        let spans: Vec<Span> = tasks.iter().flat_map(|task| task.iter().take(MAX_PIECES)).copied().collect();
        let mut out = vec![0; spans.iter().map(|span| span.len).sum()];
        let mut results = Vec::with_capacity(spans.len());
        view.memory().read_batch(&spans, &mut out, &mut results);
        if let Some(Err(error)) = results.iter().find(|result| result.is_err_and(ReadError::is_fatal)) {
            return Err(*error);
        }
        let (mut rest, mut results, mut then) = (&out[..], results.into_iter(), Vec::new());
        for task in tasks {
            let (mut same, mut moved) = (0, false);
            for span in task.iter().take(MAX_PIECES) {
                let (now, after) = rest.split_at(span.len);
                rest = after;
                then.resize(span.len, 0);
                let read =
                    results.next().is_some_and(|result| result.is_ok()) && view.copy(span.addr, &mut then).is_ok();
                moved |= !read || now != then;
                same += usize::from(!moved);
            }
            proofs.push(match same {
                _ if moved => Self::Moved(same),
                _ if same < task.len() => Self::TooLong(same),
                _ => Self::Held,
            });
        }
        Ok(())
    }
}

/// The result of an attempt to read a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It shows a single moment.
    Held,
    /// It changed: another attempt is due.
    Again,
    /// Only this number of its anchors, counted from the first, belongs together.
    Partly(usize),
    /// It could not be read as a task.
    Unreadable(ReadError),
}

impl TaskWalk {
    /// Judges an attempt. `proof` is `None` if nothing can have changed; `last`: there is no further attempt.
    pub(crate) fn judge(&self, read: Result<(), ReadError>, proof: Option<Proof>, last: bool) -> Verdict {
        let retry = |otherwise| if last { otherwise } else { Verdict::Again };
        match (read, proof) {
            (Err(error), None) => Verdict::Unreadable(error),
            (Err(error), Some(_)) => retry(Verdict::Unreadable(error)),
            (Ok(()), Some(Proof::Moved(same))) => retry(Verdict::Partly(same)),
            (Ok(()), Some(Proof::TooLong(same))) => Verdict::Partly(same),
            (Ok(()), Some(Proof::Held)) if self.is_between_steps() => retry(Verdict::Partly(self.anchors().len())),
            (Ok(()), Some(Proof::Held) | None) => Verdict::Held,
        }
    }
}

/// Whether an object that could not be read in any attempt is a task after all, and not memory that was one.
pub(crate) fn is_task(reader: &mut Reader<'_, '_>, shared: &mut Shared, addr: Addr) -> Result<bool, ReadError> {
    if optional(read_refcount(reader.view, reader.layout, addr))?.is_none() {
        return Ok(false);
    }
    Ok(optional(shared.runtimes.of(reader, addr)?.is_task(reader, addr))?.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Memory;

    /// Memory that never changes.
    struct Still;

    impl Memory for Still {
        fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            out.fill(0);
            results.clear();
            results.resize(spans.len(), Ok(()));
        }
    }

    fn walk(anchors: usize) -> TaskWalk {
        let addr = |number: usize| Addr::new(0x10_0000 + 64 * number as u64).unwrap();
        let anchors = (0..anchors).map(|number| Span::new(addr(number), 8)).collect();
        let chain = Chain { levels: Vec::new(), end: ChainEnd::Yield, anchors };
        TaskWalk { chain: Some(chain), ..TaskWalk::new(addr(0), 1) }
    }

    #[test]
    fn a_task_with_more_anchors_than_one_call_takes_is_not_one_moment() {
        let walks = [walk(3), walk(MAX_PIECES), walk(MAX_PIECES + 1), walk(0), walk(900), walk(200)];
        let proofs = Proof::read(&mut View::new(&Still), &walks).unwrap();
        let held = Proof::Held;
        assert_eq!(proofs, [held, held, Proof::TooLong(MAX_PIECES), held, held, held]);
        for last in [false, true] {
            assert_eq!(
                walks[2].judge(Ok(()), Some(proofs[2]), last),
                Verdict::Partly(MAX_PIECES),
                "no use to try again"
            );
            assert_eq!(walks[2].judge(Ok(()), None, last), Verdict::Held, "nothing can have moved");
        }
    }
}
