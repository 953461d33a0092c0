//! Blocks of a comment, and how they are made smaller.

use std::fmt::Write as _;

use super::inline::{Pen, clipped, longest_run, visible};
use super::mermaid;
use crate::model::{Block, Line, Piece};

/// The fewest items that are left of a list that is kept.
const KEPT_ROWS: usize = 30;

/// How small blocks are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Squeeze {
    /// The most lines of a piece of code.
    pub(super) lines: usize,
    /// The most characters of such a line.
    pub(super) width: usize,
    /// The most rows of a table, and items of a list.
    pub(super) rows: usize,
    /// Whether there are pictures.
    pub(super) pictures: bool,
}

impl Squeeze {
    /// From generous to tight.
    pub(super) const LEVELS: [Self; 5] = [
        Self { lines: 1000, width: 2000, rows: 1000, pictures: true },
        Self { lines: 60, width: 400, rows: 100, pictures: true },
        Self { lines: 20, width: 200, rows: 30, pictures: false },
        Self { lines: 8, width: 120, rows: 10, pictures: false },
        Self { lines: 4, width: 80, rows: 10, pictures: false },
    ];
}

/// Writes blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) pen: Pen<'a>,
    pub(super) folding: bool,
    pub(super) mermaid: bool,
    pub(super) squeeze: Squeeze,
}

impl Writer<'_> {
    /// A block without a line break at its end; empty if there is nothing in it.
    pub(super) fn block(&self, block: &Block) -> String {
        match block {
            Block::Heading { level, line } => {
                let text = self.pen.line(line);
                if text.is_empty() { text } else { format!("{} {text}", "#".repeat(usize::from(*level).clamp(1, 6))) }
            }
            Block::Paragraph(line) => self.pen.line(line),
            Block::List(items) => self.list(items),
            Block::Code { language, text } => self.code(language, text),
            Block::Graph(graph) if self.mermaid && self.squeeze.pictures => mermaid::written(graph),
            Block::Graph(_) => String::new(),
            Block::Table { head, rows } => self.table(head, rows),
            Block::Details { summary, blocks } => {
                let inside: Vec<String> = blocks.iter().map(|block| self.block(block)).collect();
                self.details(summary, &inside)
            }
            Block::Kept(blocks) => {
                let squeeze = Squeeze { rows: self.squeeze.rows.max(KEPT_ROWS), ..self.squeeze };
                let writer = Writer { squeeze, ..*self };
                joined(&blocks.iter().map(|block| writer.block(block)).collect::<Vec<_>>())
            }
        }
    }

    /// What is folded away, of blocks that are written already.
    pub(super) fn details(&self, summary: &Line, inside: &[String]) -> String {
        let inside = joined(inside);
        if self.folding {
            format!("<details><summary>{}</summary>\n\n{inside}\n\n</details>", self.pen.html(summary))
        } else {
            joined(&[self.pen.line(summary), inside])
        }
    }

    fn list(&self, items: &[Line]) -> String {
        let mut out = Vec::new();
        for item in items.iter().take(self.squeeze.rows) {
            out.push(format!("- {}", self.pen.line(item)));
        }
        if let Some(more) = items.len().checked_sub(self.squeeze.rows).filter(|more| *more > 0) {
            out.push(format!("- and {more} more"));
        }
        out.join("\n")
    }

    fn table(&self, head: &[Line], rows: &[Vec<Line>]) -> String {
        if head.is_empty() {
            return String::new();
        }
        let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let mut out = vec![
            row(head.iter().map(|cell| self.pen.cell(cell)).collect()),
            row(head.iter().map(|_| "---".to_owned()).collect()),
        ];
        let none = Line::new();
        for cells in rows.iter().take(self.squeeze.rows) {
            out.push(row((0..head.len()).map(|at| self.pen.cell(cells.get(at).unwrap_or(&none))).collect()));
        }
        if let Some(more) = rows.len().checked_sub(self.squeeze.rows).filter(|more| *more > 0) {
            let mut cells = vec![String::new(); head.len()];
            if let Some(first) = cells.first_mut() {
                *first = self.pen.cell(&vec![Piece::text(format!("and {more} more"))]);
            }
            out.push(row(cells));
        }
        out.join("\n")
    }

    fn code(&self, language: &str, text: &str) -> String {
        let text = self.pen.unmarked(self.shortened(text));
        if text.trim().is_empty() {
            return String::new();
        }
        let fence = "`".repeat((longest_run(&text) + 1).max(3));
        format!("{fence}{language}\n{text}\n{fence}")
    }

    /// The first and the last lines: a file's begin with what matters, a log's end with it.
    fn shortened(&self, text: &str) -> String {
        let Squeeze { lines: most, width, .. } = self.squeeze;
        let lines: Vec<&str> = text.trim_end().split('\n').collect();
        let left_out = lines.len().saturating_sub(most);
        let head = if left_out == 0 { lines.len() } else { most / 2 };
        let mut out = String::new();
        for (index, line) in lines.iter().enumerate() {
            if index == head && left_out > 0 {
                // Writing to a String can't fail.
                _ = writeln!(out, "… {left_out} lines are left out …");
            }
            if index < head || index >= head + left_out {
                let line: String = line.trim_end().chars().map(readable).collect();
                out.push_str(&clipped(&line, width));
                out.push('\n');
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// Tabs are left to code; everything else is as in a line.
fn readable(letter: char) -> char {
    if letter == '\t' { letter } else { visible(letter) }
}

/// Blocks below each other; empty ones are left out.
pub(super) fn joined(blocks: &[String]) -> String {
    let full: Vec<&str> = blocks.iter().map(String::as_str).filter(|block| !block.is_empty()).collect();
    full.join("\n\n")
}
