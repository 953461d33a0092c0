//! The whole comment: verdict and counts first, then what a person must do, then what is good to know.

use super::Subject;
use super::dependents;
use super::findings;
use super::outcome;
use super::plan::{changes, starts};
use crate::model::{Block, Comment, Line, Mark, Piece, PullRequestState, Review, ReviewVerdict, counted};

/// The comment.
pub(super) fn comment(subject: &Subject<'_>) -> Comment {
    let this = subject.pull_request;
    let blocks = match this.state {
        PullRequestState::Open => open(subject),
        PullRequestState::Closed => closed(subject),
        PullRequestState::Merged => outcome::merged(subject),
    };
    let page = Some(this.page());
    Comment { repository: this.repository.clone(), pull_request: this.number, blocks, page }
}

fn open(subject: &Subject<'_>) -> Vec<Block> {
    let this = subject.pull_request;
    let Some(review) = subject.review else {
        return vec![
            heading(Mark::Pending, "Checking"),
            Block::Paragraph(vec![
                Piece::text("The first look at "),
                Piece::code(this.head.short()),
                Piece::text(" is under way."),
            ]),
        ];
    };
    let mut blocks = vec![verdict(review)];
    if review.commit != this.head {
        blocks.push(Block::Paragraph(vec![
            Piece::Mark(Mark::Pending),
            Piece::text(" A newer commit, "),
            Piece::code(this.head.short()),
            Piece::text(", is being checked. Until then, this is about "),
            Piece::code(review.commit.short()),
            Piece::text("."),
        ]));
    }
    blocks.push(checked(review));
    blocks.extend(fixed(review));
    blocks.extend(found(review));
    blocks.push(Block::Paragraph(vec![
        Piece::text("To check again, comment "),
        Piece::code("/longboat check"),
        Piece::text("."),
    ]));
    blocks
}

/// Errors first, then what would change and start, then what is good to know.
fn found(review: &Review) -> Vec<Block> {
    let mut blocks = findings::errors(review);
    blocks.extend(dependents::broken(review));
    blocks.extend(changes(review));
    blocks.extend(starts(review));
    blocks.extend(dependents::changed(review));
    blocks.extend(findings::warnings(review));
    blocks
}

/// A plan for people who aren't on a forge: the verdict, `about` what it is, and everything that was found.
pub(super) fn plan(review: &Review, about: Line) -> Vec<Block> {
    let mut blocks = vec![verdict(review), Block::Paragraph(about)];
    blocks.extend(found(review));
    blocks
}

fn closed(subject: &Subject<'_>) -> Vec<Block> {
    let mut blocks = vec![
        heading(Mark::Skipped, "Closed without a merge"),
        Block::Paragraph(vec![Piece::text("Nothing of it was published, and nothing was run.")]),
    ];
    blocks.extend(before_the_end(subject.review, "What the last check found"));
    blocks
}

/// What was said while the pull request was open, folded away.
pub(super) fn before_the_end(review: Option<&Review>, title: &str) -> Option<Block> {
    let review = review.filter(|review| {
        review.files > 0 || review.errors > 0 || review.trouble.is_some() || review.has_dependents()
    })?;
    let mut blocks = vec![checked(review)];
    blocks.extend(findings::errors(review));
    blocks.extend(dependents::broken(review));
    blocks.extend(changes(review));
    blocks.extend(dependents::changed(review));
    blocks.extend(findings::warnings(review));
    Some(Block::Details { summary: vec![Piece::text(format!("{title}: {}", review.summary()))], blocks })
}

/// The first line.
fn verdict(review: &Review) -> Block {
    heading(mark(review), &review.summary())
}

fn mark(review: &Review) -> Mark {
    match review.verdict() {
        ReviewVerdict::Unchecked | ReviewVerdict::Warnings => Mark::Warning,
        ReviewVerdict::Failed => Mark::Bad,
        ReviewVerdict::Empty => Mark::Skipped,
        ReviewVerdict::Good => Mark::Good,
    }
}

/// What was looked at, or why it could not be.
fn checked(review: &Review) -> Block {
    if let Some(trouble) = &review.trouble {
        let mut line =
            vec![Piece::text("Longboat could not look at "), Piece::code(review.commit.short()), Piece::text(": ")];
        line.extend(findings::with_code(trouble));
        return Block::Paragraph(line);
    }
    Block::Paragraph(vec![
        Piece::text("Checked "),
        Piece::code(review.commit.short()),
        Piece::text(" as "),
        Piece::code(&*review.target_branch),
        Piece::text(" would be after the merge. Nothing of it was run."),
    ])
}

/// That errors are gone.
fn fixed(review: &Review) -> Option<Block> {
    let gone = review.errors_before.checked_sub(review.errors).filter(|gone| *gone > 0 && review.trouble.is_none())?;
    let text = match (gone, review.errors) {
        (1, 0) => "The error of the check before is fixed.".to_owned(),
        (gone, 0) => format!("All {gone} errors of the check before are fixed."),
        (gone, _) => format!("{} fewer than at the check before.", counted(gone, "error")),
    };
    Some(Block::Paragraph(vec![Piece::Mark(Mark::Good), Piece::text(" "), Piece::Strong(text)]))
}

/// A heading with a mark: the first line of a comment.
pub(super) fn heading(mark: Mark, text: &str) -> Block {
    Block::Heading { level: 3, line: vec![Piece::Mark(mark), Piece::text(format!(" {text}"))] }
}
