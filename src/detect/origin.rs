//! The frame of a stack that its author is to be shown.

use crate::model::Snapshot;
use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::{Frame, FrameId};

/// The frame to show to the program's author: the innermost of their own code, otherwise of a package, otherwise the
/// innermost.
pub fn find_culprit<'s>(snapshot: &'s Snapshot, stack: &[FrameId]) -> Option<&'s Frame> {
    culprit_of(stack.iter().map(|&id| snapshot.frame(id)))
}

/// The same for frames, outermost first.
pub fn culprit_of<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Option<&'f Frame> {
    // `max_by_key` keeps the last of equal elements, which is the innermost frame.
    frames.into_iter().max_by_key(|frame| match is_generated(frame) {
        true => Origin::Python,
        false => origin_of(&frame.file),
    })
}

/// Whether no one wrote this code: methods of dataclasses, named tuples, attrs and the like, which a library has built
/// from a text. A whole program can be such a text too (`python -c`, a console); its functions have names of their own.
fn is_generated(frame: &Frame) -> bool {
    let Some(name) = frame.file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else { return false };
    let function = frame.function.rsplit('.').next().unwrap_or_default();
    let is_special = function.len() > 4 && function.starts_with("__") && function.ends_with("__");
    match name {
        "string" => is_special,
        "stdin" | "console" | "input" => false,
        name => !name.starts_with("ipython-input") && !name.starts_with("python-input"),
    }
}

/// `function (file:line)`, or without the line if it is not known.
pub fn describe(frame: &Frame) -> String {
    match frame.line {
        Some(line) => format!("{} ({}:{line})", frame.function, frame.file),
        None => format!("{} ({})", frame.function, frame.file),
    }
}
