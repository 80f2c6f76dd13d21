//! Chains of suspended coroutines: from a task's coroutine through everything it awaits, one level per coroutine,
//! generator or async generator. A walk can be resumed, so that the walks of many tasks advance together
//! (`View::wave`).

use super::awaitable::AwaitableKind;
use super::block::Block;
use super::caches::Caches;
use super::cycle::CycleDetector;
use super::frame::{
    self, EMBEDDED_HEADER, FRAME_OBJECT_HEADER, Instruction, OWNED_BY_GENERATOR, RawFrame, decode_embedded,
    decode_frame_object, untag,
};
use super::greenlet::read_greenlet_of;
use super::layout::rows::GENERATOR_BLOCK;
use super::layout::{AwaitTarget, CodeBody, Frames, GeneratorFrame, Layout};
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: levels of one chain. Recursion in coroutines is bounded by the interpreter's own limit, 1,000 by default;
/// programs that raise it do so tenfold.
pub const MAX_LEVELS: usize = 20_000;

/// One level of a chain: a coroutine-like object and its frame, or a frame of a greenlet through which it goes.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// The coroutine, generator or async generator, or the greenlet.
    pub object: Addr,
    /// Its frame.
    pub frame: RawFrame,
    /// Number of anchors recorded when this level was complete.
    pub anchors: u32,
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// The innermost level has not started yet.
    NotStarted,
    /// The innermost level is suspended at a plain `yield`.
    Yield,
    /// The innermost level is running: the rest is on a thread's stack.
    Running,
    /// The innermost level has finished.
    Finished,
    /// It awaits this object, which is not a coroutine-like thing.
    Object {
        /// The object.
        addr: Addr,
        /// Its type.
        ty: Addr,
    },
    /// Something could not be read as the expected object.
    Broken(ReadError),
    /// LIMIT: more than [`MAX_LEVELS`], or a cycle.
    Limit,
}

/// A chain, as far as it was walked, and the pieces that prove it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Outermost first.
    pub levels: Vec<Level>,
    /// The end of the chain.
    pub end: ChainEnd,
    /// If these are unchanged when read again, the chain held; in order of the walk.
    pub anchors: Vec<Span>,
}

/// A walk in progress.
pub struct ChainWalk {
    next: Option<Addr>,
    has_greenlets: bool,
    /// The suspended level whose greenlet comes next.
    above_greenlet: Option<RawFrame>,
    cycle: CycleDetector,
    chain: Chain,
}

/// How a walk continues after a level.
enum Step {
    Next(Addr),
    End(ChainEnd),
}

impl ChainWalk {
    /// A walk that starts at a coroutine-like object. With greenlets, what a coroutine runs in one lies between it and what it
    /// awaits.
    pub fn new(root: Addr, has_greenlets: bool) -> Self {
        /// Levels of a typical chain: the initial capacity.
        const USUAL: usize = 12;
        let chain =
            Chain { levels: Vec::with_capacity(USUAL), end: ChainEnd::Limit, anchors: Vec::with_capacity(USUAL + 1) };
        Self { next: Some(root), has_greenlets, above_greenlet: None, cycle: CycleDetector::default(), chain }
    }

    /// The chain, as far as it was walked.
    pub fn into_chain(self) -> Chain {
        self.chain
    }

