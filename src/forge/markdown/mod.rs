//! Comments in the Markdown that forges take.
//!
//! [`write()`] is the only way from a [`Comment`] to text: foreign text in it can't become markup, a mention or a link
//! (`inline`), and the result is never longer than the forge takes: first code and tables are shortened (`block`),
//! then whole blocks are left out from the end, but for those that are to be kept, and the text says how many.

mod block;
mod inline;
mod mermaid;
#[cfg(test)]
mod tests;

use super::{Capabilities, Markup};
use crate::model::{Block, Comment, Line, Piece, RepositoryName};
use block::{Squeeze, Writer, joined};
use inline::Pen;

/// The most characters of one piece of a line; what is longer is no line that anybody reads.
const LONGEST_PIECE: usize = 2000;
/// The same where room is short.
const SHORTEST_PIECES: [usize; 3] = [200, 60, 20];

/// What identifies the comment of a pull request: the text holds it once, hidden where that can be.
pub fn marker(repository: &RepositoryName, pull_request: u64, markup: Markup) -> String {
    if markup.hidden_text {
        format!("<!-- longboat:{repository}#{pull_request} -->")
    } else {
        // In a fixed width the number is no reference to something else.
        format!("`longboat: {repository}#{pull_request}`")
    }
}

/// The comment in the forge's markup, not longer than it takes. `public_url` is the server's public address, without
/// which there are no links; `marker` becomes its last line, and may be empty where nobody looks for the comment again.
///
/// The first block is always there, shortened if need be; the marker always is. The same comment gives the same text.
pub fn write(comment: &Comment, capabilities: &Capabilities, public_url: Option<&str>, marker: &str) -> String {
    let markup = capabilities.markup;
    let pen = Pen { html: markup.hidden_text, public_url, marker, longest: LONGEST_PIECE };
    let limit = capabilities.comment_limit;
    let mut writer = Writer { pen, folding: markup.folding, mermaid: markup.mermaid, squeeze: Squeeze::LEVELS[0] };
    for squeeze in Squeeze::LEVELS {
        writer.squeeze = squeeze;
        let blocks: Vec<String> = comment.blocks.iter().map(|block| writer.block(block)).collect();
        let whole = joined(&[joined(&blocks), marker.to_owned()]);
        if length(&whole) <= limit {
            return whole;
        }
    }
    let note = |left_out| writer.pen.line(&left_out_note(left_out, comment.page.as_deref()));
    let longest_note = length(&note(count(&comment.blocks)));
    let room = limit.saturating_sub(length(marker) + longest_note + 2 * GAP);
    let (mut kept, mut left_out) = fill(&writer, &comment.blocks, room);
    if kept.is_empty()
        && let Some(first) = comment.blocks.first()
        && let Some(text) = smaller(&writer, first, room)
    {
        left_out = left_out.saturating_sub(count(std::slice::from_ref(first)));
        kept.push(text);
    }
    joined(&[joined(&kept), note(left_out), marker.to_owned()])
}

/// The characters between two blocks.
const GAP: usize = 2;

/// As many blocks as there is room for, from the beginning, and how many are left out. What is kept has its room before
/// the others have theirs.
fn fill(writer: &Writer<'_>, blocks: &[Block], room: usize) -> (Vec<String>, usize) {
    let promised: Vec<Option<String>> = promised(writer, blocks, room / 2);
    let reserved: usize = promised.iter().flatten().map(|text| length(text) + GAP).sum();
    let room = room.saturating_sub(reserved);
    let mut kept: Vec<String> = Vec::new();
    let (mut used, mut left_out, mut is_full) = (0, 0, false);
    for (block, promised) in blocks.iter().zip(promised) {
        if let Some(text) = promised {
            kept.push(text);
            continue;
        }
        if is_full {
            left_out += count(std::slice::from_ref(block));
            continue;
        }
        let text = writer.block(block);
        if used + length(&text) + GAP <= room {
            used += length(&text) + GAP;
            kept.push(text);
            continue;
        }
        is_full = true;
        let mut lost = count(std::slice::from_ref(block));
        if let Block::Details { summary, blocks: inside } = block {
            let frame = length(&writer.details(summary, &[])) + 2 * GAP;
            let (inner, inner_left_out) = fill(writer, inside, room.saturating_sub(used + frame));
            if !inner.is_empty() {
                lost = inner_left_out;
                kept.push(writer.details(summary, &inner));
            }
        }
        left_out += lost;
    }
    (kept, left_out)
}

/// What is kept, written, as far as all of it has room; nothing in the place of every other block.
fn promised(writer: &Writer<'_>, blocks: &[Block], room: usize) -> Vec<Option<String>> {
    let mut left = room;
    let promise = |block: &Block| {
        let text = matches!(block, Block::Kept(_)).then(|| writer.block(block))?;
        left = left.checked_sub(length(&text) + GAP)?;
        Some(text)
    };
    blocks.iter().map(promise).collect()
}

/// A block whose pieces are cut until it has room; none if that doesn't help.
fn smaller(writer: &Writer<'_>, block: &Block, room: usize) -> Option<String> {
    SHORTEST_PIECES
        .into_iter()
        .map(|longest| Writer { pen: Pen { longest, ..writer.pen }, ..*writer }.block(block))
        .find(|text| length(text) <= room)
}

fn left_out_note(left_out: usize, page: Option<&str>) -> Line {
    let parts = if left_out == 1 { "part" } else { "parts" };
    let mut line = vec![Piece::text(format!("{left_out} more {parts} had no room in this comment"))];
    match page {
        Some(page) => {
            line.push(Piece::text(": "));
            line.push(Piece::Link { text: "see everything".to_owned(), page: page.to_owned() });
        }
        None => line.push(Piece::text(".")),
    }
    line
}

/// How many blocks there are, those that are folded away counted one by one.
fn count(blocks: &[Block]) -> usize {
    blocks
        .iter()
        .map(|block| match block {
            Block::Details { blocks, .. } | Block::Kept(blocks) => count(blocks).max(1),
            _ => 1,
        })
        .sum()
}

fn length(text: &str) -> usize {
    text.chars().count()
}
