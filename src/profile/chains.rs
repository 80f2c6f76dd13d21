//! What stands above a task in a stitched stack: the name of the outermost task, and the await stacks of the tasks that
//! wait for it. Each chain is kept once.

use rustc_hash::FxHashMap;

use super::labels::{Label, stack_labels};
use super::names::{NameId, Names};
use super::stacks::{KeptStack, Stacks};

/// Number of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChainId(u32);

/// The innermost part of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// A task that no other task waits for.
    Root(Option<NameId>),
    /// The await stack of the awaiter of whatever stands below this chain.
    Under(ChainId, Option<KeptStack>),
}

/// Chains, each kept once.
#[derive(Debug, Default)]
pub(super) struct Chains {
    links: Vec<Link>,
    ids: FxHashMap<Link, ChainId>,
}

impl Chains {
    /// LIMIT: distinct chains.
    const LIMIT: usize = 1 << 18;

    /// All chains beyond the limit. No real one has this number.
    pub(super) const OTHER: ChainId = ChainId(u32::MAX);

    pub(super) fn add(&mut self, link: Link) -> ChainId {
        if let Some(id) = self.ids.get(&link) {
            return *id;
        }
        if self.links.len() >= Self::LIMIT || matches!(link, Link::Under(Self::OTHER, _)) {
            return Self::OTHER;
        }
        let id = ChainId(self.links.len() as u32);
        self.links.push(link);
        self.ids.insert(link, id);
        id
    }

    /// Outermost first.
    pub(super) fn labels<'p>(&self, chain: ChainId, stacks: &'p Stacks, names: &'p Names) -> Vec<Label<'p>> {
        let mut parts = Vec::new();
        let mut next = Some(chain);
        while let Some(id) = next {
            next = match self.links.get(id.0 as usize) {
                None => {
                    parts.push(vec![Label::Other]);
                    None
                }
                Some(Link::Root(name)) => {
                    parts.push(vec![Label::Task(name.map(|name| &**names.text(name)))]);
                    None
                }
                Some(Link::Under(above, stack)) => {
                    parts.push(stack_labels(*stack, stacks));
                    Some(*above)
                }
            };
        }
        parts.into_iter().rev().flatten().collect()
    }
}