    /// Walks on until the chain ends; ends with [`ReadError::Pending`] where a page is missing, and continues from
    /// there when called again.
    pub fn advance(&mut self, view: &mut View<'_>, layout: &Layout, caches: &mut Caches) -> Result<(), ReadError> {
        while let Some(object) = self.next {
            if let Some(frame) = self.above_greenlet {
                match self.enter_greenlet(view, layout, caches, &frame) {
                    Ok(()) => self.above_greenlet = None,
                    Err(ReadError::Pending) => return Err(ReadError::Pending),
                    Err(error) => self.finish(ChainEnd::Broken(error)),
                }
                continue;
            }
            let levels = self.chain.levels.len();
            match self.step(view, layout, caches, object) {
                Ok(Step::Next(_)) if self.chain.levels.len() + self.chain.anchors.len() > 4 * MAX_LEVELS => {
                    self.finish(ChainEnd::Limit);
                }
                Ok(Step::Next(next)) if self.cycle.is_repeat(next) => self.finish(ChainEnd::Limit),
                Ok(Step::Next(next)) => {
                    self.next = Some(next);
                    let entered = self.chain.levels.get(levels).filter(|_| self.has_greenlets);
                    self.above_greenlet = entered.map(|level| level.frame);
                }
                Ok(Step::End(end)) => self.finish(end),
                Err(ReadError::Pending) => return Err(ReadError::Pending),
                Err(error) => self.finish(ChainEnd::Broken(error)),
            }
        }
        Ok(())
    }

    fn enter_greenlet(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        caches: &mut Caches,
        frame: &RawFrame,
    ) -> Result<(), ReadError> {
        if let Some((greenlet, suspended)) = read_greenlet_of(view, layout, caches, frame)? {
            self.chain.anchors.extend(suspended.anchors);
            suspended.frames.into_iter().for_each(|frame| self.push(greenlet, frame));
        }
        Ok(())
    }

    fn finish(&mut self, end: ChainEnd) {
        self.chain.end = end;
        self.next = None;
    }

    fn step(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        caches: &mut Caches,
        object: Addr,
    ) -> Result<Step, ReadError> {
        let ty = view.object(object, layout.object.ob_type)?;
        match caches.awaitables.kind(view, layout, &mut caches.types, &mut caches.attributes, ty)? {
            AwaitableKind::Generator => match layout.generator.frame {
                GeneratorFrame::Object { frame, running, .. } => {
                    let step = self.step_frame_object(view, layout, object, frame, running)?;
                    // Only a generator can be suspended at a plain yield. A coroutine that seems to be was in the
                    // middle of a step, and its frame may look the same when it is read once more.
                    if matches!(step, Step::End(ChainEnd::Yield))
                        && caches.types.get_type_of(view, layout, object)?.name != "generator"
                    {
                        return Err(ReadError::Invalid("suspended frame"));
                    }
                    Ok(step)
                }
                GeneratorFrame::Embedded { state, iframe } => self.step_embedded(view, layout, object, state, iframe),
            },
            AwaitableKind::Wrapper => {
                let wrapped = view.object(object, layout.builtin.wrapped)?;
                self.anchor(object, layout.object.ob_type, layout.builtin.wrapped + 8);
                Ok(Step::Next(wrapped))
            }
            AwaitableKind::Cython { awaits, code } => {
                let frame = RawFrame {
                    code: view.object(object, code)?,
                    // The current line exists only in a frame object, which was never created.
                    instruction: Instruction::Offset(-1),
                    generator: None,
                    locals: object,
                    live_slots: 0,
                };
                let next = view.pointer(object, awaits)?;
                self.anchor(object, awaits, awaits + 8);
                self.push(object, frame);
                Ok(next.map_or(Step::End(ChainEnd::Yield), Step::Next))
            }
            AwaitableKind::Other => {
                // A value sent to a coroutine lies on top of what it awaits before the coroutine is marked as running,
                // and a task sends None.
                // CPython: Objects/genobject.c, gen_send_ex; gen_send_ex2 from 3.11 on.
                if !self.chain.levels.is_empty() && caches.types.get_type_of(view, layout, object)?.name == "NoneType" {
                    return Err(ReadError::Invalid("suspended frame"));
                }
                self.anchor(object, layout.object.ob_type, layout.object.ob_type + 8);
                Ok(Step::End(ChainEnd::Object { addr: object, ty }))
            }
        }
    }

    fn anchor(&mut self, object: Addr, from: u64, to: u64) {
        if let Some(start) = object.add(from) {
            self.chain.anchors.push(Span::new(start, to.saturating_sub(from) as usize));
        }
    }

    fn push(&mut self, object: Addr, frame: RawFrame) {
        self.chain.levels.push(Level { object, frame, anchors: self.chain.anchors.len() as u32 });
    }

