//! Names kept once, up to a limit.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Number of an interned name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NameId(u32);

/// Interned names.
#[derive(Debug, Default)]
pub(super) struct Names {
    texts: Vec<Arc<str>>,
    ids: FxHashMap<Arc<str>, NameId>,
}

impl Names {
    /// LIMIT: distinct names. A program that gives each task a different name, without digits, would otherwise fill the
    /// memory.
    const LIMIT: usize = 1 << 16;

    /// Stands for every name beyond the limit.
    const OTHER: &str = "<other>";

    pub(super) fn add(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        if self.texts.len() >= Self::LIMIT && name != Self::OTHER {
            return self.add(Self::OTHER);
        }
        let (id, text) = (NameId(self.texts.len() as u32), Arc::<str>::from(name));
        self.texts.push(text.clone());
        self.ids.insert(text, id);
        id
    }

    pub(super) fn text(&self, id: NameId) -> &Arc<str> {
        &self.texts[id.0 as usize]
    }
}

/// Turns `Task-17` and `Task-18` into `Task-*`: where a program spends its time does not depend on a counter.
pub fn fold_digits(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for character in name.chars() {
        match character.is_ascii_digit() {
            true if folded.ends_with('*') => {}
            true => folded.push('*'),
            false => folded.push(character),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_in_names_are_folded() {
        assert_eq!(fold_digits("Task-17"), "Task-*");
        assert_eq!(fold_digits("shard 3 of 12"), "shard * of *");
        assert_eq!(fold_digits("plain"), "plain");
    }

    #[test]
    fn names_beyond_the_limit_are_one() {
        let mut names = Names::default();
        for number in 0..Names::LIMIT + 10 {
            names.add(&number.to_string());
        }
        let first = names.add("0");
        let other = names.add("one more");
        assert_eq!((&**names.text(first), &**names.text(other)), ("0", "<other>"));
        assert_eq!(names.add("another"), other);
    }
}
