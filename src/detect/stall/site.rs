//! Where the time of a stall was spent: the heaviest place in the program, and its heaviest stack.

use rustc_hash::FxHashMap;

use super::tally::{Share, Tally};
use crate::detect::origin;
use crate::model::snapshot::Frame;
use crate::model::tables::Tables;

/// A place in the program.
#[derive(Debug)]
pub(super) struct Site<'f> {
    /// The frame to change.
    pub(super) frame: Option<&'f Frame>,
    /// Its heaviest share.
    pub(super) share: Share,
    /// The frames of that share, outermost first.
    pub(super) frames: Vec<&'f Frame>,
}

impl Site<'_> {
    /// How many of the frames are coroutines.
    pub(super) fn coroutines(&self) -> usize {
        usize::from(self.share.place.coroutines).min(self.frames.len())
    }

    /// The calls below the coroutines.
    pub(super) fn synchronous(&self) -> &[&Frame] {
        &self.frames[self.coroutines()..]
    }
}

/// The owner of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The loop's thread.
    Own,
    /// The thread that held the GIL.
    Holder,
}

/// The site with the most time among `shares`. Running code is at a different line in every sample: everything in one
/// function is one site, represented by its heaviest stack. Shares without frames count only if there are no others.
pub(super) fn heaviest<'f>(
    tally: &'f Tally,
    tables: &'f Tables,
    whose: Whose,
    shares: impl Iterator<Item = Share>,
) -> Option<Site<'f>> {
    let mut sites: FxHashMap<_, (u64, Site<'f>)> = FxHashMap::default();
    for share in shares {
        let frames = match whose {
            Whose::Own => tally.frames(&share.place, tables),
            Whose::Holder => tally.holder_frames(&share.place, tables),
        };
        let frame = origin::culprit_of(frames.iter().copied());
        let key = frame.map(|frame| (&frame.function, &frame.file));
        let site = Site { frame, share, frames };
        match sites.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert((share.ns, site));
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let (ns, known) = entry.get_mut();
                *ns = ns.saturating_add(share.ns);
                if is_heavier(&site, known) {
                    *known = site;
                }
            }
        }
    }
    // Equal weights are ordered by name, so that the same samples always give the same answer.
    let heaviest = sites.into_iter().max_by_key(|(key, (ns, _))| (key.is_some(), *ns, std::cmp::Reverse(*key)));
    heaviest.map(|(_, (_, site))| site)
}

fn is_heavier(site: &Site<'_>, than: &Site<'_>) -> bool {
    let order = |site: &Site<'_>| (site.share.ns, std::cmp::Reverse(site.frame.and_then(|frame| frame.line)));
    order(site) > order(than)
}