    /// 3.11 and later: header, frame and usually the stack slot are in one piece.
    fn step_embedded(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        object: Addr,
        state_at: u64,
        iframe_at: u64,
    ) -> Result<Step, ReadError> {
        let Frames::Embedded(fields) = &layout.frames else { return Err(ReadError::Invalid("frame layout")) };
        let bytes = view.piece(object, ((iframe_at + fields.localsplus) as usize).min(GENERATOR_BLOCK))?;
        let block = Block(bytes);
        let states = layout.generator.states;
        let state = block.i8(state_at)?;
        if state == states.executing {
            self.anchor(object, state_at, state_at + 1);
            return Ok(Step::End(ChainEnd::Running));
        }
        if state >= states.finished {
            return Ok(Step::End(ChainEnd::Finished));
        }
        let frame_addr = object.add(iframe_at).ok_or(ReadError::BadPointer(object.raw()))?;
        let header = Block(bytes.get(iframe_at as usize..).ok_or(ReadError::Invalid("generator layout"))?);
        let header = decode_embedded(layout, fields, frame_addr, header)?;
        let Some(mut frame) = header.frame else { return Err(ReadError::Invalid("generator frame")) };
        // A suspended generator's frame belongs to it and has no caller.
        if header.owner != OWNED_BY_GENERATOR || header.previous != 0 {
            return Err(ReadError::Invalid("suspended frame"));
        }
        frame.generator = Some(object);
        let created = state == states.created;
        let target = if created { None } else { await_slot(view, layout, &frame, state)? };
        // One anchor from the state to the slot with the awaited object: locals of a suspended frame do not change.
        let mut end = iframe_at + EMBEDDED_HEADER as u64;
        if let Some((index, _)) = target {
            end = end.max(iframe_at + fields.localsplus + 8 * u64::from(index) + 8);
        }
        self.anchor(object, state_at, end);
        self.push(object, frame);
        step_after(layout, created, target)
    }

    /// Up to 3.10: the frame is a separate object.
    fn step_frame_object(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        object: Addr,
        frame_at: u64,
        running: Option<u64>,
    ) -> Result<Step, ReadError> {
        let Frames::Objects(fields) = &layout.frames else { return Err(ReadError::Invalid("frame layout")) };
        let is_running = match running {
            Some(at) => view.i8(object, at)? != 0,
            None => false,
        };
        let from = layout.object.ob_type;
        let Some(frame_addr) = view.pointer(object, frame_at)? else {
            return Ok(Step::End(ChainEnd::Finished));
        };
        let bytes: [u8; FRAME_OBJECT_HEADER] = view.array(frame_addr)?;
        let header = decode_frame_object(fields, frame_addr, Block(&bytes))?;
        let states = layout.generator.states;
        if is_running || header.state == Some(states.executing) {
            self.anchor(object, from, running.unwrap_or(frame_at) + 8);
            self.anchor(frame_addr, 0, FRAME_OBJECT_HEADER as u64);
            return Ok(Step::End(ChainEnd::Running));
        }
        // Up to 3.9 a frame that has just returned stays linked for some instructions, and the thread can be preempted
        // there.
        // CPython: Objects/genobject.c, gen_send_ex.
        if header.without_stack || header.state.is_some_and(|state| state >= states.finished) {
            return Ok(Step::End(ChainEnd::Finished));
        }
        if header.frame.generator != Some(object) || header.back.is_some() {
            return Err(ReadError::Invalid("suspended frame"));
        }
        let created = header.lasti < 0;
        let target = if created { None } else { await_slot(view, layout, &header.frame, 0)? };
        self.anchor(object, from, running.unwrap_or(frame_at) + 8);
        self.anchor(frame_addr, fields.back, FRAME_OBJECT_HEADER as u64);
        if let Some((index, _)) = target {
            let slot = 8 * u64::from(index);
            self.anchor(header.frame.locals, slot, slot + 8);
        }
        self.push(object, header.frame);
        step_after(layout, created, target)
    }
}

