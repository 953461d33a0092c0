//! What is said about a commit: a status with a state, a context and a short text (FORMAT section 8).

use serde::{Deserialize, Serialize};

use super::{CommitSha, RepositoryName};

/// The longest text of a commit status, in characters: GitHub's limit, the narrowest of the forges.
pub const DESCRIPTION_LIMIT: usize = 140;

/// The states that every forge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// Not decided yet.
    Pending,
    /// Good.
    Success,
    /// The answer is no.
    Failure,
    /// Longboat itself failed.
    Error,
}

/// The commit and context that a status is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportTarget {
    /// The repository.
    pub repository: RepositoryName,
    /// The commit.
    pub commit: CommitSha,
    /// The name of the status, like `longboat/shop/deploy`.
    pub context: String,
}

impl ReportTarget {
    /// The key in whose order statuses are sent: one per commit and context.
    pub fn order_key(&self) -> String {
        format!("{} {} {}", self.repository, self.commit, self.context)
    }
}

/// One status of a commit, as it is to stand on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatus {
    /// What it is about.
    #[serde(flatten)]
    pub target: ReportTarget,
    /// Its state.
    pub state: StatusState,
    /// Its text; at most 140 characters, see [`clip`].
    pub description: String,
    /// The path of the page that shows more, below the server's public address.
    pub page: String,
}

impl CommitStatus {
    /// A status whose text is cut to what forges take.
    pub fn new(target: ReportTarget, state: StatusState, description: &str, page: impl Into<String>) -> Self {
        Self { target, state, description: clip(description), page: page.into() }
    }

    /// The same, leading to another page.
    pub fn on_page(self, page: impl Into<String>) -> Self {
        Self { page: page.into(), ..self }
    }
}

/// What waits in the outbox to be said on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    /// A status of a commit, as it was when it was written down.
    Status(CommitStatus),
    /// That the comment of a pull request is to be brought up to date. What it says is put together when it is
    /// sent, so that a forge that was down gets one comment about how things are by then.
    #[serde(rename_all = "camelCase")]
    Comment {
        /// The repository.
        repository: RepositoryName,
        /// The pull request's number there.
        pull_request: u64,
    },
}

impl Message {
    /// The status, if it is one.
    pub const fn status(&self) -> Option<&CommitStatus> {
        match self {
            Self::Status(status) => Some(status),
            Self::Comment { .. } => None,
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> &RepositoryName {
        match self {
            Self::Status(status) => &status.target.repository,
            Self::Comment { repository, .. } => repository,
        }
    }

    /// The key in whose order messages are sent: one per commit and context, one per pull request.
    pub fn order_key(&self) -> String {
        match self {
            Self::Status(status) => status.target.order_key(),
            Self::Comment { repository, pull_request } => format!("{repository} #{pull_request}"),
        }
    }
}

impl From<CommitStatus> for Message {
    fn from(status: CommitStatus) -> Self {
        Self::Status(status)
    }
}

/// Cuts a text to 140 characters, at a character, with an ellipsis; line breaks become spaces.
pub fn clip(text: &str) -> String {
    let flat: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if flat.chars().count() <= DESCRIPTION_LIMIT {
        return flat;
    }
    let mut cut: String = flat.chars().take(DESCRIPTION_LIMIT - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let cut = clip(&"ä".repeat(200));
        assert_eq!(cut.chars().count(), 140);
        assert!(cut.ends_with('…'));
        assert_eq!(clip("two\nlines"), "two lines");
    }
}
