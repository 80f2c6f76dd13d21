//! Which stacks are equal, and which follow the same path through the program.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use super::plan::Link;
use crate::python::layout::{Frames, Layout};
use crate::remote::Addr;

/// Fingerprints of the path through the program and of the stack itself: many tasks follow the same path, each with its
/// own frames.
pub(super) fn fingerprints(layout: &Layout, links: &[Link]) -> (u64, u64) {
    let (mut path, mut frames) = (FxHasher::default(), FxHasher::default());
    for (position, link) in links.iter().enumerate() {
        frames.write_u64(link.addr.raw());
        frames.write_u64(link.previous);
        let Some(frame) = link.frame else {
            path.write_u64(0);
            continue;
        };
        let generator = frame.generator.map_or(0, Addr::raw);
        frames.write_u64(generator);
        path.write_u64(frame.code.raw());
        // A frame object only has its code's name, and its generator may have another one.
        let is_object = matches!(layout.frames, Frames::Objects(_));
        path.write_u64(if is_object { generator } else { u64::from(generator != 0) });
        if position > 0 {
            frame.instruction.hash(&mut path);
        }
    }
    let path = path.finish();
    frames.write_u64(path);
    (path, frames.finish())
}
