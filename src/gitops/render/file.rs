//! A file's text, and the places in it.

use std::sync::Arc;

use super::reserved;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::{Limits, Origin, Position};

/// The text of a file, checked to be fit for rendering. Offsets are in bytes, without a byte order mark.
#[derive(Debug)]
pub(super) struct File {
    /// The path inside the repository, or a built-in module's full name.
    pub(super) name: Arc<str>,
    /// The text.
    pub(super) text: String,
    line_starts: Vec<u32>,
    /// Characters before each [`BLOCK`] of bytes, so that a column in a very long line is found at once;
    /// empty if every character is one byte.
    blocks: Vec<u32>,
}

/// How many bytes are counted one by one at most.
const BLOCK: usize = 512;

impl File {
    /// Checks size, encoding, lines and characters.
    pub(super) fn new(name: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let whole = |line| Place::point(name, line, 1);
        if bytes.len() > limits.file_bytes {
            let message = format!("`{name}` has {} bytes; the limit is {}", bytes.len(), limits.file_bytes);
            return Err(vec![
                Diagnostic::error(Code::FileTooLarge, message)
                    .at(whole(1))
                    .hint("split it, or move repeated parts into a module"),
            ]);
        }
        let mut text = String::from_utf8(bytes).map_err(|error| vec![not_utf8(name, &error)])?;
        if text.starts_with('\u{FEFF}') {
            text.drain(..'\u{FEFF}'.len_utf8());
        }
        let line_starts: Vec<u32> = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)))
            .collect();
        let blocks = if text.is_ascii() { Vec::new() } else { count_blocks(&text) };
        let file = Self { name: name.into(), text, line_starts, blocks };
        if file.line_starts.len() > limits.file_lines {
            let message = format!("`{name}` has {} lines; the limit is {}", file.line_starts.len(), limits.file_lines);
            return Err(vec![Diagnostic::error(Code::FileTooLarge, message).at(whole(1)).hint("split the file")]);
        }
        match file.bad_character() {
            Some(finding) => Err(vec![finding]),
            None => Ok(file),
        }
    }

    fn bad_character(&self) -> Option<Diagnostic> {
        if let Some(at) = reserved::find(&self.text) {
            return Some(Diagnostic::error(
                Code::ReservedCharacter,
                "the file holds a character between U+FDD0 and U+FDEF, which Unicode reserves for use inside programs",
            )
            .at(self.place(at, at + 3))
            .hint("remove it; it stands for nothing that can be printed"));
        }
        let control = |letter: char| letter.is_ascii_control() && !matches!(letter, '\t' | '\n' | '\r' | '\u{7f}');
        let at = self.text.find(control)?;
        let code = u32::from(self.text.as_bytes()[at]);
        let message = format!("the file holds the control character U+{code:04X}, which YAML does not allow");
        let hint = format!("in a quoted text write it as \"\\x{code:02x}\"");
        Some(Diagnostic::error(Code::YamlSyntax, message).at(self.place(at, at + 1)).hint(hint))
    }

    /// The line and column of an offset; one past the end is the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start as usize <= offset).max(1);
        let start = self.line_starts[line - 1] as usize;
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        Position { line: narrow(line), column: narrow(column) }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let Some(before) = self.blocks.get(offset / BLOCK) else { return offset };
        *before as usize + count_characters(&self.text.as_bytes()[offset / BLOCK * BLOCK..offset])
    }

    /// The stretch between two offsets.
    pub(super) fn place(&self, start: usize, end: usize) -> Place {
        self.origin(start, end).place()
    }

    /// The same as an origin without a chain.
    pub(super) fn origin(&self, start: usize, end: usize) -> Origin {
        Origin::new(self.name.clone(), self.position(start), self.position(end.max(start)))
    }

    /// The text of the line that an offset is in.
    pub(super) fn line_at(&self, offset: usize) -> &str {
        let line = self.position(offset).line as usize;
        let start = self.line_starts[line - 1] as usize;
        self.text[start..].lines().next().unwrap_or_default()
    }
}

/// Characters that start in these bytes.
fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

fn count_blocks(text: &str) -> Vec<u32> {
    let mut before = 0;
    let mut blocks = vec![0];
    for block in text.as_bytes().chunks(BLOCK) {
        before += count_characters(block);
        blocks.push(narrow(before));
    }
    blocks
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let good = String::from_utf8_lossy(good);
    let line = good.matches('\n').count() + 1;
    let column = good.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{FEFF}').chars().count() + 1;
    Diagnostic::error(Code::NotUtf8, format!("`{name}` is not UTF-8 text"))
        .at(Place::point(name, narrow(line), narrow(column)))
        .hint("save the file as UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::new("a.yaml", text.as_bytes().to_vec(), &Limits::default()).expect("good file")
    }

    #[test]
    fn columns_count_characters_and_a_byte_order_mark_counts_nothing() {
        let file = file("\u{FEFF}é: x\r\nb: 𝒳y\n");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(file.text.find('x').expect("x")), Position { line: 1, column: 4 });
        assert_eq!(file.position(file.text.find('y').expect("y")), Position { line: 2, column: 5 });
        assert_eq!(file.position(10_000), Position { line: 3, column: 1 });
        assert_eq!(file.line_at(9), "b: 𝒳y");
    }

    #[test]
    fn columns_in_long_lines_are_exact() {
        let text = format!("a\n{}x", "é𝒳b".repeat(900));
        let long = file(&text);
        for (offset, _) in text.char_indices().skip(2) {
            let expected = text[2..offset].chars().count() + 1;
            assert_eq!(long.position(offset).column as usize, expected);
        }
    }

    #[test]
    fn unfit_files_say_where() {
        let limits = Limits { file_bytes: 20, file_lines: 3, ..Limits::default() };
        let refused = |bytes: &[u8]| File::new("a.yaml", bytes.to_vec(), &limits).expect_err("refused").remove(0);
        let at = |finding: &Diagnostic| finding.place.clone().map(|place| (place.line, place.column));
        let finding = refused(b"ab\ncd\xff");
        assert_eq!((finding.code, at(&finding)), (Code::NotUtf8, Some((2, 3))));
        let finding = refused("a\nb\u{FDD1}".as_bytes());
        assert_eq!((finding.code, at(&finding)), (Code::ReservedCharacter, Some((2, 2))));
        let finding = refused(b"a\nb\x01");
        assert_eq!((finding.code, at(&finding)), (Code::YamlSyntax, Some((2, 2))));
        assert_eq!(refused(b"\n\n\n\n").code, Code::FileTooLarge);
        assert_eq!(refused(&[b'a'; 21]).code, Code::FileTooLarge);
    }
}
