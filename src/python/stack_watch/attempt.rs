//! What one call that reads a whole stack comes to.

use crate::remote::Addr;

pub(super) enum Attempt {
    /// The chain is whole and both readings agree on it.
    Whole { same: bool },
    /// Something did not fit together.
    Torn,
    /// Where the current frame is noted was not known before the first call.
    Unplaced,
    /// The chain leads to a frame that is in no piece.
    Unknown(Addr),
}

pub(super) enum Head {
    At(Addr),
    /// It was noted elsewhere a moment before or after.
    Unconfirmed(Addr),
    NoFrame,
    /// The current frame is noted elsewhere than it was.
    CFrame(Addr),
}

impl Head {
    pub(super) fn of(raw: u64) -> Self {
        Addr::aligned(raw).map_or(Self::NoFrame, Self::At)
    }
}
