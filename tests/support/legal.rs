//! Judges sampled stacks of `tests/programs/legal_stacks.py` by the tree of legal stacks that the program writes. It must
//! not know who sampled them, nor how: a stack is a list of frames, and whether its inner part is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

/// A frame, as a sampler shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Plain or qualified name.
    pub function: String,
    /// Path of the source.
    pub file: String,
    /// `None` where the sampler does not know.
    pub line: Option<u32>,
}

/// A function on the way from the root, with the calls it makes.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    function: String,
    file: String,
    /// First and last line of its own code.
    lines: (u32, u32),
    /// By line.
    calls: BTreeMap<u32, Vec<Node>>,
}

/// All legal stacks of a program.
#[derive(Clone, Debug, Deserialize)]
pub struct Legal {
    tree: Vec<Node>,
}

impl Legal {
    /// Takes the program's own word.
    pub fn of(said: serde_json::Value) -> Result<Self, String> {
        serde_json::from_value(said).map_err(|error| format!("not a tree of legal stacks: {error}"))
    }

    /// What makes a stack impossible; `stack` has its outermost frame first. Of a torn one, the frames that are there must
    /// begin a legal stack.
    pub fn fault(&self, stack: &[Frame], torn: bool) -> Option<String> {
        if stack.is_empty() {
            return (!torn).then(|| "a complete stack without frames".to_owned());
        }
        let mut nodes: Vec<&Node> = self.tree.iter().collect();
        for (position, frame) in stack.iter().enumerate() {
            nodes.retain(|node| node.is(frame));
            if nodes.is_empty() {
                return Some(describe(stack, position, "cannot be called from there"));
            }
            if position + 1 == stack.len() {
                let own = |line: u32| nodes.iter().any(|node| (node.lines.0..=node.lines.1).contains(&line));
                let right = frame.line.is_none_or(own);
                return (!right).then(|| describe(stack, position, "is outside of its function"));
            }
            let below: Vec<&Node> = nodes.iter().flat_map(|node| node.below(frame.line)).collect();
            if below.is_empty() {
                return Some(describe(stack, position, "calls nothing there"));
            }
            nodes = below;
        }
        None
    }

    /// Every node with a legal stack that ends in it, for those who test a checker.
    pub fn stacks(&self) -> Vec<Vec<Frame>> {
        let mut found = Vec::new();
        for node in &self.tree {
            node.collect(&mut Vec::new(), &mut found);
        }
        found
    }
}

impl Node {
    fn is(&self, frame: &Frame) -> bool {
        // Qualified names end in the plain one, which is what a trace function is told.
        frame.file == self.file && frame.function.rsplit('.').next() == Some(&self.function)
    }

    fn below(&self, line: Option<u32>) -> Vec<&Node> {
        match line {
            Some(line) => self.calls.get(&line).into_iter().flatten().collect(),
            None => self.calls.values().flatten().collect(),
        }
    }

    fn collect(&self, above: &mut Vec<Frame>, found: &mut Vec<Vec<Frame>>) {
        let mut frame = Frame { function: self.function.clone(), file: self.file.clone(), line: Some(self.lines.1) };
        above.push(frame.clone());
        found.push(above.clone());
        for (line, called) in &self.calls {
            frame.line = Some(*line);
            above.pop();
            above.push(frame.clone());
            for node in called {
                node.collect(above, found);
            }
        }
        above.pop();
    }
}

fn describe(stack: &[Frame], position: usize, what: &str) -> String {
    let mut text = format!("{} {what}:", stack[position].function);
    for (number, frame) in stack.iter().enumerate() {
        let line = frame.line.map_or("?".to_owned(), |line| line.to_string());
        let mark = if number == position { " <--" } else { "" };
        let _ = write!(text, "\n    {} ({}:{line}){mark}", frame.function, frame.file);
    }
    text
}
