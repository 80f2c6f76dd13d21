//! Connections of `asyncio.start_server()`.

use crate::python::frame::{RawFrame, untag};
use crate::python::reader::{Reader, optional};
use crate::remote::ReadError;

/// LIMIT: local variables of a frame that are examined.
const MAX_LOCALS: u32 = 1_000;

/// Whether a suspended frame has the writer of a connection that a server accepted: the server makes a task of such a
/// coroutine, and in older versions keeps no reference to it.
// CPython: Lib/asyncio/streams.py, StreamReaderProtocol.connection_made, 3.8 to 3.15.
pub(super) fn serves_connection(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<bool, ReadError> {
    let locals = reader.code(frame.code)?.locals;
    for index in 0..locals.min(frame.live_slots).min(MAX_LOCALS) {
        let raw = frame.slot(reader.view, index)?;
        let Some(object) = untag(reader.layout, raw) else { continue };
        if optional(reader.type_of(object))?.is_none_or(|ty| ty.name != "StreamWriter") {
            continue;
        }
        let Some(protocol) = optional(reader.attribute_not_none(object, "_protocol"))?.flatten() else { continue };
        if optional(reader.attribute_not_none(protocol, "_client_connected_cb"))?.flatten().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
