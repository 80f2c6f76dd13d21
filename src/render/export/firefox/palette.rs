//! The category of a stack level, as the Firefox Profiler colours it: a coroutine, a synchronous call, the loop's own
//! machinery, whatever blocks the thread, or unknown.

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, Frame, FrameFlags, FrameInfo, Profile, StackHandle, ThreadHandle,
};

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

/// The categories of a profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    coroutine: CategoryHandle,
    call: CategoryHandle,
    machinery: CategoryHandle,
    blocked: CategoryHandle,
    idle: CategoryHandle,
    torn: CategoryHandle,
    unknown: CategoryHandle,
}

impl Palette {
    pub(super) fn new(profile: &mut Profile) -> Self {
        Self {
            coroutine: profile.add_category("Coroutine", CategoryColor::Green),
            call: profile.add_category("Synchronous call", CategoryColor::Blue),
            machinery: profile.add_category("Event loop", CategoryColor::Gray),
            blocked: profile.add_category("Blocked", CategoryColor::Red),
            idle: profile.add_category("Idle", CategoryColor::Transparent),
            torn: profile.add_category("Torn", CategoryColor::Magenta),
            unknown: profile.add_category("Unknown", CategoryColor::DarkGray),
        }
    }

    pub(super) fn blocked(&self) -> CategoryHandle {
        self.blocked
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
        let category = match kind {
            Kind::Coroutine => self.coroutine,
            Kind::Call => self.call,
            Kind::Machinery => self.machinery,
            Kind::Blocked => self.blocked,
            Kind::Idle => self.idle,
            Kind::Torn => self.torn,
            Kind::Unknown => self.unknown,
        };
        let frame = Frame::Label(profile.intern_string(text));
        let frame = FrameInfo { frame, category_pair: category.into(), flags: FrameFlags::empty() };
        let frame = profile.intern_frame(thread, frame);
        profile.intern_stack(thread, caller, frame)
    }
}
