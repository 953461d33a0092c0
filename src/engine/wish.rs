//! How what people ask of an execution travels to the replica that has it, and the answer back.
//!
//! Both are documents in the store (`store::Wish`). A replica that doesn't know what it is asked, because it is an older
//! program, says so: nothing is guessed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::handle::{Command, LOOK};
use super::{EngineError, Handle};
use crate::model::{ApplicationName, ExecutionId, PipelineName, StagePath, Status};
use crate::store::{StoredExecution, Word};

/// How long another replica is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The document of a wish.
pub(super) fn write_command(command: &Command) -> Result<String, EngineError> {
    serde_json::to_string(command).map_err(|error| EngineError::Refused(format!("it can't be passed on: {error}")))
}

/// What a wish asks for; an error is the answer.
pub(super) fn read_command(document: &str) -> Result<Command, EngineError> {
    serde_json::from_str(document).map_err(|_| {
        EngineError::Refused(
            "the replica that has the execution is another version of Longboat and doesn't know how to do this; try \
             again when all replicas are up to date"
                .to_owned(),
        )
    })
}

/// An outcome on its way back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Done,
    NotFound(ExecutionId),
    NoSuchStage(StagePath),
    Complete(Status),
    Running,
    NeverBegan,
    Removed(ApplicationName, PipelineName),
    NotRun(StagePath),
    NothingFailed,
    Compacted,
    NotPausable,
    NotPaused,
    NotSkippable(StagePath),
    NotWaiting(StagePath),
    AlreadyJudged(StagePath),
    Refused(String),
    Unreadable(String),
    /// The database failed there.
    Failed(String),
}

/// The document of an answer; none: it is to be asked again, of whoever has the execution by then.
pub(super) fn write_answer(outcome: Result<(), EngineError>) -> Option<String> {
    let answer = match outcome {
        Ok(()) => Answer::Done,
        Err(EngineError::NotFound(id)) => Answer::NotFound(id),
        Err(EngineError::NoSuchStage(path)) => Answer::NoSuchStage(path),
        Err(EngineError::Complete(status)) => Answer::Complete(status),
        Err(EngineError::Running) => Answer::Running,
        Err(EngineError::NeverBegan) => Answer::NeverBegan,
        Err(EngineError::Removed(application, pipeline)) => Answer::Removed(application, pipeline),
        Err(EngineError::NotRun(path)) => Answer::NotRun(path),
        Err(EngineError::NothingFailed) => Answer::NothingFailed,
        Err(EngineError::Compacted) => Answer::Compacted,
        Err(EngineError::NotPausable) => Answer::NotPausable,
        Err(EngineError::NotPaused) => Answer::NotPaused,
        Err(EngineError::NotSkippable(path)) => Answer::NotSkippable(path),
        Err(EngineError::NotWaiting(path)) => Answer::NotWaiting(path),
        Err(EngineError::AlreadyJudged(path)) => Answer::AlreadyJudged(path),
        Err(EngineError::Refused(why)) => Answer::Refused(why),
        Err(EngineError::Unreadable(why)) => Answer::Unreadable(why),
        Err(EngineError::Failed(why)) => Answer::Failed(why),
        Err(EngineError::Store(error)) => Answer::Failed(error.to_string()),
        Err(EngineError::Stopped | EngineError::Moved | EngineError::Unheeded(_)) => return None,
    };
    serde_json::to_string(&answer).ok()
}

/// The outcome that an answer tells.
pub(super) fn read_answer(document: &str) -> Result<(), EngineError> {
    let unknown = |_| EngineError::Failed("the replica that has the execution gave an unknown answer".to_owned());
    Err(match serde_json::from_str::<Answer>(document).map_err(unknown)? {
        Answer::Done => return Ok(()),
        Answer::NotFound(id) => EngineError::NotFound(id),
        Answer::NoSuchStage(path) => EngineError::NoSuchStage(path),
        Answer::Complete(status) => EngineError::Complete(status),
        Answer::Running => EngineError::Running,
        Answer::NeverBegan => EngineError::NeverBegan,
        Answer::Removed(application, pipeline) => EngineError::Removed(application, pipeline),
        Answer::NotRun(path) => EngineError::NotRun(path),
        Answer::NothingFailed => EngineError::NothingFailed,
        Answer::Compacted => EngineError::Compacted,
        Answer::NotPausable => EngineError::NotPausable,
        Answer::NotPaused => EngineError::NotPaused,
        Answer::NotSkippable(path) => EngineError::NotSkippable(path),
        Answer::NotWaiting(path) => EngineError::NotWaiting(path),
        Answer::AlreadyJudged(path) => EngineError::AlreadyJudged(path),
        Answer::Refused(why) => EngineError::Refused(why),
        Answer::Unreadable(why) => EngineError::Unreadable(why),
        Answer::Failed(why) => EngineError::Failed(why),
    })
}

