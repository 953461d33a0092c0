//! Findings with their places, lines and hints.

use crate::diagnostic::Severity;
use crate::model::{Block, Line, Mark, Piece, Review, ReviewFinding, counted};

/// How many errors are shown unfolded: who has more of them begins with these.
const UNFOLDED: usize = 10;

/// The errors, the first of them unfolded.
pub(super) fn errors(review: &Review) -> Vec<Block> {
    if review.trouble.is_some() {
        return Vec::new();
    }
    let errors: Vec<&ReviewFinding> = with(review, |severity| severity == Severity::Error);
    let (first, rest) = errors.split_at(errors.len().min(UNFOLDED));
    let mut blocks: Vec<Block> = first.iter().flat_map(|finding| blocks(finding)).collect();
    if !rest.is_empty() {
        let summary = vec![Piece::text(counted(to_count(rest.len()), "more error"))];
        blocks
            .push(Block::Details { summary, blocks: rest.iter().flat_map(|finding| self::blocks(finding)).collect() });
    }
    if let Some(unlisted) = review.errors.checked_sub(to_count(errors.len())).filter(|more| *more > 0) {
        let text = format!("Not listed here: {}.", counted(unlisted, "further error"));
        blocks.push(Block::Paragraph(vec![Piece::text(text)]));
    }
    blocks
}

/// What is worth knowing besides, folded away.
pub(super) fn warnings(review: &Review) -> Option<Block> {
    let others = with(review, |severity| severity != Severity::Error);
    if others.is_empty() || review.trouble.is_some() {
        return None;
    }
    let summary = match review.warnings {
        0 => counted(to_count(others.len()), "remark"),
        warnings => counted(warnings, "warning"),
    };
    let blocks = others.iter().flat_map(|finding| blocks(finding)).collect();
    Some(Block::Details { summary: vec![Piece::text(summary)], blocks })
}

fn with(review: &Review, wanted: impl Fn(Severity) -> bool) -> Vec<&ReviewFinding> {
    review.findings.iter().filter(|finding| wanted(finding.finding.severity)).collect()
}

pub(super) fn blocks(found: &ReviewFinding) -> Vec<Block> {
    let finding = &found.finding;
    let mut line: Line = Vec::new();
    line.push(Piece::Mark(if finding.severity == Severity::Error { Mark::Bad } else { Mark::Warning }));
    line.push(Piece::text(" "));
    if let Some(place) = &finding.place {
        line.push(Piece::code(format!("{}:{}", place.file, place.line)));
        line.push(Piece::text(" "));
    }
    line.extend(with_code(&finding.message));
    line.push(Piece::text(" ("));
    line.push(Piece::code(finding.code.as_str()));
    line.push(Piece::text(")"));
    let mut blocks = vec![Block::Paragraph(line)];
    if let Some(snippet) = &found.snippet {
        blocks.push(Block::Code { language: "", text: snippet.clone() });
    }
    let mut notes: Vec<Line> = Vec::new();
    for link in &finding.chain {
        notes.push(vec![
            Piece::text("in the call of "),
            Piece::code(&*link.module),
            Piece::text(" at "),
            Piece::code(format!("{}:{}", link.file, link.line)),
        ]);
    }
    for place in &finding.through {
        notes.push(vec![Piece::text("the value came through "), Piece::code(place.line_of_file())]);
    }
    if let Some(repeated) = &finding.repeated {
        notes.push(vec![Piece::text(repeated.text())]);
    }
    if let Some(hint) = &finding.hint {
        let mut line = vec![Piece::text("Hint: ")];
        line.extend(with_code(hint));
        notes.push(line);
    }
    if !notes.is_empty() {
        blocks.push(Block::List(notes));
    }
    blocks
}

/// A text of Longboat's own, in which names stand in backticks: those become names in a fixed width.
pub(super) fn with_code(text: &str) -> Line {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![Piece::text(text)];
    }
    let pieces = parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
    pieces.map(|(index, part)| if index % 2 == 1 { Piece::code(*part) } else { Piece::text(*part) }).collect()
}

fn to_count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_messages_stand_in_a_fixed_width() {
        let expected = vec![Piece::text("no stage "), Piece::code("a"), Piece::text(" here")];
        assert_eq!(with_code("no stage `a` here"), expected);
        assert_eq!(with_code("an odd ` one"), [Piece::text("an odd ` one")]);
        assert_eq!(with_code("`a`"), [Piece::code("a")]);
    }
}
