//! A view, a layout and the caches together, with the small reads that the upper layers need.

use std::rc::Rc;

use super::caches::Caches;
use super::code::CodeInfo;
use super::container::{find_str_key, read_list, read_part_of_set, read_set, read_tuple};
use super::frame::RawFrame;
use super::int::read_int;
use super::layout::{Layout, Offset};
use super::types::TypeInfo;
use crate::remote::{Addr, ReadError, Span, View};

/// Reads objects of one interpreter.
pub struct Reader<'r, 'm> {
    /// The memory.
    pub view: &'r mut View<'m>,
    /// The layout of the structures.
    pub layout: &'r Layout,
    /// Cached knowledge.
    pub caches: &'r mut Caches,
}

impl<'r, 'm> Reader<'r, 'm> {
    /// A reader with these.
    pub fn new(view: &'r mut View<'m>, layout: &'r Layout, caches: &'r mut Caches) -> Self {
        Self { view, layout, caches }
    }

    /// The type of an object.
    pub fn type_of(&mut self, object: Addr) -> Result<Rc<TypeInfo>, ReadError> {
        self.caches.types.get_type_of(self.view, self.layout, object)
    }

    /// Whether the object is an instance of a class or type called `name`, or of a class derived from it.
    pub fn is_instance(&mut self, object: Addr, name: &str) -> Result<bool, ReadError> {
        let ty = self.view.object(object, self.layout.object.ob_type)?;
        self.caches.types.is_subtype(self.view, self.layout, ty, name)
    }

    /// The instance attribute `name`; `None` if it is not set.
    pub fn attribute(&mut self, object: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
        self.caches.attributes.read(self.view, self.layout, &mut self.caches.types, object, name)
    }

    /// The pieces of memory that say what the instance attribute `name` is; none if there is no such attribute.
    pub fn attribute_pieces(&mut self, object: Addr, name: &str) -> Result<Vec<Span>, ReadError> {
        self.caches.attributes.pieces(self.view, self.layout, &mut self.caches.types, object, name)
    }

    /// The instance attribute `name`; `None` if it is not set, or set to None.
    pub fn attribute_not_none(&mut self, object: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
        self.attribute(object, name)?.map_or(Ok(None), |value| self.not_none(value))
    }

    /// The value of a local variable of a suspended frame; `None` if it is not set.
    pub fn local(&mut self, frame: &RawFrame, name: &str) -> Result<Option<Addr>, ReadError> {
        frame.local(self.view, self.layout, &mut self.caches.codes, name)
    }

    /// An attribute that is an int; `None` if it is not set or is something else.
    pub fn int_attribute(&mut self, object: Addr, name: &str) -> Result<Option<i64>, ReadError> {
        let Some(value) = self.attribute(object, name)? else { return Ok(None) };
        optional(read_int(self.view, self.layout, value))
    }

    /// An attribute that is a str; `None` if it is not set or is something else.
    pub fn str_attribute(&mut self, object: Addr, name: &str) -> Result<Option<String>, ReadError> {
        let Some(value) = self.attribute(object, name)? else { return Ok(None) };
        optional(self.str(value))
    }

    /// A str.
    pub fn str(&mut self, object: Addr) -> Result<String, ReadError> {
        super::text::read_str(self.view, self.layout, object)
    }

    /// Items of a tuple.
    pub fn tuple(&mut self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        read_tuple(self.view, self.layout, object)
    }

    /// Items of a list.
    pub fn list(&mut self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        read_list(self.view, self.layout, object)
    }

    /// Members of a set.
    pub fn set(&mut self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        read_set(self.view, self.layout, object)
    }

    /// Members of a set that are in the first `most` slots of its table.
    pub fn part_of_set(&mut self, object: Addr, most: u64) -> Result<Vec<Addr>, ReadError> {
        read_part_of_set(self.view, self.layout, object, most)
    }

    /// The value of a str key in a dict.
    pub fn key(&mut self, dict: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
        find_str_key(self.view, self.layout, dict, name)
    }

    /// `float` or `int` as f64.
    pub fn number(&mut self, object: Addr) -> Result<f64, ReadError> {
        if self.is_instance(object, "float")? {
            super::int::read_float(self.view, self.layout, object)
        } else {
            read_int(self.view, self.layout, object).map(|number| number as f64)
        }
    }

    /// The code object at `addr`.
    pub fn code(&mut self, addr: Addr) -> Result<Rc<CodeInfo>, ReadError> {
        self.caches.codes.get(self.view, self.layout, &mut self.caches.types, addr)
    }

    /// The object at `object + at`, unless it is null or None.
    pub fn field(&mut self, object: Addr, at: Offset) -> Result<Option<Addr>, ReadError> {
        self.view.pointer(object, at)?.map_or(Ok(None), |value| self.not_none(value))
    }

    /// The object, unless it is None.
    pub fn not_none(&mut self, object: Addr) -> Result<Option<Addr>, ReadError> {
        if let Some(none) = self.caches.none {
            return Ok((object != none).then_some(object));
        }
        if self.type_of(object)?.name != "NoneType" {
            return Ok(Some(object));
        }
        self.view.sharing(|view| view.object(object, self.layout.object.ob_type))?;
        self.caches.none = Some(object);
        Ok(None)
    }
}

/// An object that is not of the expected kind becomes `None`; errors that are not about the object stay errors.
pub fn optional<T>(result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if !error.is_final() || error.is_fatal() => Err(error),
        Err(_) => Ok(None),
    }
}