impl Handle {
    /// Asks whoever has the execution, and waits for the answer for a while. If none comes, the wish is taken back.
    pub(super) async fn elsewhere(&self, stored: &StoredExecution, command: &Command) -> Result<(), EngineError> {
        let mut words = self.ledger.words();
        let document = write_command(command)?;
        let wish = self.store.wish(stored.execution.key, stored.shard, document).await?;
        self.ledger.tell(Word::Wishes);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.store.wish_answer(wish).await?.is_none() {
            // Whoever answers says so; looking is what makes sure.
            let said = async {
                while let Ok(word) = words.recv().await {
                    if word == Word::Wishes {
                        return;
                    }
                }
                std::future::pending().await
            };
            let _ = tokio::time::timeout(LOOK, said).await.is_ok();
        }
        match self.store.forget_wish(wish).await? {
            Some(answer) => read_answer(&answer),
            None => Err(EngineError::Moved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::world::path;
    use crate::engine::{Judgment, Verdict};
    use crate::store::StoreError;

    #[test]
    fn every_command_comes_back() {
        let judgment =
            Judgment { verdict: Verdict::Stop, input: Some("eu".into()), by: "ann".into(), roles: Some(vec![]) };
        for command in [
            Command::Cancel { by: "ann".into(), reason: Some("wrong".into()) },
            Command::Judge { path: path("ok"), judgment },
            Command::Pause { by: "ann".into() },
            Command::Resume { by: "bob".into() },
            Command::Skip { path: path("wait"), by: "ann".into() },
            Command::Restart { path: None, by: "ann".into(), override_freeze: true },
        ] {
            let document = write_command(&command).expect("writes");
            assert_eq!(read_command(&document).expect("reads"), command);
        }
        let later = read_command(r#"{"leap":{"far":true}}"#);
        assert!(matches!(&later, Err(EngineError::Refused(why)) if why.contains("another version")), "{later:?}");
    }

    #[test]
    fn errors_travel_whole() {
        let name = || "shop".parse().expect("a name");
        for error in [
            EngineError::NotFound(ExecutionId::generate()),
            EngineError::NoSuchStage(path("a")),
            EngineError::Complete(Status::Terminal),
            EngineError::Running,
            EngineError::NeverBegan,
            EngineError::Removed(name(), "deploy".parse().expect("a name")),
            EngineError::NotRun(path("a/b")),
            EngineError::NothingFailed,
            EngineError::Compacted,
            EngineError::NotPausable,
            EngineError::NotPaused,
            EngineError::NotSkippable(path("a")),
            EngineError::NotWaiting(path("a")),
            EngineError::AlreadyJudged(path("a")),
            EngineError::Refused("choose `eu` or `us`".into()),
            EngineError::Unreadable("row 3".into()),
            EngineError::Failed("no space left".into()),
        ] {
            let text = error.to_string();
            let document = write_answer(Err(error)).expect("is told");
            assert_eq!(read_answer(&document).expect_err("an error").to_string(), text);
        }
        let failed = write_answer(Err(StoreError::Closed.into())).expect("is told");
        let failed = read_answer(&failed).expect_err("an error").to_string();
        assert!(failed.ends_with(&StoreError::Closed.to_string()), "{failed}");
        assert!(read_answer(&write_answer(Ok(())).expect("is told")).is_ok());
        assert!(write_answer(Err(EngineError::Moved)).is_none(), "asked again");
        assert!(matches!(read_answer(r#""leapt""#), Err(EngineError::Failed(_))));
    }
}
