//! Tasks that wait for a connection of a library's pool: how many connections it may have, and how many are in use.
//! Recognised by the library's own frames around the wait.

use super::anyio::member;
use crate::model::wait::{PoolKind, WaitDetail};
use crate::python::container::{read_deque_len, read_dict_items};
use crate::python::frame::NamedFrame;
use crate::python::int::read_int;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};
use crate::runtime::wait::{Place, ResourceRecord, Wait};

/// LIMIT: hosts of a connector that are looked at; a client of more is not kept waiting by one of them.
const MAX_HOSTS: usize = 10_000;

/// Whether a task whose innermost frame this is waits for a connection in the library's own code.
pub(super) fn is_leaf(frame: &NamedFrame) -> bool {
    // aiohttp: connector.py, 3.0 to 3.14: the first waits for nothing else itself, the second is the older place of it.
    frame.file.ends_with("/aiohttp/connector.py")
        && matches!(&*frame.function, "BaseConnector._wait_for_available_connection" | "BaseConnector.connect")
}

/// The wait as one for a connection, if that is what the task waits for. `chain` is outermost first.
pub(super) fn refine(reader: &mut Reader<'_, '_>, chain: &[Place<'_>], wait: Wait) -> Result<Wait, ReadError> {
    let Some((kind, place)) = find(chain) else { return Ok(wait) };
    let Some(pool) = reader.local(&place.raw, "self")? else { return Ok(wait) };
    let size = match kind {
        PoolKind::Aiohttp | PoolKind::AiohttpHost => read_aiohttp(reader, pool, place)?,
        PoolKind::Asyncpg => read_asyncpg(reader, pool)?,
        PoolKind::Sqlalchemy => read_sqlalchemy(reader, pool)?,
        PoolKind::Redis => read_redis(reader, pool)?,
        PoolKind::Httpx => read_httpx(reader, pool)?,
    };
    let Some(Size { part, used, bound }) = size else { return Ok(wait) };
    // Of which part a task has a connection is not known.
    let lock = part.is_none().then_some(pool);
    let (kind, addr) = part.unwrap_or((kind, pool));
    let words = WaitDetail::Words(format!("a connection of {}", kind.name()).into());
    let detail = match wait.detail {
        Some(WaitDetail::Timeout { ns, .. }) => WaitDetail::Timeout { ns, wait: Some(Box::new(words)) },
        _ => words,
    };
    let resource =
        ResourceRecord { addr, free: Some(bound.saturating_sub(used)), bound: Some(bound), pool: Some(kind) };
    Ok(Wait { detail: Some(detail), lock, resource: Some(resource), ..wait })
}

/// The frame of the pool, whose `self` it is.
fn find<'p, 'f>(chain: &'p [Place<'f>]) -> Option<(PoolKind, &'p Place<'f>)> {
    let leaf = chain.last()?;
    if is_leaf(leaf.named) {
        return Some((PoolKind::Aiohttp, leaf));
    }
    let is = |place: &Place<'_>, file: &str, function: &str| {
        place.named.file.ends_with(file) && place.named.function.rsplit('.').next() == Some(function)
    };
    let outer = |file: &str, function: &str| chain.iter().rev().skip(1).find(|place| is(place, file, function));
    let gets = is(leaf, "asyncio/queues.py", "get");
    if gets
        && let Some(place) = chain.iter().rev().nth(1).filter(|place| is(place, "/asyncpg/pool.py", "_acquire_impl"))
    {
        return Some((PoolKind::Asyncpg, place));
    }
    // With a timeout, the get is in a task of its own up to 3.11.
    if gets || is(leaf, "asyncio/tasks.py", "wait_for") {
        let _ = outer("/sqlalchemy/util/queue.py", "get")?;
        return outer("/sqlalchemy/pool/impl.py", "_do_get").map(|place| (PoolKind::Sqlalchemy, place));
    }
    if is(leaf, "asyncio/locks.py", "wait") {
        if &*leaf.named.function == "Condition.wait" {
            let place = outer("/redis/asyncio/connection.py", "get_connection")?;
            return Some((PoolKind::Redis, place));
        }
        let _ = outer("/httpcore/_async/connection_pool.py", "wait_for_connection")?;
        let place = outer("/httpcore/_async/connection_pool.py", "handle_async_request")?;
        return Some((PoolKind::Httpx, place));
    }
    None
}

/// What a pool says of itself.
struct Size {
    /// A part of the pool, where that is what is used up.
    part: Option<(PoolKind, Addr)>,
    used: u64,
    bound: u64,
}

