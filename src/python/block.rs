//! A structure that was copied once, decoded field by field from the copy. It must not read the target.

use super::layout::Offset;
use crate::target::{Addr, ReadError};

/// A copy of foreign bytes. Fields beyond its end are errors, never panics.
#[derive(Clone, Copy)]
pub(crate) struct Block<'b>(pub(crate) &'b [u8]);

impl Block<'_> {
    fn field<const N: usize>(self, at: Offset) -> Result<[u8; N], ReadError> {
        let start = usize::try_from(at).map_err(|_| ReadError::Invalid("offset"))?;
        let bytes = start.checked_add(N).and_then(|end| self.0.get(start..end));
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ReadError::Invalid("offset"))
    }

    pub(crate) fn u64(self, at: Offset) -> Result<u64, ReadError> {
        self.field(at).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(self, at: Offset) -> Result<i64, ReadError> {
        self.field(at).map(i64::from_le_bytes)
    }

    pub(crate) fn i32(self, at: Offset) -> Result<i32, ReadError> {
        self.field(at).map(i32::from_le_bytes)
    }

    pub(crate) fn u32(self, at: Offset) -> Result<u32, ReadError> {
        self.field(at).map(u32::from_le_bytes)
    }

    pub(crate) fn i8(self, at: Offset) -> Result<i8, ReadError> {
        self.field(at).map(i8::from_le_bytes)
    }

    pub(crate) fn u8(self, at: Offset) -> Result<u8, ReadError> {
        self.field(at).map(|[byte]| byte)
    }

    /// An object pointer: `None` when null.
    pub(crate) fn pointer(self, at: Offset) -> Result<Option<Addr>, ReadError> {
        match self.u64(at)? {
            0 => Ok(None),
            raw => Addr::aligned(raw).map(Some).ok_or(ReadError::BadPointer(raw)),
        }
    }

    /// An object pointer that must not be null.
    pub(crate) fn object(self, at: Offset) -> Result<Addr, ReadError> {
        self.pointer(at)?.ok_or(ReadError::BadPointer(0))
    }
}
