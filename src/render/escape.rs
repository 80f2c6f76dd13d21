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

/// The first two characters of commands that CI systems obey where a line of a log begins with them, blanks or not:
/// `::error::` (GitHub Actions), `##[error]` and `##vso[…]` (Azure Pipelines), `##teamcity[…]` (TeamCity).
const COMMANDS: [&str; 2] = ["::", "##"];

/// Whether a word begins at `at` that would be a command at the beginning of a line; a long line can be broken before it.
fn begins_command(text: &str, at: usize) -> bool {
    COMMANDS.iter().any(|command| text[at..].starts_with(command))
        && text[..at].chars().next_back().is_none_or(char::is_whitespace)
}

/// The text with every deceptive character written as `\u{1b}`, newlines and tabs as `\n` and `\t`, and the first
/// character of what a CI system would obey as `\u{3a}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    let has_command =
        || COMMANDS.iter().any(|command| text.match_indices(command).any(|(at, _)| begins_command(text, at)));
    if !text.contains(is_deceptive) && !has_command() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        match character {
            ':' | '#' if begins_command(text, at) => shown.extend(character.escape_unicode()),
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
    fn what_a_ci_system_would_obey_at_the_beginning_of_a_line_is_written_out() {
        assert_eq!(visible("::error::x"), "\\u{3a}:error::x");
        assert_eq!(visible("  ##[error]x"), "  \\u{23}#[error]x");
        assert_eq!(
            visible("a ##vso[task.x] b\n::set-env name=A::b"),
            "a \\u{23}#vso[task.x] b\\n\\u{3a}:set-env name=A::b"
        );
        assert_eq!(visible("ns::name(a::b) c# a:b"), "ns::name(a::b) c# a:b");
        let once = visible("::error::x").into_owned();
        assert_eq!(visible(&once), once);
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(brief("abcdefghij", 10), "abcdefghij");
        assert_eq!(brief("abcdefghijk", 10), "abcde…hijk");
        assert_eq!(brief("\n\n\n\n", 3), "\\n…\\n");
        assert_eq!(brief("abc", 0), "…");
    }
}
