//! Where the time of a stall went: the place in the program that weighs most, and its heaviest stack.

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
    /// That share's frames, outermost first.
    pub(super) frames: Vec<&'f Frame>,
}

impl Site<'_> {
    /// How many of the frames are coroutines.
    pub(super) fn coroutines(&self) -> usize {
        usize::from(self.share.place.coroutines).min(self.frames.len())
    }

    /// The calls under the coroutines.
    pub(super) fn synchronous(&self) -> &[&Frame] {
        &self.frames[self.coroutines()..]
    }
}

/// Whose frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of the loop's thread.
    Own,
    /// Of the thread that kept the GIL.
    Holder,
}

/// The site with the most time among `shares`. Code that runs is at another line in every sample: what belongs to one
/// function is one site, and its heaviest stack stands for it. Shares without frames count only if there are no others.
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
    // Equal weights are told apart by name, so that the same samples always give the same answer.
    let heaviest = sites.into_iter().max_by_key(|(key, (ns, _))| (key.is_some(), *ns, std::cmp::Reverse(*key)));
    heaviest.map(|(_, (_, site))| site)
}

fn is_heavier(site: &Site<'_>, than: &Site<'_>) -> bool {
    let order = |site: &Site<'_>| (site.share.ns, std::cmp::Reverse(site.frame.and_then(|frame| frame.line)));
    order(site) > order(than)
}