impl Size {
    fn of(used: Option<u64>, bound: Option<u64>) -> Option<Self> {
        Some(Self { part: None, used: used?, bound: bound.filter(|bound| *bound > 0)? })
    }
}

fn natural(reader: &mut Reader<'_, '_>, object: Addr, name: &str) -> Result<Option<u64>, ReadError> {
    Ok(integer(reader, object, name)?.and_then(|value| u64::try_from(value).ok()))
}

fn integer(reader: &mut Reader<'_, '_>, object: Addr, name: &str) -> Result<Option<i64>, ReadError> {
    match member(reader, object, name)? {
        Some(value) => optional(read_int(reader.view, reader.layout, value)),
        None => Ok(None),
    }
}

/// The number of members of a list, set or deque.
fn count(reader: &mut Reader<'_, '_>, object: Option<Addr>) -> Result<Option<u64>, ReadError> {
    let Some(object) = object else { return Ok(None) };
    let len = match reader.type_of(object)?.name.as_str() {
        "collections.deque" | "deque" => {
            return Ok(optional(read_deque_len(reader.view, reader.layout, object))?.map(|len| len as u64));
        }
        "list" => reader.view.i64(object, reader.layout.object.size)?,
        "set" => reader.view.i64(object, reader.layout.builtin.set_used)?,
        _ => return Ok(None),
    };
    Ok(u64::try_from(len).ok())
}

fn count_of(reader: &mut Reader<'_, '_>, object: Addr, name: &str) -> Result<Option<u64>, ReadError> {
    let collection = member(reader, object, name)?;
    count(reader, collection)
}

// aiohttp: connector.py, BaseConnector._available_connections, 3.0 to 3.14. A limit of 0 is none.
fn read_aiohttp(reader: &mut Reader<'_, '_>, connector: Addr, place: &Place<'_>) -> Result<Option<Size>, ReadError> {
    let used = count_of(reader, connector, "_acquired")?;
    let whole = Size::of(used, natural(reader, connector, "_limit")?);
    if whole.as_ref().is_some_and(|size| size.used >= size.bound) {
        return Ok(whole);
    }
    let per_host = natural(reader, connector, "_limit_per_host")?;
    let of_host = match (per_host, reader.local(&place.raw, "key")?, member(reader, connector, "_acquired_per_host")?) {
        (Some(1..), Some(key), Some(hosts)) => find_host(reader, hosts, key)?,
        _ => None,
    };
    let Some(of_host) = of_host else { return Ok(whole) };
    let part = Some((PoolKind::AiohttpHost, of_host));
    Ok(Size::of(count(reader, Some(of_host))?, per_host).map(|size| Size { part, ..size }).or(whole))
}

/// The set of the connections to the host of `key`.
fn find_host(reader: &mut Reader<'_, '_>, hosts: Addr, key: Addr) -> Result<Option<Addr>, ReadError> {
    let wanted = host_of(reader, key)?;
    let items = optional(read_dict_items(reader.view, reader.layout, hosts))?.unwrap_or_default();
    let mut found = None;
    for (other, connections) in items.into_iter().take(MAX_HOSTS) {
        if wanted.is_some() && host_of(reader, other)? == wanted {
            // Two keys of one host differ in how it is reached: which one counts is not known.
            if found.is_some() {
                return Ok(None);
            }
            found = Some(connections);
        }
    }
    Ok(found)
}

/// Host and port of a key: a named tuple, earlier a class with slots.
// aiohttp: client_reqrep.py, ConnectionKey, 3.0 to 3.14.
fn host_of(reader: &mut Reader<'_, '_>, key: Addr) -> Result<Option<(String, Option<i64>)>, ReadError> {
    let (host, port) = match optional(reader.tuple(key))? {
        Some(fields) => (fields.first().copied(), fields.get(1).copied()),
        None => (member(reader, key, "host")?, member(reader, key, "port")?),
    };
    let Some(host) = host else { return Ok(None) };
    let port = match port {
        Some(port) => optional(read_int(reader.view, reader.layout, port))?,
        None => None,
    };
    Ok(optional(reader.str(host))?.map(|host| (host, port)))
}

/// The queue has the holders of connections that are not in use.
// asyncpg: pool.py, 0.20 to 0.32.
fn read_asyncpg(reader: &mut Reader<'_, '_>, pool: Addr) -> Result<Option<Size>, ReadError> {
    let bound = natural(reader, pool, "_maxsize")?;
    let free = match member(reader, pool, "_queue")? {
        Some(queue) => count_of(reader, queue, "_queue")?,
        None => None,
    };
    Ok(Size::of(bound.zip(free).map(|(bound, free)| bound.saturating_sub(free)), bound))
}

