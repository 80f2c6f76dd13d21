//! The garbage collector's lists: every container object of a GIL build is on one of them.

use super::block::Block;
use super::layout::{GC_GENERATION_SIZE, GC_HEADER_SIZE};
use super::reader::Reader;
use crate::remote::{Addr, ReadError};

/// LIMIT: objects walked. A longer walk would take more time than a user waits; reaching the limit is reported.
const MAX_OBJECTS: usize = 5_000_000;

/// LIMIT: how many times the walk of one list continues after a link that was changed meanwhile. Each costs one read; a
/// busy program changes the end of its youngest list all the time.
const REPAIRS: u32 = 100;

/// LIMIT: objects that the walk can go back to when those after them have left the list. Objects that come and go are the
/// newest, next to each other at the end of the list.
const TRAIL: usize = 64;

/// Bytes of a collector's header and the head of the object after it.
const NODE: usize = 32;

/// Links of a ring carry flags in their low bits. CPython: Include/internal/pycore_gc.h.
const FLAGS: u64 = 3;

/// Calls `visit` with the address and type of every object on the lists of an interpreter (of the runtime, in 3.8). If
/// a list is inconsistent, continues with the next one and finally returns that error.
///
/// There are very many objects, most of them met only here: `visit` must not keep data for each.
///
/// # Errors
/// `Invalid("collector list")` if a list changed while it was walked, `Limit("objects")`, and `Unmapped`;
/// `Invalid("collector layout")` for builds without such lists.
pub fn walk_collected(
    reader: &mut Reader<'_, '_>,
    runtime: Addr,
    interpreter: Addr,
    mut visit: impl FnMut(&mut Reader<'_, '_>, Addr, Addr) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let layout = reader.layout;
    let base = if layout.gc.in_runtime { runtime } else { interpreter };
    let Some(lists) = layout.gc.lists else { return Err(ReadError::Invalid("collector layout")) };
    let base = base.add(layout.gc.state).ok_or(ReadError::BadPointer(base.raw()))?;
    let heads = (0..3).map(|index| lists.generations + index * GC_GENERATION_SIZE).chain([lists.permanent]);
    let (mut seen, mut result) = (0, Ok(()));
    for head in heads {
        let head = base.add(head).ok_or(ReadError::BadPointer(base.raw()))?;
        if let Err(error) = walk_ring(reader, head, &mut seen, &mut visit) {
            result = Err(error);
        }
    }
    result
}

/// The objects passed last.
struct Trail {
    ring: [Addr; TRAIL],
    passed: usize,
    kept: usize,
}

impl Trail {
    fn pass(&mut self, object: Addr) {
        self.ring[self.passed % TRAIL] = object;
        self.passed += 1;
        self.kept = TRAIL.min(self.kept + 1);
    }

    fn go_back(&mut self) -> Option<Addr> {
        self.kept = self.kept.checked_sub(1)?;
        self.passed -= 1;
        Some(self.ring[self.passed % TRAIL])
    }
}

fn walk_ring(
    reader: &mut Reader<'_, '_>,
    head: Addr,
    seen: &mut usize,
    visit: &mut impl FnMut(&mut Reader<'_, '_>, Addr, Addr) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let type_at = GC_HEADER_SIZE + reader.layout.object.ob_type;
    let (mut at, mut next) = (head, reader.view.u64(head, 0)? & !FLAGS);
    let mut patience = REPAIRS;
    let mut trail = Trail { ring: [head; TRAIL], passed: 0, kept: 0 };
    let mut is_fresh = false;
    loop {
        // An object that leaves its list has no next one from then on: the walk continues from one before it.
        // CPython: Include/internal/pycore_object.h, _PyObject_GC_UNTRACK, 3.8 to 3.15.
        let Some(node) = Addr::aligned(next) else {
            if patience == 0 {
                return Err(ReadError::Invalid("collector list"));
            }
            patience -= 1;
            at = trail.go_back().unwrap_or(head);
            reader.view.refresh(&[at]);
            next = reader.view.u64(at, 0)? & !FLAGS;
            continue;
        };
        reader.view.page_of_list(node);
        let block = Block(reader.view.piece(node, NODE)?);
        // Each link must be matched by the one back; a list that was changed meanwhile breaks this somewhere. Then both
        // ends are read afresh: while the object we are at is alive, the walk can continue from it.
        let (onwards, back) = (block.u64(0)? & !FLAGS, block.u64(8)? & !FLAGS);
        if back != at.raw() {
            if patience == 0 {
                return Err(ReadError::Invalid("collector list"));
            }
            patience -= 1;
            // Nothing shows that an object is still alive whose next one does not lead back even when read afresh.
            if is_fresh {
                at = trail.go_back().unwrap_or(head);
            }
            is_fresh = true;
            reader.view.refresh(&[at, node]);
            next = reader.view.u64(at, 0)? & !FLAGS;
            continue;
        }
        is_fresh = false;
        if node == head {
            return Ok(());
        }
        *seen += 1;
        if *seen > MAX_OBJECTS {
            return Err(ReadError::Limit("objects"));
        }
        let ty = block.object(type_at)?;
        let object = node.add(GC_HEADER_SIZE).ok_or(ReadError::BadPointer(node.raw()))?;
        visit(reader, object, ty)?;
        trail.pass(at);
        (at, next) = (node, onwards);
    }
}
