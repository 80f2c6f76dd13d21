//! The category of a stack level, as the Firefox Profiler colours it: a coroutine, a synchronous call, the loop's own
//! machinery, whatever blocks the thread, or unknown.

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, Frame, FrameFlags, FrameInfo, Profile, StackHandle, ThreadHandle,
};

use crate::model::snapshot as model;
use crate::render::report::words;

/// The category of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Coroutine,
    Call,
    Machinery,
    /// Blocked by a system call or by the GIL.
    Blocked,
    /// Waiting for events, as it should.
    Idle,
    Torn,
    Unknown,
}

/// The categories of a profile, by kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette([CategoryHandle; 7]);

impl Palette {
    pub(super) fn new(profile: &mut Profile) -> Self {
        // INVARIANT: in the order of `Kind`.
        let categories = [
            ("Coroutine", CategoryColor::Green),
            ("Synchronous call", CategoryColor::Blue),
            ("Event loop", CategoryColor::Gray),
            ("Blocked", CategoryColor::Red),
            ("Idle", CategoryColor::Transparent),
            ("Torn", CategoryColor::Magenta),
            ("Unknown", CategoryColor::DarkGray),
        ];
        Self(categories.map(|(name, color)| profile.add_category(name, color)))
    }

    pub(super) fn blocked(&self) -> CategoryHandle {
        self.0[Kind::Blocked as usize]
    }

    /// The stack of a level, given the stack that calls it.
    pub(super) fn label(
        &self,
        profile: &mut Profile,
        thread: ThreadHandle,
        caller: Option<StackHandle>,
        text: &str,
        kind: Kind,
    ) -> StackHandle {
        let frame = Frame::Label(profile.intern_string(text));
        let frame = FrameInfo { frame, category_pair: self.0[kind as usize].into(), flags: FrameFlags::empty() };
        let frame = profile.intern_frame(thread, frame);
        profile.intern_stack(thread, caller, frame)
    }

    /// The stack of code, outermost frame first; `None` if it is empty.
    pub(super) fn code<'f>(
        &self,
        profile: &mut Profile,
        thread: ThreadHandle,
        frames: impl IntoIterator<Item = (&'f model::Frame, Kind)>,
        is_torn: bool,
    ) -> Option<StackHandle> {
        let mut stack = None;
        for (frame, kind) in frames {
            stack = Some(self.label(profile, thread, stack, &words::frame(frame), kind));
        }
        if is_torn { Some(self.label(profile, thread, stack, "<torn>", Kind::Torn)) } else { stack }
    }
}
