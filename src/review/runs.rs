//! What a merge started, read from the store and the engine.

use std::collections::HashSet;

use super::Reviewer;
use crate::engine::EngineError;
use crate::model::{CommitSha, ExecutionId, ExecutionView, RepositoryName, StageView, Status, plain_log, shorten};
use crate::store::{ExecutionFilter, ExecutionSummary};

/// How many executions of a commit are looked through.
const LOOKED_THROUGH: u32 = 200;
/// How many pipelines are told about.
const TOLD: usize = 20;
/// How much of the end of a log is read, in bytes.
const TAIL: usize = 16 * 1024;
/// How many of its last lines are shown.
const LINES: usize = 15;
/// The longest line that is shown, in characters.
const WIDTH: usize = 300;

/// What a merge started.
pub(super) struct Runs {
    /// How many pipelines.
    pub(super) all: usize,
    /// The newest execution of each, those that failed first; bounded.
    pub(super) told: Vec<Run>,
}

/// The newest execution of a pipeline.
pub(super) struct Run {
    pub(super) view: ExecutionView,
    /// The stage that made it fail, and the last lines that it printed.
    pub(super) failure: Option<Failure>,
}

/// A stage that failed.
pub(super) struct Failure {
    pub(super) stage: String,
    pub(super) error: Option<String>,
    pub(super) lines: Vec<String>,
}

/// What reports on a commit: of each pipeline the newest execution.
pub(super) async fn of_commit(
    reviewer: &Reviewer,
    repository: &RepositoryName,
    commit: &CommitSha,
) -> Result<Runs, String> {
    let filter = ExecutionFilter {
        repository: Some(repository.clone()),
        commit: Some(commit.clone()),
        limit: LOOKED_THROUGH,
        ..ExecutionFilter::default()
    };
    let page = reviewer.store.executions(filter).await.map_err(|error| error.to_string())?;
    let mut seen = HashSet::new();
    let mut newest: Vec<ExecutionSummary> = Vec::new();
    for summary in page.items {
        // The part of another pipeline is told by that one.
        if summary.cause.parent.is_none() && seen.insert((summary.application.clone(), summary.pipeline.clone())) {
            newest.push(summary);
        }
    }
    newest.sort_by(|one, other| {
        let key = |run: &ExecutionSummary| (urgency(run.status), run.application.clone(), run.pipeline.clone());
        key(one).cmp(&key(other))
    });
    let mut told = Vec::new();
    for summary in newest.iter().take(TOLD) {
        told.extend(run(reviewer, summary.id).await?);
    }
    Ok(Runs { all: newest.len(), told })
}

/// Failures above what still runs, and that above what went well.
pub(super) const fn urgency(status: Status) -> u8 {
    match status {
        Status::Terminal | Status::Stopped | Status::FailedContinue => 0,
        Status::Canceled => 1,
        Status::Succeeded | Status::Skipped => 3,
        _ => 2,
    }
}

async fn run(reviewer: &Reviewer, id: ExecutionId) -> Result<Option<Run>, String> {
    let view = match reviewer.engine.view(id).await {
        Ok(Some(view)) => view,
        Ok(None) | Err(EngineError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let failure = match failing(&view) {
        Some(stage) => Some(failure(reviewer, id, stage).await),
        None => None,
    };
    Ok(Some(Run { view, failure }))
}

/// The stage that made an execution fail.
fn failing(view: &ExecutionView) -> Option<&StageView> {
    let with = |status| view.stages.iter().find(|stage| stage.status == status);
    if urgency(view.status) > 0 { None } else { with(Status::Terminal).or_else(|| with(Status::Stopped)) }
}

async fn failure(reviewer: &Reviewer, id: ExecutionId, stage: &StageView) -> Failure {
    let lines = match tail(reviewer, id, stage).await {
        Ok((bytes, cut)) => last_lines(&bytes, cut),
        Err(error) => vec![format!("(the log can't be read: {error})")],
    };
    Failure { stage: stage.name.clone(), error: stage.error.clone(), lines }
}

/// The end of a log, and whether it is not the whole.
async fn tail(reviewer: &Reviewer, id: ExecutionId, stage: &StageView) -> std::io::Result<(Vec<u8>, bool)> {
    let logs = &reviewer.logs;
    // Behind the end there is nothing, but the answer says where the end is.
    let end = logs.read(id, &stage.path, stage.attempt, u64::MAX, 0).await?.next;
    let from = end.saturating_sub(TAIL as u64);
    let chunk = logs.read(id, &stage.path, stage.attempt, from, TAIL).await?;
    Ok((chunk.bytes, from > 0))
}

/// The last lines of a log, fit to be read. `cut`: its beginning is missing, and with it maybe that of the first line.
fn last_lines(bytes: &[u8], cut: bool) -> Vec<String> {
    let text = plain_log(bytes);
    let all: Vec<&str> = text.trim_end().lines().skip(usize::from(cut)).collect();
    let last = all.get(all.len().saturating_sub(LINES)..).unwrap_or_default();
    last.iter().map(|line| shorten(line.trim_end(), WIDTH)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_counts() {
        let log: String = (1..=40).map(|number| format!("line {number}\n")).collect();
        let lines = last_lines(log.as_bytes(), false);
        assert_eq!((lines.len(), lines[0].as_str(), lines[14].as_str()), (15, "line 26", "line 40"));
        assert_eq!(last_lines(b"tial line\n\x1b[31mred\x1b[0m\n\n\n", true), ["red"]);
        assert_eq!(last_lines(b"", false), Vec::<String>::new());
        assert_eq!(last_lines("x".repeat(1000).as_bytes(), false)[0].chars().count(), WIDTH);
    }
}
