//! Values of options that are one of a few words.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::model::snapshot::Severity;
use crate::profile::By;

/// Words, what each means, and its help.
type Choices<T> = &'static [(&'static str, T, &'static str)];

pub(crate) const BY: Choices<By> = &[
    ("run", By::Run, "Time that the event loop executes it"),
    ("await", By::Await, "Time that tasks wait there"),
    ("wall", By::Wall, "Both"),
];

pub(crate) const SEVERITY: Choices<Severity> = &[
    ("info", Severity::Info, "Worth knowing"),
    ("warning", Severity::Warning, "Worth checking"),
    ("error", Severity::Error, "Wrong"),
];

/// Parses one of the words.
pub(crate) fn choice<T: Copy + Send + Sync + 'static>(choices: Choices<T>) -> impl TypedValueParser<Value = T> {
    let words = choices.iter().map(|(word, _, help)| PossibleValue::new(*word).help(*help));
    // INVARIANT: the parser of possible values lets no other word through.
    PossibleValuesParser::new(words).try_map(|given| {
        choices.iter().find(|(word, ..)| *word == given).map(|(_, value, _)| *value).ok_or("there is no such value")
    })
}
