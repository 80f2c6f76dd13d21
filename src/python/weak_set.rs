//! `weakref.WeakSet`: its live members.

use super::attribute::AttributeCache;
use super::container::{MAX_SET_SLOTS, OBJECTS_PER_BATCH, read_set_slots};
use super::layout::Layout;
use super::types::{TypeCache, type_of};
use crate::remote::{Addr, ReadError, Span, View};

/// The contents of a `WeakSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeakMembers {
    /// The live members.
    pub members: Vec<Addr>,
    /// Entries that could not be read because the set changed.
    pub skipped: usize,
    /// Why there are more members, if a limit is the reason.
    pub cut: Option<ReadError>,
}

/// The live members of the `weakref.WeakSet` at `addr`. A bad entry does not affect the others.
///
/// # Errors
/// `Invalid("weak set")` if there is no attribute `data`, and those of [`super::container::read_set`].
pub fn read_weak_set(
    view: &mut View<'_>,
    layout: &Layout,
    types: &mut TypeCache,
    addr: Addr,
) -> Result<WeakMembers, ReadError> {
    let data = AttributeCache::new().read(view, layout, types, addr, "data")?;
    let data = data.ok_or(ReadError::Invalid("weak set"))?;
    let slots = read_set_slots(view, layout, data, MAX_SET_SLOTS)?;
    let references: Vec<Addr> = slots.iter().filter_map(|&raw| Addr::aligned(raw)).collect();
    let mut found = WeakMembers { members: Vec::new(), skipped: slots.len() - references.len(), cut: None };
    let reference_len = layout.builtin.weakref_object as usize + 8;
    for batch in references.chunks(OBJECTS_PER_BATCH) {
        view.make_room();
        view.prefetch(batch.iter().map(|&reference| Span::new(reference, reference_len)));
        let mut referents: Vec<Addr> = Vec::with_capacity(batch.len());
        for &reference in batch {
            match read_referent(view, layout, types, reference) {
                Ok(referent) => referents.extend(referent),
                Err(error) if !error.is_final() => return Err(error),
                Err(error @ ReadError::Limit(_)) => found.cut = Some(error),
                Err(_) => found.skipped += 1,
            }
        }
        view.prefetch(referents.iter().map(|&referent| Span::new(referent, layout.object.size as usize)));
        for referent in referents {
            match types.get_type_of(view, layout, referent) {
                // A dead reference points to None.
                Ok(ty) if ty.name == "NoneType" => {}
                Ok(_) => found.members.push(referent),
                Err(error) if !error.is_final() => return Err(error),
                Err(error @ ReadError::Limit(_)) => found.cut = Some(error),
                Err(_) => found.skipped += 1,
            }
        }
        if found.cut.is_some() {
            break;
        }
    }
    Ok(found)
}

fn read_referent(
    view: &mut View<'_>,
    layout: &Layout,
    types: &mut TypeCache,
    reference: Addr,
) -> Result<Option<Addr>, ReadError> {
    /// `tp_name` of weak references: the first up to 3.11.
    const NAMES: [&str; 2] = ["weakref", "weakref.ReferenceType"];
    let ty = type_of(view, layout, reference)?;
    if types.find_base(view, layout, ty, &NAMES)?.is_none() {
        return Err(ReadError::Invalid("weak reference"));
    }
    view.pointer(reference, layout.builtin.weakref_object)
}
