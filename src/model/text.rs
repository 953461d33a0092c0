//! Texts from outside, made fit for a page: terminal colours stripped, bytes made characters.

/// The text of a log: escape sequences and control characters are left out, and of a line that was
/// overwritten (`\r`) the last state stays, as on a terminal.
pub fn plain_log(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut line_start = 0;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_escape(&mut letters),
            '\n' => {
                out.push('\n');
                line_start = out.len();
            }
            '\r' if letters.peek() == Some(&'\n') => {}
            '\r' => out.truncate(line_start),
            '\t' => out.push('\t'),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

/// After ESC: `[` up to a letter, `]` up to BEL or ESC `\`, else one character (ECMA-48, sections 5.4 and 5.6).
fn skip_escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => {
            for letter in letters.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&letter) {
                    break;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' {
                    break;
                }
                if letter == '\u{1b}' {
                    letters.next_if_eq(&'\\');
                    break;
                }
            }
        }
        _ => {}
    }
}

/// `1 error`, `2 errors`.
pub fn counted(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// At most `max` characters, with an ellipsis if something was cut.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_loses_its_colours_and_keeps_its_words() {
        for (raw, plain) in [
            (&b"\x1b[1;31mred\x1b[0m and plain\n"[..], "red and plain\n"),
            (b"\x1b]8;;https://x\x1b\\link\x1b]8;;\x07!", "link!"),
            (b"10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
            (b"a\tb\x07\x00c", "a\tbc"),
            (b"\xff\xfe half \xc3", "\u{fffd}\u{fffd} half \u{fffd}"),
            (b"cut \x1b[3", "cut "),
            (b"cut \x1b", "cut "),
            (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        ] {
            assert_eq!(plain_log(raw), plain, "{raw:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(shorten("äöüß", 4), "äöüß");
        assert_eq!(shorten("äöüß!", 4), "äöü…");
        assert_eq!(shorten("build the image", 7), "build…");
    }
}
