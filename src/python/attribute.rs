//! Attributes of instances: in a dict, in values next to the object, or in slots.

use rustc_hash::FxHashMap;

use super::block::offset;
use super::container::{DictKeys, DictTable, find_str_key};
use super::layout::{Attributes, Layout};
use super::types::{TypeCache, TypeInfo, type_of};
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: bases searched for a slot.
const MAX_BASES: usize = 64;

/// Value of `valid` in a block of inline values that is in use. CPython: Include/internal/pycore_dict.h, v3.13.0.
const VALUES_VALID: u8 = 1;

/// Where attributes were found, so that the same attribute of many objects is cheap: for the second object with the
/// same keys only the key and the value are read. Lives as long as one view: freed keys may be replaced by others.
#[derive(Debug, Default)]
pub struct AttributeCache {
    /// Keys to the names that were searched in them.
    entries: FxHashMap<Addr, Vec<Found>>,
    /// Name to the str object that was a key. Attribute names are interned: other dicts contain the same object.
    names: FxHashMap<String, Addr>,
    /// Type to (name, byte offset in the instance).
    slots: FxHashMap<Addr, Vec<(String, Option<u64>)>>,
}

/// The result of a search in keys.
#[derive(Debug)]
struct Found {
    name: String,
    /// The entry and its key.
    entry: Option<(usize, Addr)>,
    /// Number of entries the keys had: one that was absent may exist by now.
    count: usize,
}

impl AttributeCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The instance attribute `name` (ASCII) of `obj`; `None` if it has none. Attributes of its class are not
    /// considered.
    ///
    /// # Errors
    /// Those of reading the type and the dict.
    pub fn read(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        obj: Addr,
        name: &str,
    ) -> Result<Option<Addr>, ReadError> {
        match self.find(view, layout, types, obj, name)? {
            Some(found) => view.pointer(found.value, 0),
            None => Ok(None),
        }
    }

    /// The pieces of memory that say what the instance attribute `name` of `obj` is: while all are unchanged, so is the
    /// attribute, or another object with the same attribute has taken the place of this one. None if it has no such
    /// attribute.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn pieces(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        obj: Addr,
        name: &str,
    ) -> Result<Vec<Span>, ReadError> {
        let Some(found) = self.find(view, layout, types, obj, name)? else { return Ok(Vec::new()) };
        let of_type = Span::new(offset(obj, layout.object.ob_type)?, 8);
        let of_dict = |dict: Addr| {
            let words = [layout.dict.keys, layout.dict.values].map(|at| Ok(Span::new(offset(dict, at)?, 8)));
            words.into_iter().collect::<Result<Vec<_>, ReadError>>()
        };
        let mut pieces = vec![of_type, found.store, Span::new(found.value, 8)];
        pieces.extend(found.dict.map(of_dict).transpose()?.unwrap_or_default());
        Ok(pieces)
    }

    /// Finds an attribute that was set at some time.
    fn find(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        obj: Addr,
        name: &str,
    ) -> Result<Option<Attribute>, ReadError> {
        let ty = types.get_type_of(view, layout, obj)?;
        let Some(store) = find_store_words(view, layout, obj, &ty)? else { return Ok(None) };
        match read_store(view, layout, obj, &ty, store)? {
            Store::None => Ok(None),
            Store::Dict(dict) => {
                let table = DictTable::read(view, layout, dict)?;
                match self.find_entry(view, layout, table.keys_addr, table.keys, name)? {
                    Some(index) => Ok(Some(Attribute { store, dict: Some(dict), value: table.value_at(index)? })),
                    None => Ok(None),
                }
            }
            Store::Values(values) => {
                let keys_addr = view.object(ty.addr, layout.types.heap_cached_keys)?;
                let keys = DictKeys::read(view, layout, keys_addr)?;
                match self.find_entry(view, layout, keys_addr, keys, name)? {
                    Some(index) => {
                        let value = offset(values, layout.dict.values_array + index as u64 * 8)?;
                        Ok(Some(Attribute { store, dict: None, value }))
                    }
                    None => Ok(None),
                }
            }
        }
    }

    /// The value of the slot `name` (of `__slots__`, or a member defined in C that is an object) of `obj`; `None` if it
    /// is empty or does not exist.
    ///
    /// # Errors
    /// Those of reading the types and their dicts.
    pub fn read_slot(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        obj: Addr,
        name: &str,
    ) -> Result<Option<Addr>, ReadError> {
        let ty = type_of(view, layout, obj)?;
        match self.member_offset(view, layout, types, ty, name)? {
            Some(at) => view.pointer(obj, at),
            None => Ok(None),
        }
    }

    /// The byte offset of the slot `name` in instances of the type at `ty`; `None` if it does not exist.
    ///
    /// # Errors
    /// Those of [`Self::read_slot`].
    pub fn member_offset(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        types: &mut TypeCache,
        ty: Addr,
        name: &str,
    ) -> Result<Option<u64>, ReadError> {
        let known = self.slots.get(&ty).and_then(|slots| slots.iter().find(|(known, _)| known == name));
        if let Some((_, at)) = known {
            return Ok(*at);
        }
        let at = view.sharing(|view| find_slot(view, layout, types, ty, name))?;
        self.slots.entry(ty).or_default().push((name.to_owned(), at));
        Ok(at)
    }

    fn find_entry(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        keys_addr: Addr,
        keys: DictKeys,
        name: &str,
    ) -> Result<Option<usize>, ReadError> {
        let known = self.entries.get(&keys_addr).and_then(|found| found.iter().find(|found| found.name == name));
        match known.map(|found| (found.entry, found.count)) {
            Some((Some((index, key)), _)) if keys.is_key(view, index, key)? => return Ok(Some(index)),
            Some((None, count)) if count == keys.count() => return Ok(None),
            _ => {}
        }
        let entry = keys.find(view, layout, name, self.names.get(name).copied())?;
        if let Some((_, key)) = entry {
            self.names.insert(name.to_owned(), key);
        }
        let of_keys = self.entries.entry(keys_addr).or_default();
        of_keys.retain(|found| found.name != name);
        of_keys.push(Found { name: name.to_owned(), entry, count: keys.count() });
        Ok(entry.map(|(index, _)| index))
    }
}

