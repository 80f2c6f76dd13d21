//! Ids of tasks and event loops, as hex.

use serde::{Serialize, Serializer};

/// A number as hex. The formatting machinery would take a tenth of the total time here.
pub(super) struct HexText {
    text: [u8; 18],
    len: usize,
}

impl HexText {
    pub(super) fn of(number: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 18];
        text[1] = b'x';
        let len = (16 - number.leading_zeros() as usize / 4).max(1);
        for position in 0..len {
            text[2 + position] = DIGITS[(number >> (4 * (len - 1 - position)) & 0xf) as usize];
        }
        Self { text, len: len + 2 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("digits are ASCII")
    }
}

/// An id, as hex.
pub(super) struct Key(pub(super) u64);

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HexText::of(self.0).as_str())
    }
}
