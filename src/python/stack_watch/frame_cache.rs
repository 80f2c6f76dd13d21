//! Frames that are read ahead: which, and how likely it is that the next stack has them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::plan::Link;
use crate::remote::Addr;

/// LIMIT: frames that are kept, or read at once, beside those of the last stack.
const MAX_EXTRA: usize = 32;

/// How likely it is that a frame is in the next stack, in 256ths, from how often it was in the last ones.
#[derive(Clone, Copy, Default)]
struct Score(u16);

impl Score {
    /// Reading a frame for nothing, twice in each call, costs less than missing it, which takes two more calls: up to about
    /// one in six. What was seen once is so read for two more samples.
    const ENOUGH: u16 = 48;

    fn used(self) -> Self {
        Self(self.0 + (256 - self.0) / 3)
    }

    /// After a sample in which something moved.
    fn aged(self) -> Self {
        Self(self.0 - self.0 / 4)
    }
}

/// Frames by their address.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: FxHashMap<Addr, (Link, Score)>,
    /// Frames that the attempts of this sample led to.
    visited: FxHashSet<Addr>,
}

impl FrameCache {
    pub(super) fn get(&self, addr: Addr) -> Option<Link> {
        self.frames.get(&addr).map(|(link, _)| *link)
    }

    /// These frames were in a stack.
    pub(super) fn mark_used(&mut self, links: &[Link]) {
        for link in links {
            let entry = self.frames.entry(link.addr).or_insert((*link, Score::default()));
            *entry = (*link, entry.1.used());
        }
    }

    /// A new sample: what the attempts of the one before led to no longer counts as visited.
    pub(super) fn begin_sample(&mut self) {
        self.visited.clear();
    }

    /// Takes over where frames that are known lead to now.
    pub(super) fn refresh(&mut self, links: &[Link]) {
        for link in links {
            if let Some((known, _)) = self.frames.get_mut(&link.addr) {
                *known = *link;
            }
        }
    }

    /// An attempt leads to this one; whether it is the first time.
    pub(super) fn visit(&mut self, addr: Addr) -> bool {
        self.visited.insert(addr)
    }

    /// A frame that is worth reading until this sample is taken; longer, if it turns out to be in the stack.
    pub(super) fn insert(&mut self, link: Link) {
        self.frames.insert(link.addr, (link, Score::default()));
    }

    /// Forgets frames that will hardly be met again. Every frame that is read makes a call longer, and the longer it takes the
    /// less of it holds together: so this is done whether or not samples succeed. The last stack has `last` frames and,
    /// as far as it is known, begins at `current`. Answers whether any were forgotten.
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
            // Of one score all go together, except those of the stack that was seen last.
            self.frames.retain(|addr, (_, score)| score.0 > least || stack.contains_key(addr));
        }
        self.frames.len() != before
    }

    /// Forgets all frames but these.
    pub(super) fn retain(&mut self, links: &[Link]) {
        self.frames.retain(|addr, _| links.iter().any(|link| link.addr == *addr));
        self.visited.clear();
    }

    /// What to read, each with its distance from the current frame. Frames that are not in the stack any more may be the next
    /// to be called; of those that were met on the way to this stack only the ones in it count, unless `all` are asked
    /// for and they are not too many.
    pub(super) fn to_read(&self, last: usize, current: Option<Addr>, all: bool) -> Vec<(usize, Link)> {
        let depths = self.depths(current);
        let all = all && self.frames.len() <= last + MAX_EXTRA;
        let wanted = |(link, score): &(Link, Score)| match depths.get(&link.addr) {
            Some(depth) => Some((*depth, *link)),
            None => (all || score.0 > 0 || self.visited.contains(&link.addr)).then_some((0, *link)),
        };
        self.frames.values().filter_map(wanted).collect()
    }

    /// How far from the current frame each of them is.
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
