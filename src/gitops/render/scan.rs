//! Finds the tags of a template before the engine's tokens are asked for: its comments, and the lines that hold
//! nothing but statements.
//!
//! **Comments** are `{#` and white space ... white space and `#}`. The engine's own comments are no use for that: they
//! take the `{#` of a shell's `${#x}` for a comment, and `{# - item #}` for white-space control. So comments are turned
//! into delimiters that can't stand in a file, with nothing in between.
//!
//! **Lines**: a line on which nothing stands but statements and comments is left out whole, so that a `{% for %}` in a
//! script leaves no empty line. All other text stays as it is: unlike with the engine's `trim_blocks` and
//! `lstrip_blocks`, the `{% endif %}` in `image: shop{% if tag %}:{{ tag }}{% endif %}` doesn't join the line with the
//! next one, and the spaces before a `{% if %}` that is followed by text stay. `{%-` and `-%}` trim as ever, and
//! `{%+` or `+%}` keep a line.
//!
//! Every offset stays what it was in the file.

use std::ops::Range;

use super::file::File;
use crate::diagnostic::{Code, Diagnostic};

/// What a comment starts with once it is blanked; [`File`] refuses these characters.
pub(super) const COMMENT_START: &str = "\u{1}\u{1}";
/// What a comment ends with once it is blanked.
pub(super) const COMMENT_END: &str = "\u{2}\u{2}";

/// A template, looked over.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text, comments blanked.
    pub(super) body: String,
    /// The text around statements that stand alone in their lines, in ascending order.
    pub(super) left_out: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `{{ }}`
    Value,
    /// `{% %}`
    Statement,
    /// `{# #}`
    Comment,
}

impl Scan {
    /// Looks over the text of a file from `base` on.
    pub(super) fn new(file: &File, base: usize) -> Result<Self, Vec<Diagnostic>> {
        let text = &file.text[base..];
        let tags = tags(text).map_err(|open| {
            let finding = Diagnostic::error(Code::TemplateSyntax, "a template comment is not closed");
            vec![finding.at(file.place(base + open, base + open + 2)).hint("end it with white space and `#}`")]
        })?;
        let mut body = String::with_capacity(text.len());
        let mut copied = 0;
        for (_, range) in tags.iter().filter(|(kind, _)| *kind == Kind::Comment) {
            body.push_str(&text[copied..range.start]);
            body.push_str(COMMENT_START);
            let inside = text[range.start + 2..range.end - 2].bytes();
            body.extend(inside.map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            body.push_str(COMMENT_END);
            copied = range.end;
        }
        body.push_str(&text[copied..]);
        Ok(Self { left_out: left_out(text, &tags), body })
    }
}

/// All tags, in order; the two ends of a raw block are statements with text in between. The error is where a comment
/// starts that doesn't end.
fn tags(text: &str) -> Result<Vec<(Kind, Range<usize>)>, usize> {
    let bytes = text.as_bytes();
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'{') {
        let open = at + found;
        at = open + 1;
        let (kind, end) = match bytes.get(open + 1) {
            Some(b'{') => (Kind::Value, end_of_tag(bytes, open + 2, b'}')),
            Some(b'%') => {
                if let Some(body) = word_tag(&text[open + 2..], "raw") {
                    let body = open + 2 + body;
                    tags.push((Kind::Statement, open..body));
                    let Some(end) = end_of_raw(text, body) else { break };
                    at = end.end;
                    tags.push((Kind::Statement, end));
                    continue;
                }
                (Kind::Statement, end_of_tag(bytes, open + 2, b'%'))
            }
            Some(b'#') if is_space(bytes.get(open + 2)) => {
                (Kind::Comment, end_of_comment(bytes, open + 2).ok_or(open)?)
            }
            _ => continue,
        };
        tags.push((kind, open..end));
        at = end;
    }
    Ok(tags)
}

fn is_space(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_whitespace)
}

/// The offset after a comment's `#}`. The white space before it may be the one after the opening.
fn end_of_comment(bytes: &[u8], from: usize) -> Option<usize> {
    (from + 1..bytes.len().saturating_sub(1))
        .find(|at| bytes[*at] == b'#' && bytes[at + 1] == b'}' && is_space(bytes.get(at - 1)))
        .map(|at| at + 2)
}

/// The offset after a tag, which ends at `}}` or `%}` outside of brackets and texts. A tag that never ends is a syntax
/// error that the engine reports better.
fn end_of_tag(bytes: &[u8], from: usize, close: u8) -> usize {
    let mut depth = 0i64;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            quote @ (b'"' | b'\'') => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| byte != quote) {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ if depth == 0 && *byte == close && bytes.get(at + 1) == Some(&b'}') => return at + 2,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The tag that ends a raw block.
fn end_of_raw(text: &str, mut at: usize) -> Option<Range<usize>> {
    while let Some(found) = text[at..].find("{%") {
        let open = at + found;
        if let Some(length) = word_tag(&text[open + 2..], "endraw") {
            return Some(open..open + 2 + length);
        }
        at = open + 2;
    }
    None
}

/// The length of the rest of a tag that consists of one word.
fn word_tag(text: &str, word: &str) -> Option<usize> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace()).strip_prefix(word)?;
    rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace());
    rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// The text of the lines that hold nothing but statements and comments.
