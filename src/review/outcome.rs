//! What became of a merge: its pipelines, their stages, and what the failed ones printed last.

use super::Subject;
use super::findings::with_code;
use super::layout::{before_the_end, heading};
use super::runs::{Failure, Run, Runs, urgency};
use crate::clock::Timestamp;
use crate::model::{Block, Line, Mark, Piece, StageView, Status, counted, humanize};

/// The comment of a merged pull request.
pub(super) fn merged(subject: &Subject<'_>) -> Vec<Block> {
    let this = subject.pull_request;
    let none = Runs { all: 0, told: Vec::new() };
    let runs = subject.runs.as_ref().unwrap_or(&none);
    let (mark, text) = verdict(runs);
    let mut line = vec![Piece::text("Merged into "), Piece::code(&*this.target_branch)];
    if let Some(commit) = &this.merge_commit {
        line.extend([Piece::text(" as "), Piece::code(commit.short())]);
    }
    line.push(Piece::text("."));
    let mut blocks = vec![heading(mark, &text), Block::Paragraph(line)];
    blocks.extend(runs.told.iter().flat_map(told));
    if let Some(more) = runs.all.checked_sub(runs.told.len()).filter(|more| *more > 0) {
        let more = counted(u32::try_from(more).unwrap_or(u32::MAX), "further pipeline");
        blocks.push(Block::Paragraph(vec![Piece::text(format!("Not listed here: {more}."))]));
    }
    blocks.extend(before_the_end(subject.review, "What was checked before the merge"));
    blocks
}

/// The mark, and verdict and counts in words.
fn verdict(runs: &Runs) -> (Mark, String) {
    if runs.all == 0 {
        return (Mark::Skipped, "Merged: no pipeline was triggered".to_owned());
    }
    let with = |wanted: &dyn Fn(Status) -> bool| runs.told.iter().filter(|run| wanted(run.view.status)).count();
    let failed = with(&|status| urgency(status) == 0);
    let cancelled = with(&|status| urgency(status) == 1);
    let running = with(&|status| urgency(status) == 2);
    let good = with(&|status| urgency(status) == 3);
    let mut counts = Vec::new();
    for (number, word) in
        [(failed, "failed"), (cancelled, "cancelled"), (running, "not ended yet"), (good, "succeeded")]
    {
        if number > 0 {
            counts.push(format!("{number} {word}"));
        }
    }
    let mark = match (failed + cancelled, running) {
        (0, 0) => Mark::Good,
        (0, _) => Mark::Pending,
        _ => Mark::Bad,
    };
    let all = counted(u32::try_from(runs.all).unwrap_or(u32::MAX), "pipeline");
    let text = match counts.as_slice() {
        // All of them went the same way.
        [only] if runs.all == runs.told.len() => {
            let word = only.split_once(' ').map_or("", |(_, word)| word);
            format!("Merged: {all} {word}")
        }
        counts => format!("Merged: {all}, {}", counts.join(", ")),
    };
    (mark, text)
}

/// One pipeline.
fn told(run: &Run) -> Vec<Block> {
    let view = &run.view;
    let mut line: Line = vec![
        Piece::Mark(mark(view.status)),
        Piece::text(" "),
        Piece::code(format!("{}/{}", view.application, view.pipeline)),
        Piece::text(" "),
    ];
    let ended = view.status.is_complete();
    // How far it has come is on its page; here it would soon be wrong.
    line.push(Piece::text(if ended { view.description.as_str() } else { "has not ended yet" }));
    line.push(Piece::text(" · "));
    line.push(Piece::Link { text: if ended { "details" } else { "watch" }.to_owned(), page: view.id.page() });
    let mut blocks = vec![Block::Paragraph(line)];
    if !ended {
        return blocks;
    }
    if let Some(failure) = &run.failure {
        blocks.extend(last_words(failure));
    }
    if !view.stages.is_empty() {
        let number = u32::try_from(view.stages.len()).unwrap_or(u32::MAX);
        let table = stages(&view.stages);
        blocks.push(match run.failure {
            Some(_) => table,
            None => Block::Details { summary: vec![Piece::text(counted(number, "stage"))], blocks: vec![table] },
        });
    }
    blocks
}

fn last_words(failure: &Failure) -> Vec<Block> {
    let mut line = vec![Piece::text("Stage "), Piece::code(&*failure.stage), Piece::text(" failed")];
    if let Some(error) = &failure.error {
        line.push(Piece::text(": "));
        line.extend(with_code(error));
    }
    if failure.lines.is_empty() {
        line.push(Piece::text(". It printed nothing."));
        return vec![Block::Paragraph(line)];
    }
    line.push(Piece::text(match failure.lines.len() {
        1 => ". Its last line:".to_owned(),
        number => format!(". Its last {number} lines:"),
    }));
    vec![Block::Paragraph(line), Block::Code { language: "", text: failure.lines.join("\n") }]
}

fn stages(stages: &[StageView]) -> Block {
    let column = |name: &str| vec![Piece::text(name)];
    let row = |stage: &StageView| {
        let mut state = vec![Piece::Mark(mark(stage.status)), Piece::text(format!(" {}", word(stage.status)))];
        if stage.attempt > 1 {
            state.push(Piece::text(format!(" at attempt {}", stage.attempt)));
        }
        let duration = duration(stage.start_time, stage.end_time);
        vec![vec![Piece::code(&*stage.name)], state, duration.map(Piece::text).into_iter().collect()]
    };
    Block::Table {
        head: vec![column("Stage"), column("Outcome"), column("Duration")],
        rows: stages.iter().map(row).collect(),
    }
}

fn duration(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<String> {
    Some(humanize(end?.since(start?)))
}

const fn mark(status: Status) -> Mark {
    match status {
        Status::Succeeded => Mark::Good,
        Status::Skipped | Status::NotStarted => Mark::Skipped,
        Status::FailedContinue => Mark::Warning,
        Status::Stopped | Status::Terminal | Status::Canceled => Mark::Bad,
        _ => Mark::Pending,
    }
}

/// As the pages say it.
const fn word(status: Status) -> &'static str {
    match status {
        Status::Running | Status::Redirect => "Running",
        Status::NotStarted | Status::Buffered => "Not started",
        Status::Paused => "Paused",
        Status::Suspended => "Waiting",
        Status::Succeeded => "Succeeded",
        Status::Skipped => "Skipped",
        Status::FailedContinue => "Failed, went on",
        Status::Stopped => "Stopped",
        Status::Terminal => "Failed",
        Status::Canceled => "Cancelled",
    }
}
