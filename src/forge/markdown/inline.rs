//! Lines of a comment: foreign text stays text, whatever it holds.
//!
//! Markup is kept off in three ways. What the dialect lets escape is escaped. What a forge looks for in the text
//! that Markdown leaves over (mentions, references to issues, commits and tickets, addresses, emoji names) can't be
//! escaped: there an invisible word joiner (U+2060) stands between the two characters that would make it one.
//! Characters that change how other text reads (line breaks, controls, changes of direction) are replaced.

use crate::model::{Line, Mark, Piece, percent_encode};

/// Takes no room, breaks no line, and is part of no name.
pub(super) const JOINER: char = '\u{2060}';

/// Where a line is written to, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen<'a> {
    /// Whether entities and HTML are read as such; where they aren't, nothing of the kind is written.
    pub(super) html: bool,
    /// The server's public address.
    pub(super) public_url: Option<&'a str>,
    /// What identifies the comment: no other text may look like it.
    pub(super) marker: &'a str,
    /// The most characters of one piece.
    pub(super) longest: usize,
}

/// The surroundings of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Markdown.
    Line,
    /// A cell of a table.
    Cell,
    /// Inside an HTML tag, where there is no Markdown.
    Html,
}

impl Pen<'_> {
    /// A line of its own.
    pub(super) fn line(&self, line: &Line) -> String {
        shield_start(self.pieces(line, Context::Line).trim())
    }

    /// A line in a table.
    pub(super) fn cell(&self, line: &Line) -> String {
        self.pieces(line, Context::Cell).trim().to_owned()
    }

    /// A line between HTML tags.
    pub(super) fn html(&self, line: &Line) -> String {
        self.pieces(line, Context::Html).trim().to_owned()
    }

    /// The absolute address of a page.
    pub(super) fn url(&self, page: &str) -> Option<String> {
        let public = self.public_url?.trim_end_matches('/');
        Some(percent_encode(format!("{public}/{}", page.trim_start_matches('/')), IN_ADDRESS))
    }

    fn pieces(&self, line: &Line, context: Context) -> String {
        let mut out = String::new();
        let mut text = String::new();
        for piece in line {
            // Texts that follow each other are one: what must not stand together may stand at their seam.
            if let Piece::Text(more) = piece {
                text.push_str(more);
                continue;
            }
            join(&mut out, &self.text(&std::mem::take(&mut text), context));
            let piece = match piece {
                Piece::Text(_) => String::new(),
                Piece::Strong(strong) => self.strong(strong, context),
                Piece::Code(code) => self.code(code, context),
                Piece::Link { text, page } => self.link(text, page, context),
                Piece::Mark(mark) => symbol(*mark).to_owned(),
            };
            join(&mut out, &piece);
        }
        join(&mut out, &self.text(&text, context));
        out
    }

    fn text(&self, text: &str, context: Context) -> String {
        self.inert(&clipped(&flat(text), self.longest), context)
    }

    fn strong(&self, text: &str, context: Context) -> String {
        let text = self.text(flat(text).trim(), context);
        match context {
            _ if text.is_empty() => text,
            Context::Html => format!("<b>{text}</b>"),
            Context::Line | Context::Cell => format!("**{text}**"),
        }
    }

    fn code(&self, text: &str, context: Context) -> String {
        let text = flat(text);
        let text = self.unmarked(clipped(text.trim(), self.longest));
        match context {
            _ if text.is_empty() => text,
            Context::Html => format!("<code>{}</code>", entities(&text)),
            // How a bar is written inside a code span inside a table, dialects don't agree on.
            Context::Cell if text.contains('|') => self.inert(&text, context),
            Context::Line | Context::Cell => {
                let fence = "`".repeat(longest_run(&text) + 1);
                let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
                format!("{fence}{pad}{text}{pad}{fence}")
            }
        }
    }

    fn link(&self, text: &str, page: &str, context: Context) -> String {
        let text = self.text(flat(text).trim(), context);
        match (self.url(page), context) {
            (None, _) => text,
            (Some(url), Context::Html) => format!("<a href=\"{}\">{text}</a>", entities(&url)),
            (Some(url), Context::Line | Context::Cell) => format!("[{text}]({url})"),
        }
    }

    /// Text in a fixed width in which the marker doesn't stand.
    pub(super) fn unmarked(&self, text: String) -> String {
        let core = self.marker.trim_matches('`');
        if !core.is_empty() && text.contains(core) {
            text.replace("longboat:", &format!("longboat:{JOINER}"))
        } else {
            text
        }
    }

    /// Text that is nothing but text.
    fn inert(&self, text: &str, context: Context) -> String {
        let letters: Vec<char> = text.chars().collect();
        let mut out = String::with_capacity(text.len() + 16);
        let mut hex = 0_usize;
        let mut in_word = false;
        for (index, &letter) in letters.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| letters.get(index)).copied();
            let next = letters.get(index + 1).copied();
            // A commit is quoted by seven digits or more that are a word of their own.
            in_word = letter.is_ascii_alphanumeric() && (in_word || !letter.is_ascii_hexdigit());
            hex = if letter.is_ascii_hexdigit() && !in_word { hex + 1 } else { 0 };
            if hex == 7 {
                out.push(JOINER);
                hex = 1;
            }
            if letter == '.' && ends_with_www(&letters, index) {
                out.push(JOINER);
            }
            self.push(letter, context, &mut out);
            let breaks = match letter {
                '@' | '#' => true,
                '!' => next.is_none_or(char::is_numeric),
                ':' => next == Some('/') || names_emoji(&letters, index),
                '-' => {
                    before.is_some_and(|before| before.is_ascii_uppercase() || before.is_ascii_digit())
                        && next.is_none_or(char::is_numeric)
                }
                // Without escapes for these, what follows must not make them the beginning of something.
                '<' | '&' | '~' => !self.html,
                _ => false,
            };
            if breaks {
                out.push(JOINER);
            }
        }
        out
    }

    fn push(&self, letter: char, context: Context, out: &mut String) {
        match letter {
            '<' if self.html => out.push_str("&lt;"),
            '>' if self.html => out.push_str("&gt;"),
            '&' if self.html => out.push_str("&amp;"),
            '"' if context == Context::Html => out.push_str("&quot;"),
            // The beginning of a formula, which has no escape.
            '$' if self.html => out.push_str("&#36;"),
            '|' if context == Context::Cell && self.html => out.push_str("&#124;"),
            '|' if context == Context::Cell => out.push_str("\\|"),
            '~' if self.html && context != Context::Html => out.push_str("\\~"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '{' | '}' if context != Context::Html => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
}

/// Adds a piece. The end of one and the beginning of the next would be read as one longer mark, or as the digits of one
/// commit.
fn join(out: &mut String, piece: &str) {
    let mark = |letter: char| matches!(letter, '`' | '*');
    let digit = |letter: char| letter.is_ascii_hexdigit();
    let seam = out.chars().next_back().zip(piece.chars().next());
    if seam.is_some_and(|(end, start)| mark(end) && mark(start) || digit(end) && digit(start)) {
        out.push(JOINER);
    }
    out.push_str(piece);
}

/// A line that begins no list, definition, heading, quote or rule.
fn shield_start(line: &str) -> String {
    if line.starts_with(':') {
        return format!("{JOINER}{line}");
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let at = match line.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => digits,
        Some(b'-' | b'+' | b'#' | b'>' | b'=') if digits == 0 => 0,
        _ => return line.to_owned(),
    };
    let (head, tail) = line.split_at(at);
    format!("{head}\\{tail}")
}

fn ends_with_www(letters: &[char], end: usize) -> bool {
    end.checked_sub(3)
        .and_then(|start| letters.get(start..end))
        .is_some_and(|word| word.iter().all(|letter| letter.eq_ignore_ascii_case(&'w')))
}

/// Whether `:name:` begins here.
fn names_emoji(letters: &[char], colon: usize) -> bool {
    let name = |letter: &&char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-');
    let rest = letters.get(colon + 1..).unwrap_or_default();
    let length = rest.iter().take_while(name).count();
    length > 0 && rest.get(length) == Some(&':')
}

/// One line without what changes how other text reads.
pub(super) fn flat(text: &str) -> String {
    text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { visible(letter) }).collect()
}

/// A character that stands for itself: neither a control nor a change of direction.
pub(super) fn visible(letter: char) -> char {
    match letter {
        '\u{2028}' | '\u{2029}' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => '\u{fffd}',
        letter if letter.is_control() => ' ',
        letter => letter,
    }
}

/// At most `most` characters, with an ellipsis if some were cut.
pub(super) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The length of the longest run of backticks.
pub(super) fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}

/// What stays as it is in an address: nothing that could end it.
const IN_ADDRESS: &str = "-._~:/?#@!&'+,;=%";

fn symbol(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "✅",
        Mark::Bad => "❌",
        Mark::Pending => "⏳",
        Mark::Warning => "⚠️",
        Mark::Skipped => "⏭️",
    }
}
