//! What to do about work that failed.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::forge::{ForgeError, ForgeErrorKind};
use crate::git::GitError;
use crate::store::{InboxEntry, StoreError};

/// How often an entry is tried that fails for reasons of its own.
const MAX_ATTEMPTS: u32 = 6;
/// How often a commit is looked for that the remote doesn't show: forges announce pushes a moment before all of
/// their servers have them.
const MAX_SEARCHES: u32 = 4;
/// How long an entry waits for a repository that can't be fetched.
const LONGEST_OUTAGE: Duration = Duration::from_secs(3 * 24 * 3600);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why something could not be worked off.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// The head of a pull request can't be had, which says nothing about the repository that it is for.
    #[error(transparent)]
    Head(GitError),
    /// A pull request is merged, and its forge doesn't say by which commit yet.
    #[error("the forge doesn't name the commit of the merge yet")]
    NoMergeCommit,
    /// A bug: rendering or checking panicked.
    #[error("checking the commit's files failed unexpectedly: {0}")]
    Broken(String),
    #[error("Longboat is stopping")]
    Stopping,
}

impl WorkError {
    /// Whether the repository as a whole can't be worked with, so that people should see it there: the remote
    /// is the trouble, its configuration, or this machine.
    pub(super) fn concerns_repository(&self) -> bool {
        match self {
            Self::Git(GitError::MissingCommit { .. } | GitError::Corrupt { .. }) => false,
            Self::Git(error) => !matches!(error, GitError::BadPath(_) | GitError::TooLarge { .. }),
            Self::Store(_)
            | Self::Forge(_)
            | Self::Head(_)
            | Self::NoMergeCommit
            | Self::Broken(_)
            | Self::Stopping => false,
        }
    }

    /// When the forge takes requests again, if it said that it takes none for now.
    pub(super) fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Forge(ForgeError { kind: ForgeErrorKind::RateLimited { until }, .. }) => Some(*until),
            _ => None,
        }
    }

    /// Whether there is no store to work with any more.
    pub(super) fn ends_work(&self) -> bool {
        matches!(self, Self::Stopping | Self::Store(StoreError::Closed | StoreError::Fenced))
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is tried again.
    Retry(Timestamp),
    /// It is given up.
    GiveUp,
}

/// Decides about an entry that failed; `chance` (0 to 1) spreads attempts.
pub(super) fn verdict(error: &WorkError, entry: &InboxEntry, now: Timestamp, chance: f64) -> Verdict {
    let soon = now.plus(pause(entry.attempts, chance));
    let retry = Verdict::Retry(error.not_before().map_or(soon, |until| until.max(soon)));
    let patient = match error {
        WorkError::Git(GitError::MissingCommit { .. }) => entry.attempts + 1 < MAX_SEARCHES,
        WorkError::Head(_) => entry.attempts + 1 < MAX_SEARCHES,
        WorkError::NoMergeCommit => true,
        WorkError::Store(StoreError::TooLarge { .. } | StoreError::Unwritable { .. }) => false,
        // The disk, or the database: nothing can be settled then either.
        WorkError::Store(_) | WorkError::Stopping => true,
        WorkError::Forge(error) if error.kind.concerns_whole_forge() => now.since(entry.received_at) < LONGEST_OUTAGE,
        error if error.concerns_repository() => now.since(entry.received_at) < LONGEST_OUTAGE,
        WorkError::Git(_) | WorkError::Forge(_) | WorkError::Broken(_) => entry.attempts + 1 < MAX_ATTEMPTS,
    };
    if patient { retry } else { Verdict::GiveUp }
}

/// The pause after `failures` failures before this one: a second, doubled each time, up to five minutes, spread
/// by a quarter.
pub(super) fn pause(failures: u32, chance: f64) -> Duration {
    let base = Duration::from_secs(1).saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    spread(base, chance)
}

/// Between three and five quarters of a duration.
pub(super) fn spread(duration: Duration, chance: f64) -> Duration {
    duration.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::store::{InboxId, Source};

    fn entry(attempts: u32) -> InboxEntry {
        InboxEntry {
            id: InboxId(1),
            repository: sample::repository("acme/shop"),
            git_ref: "refs/heads/main".to_owned(),
            old: None,
            new: Some(sample::sha(1)),
            source: Source::Webhook,
            actor: None,
            event: None,
            pull_request: None,
            attempts,
            received_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_remote_that_is_down_is_waited_for() {
        let error = WorkError::Git(GitError::Unreachable { remote: "x".into(), detail: "y".into() });
        let day = Timestamp::from_millis(24 * 3600 * 1000);
        assert_eq!(verdict(&error, &entry(500), day, 0.5), Verdict::Retry(day.plus(LONGEST_PAUSE)));
        let week = Timestamp::from_millis(7 * 24 * 3600 * 1000);
        assert_eq!(verdict(&error, &entry(500), week, 0.5), Verdict::GiveUp);
    }

    #[test]
    fn a_missing_commit_is_looked_for_a_few_times() {
        let error = WorkError::Git(GitError::MissingCommit { commit: sample::sha(1) });
        let now = Timestamp::from_millis(0);
        assert_eq!(verdict(&error, &entry(0), now, 0.5), Verdict::Retry(now.plus(Duration::from_secs(1))));
        assert_eq!(verdict(&error, &entry(2), now, 0.5), Verdict::Retry(now.plus(Duration::from_secs(4))));
        assert_eq!(verdict(&error, &entry(3), now, 0.5), Verdict::GiveUp);
    }

    #[test]
    fn a_forge_that_asks_for_a_pause_gets_it() {
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(3_600_000));
        let kind = ForgeErrorKind::RateLimited { until };
        let error = WorkError::Forge(ForgeError { kind, message: "no".to_owned(), may_have_arrived: false });
        assert_eq!(verdict(&error, &entry(0), now, 0.5), Verdict::Retry(until));
    }

    #[test]
    fn what_fails_by_itself_is_given_up() {
        let now = Timestamp::from_millis(0);
        let broken = WorkError::Broken("panicked".into());
        assert!(matches!(verdict(&broken, &entry(4), now, 0.5), Verdict::Retry(_)));
        assert_eq!(verdict(&broken, &entry(5), now, 0.5), Verdict::GiveUp);
        let large = WorkError::Store(StoreError::TooLarge { what: "x".into(), size: 2, limit: 1 });
        assert_eq!(verdict(&large, &entry(0), now, 0.5), Verdict::GiveUp, "it stays too large");
    }

    #[test]
    fn pauses_grow_and_are_spread() {
        let seconds = |failures, chance| pause(failures, chance).as_secs_f64();
        assert_eq!([seconds(0, 0.5), seconds(3, 0.5), seconds(40, 0.5)], [1.0, 8.0, 300.0]);
        assert_eq!([seconds(0, 0.0), seconds(0, 1.0)], [0.75, 1.25]);
    }
}