/// Where an attribute of an instance is.
struct Attribute {
    /// The words of the object that point to its attributes.
    store: Span,
    /// The dict that contains it, if there is one.
    dict: Option<Addr>,
    /// Where the pointer to its value is.
    value: Addr,
}

/// What keeps the attributes of an object.
enum Store {
    None,
    Dict(Addr),
    /// A block of values; the names are in the type's shared keys.
    Values(Addr),
}

impl From<Option<Addr>> for Store {
    fn from(dict: Option<Addr>) -> Self {
        dict.map_or(Self::None, Self::Dict)
    }
}

/// The words of an object that point to its attributes; `None` if it can have none.
fn find_store_words(view: &mut View<'_>, layout: &Layout, obj: Addr, ty: &TypeInfo) -> Result<Option<Span>, ReadError> {
    if !ty.has_managed_dict() {
        return Ok(dict_pointer_at(view, layout, obj, ty)?.map(|at| Span::new(at, 8)));
    }
    match layout.attributes {
        Attributes::DictOffset => Ok(dict_pointer_at(view, layout, obj, ty)?.map(|at| Span::new(at, 8))),
        // The values, and then the dict.
        Attributes::ValuesBefore => Ok(Some(Span::new(before(obj, 32)?, 16))),
        Attributes::TaggedWord => Ok(Some(Span::new(before(obj, 24)?, 8))),
        Attributes::Inline { dict_before } => Ok(Some(Span::new(before(obj, dict_before)?, 8))),
    }
}

