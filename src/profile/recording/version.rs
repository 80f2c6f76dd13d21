//! What a recording begins with.

/// The first bytes of the file. What a transfer as text would change is in it.
pub(super) const MAGIC: [u8; 8] = *b"aprof\r\n\0";
/// Version of the format that is written. It is raised by all that an older reader could not read, also by a new code.
pub(super) const VERSION: u32 = 1;
/// The oldest version that is read.
pub(super) const OLDEST_VERSION: u32 = 1;
