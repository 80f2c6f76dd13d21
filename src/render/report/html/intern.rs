//! Texts, frames and stacks of the page's data, stored once and numbered.

use std::borrow::Borrow;
use std::collections::HashMap;

use serde::Serialize;

use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::Frame;
use crate::render::escape;

/// LIMIT: a longer text is cut in the middle, so that the page stays small whatever names the target uses.
const LONGEST_TEXT: usize = 400;

/// LIMIT: frames of one stack; the middle of a deeper one is left out.
const DEEPEST_STACK: usize = 200;

/// Stands for the frames that were left out of a stack.
const LEFT_OUT: i64 = -1;

#[derive(Debug, Default, Serialize)]
pub(super) struct Tables {
    texts: Vec<String>,
    /// Function and file by index in `texts`, line or 0, owner of the code.
    frames: Vec<(u32, u32, u32, u8)>,
    /// Indices of frames, outermost first; -1 for frames that are left out.
    stacks: Vec<Vec<i64>>,
    #[serde(skip)]
    text_ids: HashMap<String, u32>,
    #[serde(skip)]
    frame_ids: HashMap<Frame, u32>,
    #[serde(skip)]
    stack_ids: HashMap<Vec<i64>, u32>,
}

impl Tables {
    /// The index of a text. Deceptive characters in it are written as escapes.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        self.exact_text(escape::brief(text, LONGEST_TEXT).into_owned())
    }

    /// The index of a sentence of our own, which is not cut.
    pub(super) fn sentence(&mut self, text: &str) -> u32 {
        self.exact_text(escape::visible(text).into_owned())
    }

    fn exact_text(&mut self, text: String) -> u32 {
        if let Some(id) = self.text_ids.get(&text) {
            return *id;
        }
        // CAST: no page has this many texts; its lists have limits.
        let id = self.texts.len() as u32;
        self.texts.push(text.clone());
        self.text_ids.insert(text, id);
        id
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> u32 {
        if let Some(id) = self.frame_ids.get(frame) {
            return *id;
        }
        let whose = match origin_of(&frame.file) {
            Origin::Program => 0,
            Origin::Package => 1,
            Origin::Python => 2,
        };
        let entry = (self.text(&frame.function), self.text(&frame.file), frame.line.unwrap_or(0), whose);
        let id = self.frames.len() as u32;
        self.frames.push(entry);
        self.frame_ids.insert(frame.clone(), id);
        id
    }

    /// The index of a stack, outermost frame first.
    pub(super) fn stack(&mut self, frames: &[impl Borrow<Frame>]) -> u32 {
        let deep = frames.len();
        let left_out = deep.saturating_sub(DEEPEST_STACK);
        let outer = if left_out > 0 { DEEPEST_STACK / 2 } else { deep };
        let mut numbers = Vec::with_capacity(deep.min(DEEPEST_STACK) + 1);
        for (position, frame) in frames.iter().enumerate() {
            if position == outer {
                numbers.push(LEFT_OUT);
            }
            if !(outer..outer + left_out).contains(&position) {
                numbers.push(i64::from(self.frame(frame.borrow())));
            }
        }
        if let Some(id) = self.stack_ids.get(&numbers) {
            return *id;
        }
        let id = self.stacks.len() as u32;
        self.stacks.push(numbers.clone());
        self.stack_ids.insert(numbers, id);
        id
    }

    pub(super) fn numbered_frames(&self) -> impl Iterator<Item = (&Frame, u32)> {
        self.frame_ids.iter().map(|(frame, id)| (frame, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(line: u32) -> Frame {
        Frame { function: "f".into(), file: "app.py".into(), line: Some(line) }
    }

    #[test]
    fn what_is_said_twice_is_written_once() {
        let mut tables = Tables::default();
        let frames = [frame(1), frame(2), frame(1)];
        assert_eq!(tables.stack(&frames), tables.stack(&frames));
        assert_eq!((tables.texts.len(), tables.frames.len(), tables.stacks.len()), (2, 2, 1));
        assert_eq!(tables.text("f"), 0);
    }

    #[test]
    fn a_stack_that_is_too_deep_keeps_both_ends() {
        let mut tables = Tables::default();
        let frames: Vec<Frame> = (0..1_000).map(frame).collect();
        tables.stack(&frames);
        let stack = &tables.stacks[0];
        assert_eq!((stack.len(), stack[DEEPEST_STACK / 2]), (DEEPEST_STACK + 1, LEFT_OUT));
        assert_eq!(tables.frames[*stack.last().unwrap() as usize].2, 999);
    }
}
