//! What was learnt about types, attributes and code objects while reading: everything that many objects share is read
//! once. It must not outlive the moment it was learnt in without a check; see each cache.

use super::attribute::AttributeCache;
use super::awaitable::AwaitableCache;
use super::code::CodeCache;
use super::types::TypeCache;

/// The caches of one reader.
#[derive(Default)]
pub struct Caches {
    /// Types by address.
    pub types: TypeCache,
    /// Where attributes of a type's instances are.
    pub attributes: AttributeCache,
    /// Code objects by address.
    pub codes: CodeCache,
    /// Which types can be looked into when awaited.
    pub awaitables: AwaitableCache,
}
