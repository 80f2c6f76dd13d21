//! `str`, `bytes` and C strings.

use super::block::{offset, read_block};
use super::builtin::{Builtin, check_builtin};
use super::layout::Layout;
use crate::remote::{Addr, ReadError, View};

/// LIMIT: characters kept of a str. Names and file names are far shorter; a document in a local variable is not worth
/// its memory.
pub const MAX_STR_CHARS: usize = 64 << 10;

/// LIMIT: bytes of a bytes object. The longest are the line tables and bytecode of generated modules.
pub const MAX_BYTES: u64 = 16 << 20;

/// Marks the place where a longer str was cut.
const ELLIPSIS: char = '\u{2026}';

/// C strings are read in pieces of this size: no piece crosses a page unless the string does.
const C_STR_PIECE: u64 = 64;

/// The str at `addr`. Lone surrogates become U+FFFD; of more than [`MAX_STR_CHARS`] characters the rest is replaced by
/// an ellipsis.
///
/// # Errors
/// `Invalid("str")` if it is not one, `Invalid("compact str")` for the legacy kind whose characters are elsewhere (C
/// code of old versions, and instances of subclasses of str).
pub fn read_str(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<String, ReadError> {
    check_builtin(view, layout, addr, Builtin::Str)?;
    let shape = read_shape(view, layout, addr)?;
    let kept = shape.chars.min(MAX_STR_CHARS as u64) as usize;
    let bytes = read_block(view, offset(addr, shape.data)?, kept * shape.width)?;
    let mut text = parse_chars(&bytes, shape.width, shape.ascii)?;
    if shape.chars > MAX_STR_CHARS as u64 {
        text.push(ELLIPSIS);
    }
    Ok(text)
}

/// Whether the object at `addr` is the str `name`, which must be ASCII. Cheap if the length differs; whether the object
/// is a str at all is checked only if everything else matches.
pub(crate) fn is_str(view: &mut View<'_>, layout: &Layout, addr: Addr, name: &str) -> Result<bool, ReadError> {
    if view.u64(addr, layout.unicode.length)? != name.len() as u64 {
        return Ok(false);
    }
    let shape = match read_shape(view, layout, addr) {
        Ok(shape) => shape,
        Err(error) if !error.is_final() => return Err(error),
        Err(_) => return Ok(false),
    };
    if !shape.ascii || view.bytes(offset(addr, shape.data)?, name.len())? != name.as_bytes() {
        return Ok(false);
    }
    match check_builtin(view, layout, addr, Builtin::Str) {
        Err(error) if !error.is_final() => Err(error),
        checked => Ok(checked.is_ok()),
    }
}

struct Shape {
    chars: u64,
    /// Bytes per character.
    width: usize,
    ascii: bool,
    /// Where the characters start.
    data: u64,
}

fn read_shape(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Shape, ReadError> {
    const INVALID: ReadError = ReadError::Invalid("str");
    let unicode = &layout.unicode;
    let chars = u64::try_from(view.i64(addr, unicode.length)?).map_err(|_| INVALID)?;
    let state = view.u32(addr, unicode.state)?;
    let bit = |at: u32| state >> at & 1 == 1;
    let ascii = bit(unicode.ascii_bit);
    if !bit(unicode.compact_bit) {
        return Err(ReadError::Invalid("compact str"));
    }
    let width = match (state >> unicode.kind_bit & 7, ascii) {
        (1, _) => 1,
        (2, false) => 2,
        (4, false) => 4,
        _ => return Err(INVALID),
    };
    let data = if ascii { unicode.ascii_data } else { unicode.compact_data };
    Ok(Shape { chars, width, ascii, data })
}

fn parse_chars(bytes: &[u8], width: usize, ascii: bool) -> Result<String, ReadError> {
    const INVALID: ReadError = ReadError::Invalid("str");
    match width {
        1 if ascii && !bytes.is_ascii() => Err(INVALID),
        1 => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
        2 => Ok(bytes.as_chunks::<2>().0.iter().map(|&unit| or_replacement(u16::from_le_bytes(unit).into())).collect()),
        _ => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&unit| match u32::from_le_bytes(unit) {
                point if point <= u32::from(char::MAX) => Ok(or_replacement(point)),
                _ => Err(INVALID),
            })
            .collect(),
    }
}

fn or_replacement(point: u32) -> char {
    char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The zero-terminated UTF-8 string at `addr`.
///
/// # Errors
/// `Invalid("C string")` if there is no zero within `max` bytes or the bytes are not UTF-8.
pub fn read_c_str(view: &mut View<'_>, addr: Addr, max: usize) -> Result<String, ReadError> {
    const INVALID: ReadError = ReadError::Invalid("C string");
    let mut text = Vec::new();
    while text.len() < max {
        let at = offset(addr, text.len() as u64)?;
        let until_boundary = (C_STR_PIECE - at.raw() % C_STR_PIECE) as usize;
        // The bytes after the string in the last piece do not belong to it.
        let piece = view.passing(|view| view.bytes(at, until_boundary.min(max - text.len())))?;
        let end = piece.iter().position(|&byte| byte == 0);
        view.touch(at, end.map_or(piece.len(), |end| end + 1));
        match end {
            Some(end) => {
                text.extend_from_slice(&piece[..end]);
                return String::from_utf8(text).map_err(|_| INVALID);
            }
            None => text.extend_from_slice(&piece),
        }
    }
    Err(INVALID)
}

/// The content of the bytes object at `addr`.
///
/// # Errors
/// `Invalid("bytes")` if it is not one, `Limit("bytes")` for more than [`MAX_BYTES`].
pub fn read_bytes_object(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<u8>, ReadError> {
    check_builtin(view, layout, addr, Builtin::Bytes)?;
    let len = u64::try_from(view.i64(addr, layout.object.size)?).map_err(|_| ReadError::Invalid("bytes"))?;
    if len > MAX_BYTES {
        return Err(ReadError::Limit("bytes"));
    }
    read_block(view, offset(addr, layout.builtin.bytes_data)?, len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_not_joined() {
        let units: Vec<u8> = [0x61u16, 0xd83d, 0xde00].iter().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(parse_chars(&units, 2, false).unwrap(), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_number_beyond_unicode_is_no_character() {
        assert_eq!(parse_chars(&0x11_0000u32.to_le_bytes(), 4, false), Err(ReadError::Invalid("str")));
    }

    #[test]
    fn bytes_above_ascii_are_latin1_unless_the_str_says_ascii() {
        assert_eq!(parse_chars(&[0xe9], 1, false).unwrap(), "é");
        assert_eq!(parse_chars(&[0xe9], 1, true), Err(ReadError::Invalid("str")));
    }
}
