//! `tuple`, `list`, `dict`, `set` and `deque`. Tables are read whole, so that the number of batches does not grow with
//! the number of members.

use super::block::{object, offset, read_block, read_words, words};
use super::builtin::{Builtin, check_builtin};
use super::layout::{DictIndex, Layout};
use super::text::is_str;
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: items of a tuple or list.
pub const MAX_ITEMS: u64 = 1_000_000;

/// LIMIT: entries of a dict, including deleted ones.
pub const MAX_DICT_ENTRIES: u64 = 1_000_000;

/// LIMIT: slots of a set: room for ten million members at its load factor.
pub const MAX_SET_SLOTS: u64 = 1 << 24;

/// LIMIT: items of a deque.
pub const MAX_DEQUE_ITEMS: u64 = 1_000_000;

/// LIMIT: objects prefetched in one batch, so that a false table does not make us hold a page for each of its entries.
pub(super) const OBJECTS_PER_BATCH: usize = 16 << 10;

/// The items of the tuple at `addr`.
///
/// # Errors
/// `Invalid("tuple")`, `Limit("tuple items")`.
pub fn read_tuple(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<Addr>, ReadError> {
    check_builtin(view, layout, addr, Builtin::Tuple)?;
    let len = length(view.i64(addr, layout.object.size)?, "tuple", MAX_ITEMS, "tuple items")?;
    read_words(view, offset(addr, layout.builtin.tuple_items)?, len)?.into_iter().map(object).collect()
}

/// The items of the list at `addr`.
///
/// # Errors
/// `Invalid("list")`, `Limit("list items")`.
pub fn read_list(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<Addr>, ReadError> {
    check_builtin(view, layout, addr, Builtin::List)?;
    let len = length(view.i64(addr, layout.object.size)?, "list", MAX_ITEMS, "list items")?;
    if len == 0 {
        return Ok(Vec::new());
    }
    let items = view.object(addr, layout.builtin.list_items)?;
    read_words(view, items, len)?.into_iter().map(object).collect()
}

fn length(raw: i64, kind: &'static str, limit: u64, limit_name: &'static str) -> Result<usize, ReadError> {
    match u64::try_from(raw) {
        Err(_) => Err(ReadError::Invalid(kind)),
        Ok(len) if len > limit => Err(ReadError::Limit(limit_name)),
        Ok(len) => Ok(len as usize),
    }
}

/// The keys of a dict, or the keys shared by the instances of a class: where the entries are and their format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DictKeys {
    entries: Addr,
    /// Entries written so far, including deleted ones.
    count: usize,
    /// Words per entry: key and value, preceded by the hash if keys can be other than str.
    entry_words: usize,
}

impl DictKeys {
    /// The head of the keys at `addr`.
    pub(crate) fn read(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Self, ReadError> {
        const INVALID: ReadError = ReadError::Invalid("dict keys");
        /// LIMIT: log2 of the index table's bytes that a dict of [`MAX_DICT_ENTRIES`] can have, with some room.
        const MAX_LOG2_BYTES: u8 = 24;
        let (index_bytes, entry_words) = match layout.dict.index {
            DictIndex::Slots(at) => {
                let slots = view.u64(addr, at)?;
                if !slots.is_power_of_two() || slots > 1 << (MAX_LOG2_BYTES - 2) {
                    return Err(INVALID);
                }
                // CPython: Objects/dictobject.c, DK_IXSIZE, v3.8.18.
                let width = if slots <= 0xff {
                    1
                } else if slots <= 0xffff {
                    2
                } else {
                    4
                };
                (slots * width, 3)
            }
            DictIndex::Log2Bytes { log2_bytes, kind } => {
                let log2_bytes = view.u8(addr, log2_bytes)?;
                if log2_bytes > MAX_LOG2_BYTES {
                    return Err(INVALID);
                }
                let entry_words = match view.u8(addr, kind)? {
                    0 => 3,
                    1 | 2 => 2,
                    _ => return Err(INVALID),
                };
                (1 << log2_bytes, entry_words)
            }
        };
        let count = length(view.i64(addr, layout.dict.nentries)?, "dict keys", MAX_DICT_ENTRIES, "dict entries")?;
        if count as u64 > index_bytes {
            return Err(INVALID);
        }
        Ok(Self { entries: offset(addr, layout.dict.indices + index_bytes)?, count, entry_words })
    }

    /// All entries as (key, value) words; either is 0 if absent.
    fn read_entries(&self, view: &mut View<'_>) -> Result<Vec<(u64, u64)>, ReadError> {
        let words = read_words(view, self.entries, self.count * self.entry_words)?;
        Ok(words.chunks_exact(self.entry_words).map(|e| (e[self.entry_words - 2], e[self.entry_words - 1])).collect())
    }

    /// Number of entries so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether the key of entry `index` is exactly this object.
    pub(crate) fn is_key(&self, view: &mut View<'_>, index: usize, key: Addr) -> Result<bool, ReadError> {
        let word = ((index + 1) * self.entry_words - 2) as u64 * 8;
        Ok(index < self.count && view.u64(self.entries, word)? == key.raw())
    }

    /// Where the value of entry `index` of keys that are not shared is.
    fn value_at(&self, index: usize) -> Result<Addr, ReadError> {
        offset(self.entries, ((index + 1) * self.entry_words - 1) as u64 * 8)
    }

    /// The index of the entry with the str key `name`, which must be ASCII. All keys are prefetched in one batch; if
    /// the right key object is known and passed, its entry is found without reading any keys.
    pub(crate) fn find(
        &self,
        view: &mut View<'_>,
        layout: &Layout,
        name: &str,
        known: Option<Addr>,
    ) -> Result<Option<(usize, Addr)>, ReadError> {
        let mut keys = Vec::new();
        for (index, (key, _)) in self.read_entries(view)?.into_iter().enumerate() {
            if key != 0 {
                keys.push((index, object(key)?));
            }
        }
        if let Some(hit) = keys.iter().find(|(_, key)| Some(*key) == known) {
            return Ok(Some(*hit));
        }
        let len = layout.unicode.ascii_data as usize + name.len();
        for batch in keys.chunks(OBJECTS_PER_BATCH) {
            view.prefetch(batch.iter().map(|&(_, key)| Span::new(key, len)));
            for &(index, key) in batch {
                // A key is a str that never changes, and the entry that contains it was read.
                if view.passing(|view| is_str(view, layout, key, name))? {
                    return Ok(Some((index, key)));
                }
            }
        }
        Ok(None)
    }
}

/// A dict's keys and, if it is a split dict, its values.
pub(crate) struct DictTable {
    /// Where the keys are.
    pub(crate) keys_addr: Addr,
    /// Their head.
    pub(crate) keys: DictKeys,
    /// The first value of a split dict.
    values: Option<Addr>,
}

impl DictTable {
    pub(crate) fn read(view: &mut View<'_>, layout: &Layout, dict: Addr) -> Result<Self, ReadError> {
        check_builtin(view, layout, dict, Builtin::Dict)?;
        let keys_addr = view.object(dict, layout.dict.keys)?;
        let values = match view.pointer(dict, layout.dict.values)? {
            Some(block) => Some(offset(block, layout.dict.values_array)?),
            None => None,
        };
        Ok(Self { keys_addr, keys: DictKeys::read(view, layout, keys_addr)?, values })
    }

    /// Where the value of entry `index` is; it is 0 if it was deleted or never set.
    pub(crate) fn value_at(&self, index: usize) -> Result<Addr, ReadError> {
        match self.values {
            Some(values) => offset(values, index as u64 * 8),
            None => self.keys.value_at(index),
        }
    }
}

/// Keys and values of the dict at `addr`, in insertion order.
///
/// # Errors
/// `Invalid("dict")`, `Invalid("dict keys")`, `Limit("dict entries")`.
pub fn read_dict_items(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<(Addr, Addr)>, ReadError> {
    let table = DictTable::read(view, layout, addr)?;
    let mut entries = table.keys.read_entries(view)?;
    if let Some(values) = table.values {
        for (entry, value) in entries.iter_mut().zip(read_words(view, values, table.keys.count)?) {
            entry.1 = value;
        }
    }
    let live = entries.into_iter().filter(|&(_, value)| value != 0);
    live.map(|(key, value)| Ok((object(key)?, object(value)?))).collect()
}

/// The value of the str key `name` (ASCII) in the dict at `dict`. Costs three or four batches, however large the dict.
///
/// # Errors
/// Those of [`read_dict_items`].
pub fn find_str_key(view: &mut View<'_>, layout: &Layout, dict: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
    let table = DictTable::read(view, layout, dict)?;
    match table.keys.find(view, layout, name, None)? {
        Some((index, _)) => view.pointer(table.value_at(index)?, 0),
        None => Ok(None),
    }
}

/// The members of the set or frozenset at `addr`, in table order.
///
/// # Errors
/// `Invalid("set")`, `Limit("set slots")`.
pub fn read_set(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<Addr>, ReadError> {
    read_set_slots(view, layout, addr, MAX_SET_SLOTS)?.into_iter().map(object).collect()
}

/// The members of the set or frozenset at `addr` that are in the first `most` slots of its table.
///
/// # Errors
/// `Invalid("set")`, `Limit("set slots")`.
pub fn read_part_of_set(view: &mut View<'_>, layout: &Layout, addr: Addr, most: u64) -> Result<Vec<Addr>, ReadError> {
    read_set_slots(view, layout, addr, most)?.into_iter().map(object).collect()
}

/// The words in the first `most` slots of a set's table, valid or not.
pub(super) fn read_set_slots(
    view: &mut View<'_>,
    layout: &Layout,
    addr: Addr,
    most: u64,
) -> Result<Vec<u64>, ReadError> {
    const INVALID: ReadError = ReadError::Invalid("set");
    /// Hash of the slot of a removed member; no object has it.
    const DUMMY_HASH: u64 = u64::MAX;
    let builtin = &layout.builtin;
    let slots = view.u64(addr, builtin.set_mask)?.checked_add(1).ok_or(INVALID)?;
    if slots > MAX_SET_SLOTS {
        return Err(ReadError::Limit("set slots"));
    }
    if !slots.is_power_of_two() || view.u64(addr, builtin.set_used)? > slots {
        return Err(INVALID);
    }
    let table = view.object(addr, builtin.set_table)?;
    let block = read_block(view, table, slots.min(most) as usize * 16)?;
    let mut slots = words(&block);
    let mut members = Vec::new();
    while let (Some(key), Some(hash)) = (slots.next(), slots.next()) {
        if key != 0 && hash != DUMMY_HASH {
            members.push(key);
        }
    }
    Ok(members)
}

/// Items in a block of a deque. CPython: Modules/_collectionsmodule.c, BLOCKLEN; preceded by a link to the left,
/// followed by one to the right.
const DEQUE_BLOCK_ITEMS: u64 = 64;
const DEQUE_RIGHT_LINK: u64 = 8 + DEQUE_BLOCK_ITEMS * 8;

/// The number of items in the deque at `addr`.
///
/// # Errors
/// `Invalid("deque")`, `Limit("deque items")`.
pub fn read_deque_len(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<usize, ReadError> {
    length(view.i64(addr, layout.object.size)?, "deque", MAX_DEQUE_ITEMS, "deque items")
}

/// The items of the deque at `addr`, from the left. One batch per block of 64, because the blocks form a list.
///
/// # Errors
/// `Invalid("deque")`, `Limit("deque items")`.
pub fn read_deque(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Vec<Addr>, ReadError> {
    let len = read_deque_len(view, layout, addr)?;
    let mut index = view.u64(addr, layout.builtin.deque_leftblock + 16)?;
    if index >= DEQUE_BLOCK_ITEMS {
        return Err(ReadError::Invalid("deque"));
    }
    let mut items = Vec::new();
    let mut block = view.object(addr, layout.builtin.deque_leftblock)?;
    while items.len() < len {
        let count = (DEQUE_BLOCK_ITEMS - index).min((len - items.len()) as u64);
        view.prefetch([Span::new(block, DEQUE_RIGHT_LINK as usize + 8)]);
        for raw in read_words(view, offset(block, 8 + index * 8)?, count as usize)? {
            items.push(object(raw)?);
        }
        index = 0;
        if items.len() < len {
            block = view.object(block, DEQUE_RIGHT_LINK)?;
        }
    }
    if len > 0 && block != view.object(addr, layout.builtin.deque_leftblock + 8)? {
        return Err(ReadError::Invalid("deque"));
    }
    Ok(items)
}
