//! Stacks interned up to a limit, independent of the tables they came from.

use rustc_hash::FxHashMap;

use crate::model::event::Source;
use crate::model::snapshot::Frame;
use crate::model::tables::{StackId, Tables};

/// Number of an interned stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeptStack(u32);

/// The innermost frame of a stack, and the stack that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    caller: Option<KeptStack>,
    frame: u32,
}

/// Interned stacks.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    frames: Vec<Frame>,
    frame_ids: FxHashMap<Frame, u32>,
    nodes: Vec<Node>,
    ids: FxHashMap<Node, KeptStack>,
    /// Maps the numbers of each source's tables, without this many outermost frames, to the numbers here.
    known: [FxHashMap<(StackId, u16), Option<KeptStack>>; 2],
    scratch: Vec<u32>,
}

impl Stacks {
    /// LIMIT: distinct levels of stacks. Far more than a program has; a hostile one may invent as many as it likes.
    const LIMIT: usize = 1 << 18;

    /// Stands for every stack beyond the limit. No real stack has this number.
    pub(super) const OTHER: KeptStack = KeptStack(u32::MAX);

    /// Interns a stack of a source's tables without its `skipped` outermost frames, unless it has no others.
    pub(super) fn keep(&mut self, source: Source, stack: StackId, skipped: u16, tables: &Tables) -> Option<KeptStack> {
        if let Some(kept) = self.known[source as usize].get(&(stack, skipped)) {
            return *kept;
        }
        let mut frames = std::mem::take(&mut self.scratch);
        frames.extend(tables.frames_of(stack).filter_map(|id| Some(self.keep_frame(tables.frame(id)?))));
        let skipped_of_these = if frames.len() > usize::from(skipped) { usize::from(skipped) } else { 0 };
        let mut kept = None;
        for frame in frames.drain(..).rev().skip(skipped_of_these) {
            kept = Some(self.keep_node(Node { caller: kept, frame }));
        }
        self.scratch = frames;
        let known = &mut self.known[source as usize];
        if known.len() >= Self::LIMIT {
            known.clear();
        }
        known.insert((stack, skipped), kept);
        kept
    }

    fn keep_frame(&mut self, frame: &Frame) -> u32 {
        if let Some(id) = self.frame_ids.get(frame) {
            return *id;
        }
        if self.frames.len() >= Self::LIMIT {
            return u32::MAX;
        }
        let id = self.frames.len() as u32;
        self.frames.push(frame.clone());
        self.frame_ids.insert(frame.clone(), id);
        id
    }

    fn keep_node(&mut self, node: Node) -> KeptStack {
        if node.caller == Some(Self::OTHER) || node.frame == u32::MAX {
            return Self::OTHER;
        }
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        if self.nodes.len() >= Self::LIMIT {
            return Self::OTHER;
        }
        let id = KeptStack(self.nodes.len() as u32);
        self.nodes.push(node);
        self.ids.insert(node, id);
        id
    }

    /// Forgets a source's numbers: they mean something else from now on.
    pub(super) fn forget(&mut self, source: Source) {
        self.known[source as usize].clear();
    }

    /// Outermost first; empty for stacks beyond the limit.
    pub(super) fn frames(&self, stack: KeptStack) -> Vec<&Frame> {
        let mut frames = Vec::new();
        let mut next = Some(stack);
        while let Some(node) = next.and_then(|id| self.nodes.get(id.0 as usize)) {
            frames.push(&self.frames[node.frame as usize]);
            next = node.caller;
        }
        frames.reverse();
        frames
    }
}
