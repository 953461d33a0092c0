//! What waits for a module repository is looked at again when that one can be read, or has what was asked for.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use crate::diagnostic::{Code, Diagnostic};
use crate::store::{NoticedPullRequest, PullRequestNotice, Source};
use crate::trigger::failure::WorkError;
use crate::trigger::settle::{self, Occasion};
use crate::trigger::{Repository, Shared};

/// Looks at a repository's commits again whenever a module repository has changed, if they have findings that this can
/// mend. Until told to stop.
pub(in crate::trigger) async fn recover(shared: Arc<Shared>, repository: Arc<Repository>) {
    let mut changes = shared.modules.changes();
    loop {
        let change = tokio::select! {
            () = shared.stopping.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        let looked = tokio::select! {
            () = shared.stopping.cancelled() => return,
            looked = look_again(&shared, &repository) => looked,
        };
        match looked {
            Err(error) if error.ends_work() => return,
            Err(error) => {
                tracing::warn!(repository = %repository.name(), %error, "what waited for a module repository can't be looked at again");
            }
            Ok(()) => {}
        }
    }
}

/// Whether a finding is of the kind that goes away when a module repository changes.
pub(in crate::trigger) fn waits(finding: &Diagnostic) -> bool {
    matches!(finding.code, Code::ModuleRepositoryUnread | Code::ModuleReference)
}

async fn look_again(shared: &Arc<Shared>, repository: &Arc<Repository>) -> Result<(), WorkError> {
    let heads = shared.store.heads(repository.name()).await?;
    for branch in repository.tracked().unwrap_or_default() {
        let git_ref = format!("refs/heads/{branch}");
        let Some(commit) = heads.iter().find(|head| head.git_ref == git_ref).and_then(|head| head.commit.as_ref())
        else {
            continue;
        };
        let _working = repository.working.lock().await;
        let found = shared.store.findings(repository.name(), commit).await?;
        if found.is_some_and(|found| found.findings.iter().any(waits)) {
            tracing::info!(repository = %repository.name(), branch, %commit, "a module repository that was missing has changed; looking again");
            settle::branch(shared, repository, &branch, commit, Occasion::Again).await?;
        }
    }
    for open in shared.store.open_pull_requests(repository.name()).await? {
        let stored = shared.store.pull_request(repository.name(), open.number).await?;
        let review = stored.and_then(|stored| stored.review);
        if review.is_some_and(|review| review.findings.iter().any(|found| waits(&found.finding))) {
            let notice = PullRequestNotice {
                repository: repository.name().clone(),
                number: open.number,
                checking: None,
                noticed: NoticedPullRequest { told: None, again: true },
                delivery: None,
                source: Source::Poll,
                actor: None,
                event: Some("modules".to_owned()),
            };
            shared.store.notice_pull_request(notice).await?;
        }
    }
    Ok(())
}
