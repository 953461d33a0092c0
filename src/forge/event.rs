//! What a forge's webhook announces, in the words that all forges share.

use http::StatusCode;

use super::CommentId;
use crate::model::{CommitSha, PullRequest, RepositoryName};

/// What a webhook delivery announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgeEvent {
    /// The forge tries out the webhook.
    Ping {
        /// What is wrong with the webhook's settings, for the person who set it up; nothing if all is well.
        complaints: Vec<String>,
    },
    /// A branch or a tag moved.
    Push(Push),
    /// Something happened to a pull request.
    PullRequest(PullRequestEvent),
    /// Somebody wrote, changed or deleted a comment on a pull request.
    Comment(CommentEvent),
    /// Verified, but of no interest.
    Ignored {
        /// The forge's word for it.
        event: String,
    },
}

/// A branch or tag that moved, as a webhook tells it: a hint that is checked against the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The repository, spelled as in the configuration.
    pub repository_full_name: RepositoryName,
    /// The full name of the ref: `refs/heads/main`, `refs/tags/v1`.
    pub git_ref: String,
    /// Where it stood before; none if it was created. For an annotated tag this can be the tag object.
    pub before: Option<CommitSha>,
    /// The commit it stands at; none if it was deleted.
    pub after: Option<CommitSha>,
    /// Who pushed, as the forge authenticated them. Never the author of a commit.
    pub actor: Option<String>,
    /// Whether history was rewritten.
    pub forced: bool,
    /// Whether the ref was created.
    pub created: bool,
    /// Whether the ref is gone.
    pub deleted: bool,
}

/// Something that happened to a pull request: a hint, for its state is read from the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestEvent {
    /// The repository, spelled as in the configuration.
    pub repository: RepositoryName,
    /// The number.
    pub number: u64,
    /// What happened.
    pub action: PullRequestAction,
    /// The pull request, as far as the payload tells it in full; none if the forge has to be asked (a commit id that
    /// is cut short, a comment's event).
    pub pull_request: Option<PullRequest>,
    /// Who acted, as the forge authenticated them.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: String,
}

/// What happened to a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullRequestAction {
    /// It is new.
    Opened,
    /// It has new commits or another target.
    Updated,
    /// It is open again.
    Reopened,
    /// It was merged.
    Merged,
    /// It was closed without a merge, or deleted.
    Closed,
}

/// A comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentEvent {
    /// The repository, spelled as in the configuration.
    pub repository: RepositoryName,
    /// The pull request.
    pub number: u64,
    /// Which comment it is.
    pub comment: CommentId,
    /// Who acted, as the forge authenticated them.
    pub actor: Option<String>,
    /// The comment's text, shortened; none if it was deleted.
    pub text: Option<String>,
    /// Whether it is new: only then can it be a command.
    pub created: bool,
}

/// One delivery of a webhook that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The forge's id, the same if it is delivered again: up to 100 letters, digits and hyphens. None if the forge
    /// gives none.
    pub id: Option<String>,
    /// What it announces; a push can speak of several refs.
    pub events: Vec<ForgeEvent>,
}

/// Why a delivery is refused. The text is for the person who looks at the webhook's page on the forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The forge takes no webhooks.
    #[error("the forge has no `webhookSecret`, so its webhooks are refused and its repositories are polled")]
    NoSecret,
    /// There's no signature that counts.
    #[error(
        "the delivery has no {header} header, and no other counts: set a secret for this webhook on the forge, the one \
         that `webhookSecret` of the configuration names"
    )]
    Unsigned {
        /// The header that would hold it, as the forge's own pages spell it.
        header: &'static str,
    },
    /// The signature is not that of the body.
    #[error(
        "the signature does not match: the webhook's secret on the forge is not the `webhookSecret` of the configuration"
    )]
    WrongSignature,
    /// The body isn't sent as JSON.
    #[error("the content type is `{found}`: set the webhook's content type on the forge to application/json")]
    ContentType {
        /// What was sent, shortened.
        found: String,
    },
    /// The headers or the body are not what the forge sends.
    #[error("the delivery can't be read: {0}")]
    Malformed(String),
    /// The secret doesn't speak for this repository.
    #[error(
        "this webhook's secret does not cover the repository `{repository}`: add it to `repositories`, or remove the webhook there"
    )]
    Repository {
        /// The repository that the payload names, shortened.
        repository: String,
    },
}

impl WebhookError {
    /// Whether the delivery could still be meant for another forge with the same address and another secret.
    pub const fn is_about_the_secret(&self) -> bool {
        matches!(self, Self::NoSecret | Self::Unsigned { .. } | Self::WrongSignature)
    }

    /// The HTTP status to answer with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoSecret => StatusCode::NOT_FOUND,
            Self::Unsigned { .. } | Self::WrongSignature => StatusCode::UNAUTHORIZED,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Repository { .. } => StatusCode::FORBIDDEN,
        }
    }
}
