//! Just enough of CEL's lexical rules to find where an expression ends and how involved it is, before the
//! language's own parser sees it: string literals (raw and triple-quoted ones too), comments and brackets.

/// A piece of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// `(`, `[` or `{`.
    Open,
    /// `)` or `]`, or a `}`.
    Close(char),
    /// A string or bytes literal, whole.
    Literal,
    /// An identifier, keyword or number, whole.
    Word,
    /// White space or a comment.
    Space,
    /// Any other character.
    Other(char),
    /// A string literal without its end; nothing follows.
    Unclosed,
}

/// The pieces of an expression with the bytes where they start and end.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (Piece, usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let (piece, length) = first_piece(rest);
        let start = at;
        at += length;
        Some((piece, start, at))
    })
}

fn first_piece(rest: &str) -> (Piece, usize) {
    let Some(letter) = rest.chars().next() else { return (Piece::Space, 0) };
    match letter {
        '(' | '[' | '{' => (Piece::Open, 1),
        ')' | ']' | '}' => (Piece::Close(letter), 1),
        '"' | '\'' => literal(rest, 0, false),
        _ if letter.is_whitespace() => (Piece::Space, letter.len_utf8()),
        '/' if rest.starts_with("//") => (Piece::Space, rest.find('\n').unwrap_or(rest.len())),
        _ if is_word(letter) => {
            let length = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let quoted = rest[length..].starts_with(['"', '\'']);
            match &rest[..length] {
                "r" | "R" | "br" | "bR" | "Br" | "BR" if quoted => literal(rest, length, true),
                "b" | "B" if quoted => literal(rest, length, false),
                _ => (Piece::Word, length),
            }
        }
        _ => (Piece::Other(letter), letter.len_utf8()),
    }
}

/// The literal whose opening quote stands at `prefix`.
fn literal(rest: &str, prefix: usize, raw: bool) -> (Piece, usize) {
    let body = &rest[prefix..];
    let quote = &body[..1];
    let triple = quote.repeat(3);
    let end = if body.starts_with(&triple) { triple.as_str() } else { quote };
    let mut at = end.len();
    while let Some(letter) = body.get(at..).and_then(|rest| rest.chars().next()) {
        if body[at..].starts_with(end) {
            return (Piece::Literal, prefix + at + end.len());
        }
        let escape = letter == '\\' && !raw;
        let line_break = matches!(letter, '\n' | '\r') && end.len() == 1;
        if line_break {
            break;
        }
        at += letter.len_utf8();
        if escape {
            at += body[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    (Piece::Unclosed, rest.len())
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Piece, &str)> {
        pieces(text).map(|(piece, start, end)| (piece, &text[start..end])).collect()
    }

    #[test]
    fn literals_hide_what_they_hold() {
        for text in [r#""}""#, r#"'it\'s }'"#, r#""""a " } """"#, r"r'\'", r#"br"\""#, "'''\n}'''", r#"b"\"}""#] {
            assert_eq!(read(text), [(Piece::Literal, text)], "{text}");
        }
    }

    #[test]
    fn a_literal_without_end_takes_the_rest() {
        assert_eq!(read("'a\n'"), [(Piece::Unclosed, "'a\n'")]);
        assert_eq!(read(r#"a + "b\""#).last(), Some(&(Piece::Unclosed, r#""b\""#)));
    }

    #[test]
    fn words_that_end_in_a_prefix_letter_are_words() {
        assert_eq!(read("bar'x'"), [(Piece::Word, "bar"), (Piece::Literal, "'x'")]);
    }

    #[test]
    fn a_comment_ends_with_its_line() {
        assert_eq!(read("a//}\n}").last(), Some(&(Piece::Close('}'), "}")));
    }
}
