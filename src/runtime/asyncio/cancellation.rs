//! Requests to cancel a task: which of them a scope around it made for its own end and takes back, and which frame handles
//! the CancelledError.

use super::anyio::member;
use super::future::is_true;
use super::lock::read_scopes;
use crate::python::coroutine::Level;
use crate::python::int::read_int;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// How many requests the scopes that a task has entered made themselves and have yet to take back; `None` if that cannot be
/// known.
pub fn count_own_requests(reader: &mut Reader<'_, '_>, levels: &[Level]) -> Result<Option<u32>, ReadError> {
    let (mut own, mut seen) = (0_u32, Vec::new());
    for level in levels {
        for scope in read_scopes(reader, &level.frame)? {
            if seen.contains(&scope) {
                continue;
            }
            seen.push(scope);
            match own_request(reader, scope)? {
                Request::None => {}
                Request::One => own = own.saturating_add(1),
                Request::AnyNumber => return Ok(None),
            }
        }
    }
    Ok(Some(own))
}

/// What a scope has requested.
enum Request {
    None,
    One,
    AnyNumber,
}

fn own_request(reader: &mut Reader<'_, '_>, scope: Addr) -> Result<Request, ReadError> {
    let one = |is_one: bool| if is_one { Request::One } else { Request::None };
    let name = reader.type_of(scope)?.name.clone();
    Ok(match name.as_str() {
        // CPython: Lib/asyncio/timeouts.py, 3.11 to 3.15; async_timeout 4 and 5.
        "Timeout" => {
            let state = match member(reader, scope, "_state")? {
                Some(state) => optional(reader.str_attribute(state, "_value_"))?.flatten(),
                None => None,
            };
            one(state.is_none_or(|state| matches!(state.as_str(), "expiring" | "TIMEOUT")))
        }
        // aiohttp: helpers.py, 3.8 to 3.14.
        "TimerContext" => one(optional(is_true(reader, scope, "_cancelled"))?.unwrap_or(true)),
        "TaskGroup" => match member(reader, scope, "cancel_scope")? {
            Some(scope) => anyio_scope(reader, scope)?,
            // CPython: Lib/asyncio/taskgroups.py, 3.11 to 3.15.
            None => one(optional(is_true(reader, scope, "_parent_cancel_requested"))?.unwrap_or(true)),
        },
        "CancelScope" => anyio_scope(reader, scope)?,
        _ => Request::None,
    })
}

/// It repeats its request until the task ends the scope.
// anyio: _backends/_asyncio.py, 3.0 to 4.16.
fn anyio_scope(reader: &mut Reader<'_, '_>, scope: Addr) -> Result<Request, ReadError> {
    let called = match member(reader, scope, "_cancel_called")? {
        Some(called) => optional(read_int(reader.view, reader.layout, called))?,
        None => None,
    };
    Ok(if called == Some(0) { Request::None } else { Request::AnyNumber })
}

/// The innermost of the suspended coroutines that handles a CancelledError: an index of `levels`. What cannot be read is an
/// error: a cleanup must not be taken for its end.
// CPython: Include/cpython/pystate.h, 3.11 to 3.15: exc_value is the first field of _PyErr_StackItem.
pub fn find_handler(reader: &mut Reader<'_, '_>, levels: &[Level]) -> Result<Option<usize>, ReadError> {
    let of_generator = reader.layout.exceptions.of_generator;
    for (index, level) in levels.iter().enumerate().rev() {
        // The frames of a greenlet and of Cython have no entry of their own.
        if level.frame.generator != Some(level.object) {
            continue;
        }
        let handled = match reader.field(level.object, of_generator)? {
            Some(exception) => reader.is_instance(exception, "CancelledError")?,
            None => false,
        };
        if handled {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