fn read_store(view: &mut View<'_>, layout: &Layout, obj: Addr, ty: &TypeInfo, words: Span) -> Result<Store, ReadError> {
    if !ty.has_managed_dict() {
        return view.pointer(words.addr, 0).map(Store::from);
    }
    match layout.attributes {
        Attributes::DictOffset => view.pointer(words.addr, 0).map(Store::from),
        Attributes::ValuesBefore => match view.pointer(words.addr, 0)? {
            Some(values) => Ok(Store::Values(values)),
            None => view.pointer(words.addr, 8).map(Store::from),
        },
        Attributes::TaggedWord => {
            let word = view.u64(words.addr, 0)?;
            if word & 1 == 0 {
                return view.pointer(words.addr, 0).map(Store::from);
            }
            Addr::aligned(word + 1).map(Store::Values).ok_or(ReadError::BadPointer(word))
        }
        Attributes::Inline { .. } => {
            if let Some(dict) = view.pointer(words.addr, 0)? {
                return Ok(Store::Dict(dict));
            }
            if !ty.has_inline_values() {
                return Ok(Store::None);
            }
            let values = offset(obj, ty.basicsize.unsigned_abs())?;
            match layout.dict.values_valid {
                Some(at) if view.u8(values, at)? != VALUES_VALID => Ok(Store::None),
                _ => Ok(Store::Values(values)),
            }
        }
    }
}

/// Where an object has its pointer to a dict, by the offset in its type; a negative offset counts from the end of the
/// object.
fn dict_pointer_at(view: &mut View<'_>, layout: &Layout, obj: Addr, ty: &TypeInfo) -> Result<Option<Addr>, ReadError> {
    const INVALID: ReadError = ReadError::Invalid("dict offset");
    if ty.dictoffset == 0 {
        return Ok(None);
    }
    let mut at = ty.dictoffset;
    if at < 0 {
        let items = view.i64(obj, layout.object.size)?.unsigned_abs();
        let size = (ty.itemsize.unsigned_abs()).checked_mul(items).ok_or(INVALID)?;
        let size = size.checked_add(ty.basicsize.unsigned_abs()).ok_or(INVALID)?.checked_next_multiple_of(8);
        at = size.and_then(|size| i64::try_from(size).ok()).and_then(|size| size.checked_add(at)).ok_or(INVALID)?;
    }
    offset(obj, u64::try_from(at).map_err(|_| INVALID)?).map(Some)
}

fn before(obj: Addr, bytes: u64) -> Result<Addr, ReadError> {
    obj.sub(bytes).ok_or(ReadError::BadPointer(obj.raw().wrapping_sub(bytes)))
}

/// The byte offset of slot `name` in instances of `ty`.
fn find_slot(
    view: &mut View<'_>,
    layout: &Layout,
    types: &mut TypeCache,
    ty: Addr,
    name: &str,
) -> Result<Option<u64>, ReadError> {
    let basicsize = types.get(view, layout, ty)?.basicsize;
    let mut next = Some(ty);
    for _ in 0..MAX_BASES {
        let Some(ty) = next else { return Ok(None) };
        // Types built into the interpreter keep their dict elsewhere from 3.12 on; they have no slots of interest.
        if let Some(dict) = view.pointer(ty, layout.types.dict)?
            && let Some(descriptor) = find_str_key(view, layout, dict, name)?
        {
            return read_member(view, layout, types, descriptor, basicsize);
        }
        next = types.get(view, layout, ty)?.base;
    }
    Err(ReadError::Limit("base types"))
}

/// The offset in a member descriptor; `None` if it is something else or the member is not an object.
fn read_member(
    view: &mut View<'_>,
    layout: &Layout,
    types: &mut TypeCache,
    descriptor: Addr,
    basicsize: i64,
) -> Result<Option<u64>, ReadError> {
    /// `PyMemberDef`: name, i32 type, offset. CPython: Include/descrobject.h (structmember.h up to 3.11).
    const TYPE: u64 = 8;
    const OFFSET: u64 = 16;
    /// Member types that are objects: T_OBJECT and T_OBJECT_EX.
    const OBJECTS: [i32; 2] = [6, 16];
    if types.get_type_of(view, layout, descriptor)?.name != "member_descriptor" {
        return Ok(None);
    }
    let definition = view.object(descriptor, layout.types.member_def)?;
    if !OBJECTS.contains(&view.i32(definition, TYPE)?) {
        return Ok(None);
    }
    match view.i64(definition, OFFSET)? {
        at if at > 0 && at < basicsize && at % 8 == 0 => Ok(Some(at.unsigned_abs())),
        _ => Err(ReadError::Invalid("member")),
    }
}
