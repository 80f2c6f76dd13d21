//! `int` and `float`.

use super::builtin::{Builtin, check_builtin};
use super::layout::{Int, Layout};
use super::types::has_base_named;
use crate::remote::{Addr, ReadError, View};

/// Bits of one digit of an int. CPython: Include/cpython/longintrepr.h, 64-bit builds.
const DIGIT_BITS: u32 = 30;

/// LIMIT: digits of an int that fits 64 bits.
const MAX_DIGITS: u64 = 3;

/// The int (or bool) at `addr`.
///
/// # Errors
/// `Invalid("int")` if it is not one, `Invalid("int of 64 bits")` if it does not fit.
pub fn read_int(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<i64, ReadError> {
    check_builtin(view, layout, addr, Builtin::Int)?;
    let (negative, count, digits) = match layout.int {
        Int::SignedSize { size, digits } => {
            let size = view.i64(addr, size)?;
            (size < 0, size.unsigned_abs(), digits)
        }
        Int::Tag { tag, digits } => {
            let tag = view.u64(addr, tag)?;
            match tag & 3 {
                0 => (false, tag >> 3, digits),
                1 => return Ok(0),
                2 => (true, tag >> 3, digits),
                _ => return Err(ReadError::Invalid("int")),
            }
        }
    };
    if count > MAX_DIGITS {
        return Err(ReadError::Invalid("int of 64 bits"));
    }
    let mut magnitude = 0i128;
    for place in (0..count).rev() {
        let digit = view.u32(addr, digits + 4 * place)?;
        if digit >> DIGIT_BITS != 0 {
            return Err(ReadError::Invalid("int"));
        }
        magnitude = magnitude << DIGIT_BITS | i128::from(digit);
    }
    let value = if negative { -magnitude } else { magnitude };
    i64::try_from(value).map_err(|_| ReadError::Invalid("int of 64 bits"))
}

/// The float (or instance of a subclass) at `addr`.
///
/// # Errors
/// `Invalid("float")` if it is not one.
pub fn read_float(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<f64, ReadError> {
    let ty = view.object(addr, layout.object.ob_type)?;
    if !has_base_named(view, layout, ty, "float")? {
        return Err(ReadError::Invalid("float"));
    }
    view.u64(addr, layout.builtin.float_value).map(f64::from_bits)
}