fn left_out(text: &str, tags: &[(Kind, Range<usize>)]) -> Vec<Range<usize>> {
    let mut left_out: Vec<Range<usize>> = Vec::new();
    let mut line = Line::default();
    let mut from = 0;
    for (kind, tag) in tags.iter().map(|(kind, tag)| (Some(*kind), tag.clone())).chain([(None, text.len()..text.len())])
    {
        for part in text[from..tag.start].split_inclusive('\n') {
            line.alone &= part.trim().is_empty();
            line.parts.push(from..from + part.len());
            from += part.len();
            if part.ends_with('\n') {
                std::mem::take(&mut line).end(&mut left_out);
            }
        }
        let inside = &text[tag.clone()];
        line.statements |= kind.is_some();
        line.alone &= kind != Some(Kind::Value);
        line.alone &= kind != Some(Kind::Statement) || !(inside.starts_with("{%+") || inside.ends_with("+%}"));
        from = tag.end;
    }
    line.end(&mut left_out);
    left_out
}

/// A line of a template; a tag may hold line breaks, which end no line.
struct Line {
    parts: Vec<Range<usize>>,
    statements: bool,
    alone: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { parts: Vec::new(), statements: false, alone: true }
    }
}

impl Line {
    fn end(self, left_out: &mut Vec<Range<usize>>) {
        if self.statements && self.alone {
            left_out.extend(self.parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::Limits;

    fn scan(text: &str) -> Result<Scan, Vec<Diagnostic>> {
        let file = File::new("a.yaml", text.as_bytes().to_vec(), &Limits::default()).expect("good file");
        Scan::new(&file, 0)
    }

    fn blanked(text: &str) -> String {
        scan(text).expect(text).body.replace(COMMENT_START, "<").replace(COMMENT_END, ">")
    }

    #[test]
    fn only_comments_with_white_space_inside_are_blanked() {
        for (text, expected) in [
            ("a {# b #} c", "a <   > c"),
            ("{# a\nb #}", "< \u{20}\n\u{20}\u{20}>"),
            ("echo ${#x} #}", "echo ${#x} #}"),
            ("{#a#} {# - b -#} {# #}", "{#a#} <            >"),
            ("{# -#} x #}", "<       >"),
            ("{{ '{# x #}' }} {{ {'a': {}} }} {# y #}", "{{ '{# x #}' }} {{ {'a': {}} }} <   >"),
            ("{% raw %}{# x #}{% endraw %}{# y #}", "{% raw %}{# x #}{% endraw %}<   >"),
            ("{%- raw -%}{# x #}{%- endraw +%}{# y #}", "{%- raw -%}{# x #}{%- endraw +%}<   >"),
            ("{% set a = '%}{# ' %}{# é #}", "{% set a = '%}{# ' %}<    >"),
            ("{ # x #}", "{ # x #}"),
        ] {
            assert_eq!(blanked(text), expected);
        }
    }

    #[test]
    fn an_open_comment_is_an_error_where_it_starts() {
        let findings = scan("a: 1\n  {# b").expect_err("not closed");
        let place = findings[0].place.as_ref().expect("has a place");
        assert_eq!((place.line, place.column), (2, 3));
    }

    #[test]
    fn unfinished_tags_end_the_search() {
        for text in ["{{ 'a", "{% raw %} {# x #}", "{{ ((", "{%", "{{", "{", "{{ '\\", "{% raw"] {
            assert_eq!(blanked(text), text);
        }
    }

    #[test]
    fn lines_of_statements_are_left_out_and_others_stay() {
        let kept = |text: &str| {
            let mut kept = text.to_owned();
            scan(text).expect(text).left_out.into_iter().rev().for_each(|range| kept.replace_range(range, ""));
            kept
        };
        for (text, expected) in [
            ("a\n  {% if x %} \nb\n", "a\n{% if x %}b\n"),
            (" {% if x %}{# c #} {% endif %}\r\nb", "{% if x %}{# c #}{% endif %}b"),
            ("a: x{% if x %}y{% endif %}\nb", "a: x{% if x %}y{% endif %}\nb"),
            ("  {% if x %}y{% endif %}\nb", "  {% if x %}y{% endif %}\nb"),
            ("  {% if x +%}\nb", "  {% if x +%}\nb"),
            ("  {%+ if x %}\nb", "  {%+ if x %}\nb"),
            ("  {% set a = [\n1] %}\nb", "{% set a = [\n1] %}b"),
            ("  {% raw %}\n{{ x }}\n{% endraw %}\n", "{% raw %}{{ x }}\n{% endraw %}"),
            ("  {{ x }}\n\n{% x %}", "  {{ x }}\n\n{% x %}"),
            (" \n", " \n"),
        ] {
            assert_eq!(kept(text), expected, "{text:?}");
        }
    }
}
