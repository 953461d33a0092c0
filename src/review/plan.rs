//! What the merge changes and what it starts.

use super::findings::with_code;
use crate::model::{
    Block, ChangeKind, Line, Mark, Piece, PipelineChange, Plan, PlannedStart, Review, Told, WhyNot, counted, told,
};

/// Up to so many pipelines are told unfolded.
pub(super) const UNFOLDED: usize = 3;
/// The most differences that are told of one pipeline.
const MOST_TOLD: usize = 30;
/// The most applications, pipelines that start, and pipelines that don't, that are listed.
const MOST_LISTED: usize = 50;
/// The most parameters that are named which a pipeline lacks.
const MOST_PARAMETERS: usize = 5;

/// The pipelines that the merge changes.
pub(super) fn changes(review: &Review) -> Vec<Block> {
    if review.trouble.is_some() || review.changed == 0 {
        let hidden = review.errors > 0 && review.trouble.is_none();
        let text = "Which pipelines the merge would change can be told once the errors are fixed.";
        return hidden.then(|| Block::Paragraph(vec![Piece::text(text)])).into_iter().collect();
    }
    // What an older version found is counted and not told.
    let Some(plan) = &review.plan else { return Vec::new() };
    let mut blocks = vec![section("What the merge changes")];
    if plan.cut {
        // At the beginning: the end is what a long comment loses.
        let mut line = vec![Piece::text("Not all of it has room here. In a clone, ")];
        line.push(Piece::code(command(review)));
        line.push(Piece::text(" shows everything."));
        blocks.push(Block::Paragraph(line));
    }
    let unfolded = plan.pipelines.len() <= UNFOLDED;
    blocks.extend(plan.pipelines.iter().flat_map(|change| pipeline(change, unfolded)));
    let listed = to_count(plan.pipelines.len());
    if let Some(more) = review.changed.checked_sub(listed).filter(|more| *more > 0) {
        blocks.push(Block::Paragraph(vec![Piece::text(format!("And {} more.", counted(more, "pipeline")))]));
    }
    if let Some((last, rest)) = plan.hidden.split_last() {
        let mut line = vec![Piece::text("Not compared, because of errors before or after: ")];
        for name in rest.iter().take(MOST_LISTED) {
            line.extend([Piece::code(name.as_str()), Piece::text(", ")]);
        }
        line.extend([Piece::code(last.as_str()), Piece::text(".")]);
        blocks.push(Block::Paragraph(line));
    }
    blocks
}

/// What prints the whole plan.
fn command(review: &Review) -> String {
    let base = review.base.as_ref().map(|base| format!(" --base {}", base.short())).unwrap_or_default();
    format!("longboat plan{base} --head {}", review.commit.short())
}

/// The pipelines that a push of the merge starts, and those that it doesn't.
pub(super) fn starts(review: &Review) -> Vec<Block> {
    let Some(plan) = review.plan.as_ref().filter(|_| review.trouble.is_none()) else { return Vec::new() };
    if !plan.tracked {
        let mut line = vec![Piece::text("The definitions on "), Piece::code(&*review.target_branch)];
        line.push(Piece::text(" don't count: this repository's pipelines come from other branches."));
        return if review.files > 0 { vec![Block::Paragraph(line)] } else { Vec::new() };
    }
    if plan.starts.is_empty() || review.errors > 0 && plan.starting == 0 {
        return Vec::new();
    }
    let mut first: Vec<Line> =
        plan.starts.iter().filter(|start| start.starts).take(MOST_LISTED).map(|start| vec![name(start)]).collect();
    if let Some(more) = plan.starting.checked_sub(to_count(first.len())).filter(|more| *more > 0) {
        first.push(vec![Piece::text(format!("and {}", counted(more, "more pipeline")))]);
    }
    first.extend(plan.starts.iter().filter(|start| is_wrong(start)).take(MOST_LISTED).map(cannot_start));
    let list = match first.is_empty() {
        true => Block::Paragraph(vec![Piece::text("No pipeline.")]),
        false => Block::List(first),
    };
    // It is short, and what a reviewer wants most: of a long plan, pictures and differences go first.
    let mut blocks = vec![Block::Kept(vec![section("What the merge starts"), list])];
    blocks.extend(others(plan));
    blocks
}

