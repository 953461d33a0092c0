//! How statuses are spelled, to both.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::forge::{ForgeError, ForgeErrorKind, PostedStatus};
use crate::model::StatusState;

/// The key of a status: its context, or something as unique for one that is longer than `limit`, in characters.
pub(super) fn status_key(context: &str, limit: usize) -> String {
    if context.chars().count() <= limit {
        return context.to_owned();
    }
    let mut key = format!("longboat-{}", hex::encode(Sha256::digest(context.as_bytes())));
    key.truncate(limit);
    key
}

/// How a state is posted. There is one word for a failure and for an error.
pub(super) const fn state_word(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending => "INPROGRESS",
        StatusState::Success => "SUCCESSFUL",
        StatusState::Failure | StatusState::Error => "FAILED",
    }
}

/// What a state that is read back means.
pub(super) fn state_of(word: &str) -> StatusState {
    match word {
        "SUCCESSFUL" => StatusState::Success,
        "FAILED" | "STOPPED" | "CANCELLED" => StatusState::Failure,
        _ => StatusState::Pending,
    }
}

/// Both answer 400 to a status without a full address; so it isn't sent.
pub(super) fn page_of(target_url: Option<&str>) -> Result<&str, ForgeError> {
    target_url.ok_or_else(|| ForgeError {
        kind: ForgeErrorKind::Refused,
        message: "Bitbucket takes no status without the address of a page: set `server.publicUrl`".to_owned(),
        may_have_arrived: false,
    })
}

/// A status as both tell it.
#[derive(Deserialize)]
pub(super) struct StatusPart {
    key: Option<String>,
    name: Option<String>,
    state: Option<String>,
    description: Option<String>,
    url: Option<String>,
}

impl StatusPart {
    /// None if it is not named.
    pub(super) fn posted(self) -> Option<PostedStatus> {
        Some(PostedStatus {
            context: self.name.filter(|name| !name.is_empty()).or(self.key)?,
            state: state_of(&self.state.unwrap_or_default()),
            description: self.description.unwrap_or_default(),
            target_url: self.url.filter(|url| !url.is_empty()),
        })
    }

    /// The newest one with a key.
    pub(super) fn find(all: Vec<Self>, key: &str) -> Option<Self> {
        all.into_iter().find(|status| status.key.as_deref() == Some(key))
    }

    /// The status, under the context that it was posted for: Bitbucket cuts long names.
    pub(super) fn posted_as(self, context: &str) -> Option<PostedStatus> {
        self.posted().map(|status| PostedStatus { context: context.to_owned(), ..status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_context_as_long_as_it_fits() {
        assert_eq!(status_key("longboat/shop/deploy", 40), "longboat/shop/deploy");
        let long = "longboat/shop/a pipeline with quite a long name";
        let key = status_key(long, 40);
        assert_eq!((key.len(), &key[..9]), (40, "longboat-"));
        assert_eq!(key, status_key(long, 40), "it is always the same");
        assert_ne!(key, status_key(&format!("{long}r"), 40));
        assert_eq!(status_key(&"ä".repeat(40), 40), "ä".repeat(40), "counted in characters");
    }

    #[test]
    fn a_state_survives_the_way_there_and_back_but_for_an_error() {
        for state in [StatusState::Pending, StatusState::Success, StatusState::Failure] {
            assert_eq!(state_of(state_word(state)), state);
        }
        assert_eq!(state_of(state_word(StatusState::Error)), StatusState::Failure);
    }
}
