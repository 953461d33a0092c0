//! The one comment of a pull request: what it is to say now, brought to the forge.
//!
//! There is never a second one. The id of the comment is kept; if it isn't known (there is none yet, or the process
//! died between writing the comment and keeping its id), the forge is asked for a comment of Longboat's own account
//! with the marker before one is written. A text that stands there already is not sent again.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::send::{Outcome, Way, looks_twice, record};
use crate::forge::{CommentId, Forge, ForgeError, ForgeErrorKind, PostedComment, markdown};
use crate::model::RepositoryName;
use crate::store::{KeptComment, OutboxEntry, Store};

/// Where a comment goes, and its text.
struct Target<'a> {
    store: &'a Store,
    forge: &'a Arc<dyn Forge>,
    repo: &'a str,
    pull_request: u64,
    marker: &'a str,
    body: &'a str,
    /// How many tries failed before this one.
    tries: u32,
}

/// Writes the comment, or edits the one that is there. `look_first`: it may say already what it is to say.
pub(super) async fn bring_up_to_date(
    way: &Way,
    entry: &OutboxEntry,
    (repository, pull_request): (&RepositoryName, u64),
    look_first: bool,
) -> Outcome {
    let Way { store, forge, .. } = way;
    let Some(composer) = &way.composer else { return record(store, entry).await };
    let comment = match composer.compose(repository, pull_request).await {
        Ok(Some(comment)) => comment,
        Ok(None) => return record(store, entry).await,
        Err(reason) => return Outcome::NotComposed(reason),
    };
    let kept = match store.pull_request(repository, pull_request).await {
        Ok(stored) => stored.and_then(|stored| stored.comment),
        Err(error) => return Outcome::NotComposed(error.to_string()),
    };
    let capabilities = forge.capabilities();
    let marker = markdown::marker(repository, pull_request, capabilities.markup);
    let body = markdown::write(&comment, &capabilities, way.public_url.as_deref(), &marker);
    let digest = digest(&body);
    let tries = entry.attempts;
    let target = Target { store, forge, repo: repository.as_str(), pull_request, marker: &marker, body: &body, tries };
    let id = match &kept {
        Some(KeptComment { digest: Some(same), .. }) if *same == digest => return record(store, entry).await,
        Some(KeptComment { id, digest: Some(_) }) if look_first => target.look_and_edit(&CommentId(id.clone())).await,
        Some(KeptComment { id, digest: Some(_) }) => target.edit_or_renew(&CommentId(id.clone())).await,
        // What stands there may be another text by now, or nothing.
        Some(KeptComment { digest: None, .. }) | None => target.find_or_post().await,
    };
    match id {
        Ok(id) => match store.note_comment(repository, pull_request, &id.0, &digest).await {
            Ok(()) => record(store, entry).await,
            Err(error) => Outcome::Unrecorded(error),
        },
        Err(Trouble::NotLookedUp(error)) => Outcome::NotLookedUp(error),
        Err(Trouble::NotTaken(error)) => Outcome::NotTaken(error),
        Err(Trouble::OffDuty) => Outcome::OffDuty,
    }
}

enum Trouble {
    /// Nothing was sent.
    NotLookedUp(ForgeError),
    /// It was sent, and the forge did not take it or did not answer.
    NotTaken(ForgeError),
    /// Another process reports by now; nothing was sent.
    OffDuty,
}

impl Target<'_> {
    /// Edits the known comment; if somebody deleted it, the next one is written.
    async fn edit_or_renew(&self, id: &CommentId) -> Result<CommentId, Trouble> {
        match self.edit(id).await {
            Err(Trouble::NotTaken(error)) if error.kind == ForgeErrorKind::NotFound => self.find_or_post().await,
            other => other,
        }
    }

    /// Edits the known comment, unless it says already what it is to say: an edit whose answer was lost may have arrived.
    async fn look_and_edit(&self, id: &CommentId) -> Result<CommentId, Trouble> {
        match self.find().await {
            Ok(Some(found)) if same_text(&found.body, self.body) => Ok(found.id),
            Ok(_) => self.edit_or_renew(id).await,
            // Where comments can't be read, they can be edited perhaps; an edit more than needed is seen by nobody.
            Err(error) if !error.kind.concerns_whole_forge() => self.edit_or_renew(id).await,
            Err(error) => Err(Trouble::NotLookedUp(error)),
        }
    }

    /// The comment as it stands. After a failed try, what isn't as it should be is looked at twice now and then.
    async fn find(&self) -> Result<Option<PostedComment>, ForgeError> {
        let look = || self.forge.find_comment(self.repo, self.pull_request, self.marker);
        let found = look().await?;
        let good = found.as_ref().is_some_and(|found| same_text(&found.body, self.body));
        if !good && looks_twice(self.tries) {
            return Ok(look().await.unwrap_or(found));
        }
        Ok(found)
    }

    async fn find_or_post(&self) -> Result<CommentId, Trouble> {
        match self.find().await.map_err(Trouble::NotLookedUp)? {
            Some(PostedComment { id, body }) if same_text(&body, self.body) => Ok(id),
            Some(PostedComment { id, .. }) => self.edit(&id).await,
            None => {
                self.ask_leave()?;
                let posted = self.forge.post_comment(self.repo, self.pull_request, self.body).await;
                posted.map_err(Trouble::NotTaken)
            }
        }
    }

    /// Whether this process may still say something; asked right before it does.
    fn ask_leave(&self) -> Result<(), Trouble> {
        if self.store.may_act() { Ok(()) } else { Err(Trouble::OffDuty) }
    }

    async fn edit(&self, id: &CommentId) -> Result<CommentId, Trouble> {
        self.ask_leave()?;
        let edited = self.forge.edit_comment(self.repo, self.pull_request, id, self.body).await;
        edited.map(|()| id.clone()).map_err(Trouble::NotTaken)
    }
}

/// Forges change line ends and what is white at the end.
fn same_text(one: &str, other: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(str::trim_end).map(str::to_owned).collect::<Vec<_>>();
    lines(one) == lines(other)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_only_lost_its_white_space_is_the_same() {
        assert!(same_text("a \r\nb\r\n", "a\nb"));
        assert!(!same_text("a\n\nb", "a\nb"));
    }
}
