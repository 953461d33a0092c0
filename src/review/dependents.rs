//! What a pull request on a module repository does to those who use its modules.

use super::findings;
use super::plan::{UNFOLDED, pipeline, section, to_count};
use crate::model::{Block, Impact, ImpactDetail, ImpactedBranch, Line, Mark, Piece, Review, counted};

/// The most repositories that are listed.
const MOST_LISTED: usize = 50;
/// The most pipelines of one of them that are listed.
const MOST_PIPELINES: usize = 20;

/// What would break, which is to be read before all else.
pub(super) fn broken(review: &Review) -> Vec<Block> {
    let Some(impact) = known(review).filter(|impact| impact.broken > 0) else { return Vec::new() };
    let mut blocks = vec![section("What breaks where the modules are used")];
    let text = format!("{} would have {}.", counted(impact.broken, "dependent"), counted(impact.errors, "new error"));
    blocks.push(Block::Paragraph(vec![Piece::Mark(Mark::Bad), Piece::text(format!(" {text}"))]));
    let broken: Vec<&ImpactedBranch> = impact.dependents.iter().filter(|one| one.errors > 0).collect();
    for one in broken.iter().take(MOST_LISTED) {
        let mut line = name(one);
        line.push(Piece::text(format!(": {}", counted(one.errors, "error"))));
        blocks.push(Block::Paragraph(line));
        blocks.extend(one.findings.iter().flat_map(findings::blocks));
        let listed = to_count(one.findings.len());
        if let Some(more) = one.errors.checked_sub(listed).filter(|more| *more > 0 && listed > 0) {
            blocks.push(Block::Paragraph(vec![Piece::text(format!("And {}.", counted(more, "more error")))]));
        }
    }
    blocks.extend(unlisted(impact, impact.broken, broken.len()));
    blocks
}

/// What would change, and how many would not.
pub(super) fn changed(review: &Review) -> Vec<Block> {
    let Some(impact) = known(review).filter(|impact| impact.all() > 0) else { return Vec::new() };
    let mut blocks = vec![section("What changes where the modules are used")];
    let none = if impact.broken > 0 { "Besides, no pipeline changes." } else { "No pipeline changes." };
    let text = impact.changes().map_or_else(|| none.to_owned(), |changes| format!("{changes}."));
    blocks.push(Block::Paragraph(vec![Piece::text(text)]));
    let changed: Vec<&ImpactedBranch> = impact.dependents.iter().filter(|one| one.errors == 0).collect();
    let unfolded = changed.len() <= UNFOLDED;
    for one in changed.iter().take(MOST_LISTED) {
        blocks.extend(dependent(one, unfolded));
    }
    blocks.extend(unlisted(impact, impact.changed, changed.len()));
    let mut rest: Vec<Line> = Vec::new();
    for (number, what) in [
        (impact.same, "use what would move, and stay as they are"),
        (impact.elsewhere, "use other tags, branches or commits, which the merge doesn't move"),
        (impact.unknown, "could not be looked at"),
    ] {
        if number > 0 {
            let what = if number == 1 { singular(what) } else { what.to_owned() };
            rest.push(vec![Piece::text(format!("{} {what}", counted(number, "dependent")))]);
        }
    }
    if !rest.is_empty() {
        blocks.push(Block::List(rest));
    }
    blocks
}

fn known(review: &Review) -> Option<&Impact> {
    review.dependents.as_ref().filter(|_| review.trouble.is_none())
}

fn singular(text: &str) -> String {
    text.replacen("use ", "uses ", 1).replacen("stay as they are", "stays as it is", 1)
}

/// A branch with what would change in it.
fn dependent(one: &ImpactedBranch, unfolded: bool) -> Vec<Block> {
    let mut summary = name(one);
    summary.push(Piece::text(format!(": {}", counted(to_count(one.pipelines.len()), "pipeline"))));
    let mut blocks: Vec<Block> = Vec::new();
    match &one.plan {
        Some(plan) => {
            blocks.extend(plan.pipelines.iter().take(MOST_PIPELINES).flat_map(|change| pipeline(change, unfolded)));
            if plan.cut || plan.pipelines.len() > MOST_PIPELINES {
                blocks.push(Block::Paragraph(vec![Piece::text("Not all of it had room.")]));
            }
        }
        None => {
            let line = |one: &crate::model::ImpactedPipeline| {
                let name = Piece::code(format!("{}/{}", one.application, one.pipeline));
                vec![name, Piece::text(" "), Piece::Strong(one.kind.as_str().to_owned())]
            };
            let mut lines: Vec<Line> = one.pipelines.iter().take(MOST_PIPELINES).map(line).collect();
            if let Some(more) = one.pipelines.len().checked_sub(MOST_PIPELINES).filter(|more| *more > 0) {
                lines.push(vec![Piece::text(format!("and {more} more"))]);
            }
            blocks.push(Block::List(lines));
        }
    }
    if unfolded {
        blocks.insert(0, Block::Paragraph(summary));
        blocks
    } else {
        vec![Block::Details { summary, blocks }]
    }
}

fn name(one: &ImpactedBranch) -> Line {
    vec![Piece::code(one.repository.as_str()), Piece::text(" on "), Piece::code(&*one.branch)]
}

/// How many are not named, where some are.
fn unlisted(impact: &Impact, all: u32, listed: usize) -> Option<Block> {
    let shown = to_count(listed.min(MOST_LISTED));
    let more = all.checked_sub(shown).filter(|more| *more > 0 && impact.detail != ImpactDetail::Counts)?;
    Some(Block::Paragraph(vec![Piece::text(format!("And {}.", counted(more, "more dependent")))]))
}
