//! The characters that stand for something else while a template is rendered.
//!
//! Unicode sets U+FDD0 to U+FDEF aside for use inside a program; private-use characters would not do,
//! since icon fonts put them into real files. YAML allows them, the parser passes them through, and the
//! template engine doesn't take them for white space. A mark says where a piece of text stood in its
//! file; a placeholder stands for a value. Both are one lead character and four digits in base 30, so
//! always 15 bytes.

/// The bytes of one mark or placeholder.
pub(super) const LEN: usize = 15;
/// How many numbers four digits can tell apart.
pub(super) const NUMBERS: u32 = 30 * 30 * 30 * 30;

/// Every reserved character is these two bytes and one from [`LOW`] to [`HIGH`].
const LEAD: [u8; 2] = [0xEF, 0xB7];
const LOW: u8 = 0x90;
const HIGH: u8 = 0xAF;
const MARK: char = '\u{FDD0}';
const PLACEHOLDER: char = '\u{FDD1}';
const FIRST_DIGIT: u32 = 0xFDD2;

/// Where the first reserved character stands, if there is one.
pub(super) fn find(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == LEAD[0]) {
        let at = from + found;
        if let [_, second, third, ..] = bytes[at..]
            && second == LEAD[1]
            && (LOW..=HIGH).contains(&third)
        {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// How many reserved characters a text has.
pub(super) fn count(text: &str) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(at) = find(rest) {
        count += 1;
        rest = &rest[at + 3..];
    }
    count
}

/// Writes a line mark. `number` is below [`NUMBERS`].
pub(super) fn push_mark(out: &mut String, number: u32) {
    push(out, MARK, number);
}

/// The text of a placeholder. `number` is below [`NUMBERS`].
pub(super) fn placeholder(number: u32) -> String {
    let mut out = String::with_capacity(LEN);
    push(&mut out, PLACEHOLDER, number);
    out
}

fn push(out: &mut String, lead: char, number: u32) {
    out.push(lead);
    for place in [27_000, 900, 30, 1] {
        // The digits end below U+FDF0, so that each is a character.
        out.extend(char::from_u32(FIRST_DIGIT + number / place % 30));
    }
}

/// What stands at a reserved character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Mark(u32),
    Placeholder(u32),
    /// A reserved character that is part of neither: cut, or forged.
    Broken,
}

fn item_at(text: &str, at: usize) -> Item {
    let mut letters = text[at..].chars();
    let lead = letters.next();
    let mut number = 0;
    for _ in 0..4 {
        match letters.next().map(u32::from) {
            Some(digit @ FIRST_DIGIT..=0xFDEF) => number = number * 30 + (digit - FIRST_DIGIT),
            _ => return Item::Broken,
        }
    }
    match lead {
        Some(MARK) => Item::Mark(number),
        Some(PLACEHOLDER) => Item::Placeholder(number),
        _ => Item::Broken,
    }
}

/// Takes the marks out of a rendered text. The table holds, in ascending order, where in the clean text
/// each mark stood, and its number.
pub(super) fn strip_marks(text: &str) -> (String, Vec<(u32, u32)>) {
    let mut clean = String::with_capacity(text.len());
    let mut table = Vec::new();
    let mut from = 0;
    while let Some(found) = find(&text[from..]) {
        let at = from + found;
        clean.push_str(&text[from..at]);
        match item_at(text, at) {
            Item::Mark(number) => {
                table.push((u32::try_from(clean.len()).unwrap_or(u32::MAX), number));
                from = at + LEN;
            }
            Item::Placeholder(_) => {
                clean.push_str(&text[at..at + LEN]);
                from = at + LEN;
            }
            Item::Broken => {
                clean.push_str(&text[at..at + 3]);
                from = at + 3;
            }
        }
    }
    clean.push_str(&text[from..]);
    (clean, table)
}

/// A stretch of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// The placeholder of a value.
    Value(u32),
}

/// The pieces of a clean text; nothing if a reserved character in it is no placeholder.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(found) = find(&text[from..]) {
        let at = from + found;
        if at > from {
            pieces.push(Piece::Text(&text[from..at]));
        }
        let Item::Placeholder(number) = item_at(text, at) else { return None };
        pieces.push(Piece::Value(number));
        from = at + LEN;
    }
    if from < text.len() {
        pieces.push(Piece::Text(&text[from..]));
    }
    Some(pieces)
}

/// The placeholder that starts at `at`, if one does.
pub(super) fn placeholder_at(text: &str, at: usize) -> Option<u32> {
    if !text.is_char_boundary(at) || find(text.get(at..at + 3)?).is_none() {
        return None;
    }
    match item_at(text, at) {
        Item::Placeholder(number) => Some(number),
        _ => None,
    }
}

/// The placeholder that ends right before `end`, if one does.
pub(super) fn placeholder_before(text: &str, end: usize) -> Option<u32> {
    placeholder_at(text, end.checked_sub(LEN)?)
}

/// A text for a message: each run of reserved characters as an ellipsis.
pub(super) fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut hidden = false;
    for letter in text.chars() {
        if ('\u{FDD0}'..='\u{FDEF}').contains(&letter) {
            hidden = true;
        } else {
            if hidden {
                out.push('…');
                hidden = false;
            }
            out.push(letter);
        }
    }
    if hidden {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_in_fifteen_bytes() {
        for number in [0, 1, 29, 30, 899, 26_999, 123_456, NUMBERS - 1] {
            let text = placeholder(number);
            assert_eq!(text.len(), LEN);
            assert_eq!(pieces(&text), Some(vec![Piece::Value(number)]));
        }
    }

    #[test]
    fn marks_are_stripped_and_placeholders_stay() {
        let mut text = String::new();
        push_mark(&mut text, 7);
        text.push_str("é: ");
        text.push_str(&placeholder(3));
        push_mark(&mut text, 8);
        text.push('\n');
        let (clean, table) = strip_marks(&text);
        assert_eq!(clean, format!("é: {}\n", placeholder(3)));
        assert_eq!(table, [(0, 7), (19, 8)]);
        assert_eq!(placeholder_at(&clean, 4), Some(3));
        assert_eq!(placeholder_before(&clean, 19), Some(3));
        assert_eq!(placeholder_before(&clean, 3), None);
    }

    #[test]
    fn what_is_no_placeholder_is_seen() {
        assert_eq!(pieces("a\u{FDD1}b"), None);
        assert_eq!(pieces("\u{FDD5}"), None);
        assert_eq!(count("\u{FDD1}\u{FDD2}x\u{FDEF}\u{FDF0}"), 3);
        assert_eq!(readable("a\u{FDD1}\u{FDD2}b\u{FDD1}"), "a…b…");
        assert_eq!(find("\u{FDCF}\u{FDF0}"), None);
    }
}
