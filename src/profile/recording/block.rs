//! How a recording begins, and the frame of a block: its kind, length and checksums, so that a reader can tell a whole
//! block from a damaged one and find the next.

/// The first bytes of the file. They contain bytes that a transfer as text would change.
pub(super) const MAGIC: [u8; 8] = *b"aprof\r\n\0";
/// Version of the format that is written. It is raised by every change that an older reader could not read, including a
/// new code.
pub(super) const VERSION: u32 = 1;
/// The oldest version that can be read.
pub(super) const OLDEST_VERSION: u32 = 1;

/// The first bytes of every block. They are not valid UTF-8, so no name in the target can contain them.
pub(super) const MARK: [u8; 4] = [0xa9, b'A', b'P', 0xfe];
/// Length of a head, bytes.
pub(super) const HEAD: usize = 44;
/// Offset of the head's checksum.
const CHECKED: usize = HEAD - 4;
/// LIMIT: bytes of an unpacked block.
pub(super) const MAX_UNPACKED: usize = 64 << 20;
/// LIMIT: bytes of a block as stored in the file. Incompressible content grows a little.
pub(super) const MAX_PACKED: usize = MAX_UNPACKED + (1 << 20);

/// The purpose of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is known when a watch begins; always the first block.
    Header = 0,
    /// The events of a period of time.
    Events = 1,
    /// All live tasks, for readers that lost an earlier block.
    State = 2,
    /// The recording ends here, complete.
    End = 3,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Header, Self::Events, Self::State, Self::End].into_iter().find(|kind| *kind as u8 == code)
    }
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// 0 for the header, then one more for each block.
    pub(super) number: u32,
    /// Length of the content that follows the head, bytes.
    pub(super) packed: usize,
    /// Length of the content once unpacked, bytes.
    pub(super) unpacked: usize,
    /// CRC-32 of the content.
    pub(super) checksum: u32,
    /// Time of the earliest event in the block.
    pub(super) first_ns: u64,
    /// Time of the latest event.
    pub(super) last_ns: u64,
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MARK);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.packed as u32).to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.unpacked as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_ns.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`; `None` when there is no head, or when its fields are values that no writer
    /// writes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if bytes[..4] != MARK || u32_at(CHECKED) != crc32fast::hash(&bytes[..CHECKED]) {
            return None;
        }
        let head = Self {
            kind: Kind::from_code(bytes[4])?,
            number: u32_at(8),
            packed: u32_at(12) as usize,
            unpacked: u32_at(16) as usize,
            checksum: u32_at(20),
            first_ns: u64_at(24),
            last_ns: u64_at(32),
        };
        (head.packed <= MAX_PACKED && head.unpacked <= MAX_UNPACKED).then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            kind: Kind::State,
            number: 7,
            packed: 300,
            unpacked: 1000,
            checksum: 0xdead_beef,
            first_ns: u64::MAX - 1,
            last_ns: 1 << 40,
        }
    }

    #[test]
    fn a_head_is_what_was_written_or_none() {
        let bytes = head().to_bytes();
        assert_eq!(Head::parse(&bytes), Some(head()));
        assert_eq!(Head::parse(&bytes[..HEAD - 1]), None);
        for bit in 0..HEAD * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::parse(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_head_that_claims_more_than_the_limits_is_none() {
        assert_eq!(Head::parse(&Head { packed: MAX_PACKED + 1, ..head() }.to_bytes()), None);
        assert_eq!(Head::parse(&Head { unpacked: MAX_UNPACKED + 1, ..head() }.to_bytes()), None);
    }
}
