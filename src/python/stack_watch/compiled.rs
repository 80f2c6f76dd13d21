//! Frames of compiled programs: Nuitka marks all of them as those of generators, so that the interpreter does not free them.

use rustc_hash::FxHashSet;

use super::plan::{Link, WatchedFrame};
use crate::python::awaitable::GENERATORS;
use crate::python::layout::Layout;
use crate::python::types::TypeCache;
use crate::remote::{Addr, Memory, ReadError, View};

/// LIMIT: frames that are remembered.
const MAX_FRAMES: usize = 16_384;

/// How often in a row a stack must begin in such a frame before it is believed: a generator that is freed meanwhile looks so too.
const SEEN: u32 = 3;

/// The frames of one thread that are marked as a generator's and are not.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    frames: FxHashSet<Addr>,
    /// The frame in which a stack seems to begin, and how often in a row it did.
    suspect: Option<(Addr, u32)>,
}

impl Compiled {
    /// What was seen in the last sample says nothing about this one.
    pub(super) fn begin_sample(&mut self) {
        self.suspect = None;
    }

    pub(super) fn contains(&self, frame: Addr) -> bool {
        self.frames.contains(&frame)
    }

    /// Takes in that a stack seems to begin in a frame that is marked as that of `generator`.
    pub(super) fn suspect(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        frame: Addr,
        generator: Addr,
    ) -> Result<(), ReadError> {
        if is_generator(memory, layout, generator)? {
            self.suspect = None;
            return Ok(());
        }
        let seen = self.suspect.filter(|(suspect, _)| *suspect == frame).map_or(1, |(_, seen)| seen + 1);
        self.suspect = Some((frame, seen));
        if seen >= SEEN {
            self.insert(frame);
        }
        Ok(())
    }

    fn insert(&mut self, frame: Addr) {
        if self.frames.len() >= MAX_FRAMES {
            self.frames.clear();
        }
        self.frames.insert(frame);
    }

    /// Makes known which frames of a stack are such ones, if the program is compiled.
    pub(super) fn include(&mut self, memory: &dyn Memory, layout: &Layout, links: &[Link]) -> Result<(), ReadError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        for link in links {
            if let Some(generator) = link.frame.and_then(|frame| frame.generator)
                && !self.contains(link.addr)
                && !is_generator(memory, layout, generator)?
            {
                self.insert(link.addr);
            }
        }
        Ok(())
    }

    /// A frame as it is.
    pub(super) fn watched(&self, link: &Link) -> WatchedFrame {
        let WatchedFrame { addr, mut frame } = link.watched();
        if let Some(frame) = frame.as_mut().filter(|_| self.contains(addr)) {
            frame.generator = None;
        }
        WatchedFrame { addr, frame }
    }
}

fn is_generator(memory: &dyn Memory, layout: &Layout, object: Addr) -> Result<bool, ReadError> {
    match TypeCache::new().get_type_of(&mut View::new(memory), layout, object) {
        Ok(ty) => Ok(GENERATORS.contains(&ty.name.as_str())),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(false),
    }
}