/// `_overflow` counts from minus the size of the pool.
// SQLAlchemy: pool/impl.py, QueuePool, 1.4 to 2.1.
fn read_sqlalchemy(reader: &mut Reader<'_, '_>, pool: Addr) -> Result<Option<Size>, ReadError> {
    let (overflow, most) = (integer(reader, pool, "_overflow")?, integer(reader, pool, "_max_overflow")?);
    let Some(adapted) = member(reader, pool, "_pool")? else { return Ok(None) };
    let Some(queue) = member(reader, adapted, "_queue")? else { return Ok(None) };
    let (size, idle) = (integer(reader, queue, "_maxsize")?, count_of(reader, queue, "_queue")?);
    let (Some(overflow), Some(most @ 0..), Some(size), Some(idle)) = (overflow, most, size, idle) else {
        return Ok(None);
    };
    let used = size.saturating_add(overflow).saturating_sub_unsigned(idle);
    Ok(Size::of(u64::try_from(used).ok(), u64::try_from(size.saturating_add(most)).ok()))
}

// redis: asyncio/connection.py, BlockingConnectionPool, 5.0 to 7.0.
fn read_redis(reader: &mut Reader<'_, '_>, pool: Addr) -> Result<Option<Size>, ReadError> {
    Ok(Size::of(count_of(reader, pool, "_in_use_connections")?, natural(reader, pool, "max_connections")?))
}

/// An idle connection would have been given to the request that waits.
// httpcore: _async/connection_pool.py, 1.0.
fn read_httpx(reader: &mut Reader<'_, '_>, pool: Addr) -> Result<Option<Size>, ReadError> {
    Ok(Size::of(count_of(reader, pool, "_connections")?, natural(reader, pool, "_max_connections")?))
}

/// The pool of which a task has a connection as long as it is inside of this `async with`.
pub(super) fn pool_of_manager(reader: &mut Reader<'_, '_>, manager: Addr) -> Result<Option<Addr>, ReadError> {
    match reader.type_of(manager)?.name.as_str() {
        // asyncpg: pool.py, 0.20 to 0.32.
        "PoolAcquireContext" => match member(reader, manager, "connection")? {
            Some(_) => member(reader, manager, "pool"),
            None => Ok(None),
        },
        // SQLAlchemy: ext/asyncio/engine.py and session.py, 1.4 to 2.1.
        "AsyncConnection" => match member(reader, manager, "sync_connection")? {
            Some(connection) => sqlalchemy_pool(reader, connection),
            None => Ok(None),
        },
        "AsyncSession" => sqlalchemy_pool_of_session(reader, manager),
        // aiohttp: client.py, 3.0 to 3.14: a response gives its connection back once it was read.
        "_BaseRequestContextManager" | "_RequestContextManager" | "_SessionRequestContextManager" => {
            follow(reader, manager, &["_resp", "_connection", "_connector"])
        }
        _ => Ok(None),
    }
}

/// The last of a row of attributes, each of the one before.
fn follow(reader: &mut Reader<'_, '_>, object: Addr, names: &[&str]) -> Result<Option<Addr>, ReadError> {
    let mut object = object;
    for name in names {
        match member(reader, object, name)? {
            Some(next) => object = next,
            None => return Ok(None),
        }
    }
    Ok(Some(object))
}

// SQLAlchemy: engine/base.py, Connection; pool/base.py, _ConnectionFairy; 1.4 to 2.1.
fn sqlalchemy_pool(reader: &mut Reader<'_, '_>, connection: Addr) -> Result<Option<Addr>, ReadError> {
    follow(reader, connection, &["_dbapi_connection", "_pool"])
}

/// A session has a connection from its first statement to the end of its transaction.
// SQLAlchemy: orm/session.py, SessionTransaction._connections: tuples that begin with the connection; 1.4 to 2.1.
fn sqlalchemy_pool_of_session(reader: &mut Reader<'_, '_>, session: Addr) -> Result<Option<Addr>, ReadError> {
    let Some(connections) = follow(reader, session, &["sync_session", "_transaction", "_connections"])? else {
        return Ok(None);
    };
    let items = optional(read_dict_items(reader.view, reader.layout, connections))?.unwrap_or_default();
    let Some((_, entry)) = items.first() else { return Ok(None) };
    let entry = optional(reader.tuple(*entry))?.unwrap_or_default();
    match entry.first() {
        Some(connection) => sqlalchemy_pool(reader, *connection),
        None => Ok(None),
    }
}
