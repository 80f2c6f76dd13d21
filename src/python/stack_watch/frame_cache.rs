//! Frames that are read ahead: which ones, and how likely the next stack contains them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::plan::Link;
use crate::remote::Addr;

/// LIMIT: frames that are kept, or read at once, besides those of the last stack.
const MAX_EXTRA: usize = 32;

/// How likely a frame is in the next stack, in 256ths, from how often it was in the last ones.
#[derive(Clone, Copy, Default)]
struct Score(u16);

impl Score {
    /// An unneeded frame, read twice in each call, costs less than a missing one, which takes two more calls: up to
    /// about one in six. So a frame seen once is read for two more samples.
    const ENOUGH: u16 = 48;

    fn used(self) -> Self {
        Self(self.0 + (256 - self.0) / 3)
    }

    /// The score after a sample in which something changed.
    fn aged(self) -> Self {
        Self(self.0 - self.0 / 4)
    }
}

/// Frames by their address.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: FxHashMap<Addr, (Link, Score)>,
    /// Frames reached by the attempts of this sample.
    visited: FxHashSet<Addr>,
}

impl FrameCache {
    pub(super) fn get(&self, addr: Addr) -> Option<Link> {
        self.frames.get(&addr).map(|(link, _)| *link)
    }

    /// Records that these frames were in a stack.
    pub(super) fn mark_used(&mut self, links: &[Link]) {
        for link in links {
            let entry = self.frames.entry(link.addr).or_insert((*link, Score::default()));
            *entry = (*link, entry.1.used());
        }
    }

    /// Starts a new sample: frames reached by the attempts of the previous one no longer count as visited.
    pub(super) fn begin_sample(&mut self) {
        self.visited.clear();
    }

    /// Updates the links of known frames.
    pub(super) fn refresh(&mut self, links: &[Link]) {
        for link in links {
            if let Some((known, _)) = self.frames.get_mut(&link.addr) {
                *known = *link;
            }
        }
    }

    /// An attempt has reached this frame. Returns whether it is the first time.
    pub(super) fn visit(&mut self, addr: Addr) -> bool {
        self.visited.insert(addr)
    }

    /// Adds a frame that is worth reading until this sample is taken; longer if it turns out to be in the stack.
    pub(super) fn insert(&mut self, link: Link) {
        self.frames.insert(link.addr, (link, Score::default()));
    }

    /// Forgets frames that are unlikely to be needed again. Every frame that is read makes a call longer, and the
    /// longer it takes the less of it is consistent, so this is done whether or not samples succeed. The last stack has
    /// `last` frames and, as far as it is known, starts at `current`. Returns whether any were forgotten.
    pub(super) fn evict(&mut self, last: usize, current: Option<Addr>) -> bool {
        let before = self.frames.len();
        self.frames.retain(|_, (_, score)| {
            *score = score.aged();
            score.0 >= Score::ENOUGH
        });
        let limit = last + MAX_EXTRA;
        if self.frames.len() > limit {
            let mut scores: Vec<u16> = self.frames.values().map(|(_, score)| score.0).collect();
            scores.sort_unstable_by_key(|score| std::cmp::Reverse(*score));
            let (least, stack) = (scores[limit], self.depths(current));
            // Frames with the same score are forgotten together, except those of the last stack.
            self.frames.retain(|addr, (_, score)| score.0 > least || stack.contains_key(addr));
        }
        self.frames.len() != before
    }

    /// Forgets all frames but these.
    pub(super) fn retain(&mut self, links: &[Link]) {
        self.frames.retain(|addr, _| links.iter().any(|link| link.addr == *addr));
        self.visited.clear();
    }

    /// The frames to read, each with its distance from the current frame. Frames that have left the stack may be the
    /// next to be called; of those reached on the way to this stack only the ones in it count, unless `all` are
    /// requested and there are not too many.
    pub(super) fn to_read(&self, last: usize, current: Option<Addr>, all: bool) -> Vec<(usize, Link)> {
        let depths = self.depths(current);
        let all = all && self.frames.len() <= last + MAX_EXTRA;
        let wanted = |(link, score): &(Link, Score)| match depths.get(&link.addr) {
            Some(depth) => Some((*depth, *link)),
            None => (all || score.0 > 0 || self.visited.contains(&link.addr)).then_some((0, *link)),
        };
        self.frames.values().filter_map(wanted).collect()
    }

    /// The distance of each frame from the current one.
    fn depths(&self, current: Option<Addr>) -> FxHashMap<Addr, usize> {
        let mut depths = FxHashMap::default();
        let mut next = current;
        while let Some(link) = next.and_then(|addr| self.get(addr)) {
            if depths.insert(link.addr, depths.len()).is_some() {
                break;
            }
            next = Addr::aligned(link.previous);
        }
        depths
    }
}
