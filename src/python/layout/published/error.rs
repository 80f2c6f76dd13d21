//! Why a published table cannot be used.

use crate::python::layout::fields::Version;

/// Why a published table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// The first bytes are not those of a table.
    #[error("the runtime does not begin with a table of offsets")]
    NoTable,
    /// The bytes end before the table does.
    #[error("the table of offsets has {needed} bytes, of which only {found} were read")]
    Short {
        /// Bytes of this version's table.
        needed: usize,
        /// Bytes that were available.
        found: usize,
    },
    /// The table of this version is not known.
    #[error("the table of offsets of CPython {0} is not known")]
    UnknownVersion(Version),
    /// The layout to complete is that of another version or build.
    #[error("the table of offsets is of another version or build of CPython than expected")]
    OtherBuild,
    /// A number is implausible.
    #[error("the published {structure}.{field}, {value}, is not plausible")]
    Implausible {
        /// The structure's name in the table.
        structure: &'static str,
        /// The field's name in the table.
        field: &'static str,
        /// The target's value.
        value: u64,
    },
}

impl PublishedError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTable | Self::Short { .. } => "The process may be starting or ending; try again.",
            Self::UnknownVersion(_) => "Use a newer asyncprof.",
            Self::OtherBuild | Self::Implausible { .. } => {
                "The interpreter is a build that is not supported (a debug build, or one with Py_TRACE_REFS?), or its \
                 memory is damaged."
            }
        }
    }
}
