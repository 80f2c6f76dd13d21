//! Numbers and texts as bytes: the smallest pieces of a recording.
//!
//! Numbers are LEB128 varints: seven bits a byte, the lowest first, the top bit set on all bytes but the last. Signed
//! numbers are zigzag-coded first (0, -1, 1, -2, ... become 0, 1, 2, 3, ...).

/// LIMIT: bytes of one text. Longer texts are cut when they are written.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// Bytes that no writer could have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) fn put_varint(out: &mut Vec<u8>, value: impl Into<u64>) {
    let mut value = value.into();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed numbers near zero as small unsigned ones.
pub(super) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// The length, then the bytes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = shortened(text);
    put_varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

/// As much of a text as a recording stores.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// Reads encoded values and trusts none of them.
pub(super) struct Cursor<'b> {
    rest: &'b [u8],
    /// How many more items may be created from these bytes. Without it, a short text that is named a million times, or
    /// a compressed file, could take all memory.
    budget: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8], budget: usize) -> Self {
        Self { rest: bytes, budget }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `things` off the budget.
    pub(super) fn charge(&mut self, things: usize) -> Result<(), Malformed> {
        self.budget = self.budget.checked_sub(things).ok_or(Malformed("it holds more than the limit"))?;
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed("it ends in a number"))?;
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is longer than 64 bits"))
    }

    fn len(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed("a number is too large for its place"))
    }

    /// The number of items that follow, each of which takes at least a byte. They are taken off the budget.
    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.len()?;
        if count > self.rest.len() {
            return Err(Malformed("it ends before the last of its things"));
        }
        self.charge(count)?;
        Ok(count)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Malformed> {
        let len = self.len()?;
        if len > MAX_TEXT {
            return Err(Malformed("a text is longer than the limit"));
        }
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Malformed("it ends in a text"))?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

pub(super) fn inside(number: u64, len: usize) -> Result<usize, Malformed> {
    usize::try_from(number).ok().filter(|&index| index < len).ok_or(Malformed("a number is outside of its table"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor(bytes: &[u8]) -> Cursor<'_> {
        Cursor::new(bytes, 100)
    }

    proptest! {
        #[test]
        fn numbers_and_texts_are_what_was_put(a: u64, b: i64, c: u64, text: String) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_varint(&mut out, zigzag(b));
            put_varint(&mut out, zigzag(c.wrapping_sub(a).cast_signed()));
            put_text(&mut out, &text);
            let mut cursor = cursor(&out);
            prop_assert_eq!(cursor.varint(), Ok(a));
            prop_assert_eq!(cursor.varint().map(unzigzag), Ok(b));
            prop_assert_eq!(cursor.varint().map(|difference| a.wrapping_add_signed(unzigzag(difference))), Ok(c));
            prop_assert_eq!(cursor.text(), Ok(&text[..]));
            prop_assert!(cursor.is_at_end());
        }
    }

    #[test]
    fn near_numbers_are_short() {
        for (value, len) in [(0, 1), (-64, 1), (63, 1), (64, 2), (-65, 2), (1_000_000, 3), (i64::MIN, 10)] {
            let mut out = Vec::new();
            put_varint(&mut out, zigzag(value));
            assert_eq!(out.len(), len, "{value}");
        }
    }

    #[test]
    fn numbers_of_more_than_64_bits_are_refused() {
        assert_eq!(cursor(&[[0xff; 9].as_slice(), &[1]].concat()).varint(), Ok(u64::MAX));
        assert!(cursor(&[[0xff; 9].as_slice(), &[2]].concat()).varint().is_err());
        assert!(cursor(&[0xff; 20]).varint().is_err());
        assert!(cursor(&[0x80]).varint().is_err());
    }

    #[test]
    fn counts_are_held_against_what_follows_and_against_the_budget() {
        assert!(cursor(&[3, 0, 0]).count().is_err());
        assert_eq!(cursor(&[2, 0, 0]).count(), Ok(2));
        assert!(Cursor::new(&[2, 0, 0], 1).count().is_err());
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let text = "é".repeat(MAX_TEXT / 2) + "é";
        assert_eq!(shortened(&text).len(), MAX_TEXT);
        assert_eq!(shortened(&("x".to_owned() + &text)).len(), MAX_TEXT - 1);
    }
}
