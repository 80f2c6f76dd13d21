//! The flame graphs of the page: a tree of labels with their time, built from stitched stacks. What is too small to be
//! seen is left out, and the page says so.

use std::collections::HashMap;

use serde::Serialize;

use super::intern::Tables;
use crate::profile::{By, Label, Profile};
use crate::render::{flamegraph, levels};

/// LIMIT: nodes of one graph; the heaviest are kept.
const NODES: usize = 8_000;

/// LIMIT: levels of one graph.
const LEVELS: usize = 300;

/// Stands for everything that was left out below a node.
const PRUNED: &str = "(pruned)";

/// A node as written: its label (the index of a frame, or -1 minus the index of a text), its time in microseconds, and
/// how many of the following nodes are its children. Children follow their parent, each with its whole subtree.
type Node = (i64, u64, u32);

#[derive(Debug, Serialize)]
pub(super) struct FlameJson {
    title: &'static str,
    unit: &'static str,
    total_us: u64,
    /// Nodes that were left out.
    pruned: usize,
    nodes: Vec<Node>,
}

impl FlameJson {
    pub(super) fn of(profile: &Profile, by: By, tables: &mut Tables) -> Self {
        let mut tree = Tree::default();
        for weighted in profile.weights(by) {
            tree.add(&weighted.stack, weighted.time_ns);
        }
        let kept = tree.heaviest(NODES);
        let mut nodes = Vec::new();
        tree.write(&kept, tables, &mut nodes);
        Self {
            title: flamegraph::title(by),
            unit: match by {
                By::Run => "time that event loops ran it",
                By::Await => "time that tasks waited there",
                By::Wall => "lifetime of tasks",
            },
            total_us: tree.nodes.first().map_or(0, |root| root.time_ns / 1_000),
            pruned: kept.iter().filter(|kept| !**kept).count(),
            nodes,
        }
    }
}

/// A tree being built. Node 0 is the root, and each node comes after its parent.
#[derive(Debug, Default)]
struct Tree<'p> {
    nodes: Vec<Branch<'p>>,
    numbers: HashMap<(usize, Option<Label<'p>>), usize>,
}

#[derive(Debug)]
struct Branch<'p> {
    /// `None` for the root, and for nodes that are too deep.
    label: Option<Label<'p>>,
    time_ns: u64,
    children: Vec<usize>,
}

impl<'p> Tree<'p> {
    fn add(&mut self, stack: &[Label<'p>], time_ns: u64) {
        if self.nodes.is_empty() {
            self.nodes.push(Branch { label: None, time_ns: 0, children: Vec::new() });
        }
        let mut at = 0;
        self.nodes[0].time_ns = self.nodes[0].time_ns.saturating_add(time_ns);
        let too_deep = (stack.len() > LEVELS).then_some(None);
        for label in stack.iter().take(LEVELS).map(|label| Some(*label)).chain(too_deep) {
            let next = self.nodes.len();
            let number = *self.numbers.entry((at, label)).or_insert(next);
            if number == next {
                self.nodes.push(Branch { label, time_ns: 0, children: Vec::new() });
                self.nodes[at].children.push(number);
            }
            at = number;
            self.nodes[at].time_ns = self.nodes[at].time_ns.saturating_add(time_ns);
        }
    }

    /// Whether each node is among the `count` heaviest. A parent is always included if its child is: it is at least as
    /// heavy, and comes first.
    fn heaviest(&self, most: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|number| (std::cmp::Reverse(self.nodes[*number].time_ns), *number));
        let mut kept = vec![false; self.nodes.len()];
        for number in order.into_iter().take(most) {
            kept[number] = self.nodes[number].time_ns > 0 || number == 0;
        }
        kept
    }

    fn write(&self, kept: &[bool], tables: &mut Tables, out: &mut Vec<Node>) {
        let mut next = if self.nodes.is_empty() { Vec::new() } else { vec![Ok(0)] };
        while let Some(node) = next.pop() {
            let branch = match node {
                Ok(number) => &self.nodes[number],
                Err(pruned_ns) => {
                    out.push((text(PRUNED, tables), us(pruned_ns), 0));
                    continue;
                }
            };
            let mut children: Vec<usize> = branch.children.iter().copied().filter(|child| kept[*child]).collect();
            children.sort_by_key(|child| (std::cmp::Reverse(self.nodes[*child].time_ns), *child));
            let left_out =
                branch.children.iter().filter(|child| !kept[**child]).map(|child| self.nodes[*child].time_ns);
            let pruned_ns = left_out.fold(0, u64::saturating_add);
            let many = children.len() + usize::from(pruned_ns > 0);
            // CAST: below the limit.
            out.push((number_of(branch.label, tables), us(branch.time_ns), many as u32));
            if pruned_ns > 0 {
                next.push(Err(pruned_ns));
            }
            next.extend(children.into_iter().rev().map(Ok));
        }
    }
}

fn us(ns: u64) -> u64 {
    (ns.saturating_add(500)) / 1_000
}

fn text(text: &str, tables: &mut Tables) -> i64 {
    -1 - i64::from(tables.text(text))
}

fn number_of(level: Option<Label<'_>>, tables: &mut Tables) -> i64 {
    match level {
        None => text("all", tables),
        Some(Label::Frame(frame)) => i64::from(tables.frame(frame)),
        Some(other) => text(&levels::level(&other).name, tables),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Frame;

    fn frames(count: u32) -> Vec<Frame> {
        (0..count).map(|line| Frame { function: "f".into(), file: "a.py".into(), line: Some(line + 1) }).collect()
    }

    fn written(tree: &Tree<'_>, most: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        tree.write(&tree.heaviest(most), &mut Tables::default(), &mut nodes);
        nodes
    }

    /// How many nodes a subtree has, checking that no child is heavier than its parent.
    fn size(nodes: &[Node], at: usize) -> usize {
        let mut next = at + 1;
        let mut sum = 0;
        for _ in 0..nodes[at].2 {
            sum += nodes[next].1;
            next += size(nodes, next);
        }
        assert!(sum <= nodes[at].1, "{nodes:?}");
        next - at
    }

    #[test]
    fn stacks_become_one_tree() {
        let frames = frames(3);
        let mut tree = Tree::default();
        tree.add(&[Label::Callback, Label::Frame(&frames[0])], 3_000);
        tree.add(&[Label::Callback, Label::Frame(&frames[1])], 5_000);
        tree.add(&[Label::Callback], 1_000);
        let nodes = written(&tree, 10);
        assert_eq!(nodes.iter().map(|node| (node.1, node.2)).collect::<Vec<_>>(), [(9, 1), (9, 2), (5, 0), (3, 0)]);
        assert_eq!(size(&nodes, 0), 4);
    }

    #[test]
    fn what_is_left_out_is_told_as_one_node() {
        let frames = frames(10);
        let mut tree = Tree::default();
        for (number, frame) in (1..).zip(&frames) {
            tree.add(&[Label::Callback, Label::Frame(frame)], number * 1_000);
        }
        let nodes = written(&tree, 5);
        let times: Vec<_> = nodes.iter().map(|node| node.1).collect();
        assert_eq!(times, [55, 55, 10, 9, 8, 28]);
        assert_eq!(size(&nodes, 0), 6);
    }

    #[test]
    fn a_stack_without_end_has_an_end() {
        let frames = frames(5_000);
        let labels: Vec<_> = frames.iter().map(Label::Frame).collect();
        let mut tree = Tree::default();
        tree.add(&labels, 7_000);
        assert_eq!(written(&tree, NODES).len(), LEVELS + 2);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(written(&Tree::default(), 10).is_empty());
    }
}
