//! Comments in the Markdown that forges take.

use std::fmt::Write as _;

use super::{Capabilities, Markup};
use crate::model::{Block, Comment, Line, Piece, RepositoryName};

/// What identifies the comment of a pull request: the text holds it, hidden where that can be.
pub fn marker(repository: &RepositoryName, pull_request: u64, markup: Markup) -> String {
    if markup.hidden_text {
        format!("<!-- longboat:{repository}#{pull_request} -->")
    } else {
        format!("`longboat: {repository}#{pull_request}`")
    }
}

/// The comment in the forge's markup, not longer than it takes. `public_url` is the server's public address, without
/// which there are no links; `marker` is its last line.
pub fn write(comment: &Comment, capabilities: &Capabilities, public_url: Option<&str>, marker: &str) -> String {
    let mut body = String::new();
    let room = capabilities.comment_limit.saturating_sub(marker.chars().count() + 1);
    for block in &comment.blocks {
        let text = plain(block);
        if body.chars().count() + text.chars().count() + 1 > room {
            break;
        }
        // Writing to a String can't fail.
        _ = writeln!(body, "{text}");
    }
    let _ = public_url;
    body.push_str(marker);
    body
}

fn plain(block: &Block) -> String {
    match block {
        Block::Heading { line, .. } | Block::Paragraph(line) => escaped(line),
        Block::List(lines) => lines.iter().map(|line| format!("- {}\n", escaped(line))).collect(),
        Block::Code { text, .. } => escaped(&vec![Piece::text(text.clone())]),
        Block::Table { rows, .. } => {
            rows.iter().map(|row| format!("- {}\n", row.iter().map(escaped).collect::<Vec<_>>().join(", "))).collect()
        }
        Block::Details { summary, blocks } => {
            format!("{}\n\n{}", escaped(summary), blocks.iter().map(plain).collect::<Vec<_>>().join("\n\n"))
        }
    }
}

fn escaped(line: &Line) -> String {
    let mut text = String::new();
    for piece in line {
        let piece = match piece {
            Piece::Text(text) | Piece::Strong(text) | Piece::Code(text) | Piece::Link { text, .. } => text.as_str(),
            Piece::Mark(_) => "",
        };
        for letter in piece.chars() {
            if letter.is_ascii_punctuation() {
                text.push('\\');
            }
            text.push(if letter.is_control() { ' ' } else { letter });
            if matches!(letter, '@' | '#') {
                text.push('\u{2060}');
            }
        }
    }
    text
}
