//! Cached knowledge about types, attributes and code objects: data that many objects share is read only once.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::attribute::AttributeCache;
use super::awaitable::AwaitableCache;
use super::code::CodeCache;
use super::greenlet_cache::GreenletCache;
use super::text::read_c_str;
use super::types::TypeCache;
use crate::remote::{Addr, ReadError, View};

/// The caches of one reader.
#[derive(Default)]
pub struct Caches {
    /// Types by address.
    pub types: TypeCache,
    /// The places of attributes in the instances of a type.
    pub attributes: AttributeCache,
    /// Code objects by address.
    pub codes: CodeCache,
    /// The types through which a chain of awaits can be followed.
    pub awaitables: AwaitableCache,
    /// The types of greenlets.
    pub greenlets: GreenletCache,
    method_names: FxHashMap<Addr, Rc<str>>,
    /// The address of None, once found: there is only one.
    pub(super) none: Option<Addr>,
}

/// LIMIT: bytes of the name of a function written in C.
const MAX_METHOD_NAME: usize = 256;

impl Caches {
    /// The name of a function written in C, from its definition, which lives as long as its module.
    pub fn method_name(&mut self, view: &mut View<'_>, definition: Addr) -> Result<Rc<str>, ReadError> {
        if let Some(name) = self.method_names.get(&definition) {
            return Ok(Rc::clone(name));
        }
        let name: Rc<str> = view
            .sharing(|view| {
                let name = view.u64(definition, 0)?;
                let name = Addr::new(name).ok_or(ReadError::BadPointer(name))?;
                read_c_str(view, name, MAX_METHOD_NAME)
            })?
            .into();
        self.method_names.insert(definition, Rc::clone(&name));
        Ok(name)
    }
}
