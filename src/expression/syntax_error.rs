//! The CEL parser's complaints in words for people.

use cel::ParseErrors;

use super::ExpressionError;
use super::lex::{Piece, pieces};

/// What to write instead of words and signs of other languages.
const OTHER_LANGUAGES: &[(&str, &str)] = &[
    ("and", "`and` is written `&&`"),
    ("or", "`or` is written `||`"),
    ("not", "`not` is written `!`"),
    ("=", "compare with `==`"),
    ("===", "compare with `==`"),
    ("<>", "compare with `!=`"),
    ("if", "write `condition ? value : other`"),
    ("then", "write `condition ? value : other`"),
    ("else", "write `condition ? value : other`"),
    ("#", "this looks like SpEL, Spinnaker's language; Longboat evaluates CEL"),
    ("$", "inside `${ }` write variables as they are, without `$`"),
    ("`", "a key that is no plain word is written `[\"key\"]`"),
];

/// Signs that other languages write in a row.
const SIGNS: &str = "=<>!&|";

/// The first thing that is wrong with `text`.
pub(super) fn for_people(text: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else { return ExpressionError::new("not an expression", 0) };
    if errors.errors.iter().any(|error| error.msg.contains("Recursion limit")) {
        return ExpressionError::new("the expression nests too deeply", 0);
    }
    let byte = byte_of(text, first.pos);
    // A `? :` without its second half is reported where it starts.
    let byte = if first.msg.starts_with("Incomplete") { text.len() } else { byte };
    let offset = text[..byte].chars().count();
    let found = word_at(text, byte);
    let message = if first.msg.contains("argument must be a simple name") {
        "the first argument names the variable of the loop, as in `list.all(x, x > 0)`".to_owned()
    } else if first.msg.contains("invalid argument to has()") {
        "`has` asks for a key, as in `has(stages.build.outputs.image)`".to_owned()
    } else if first.msg.contains("invalid int literal") || first.msg.contains("invalid uint literal") {
        "the number needs more than 64 bits".to_owned()
    } else if first.msg.contains("'`'") {
        "`` ` `` has no meaning here".to_owned()
    } else if first.msg.contains("reserved identifier") {
        format!("`{found}` is a reserved word")
    } else if found.is_empty() {
        "the expression ends too early".to_owned()
    } else {
        format!("`{found}` is not expected here")
    };
    let mut error = ExpressionError::new(message, offset);
    error.hint = hint(text, byte, if first.msg.contains("'`'") { "`" } else { found });
    error
}

fn hint(text: &str, byte: usize, found: &str) -> Option<String> {
    let before = text[..byte].trim_end();
    let known = OTHER_LANGUAGES.iter().find(|(sign, _)| *sign == found);
    // `not x` is only refused at `x`: `not` alone is a variable.
    let previous = OTHER_LANGUAGES.iter().find(|(word, _)| word.len() > 1 && last_word(before) == *word);
    if let Some((_, hint)) = known.or(previous) {
        return Some((*hint).to_owned());
    }
    if let Some(number) = found.strip_prefix('.').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    {
        return Some(format!("write `{}[\"{number}\"]`", last_path(before)));
    }
    None
}

/// The byte at a line and column of the parser's, both from 1, columns in characters.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[start.min(text.len())..];
    start + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
}

/// The word, number or run of signs at a byte.
fn word_at(text: &str, byte: usize) -> &str {
    let rest = &text[byte..];
    if let Some(digits) = rest.strip_prefix('.').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        let end = digits.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(digits.len());
        return &rest[..=end];
    }
    let Some((piece, _, end)) = pieces(rest).next() else { return "" };
    match piece {
        Piece::Other(sign) if SIGNS.contains(sign) => {
            let start = text[..byte].trim_end_matches(|letter| SIGNS.contains(letter)).len();
            let end = rest.find(|letter| !SIGNS.contains(letter)).unwrap_or(rest.len());
            &text[start..byte + end]
        }
        Piece::Space => word_at(text, byte + end),
        _ => &rest[..end],
    }
}

fn last_word(text: &str) -> &str {
    let start = text.rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

fn last_path(text: &str) -> &str {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let start =
        text.rfind(|letter| !is_path(letter)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    text.get(start..).unwrap_or_default()
}

/// Keys that hold a `-` and stand without quotes, each with the path before it: of `stages.a-b.x`,
/// `(["stages"], "a-b")`. CEL reads a subtraction there.
pub(super) fn hyphenated(text: &str) -> Vec<(Vec<String>, String)> {
    let pieces: Vec<_> = pieces(text).map(|(piece, start, end)| (piece, &text[start..end])).collect();
    let mut found = Vec::new();
    let mut chain: Vec<String> = Vec::new();
    let mut at = 0;
    while at < pieces.len() {
        match &pieces[at..] {
            [(Piece::Word, word), (Piece::Other('-'), _), (Piece::Word, _), ..] if !chain.is_empty() => {
                let mut key = (*word).to_owned();
                while let [(Piece::Other('-'), _), (Piece::Word, tail), ..] = &pieces[at + 1..] {
                    key = format!("{key}-{tail}");
                    at += 2;
                }
                found.push((std::mem::take(&mut chain), key));
            }
            [(Piece::Word, word), (Piece::Other('.'), _), ..] => {
                chain.push((*word).to_owned());
                at += 1;
            }
            _ => chain.clear(),
        }
        at += 1;
    }
    found
}