/// Those that don't start, folded away with their reasons.
fn others(plan: &Plan) -> Option<Block> {
    let others: Vec<&PlannedStart> = plan.starts.iter().filter(|start| !start.starts && !is_wrong(start)).collect();
    if others.is_empty() {
        return None;
    }
    let line = |start: &&PlannedStart| vec![name(start), Piece::text(format!(": {}", start.reason()))];
    let mut lines: Vec<Line> = others.iter().take(MOST_LISTED).map(line).collect();
    if let Some(more) = others.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        lines.push(vec![Piece::text(format!("and {more} more"))]);
    }
    let summary = match others.len() {
        1 => "1 pipeline is not started".to_owned(),
        number => format!("{number} pipelines are not started"),
    };
    Some(Block::Details { summary: vec![Piece::text(summary)], blocks: vec![Block::List(lines)] })
}

/// Whether somebody means it to start, and it can't.
fn is_wrong(start: &PlannedStart) -> bool {
    start.why_not == Some(WhyNot::MissingParameters)
}

fn cannot_start(start: &PlannedStart) -> Line {
    let mut line = vec![Piece::Mark(Mark::Warning), Piece::text(" "), name(start), Piece::text(" can't start: ")];
    for (index, parameter) in start.parameters.iter().take(MOST_PARAMETERS).enumerate() {
        line.push(Piece::text(if index == 0 { "no value for the required " } else { ", " }));
        line.push(Piece::code(&**parameter));
    }
    if let Some(more) = start.parameters.len().checked_sub(MOST_PARAMETERS).filter(|more| *more > 0) {
        line.push(Piece::text(format!(" and {more} more")));
    }
    line
}

fn name(start: &PlannedStart) -> Piece {
    Piece::code(format!("{}/{}", start.application, start.pipeline))
}

/// One pipeline: what happens to it, what differs, and its picture.
pub(super) fn pipeline(change: &PipelineChange, unfolded: bool) -> Vec<Block> {
    let mut summary: Line = vec![
        Piece::code(format!("{}/{}", change.application, change.pipeline)),
        Piece::text(" "),
        Piece::Strong(change.kind.as_str().to_owned()),
    ];
    let all = told(change);
    let number = to_count(all.len()).saturating_add(change.left_out);
    if change.kind == ChangeKind::Changed {
        summary.push(Piece::text(format!(": {}", counted(number, "difference"))));
    }
    let mut blocks = differences(&all, number);
    blocks.extend(change.graph.clone().filter(|graph| graph.stages.len() > 1).map(Block::Graph));
    if unfolded || blocks.is_empty() {
        blocks.insert(0, Block::Paragraph(summary));
        blocks
    } else {
        vec![Block::Details { summary, blocks }]
    }
}

/// What is told in a line comes as a list; texts of several lines follow.
fn differences(all: &[Told], number: u32) -> Vec<Block> {
    let shown = all.get(..all.len().min(MOST_TOLD)).unwrap_or_default();
    let mut list: Vec<Line> = shown.iter().filter(|told| told.lines.is_empty()).map(line).collect();
    if let Some(more) = number.checked_sub(to_count(shown.len())).filter(|more| *more > 0) {
        list.push(vec![Piece::text(format!("and {more} more"))]);
    }
    let mut blocks = Vec::new();
    if !list.is_empty() {
        blocks.push(Block::List(list));
    }
    for told in shown.iter().filter(|told| !told.lines.is_empty()) {
        blocks.push(Block::Paragraph(line(told)));
        let text: Vec<String> = told.lines.iter().map(crate::model::LineChange::written).collect();
        blocks.push(Block::Code { language: "diff", text: text.join("\n") });
    }
    blocks
}

fn line(told: &Told) -> Line {
    let mut line = vec![Piece::Strong(told.kind.as_str().to_owned()), Piece::text(" ")];
    line.extend(told.line.iter().cloned());
    if let Some(place) = &told.place {
        line.push(Piece::text(if told.gone { " · was at " } else { " · " }));
        line.push(Piece::code(place.to_string()));
    }
    line
}

pub(super) fn section(text: &str) -> Block {
    Block::Heading { level: 4, line: with_code(text) }
}

pub(super) fn to_count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
