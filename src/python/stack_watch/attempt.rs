//! The result of one call that reads a whole stack.

use crate::remote::Addr;

pub(super) enum Attempt {
    /// The chain is whole and both readings agree on it.
    Whole { same: bool },
    /// The parts were inconsistent.
    Torn,
    /// The chain ends in a frame that is marked as that of this generator, which has no caller only for a moment.
    BeginsInGenerator { frame: Addr, generator: Addr },
    /// The place where the current frame is stored was not known before the first call.
    Unplaced,
    /// The chain leads to a frame outside all pieces.
    Unknown(Addr),
}

pub(super) enum Head {
    At(Addr),
    /// It was the current frame a moment before or after.
    Unconfirmed(Addr),
    NoFrame,
    /// The current frame is now stored at another place.
    CFrame(Addr),
}

impl Head {
    pub(super) fn of(raw: u64) -> Self {
        Addr::aligned(raw).map_or(Self::NoFrame, Self::At)
    }
}
