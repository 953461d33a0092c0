//! One message on its way to the forge, and the word about it back into the store.

use std::sync::Arc;

use super::{Composer, comment};
use crate::forge::{Forge, ForgeError};
use crate::model::{CommitStatus, Message};
use crate::store::{OutboxEntry, Store, StoreError};

/// What became of one try.
pub(super) enum Outcome {
    /// It stands on the forge, and the store knows.
    Sent,
    /// It stands on the forge, but the store could not be told: it has to be looked up before the next try.
    Unrecorded(StoreError),
    /// Whether it stands there already could not be found out; nothing was sent.
    NotLookedUp(ForgeError),
    /// It was sent, and the forge did not take it or did not answer.
    NotTaken(ForgeError),
    /// What to say could not be put together, and why; nothing was sent.
    NotComposed(String),
    /// Another process reports by now; nothing was sent.
    OffDuty,
}

/// What a message needs on its way.
pub(super) struct Way {
    pub(super) store: Store,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) composer: Option<Arc<dyn Composer>>,
    pub(super) public_url: Option<String>,
}

/// Whether what may have arrived is looked for a second time before it is sent once more; `tries` that failed went
/// before. The first look's answer is enough, so it doesn't matter if the second one fails.
///
/// It sees what arrived late. And a forge that fails on every second request answers each look, and refuses each message
/// that follows one: with nothing else between them, that would go on for ever. So it's done now and then.
pub(super) fn looks_twice(tries: u32) -> bool {
    tries > 0 && fastrand::bool()
}

/// Brings one message to its forge. `look_first`: it may have been sent already.
pub(super) async fn send(way: &Way, entry: &OutboxEntry, look_first: bool) -> Outcome {
    match &entry.message {
        Message::Status(status) => send_status(way, entry, status, look_first).await,
        Message::Comment { repository, pull_request } => {
            comment::bring_up_to_date(way, entry, (repository, *pull_request), look_first).await
        }
    }
}

/// Brings one status to its forge.
///
/// With `look_first`, the newest status of its commit and context is read; if that says the very same, the
/// status has arrived in an earlier try and is not sent again.
async fn send_status(way: &Way, entry: &OutboxEntry, status: &CommitStatus, look_first: bool) -> Outcome {
    let Way { store, forge, .. } = way;
    let repo = status.target.repository.as_str();
    let url = way.public_url.as_deref().map(|public| target_url(public, status));
    let looks = if !look_first { 0 } else { 1 + u32::from(looks_twice(entry.attempts)) };
    for look in 0..looks {
        match forge.newest_status(repo, &status.target.commit, &status.target.context).await {
            Ok(Some(newest)) if newest.says(status, url.as_deref()) => return record(store, entry).await,
            Ok(_) => {}
            // No such commit or repository, so nothing of ours stands there; or we may write but not read, and twice
            // is better than never. If it's more than that, the answer to the status will say so.
            Err(error) if !error.kind.concerns_whole_forge() => {}
            Err(error) if look == 0 => return Outcome::NotLookedUp(error),
            Err(_) => {}
        }
    }
    if !store.may_act() {
        return Outcome::OffDuty;
    }
    match forge.post_status(repo, status, url.as_deref()).await {
        Ok(()) => record(store, entry).await,
        Err(error) => Outcome::NotTaken(error),
    }
}

/// Notes that a message stands on its forge.
pub(super) async fn record(store: &Store, entry: &OutboxEntry) -> Outcome {
    match store.outbox_sent(&[entry.id]).await {
        Ok(()) => Outcome::Sent,
        Err(error) => Outcome::Unrecorded(error),
    }
}

/// The page of a status below the server's public address.
fn target_url(public_url: &str, status: &CommitStatus) -> String {
    format!("{}/{}", public_url.trim_end_matches('/'), status.page.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitSha, ReportTarget, RepositoryName, StatusState};

    #[test]
    fn a_page_stands_below_the_public_address() {
        let target = ReportTarget {
            repository: RepositoryName::parse("acme/shop").expect("legal"),
            commit: CommitSha::parse(&"a".repeat(40)).expect("legal"),
            context: "longboat/validate".to_owned(),
        };
        let status = CommitStatus::new(target, StatusState::Pending, "Queued", "/executions/1");
        for public in ["https://cd.example/base", "https://cd.example/base/"] {
            assert_eq!(target_url(public, &status), "https://cd.example/base/executions/1");
        }
    }
}