/// How a walk continues after a suspended level and the slot that holds what it awaits.
fn step_after(layout: &Layout, created: bool, target: Option<(u32, u64)>) -> Result<Step, ReadError> {
    match target {
        _ if created => Ok(Step::End(ChainEnd::NotStarted)),
        None => Ok(Step::End(ChainEnd::Yield)),
        Some((_, raw)) => untag(layout, raw).map(Step::Next).ok_or(ReadError::BadPointer(raw)),
    }
}

/// The frame of a coroutine or generator in any state, used only to find its function: nothing else in a running one is
/// stable. It is returned as one that has not started. `None` for other objects and finished ones.
pub fn read_function(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    object: Addr,
) -> Result<Option<RawFrame>, ReadError> {
    let ty = view.object(object, layout.object.ob_type)?;
    if caches.awaitables.kind(view, layout, &mut caches.types, &mut caches.attributes, ty)? != AwaitableKind::Generator
    {
        return Ok(None);
    }
    let frame = match (layout.generator.frame, &layout.frames) {
        (GeneratorFrame::Object { frame, .. }, Frames::Objects(fields)) => {
            let Some(frame) = view.pointer(object, frame)? else { return Ok(None) };
            let bytes: [u8; FRAME_OBJECT_HEADER] = view.array(frame)?;
            Some(decode_frame_object(fields, frame, Block(&bytes))?.frame)
        }
        (GeneratorFrame::Embedded { state, iframe }, Frames::Embedded(fields)) => {
            if view.i8(object, state)? >= layout.generator.states.finished {
                return Ok(None);
            }
            let frame = object.add(iframe).ok_or(ReadError::BadPointer(object.raw()))?;
            let bytes: [u8; EMBEDDED_HEADER] = view.block(frame, fields.localsplus as usize)?;
            decode_embedded(layout, fields, frame, Block(&bytes))?.frame
        }
        _ => return Err(ReadError::Invalid("generator layout")),
    };
    Ok(frame.map(|frame| RawFrame { instruction: Instruction::Offset(-1), generator: Some(object), ..frame }))
}

/// The slot that holds what a suspended frame awaits, and its raw word; `None` if it is suspended at a plain yield.
fn await_slot(
    view: &mut View<'_>,
    layout: &Layout,
    frame: &RawFrame,
    state: i8,
) -> Result<Option<(u32, u64)>, ReadError> {
    let depth = match layout.generator.awaits {
        AwaitTarget::State { depth } => match layout.generator.states.awaiting {
            Some((one, other)) if state == one || state == other => depth as u32,
            _ => return Ok(None),
        },
        AwaitTarget::ResumeArgument(resumes) => {
            let Instruction::Pointer { at, .. } = frame.instruction else { return Ok(None) };
            let next = Addr::new(at.wrapping_add(2)).ok_or(ReadError::BadPointer(at))?;
            let [opcode, argument] = view.array(next)?;
            // CPython: Python/compile.c, v3.11.7: RESUME's argument is 2 after `yield from`, 3 after `await`.
            if !resumes.contains(&opcode) || argument < 2 {
                return Ok(None);
            }
            1
        }
        AwaitTarget::NextOpcode => {
            let (Instruction::Offset(offset), CodeBody::Objects { bytecode, .. }, Frames::Objects(fields)) =
                (frame.instruction, &layout.code.body, &layout.frames)
            else {
                return Err(ReadError::Invalid("frame layout"));
            };
            let bytecode = view.object(frame.code, *bytecode)?;
            let at = layout.builtin.bytes_data + u64::try_from(offset + 2).map_err(|_| ReadError::Invalid("lasti"))?;
            if view.u8(bytecode, at)? != fields.yield_from {
                return Ok(None);
            }
            1
        }
    };
    let index = frame.live_slots.checked_sub(depth).ok_or(ReadError::Invalid("evaluation stack"))?;
    let raw = frame::RawFrame::slot(frame, view, index)?;
    Ok(Some((index, raw)))
}
