//! How a recording begins.

/// The first bytes of the file. They contain bytes that a transfer as text would change.
pub(super) const MAGIC: [u8; 8] = *b"aprof\r\n\0";
/// Version of the format that is written. It is raised by every change that an older reader could not read, including a
/// new code.
pub(super) const VERSION: u32 = 1;
/// The oldest version that can be read.
pub(super) const OLDEST_VERSION: u32 = 1;
