//! JSON as all formats write it.

use std::io::{self, Write};

use serde::Serialize;

use super::escape;

/// A value that is written as an object with these fields, in this order: each is `name: value`, or the name alone
/// of a variable. A name that Rust reserves is written as `r#type`. Attributes of serde apply to their field.
macro_rules! object {
    ($($(#[$attribute:meta])* $field:ident $(: $value:expr)?),* $(,)?) => {{
        #[allow(non_camel_case_types, reason = "the type of each field is a parameter with the field's name")]
        let object = {
            #[derive(::serde::Serialize)]
            struct Object<$($field),*> {
                $($(#[$attribute])* $field: $field),*
            }
            Object { $($field $(: $value)?),* }
        };
        object
    }};
}

pub(crate) use object;

/// Writes a value as one line.
pub(super) fn write_line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    value.serialize(&mut serializer(&mut out))?;
    out.write_all(b"\n")?;
    out.flush()
}

pub(super) fn serializer<W: Write>(out: W) -> serde_json::Serializer<W, Harmless> {
    serde_json::Serializer::with_formatter(out, Harmless)
}

/// Compact JSON that is safe to print: characters that a terminal would obey are escaped even where JSON does not
/// require it.
pub(super) struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // Escaped controls below U+0020 never get here; the other ASCII control is U+007F.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if escape::is_deceptive(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            } else {
                out.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}
