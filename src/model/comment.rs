//! A comment on a pull request, before any forge's markup: blocks of text whose foreign parts stay text.

use super::{PlanGraph, RepositoryName};

/// What one comment says. Each forge writes it in its own markup, cut to its own size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The repository.
    pub repository: RepositoryName,
    /// The pull request's number there.
    pub pull_request: u64,
    /// Its parts, the most important first: what has no room is left out from the end, but for
    /// [`Block::Kept`], and the comment says so.
    pub blocks: Vec<Block>,
    /// The path of the page that shows everything, below the server's public address.
    pub page: Option<String>,
}

/// A part of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A heading; level 1 is the largest.
    Heading {
        /// From 1.
        level: u8,
        /// Its text.
        line: Line,
    },
    /// A paragraph.
    Paragraph(Line),
    /// A list with a mark before each item.
    List(Vec<Line>),
    /// Text in a fixed width, as it stands.
    Code {
        /// What it is written in (`yaml`), or nothing.
        language: &'static str,
        /// The text.
        text: String,
    },
    /// A picture of a pipeline's stages; nothing where the forge draws none.
    Graph(PlanGraph),
    /// A table.
    Table {
        /// The columns' names.
        head: Vec<Line>,
        /// The rows, each as long as `head`.
        rows: Vec<Vec<Line>>,
    },
    /// What is folded away where the forge can; elsewhere a paragraph and its blocks.
    Details {
        /// What stands before it is opened.
        summary: Line,
        /// What is inside.
        blocks: Vec<Self>,
    },
    /// What is short and wanted most: it stays where others before it have no room. It is to be bounded; what takes more than
    /// half of a comment is left out like any other.
    Kept(Vec<Self>),
}

/// A line of text: pieces that follow each other without a gap.
pub type Line = Vec<Piece>;

/// A piece of a line. Foreign text can never become markup, a mention or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// Emphasised.
    Strong(String),
    /// In a fixed width: names, values, commits.
    Code(String),
    /// A link to a page of Longboat, by its path below the public address; only its text if there is none.
    Link {
        /// What is read.
        text: String,
        /// The path.
        page: String,
    },
    /// A mark at a verdict.
    Mark(Mark),
}

/// A mark at a verdict, for the eye; what it means is also said in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// Not decided yet.
    Pending,
    /// To be looked at.
    Warning,
    /// Left out.
    Skipped,
}

impl Piece {
    /// Text as it stands.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Text in a fixed width.
    pub fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }
}
