//! Makes names from the target safe to display: a task's name may be user input, and a terminal obeys escape sequences.

use std::borrow::Cow;

/// Whether a character could move the cursor, change the meaning of what follows, or hide: C0 and C1 controls,
/// bidirectional marks, line and paragraph separators, invisible and tag characters.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with every deceptive character written as `\u{1b}`, newlines and tabs as `\n` and `\t`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            character if is_deceptive(character) => shown.extend(character.escape_unicode()),
            character => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Like [`visible`], and cut in the middle to at most `most` characters.
pub fn brief(text: &str, most: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= most {
        return visible(text);
    }
    let kept = most.saturating_sub(1);
    let head: String = text.chars().take(kept.div_ceil(2)).collect();
    let tail: String = text.chars().skip(length - kept / 2).collect();
    Cow::Owned(visible(&format!("{head}…{tail}")).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(visible("plain Ünïcode 名前"), "plain Ünïcode 名前");
        assert_eq!(visible("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(visible("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(
            visible("\u{9b}2J \u{202e}evil\u{2066} \u{200b}\u{feff}"),
            "\\u{9b}2J \\u{202e}evil\\u{2066} \\u{200b}\\u{feff}"
        );
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(brief("abcdefghij", 10), "abcdefghij");
        assert_eq!(brief("abcdefghijk", 10), "abcde…hijk");
        assert_eq!(brief("\n\n\n\n", 3), "\\n…\\n");
        assert_eq!(brief("abc", 0), "…");
    }
}
