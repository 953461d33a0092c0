//! What the webhooks of both Bitbuckets share: the signature, and how an event becomes ours.

use http::HeaderMap;
use secrecy::SecretString;

use crate::forge::{CommentEvent, CommentId, ForgeEvent, PullRequestAction, PullRequestEvent, WebhookError, hook};
use crate::model::{PullRequest, RepositoryName};

/// The header that both sign in.
pub(super) const SIGNATURE: &str = "X-Hub-Signature";

/// The most characters of a comment that are looked at: a command stands at its beginning.
const TEXT_LIMIT: usize = 1000;
/// The most characters of a title that are kept. Bitbucket's own limit is 255.
const TITLE_LIMIT: usize = 300;
/// The longest name of a branch that is taken, in bytes.
const BRANCH_LIMIT: usize = 1000;

/// The head of a delivery that was believed.
pub(super) struct Head {
    /// The forge's id of the delivery.
    pub(super) id: Option<String>,
    /// `repo:push` and the like.
    pub(super) event: String,
}

/// The header in which Bitbucket Cloud numbers deliveries.
pub(super) const CLOUD_ID: &str = "X-Request-UUID";
/// The header in which Bitbucket Data Center numbers deliveries.
pub(super) const DATA_CENTER_ID: &str = "X-Request-Id";

/// Checks the signature, and only then what the headers say. `id` is the header that numbers deliveries: it is there in
/// each, and tells the two Bitbuckets apart, which share an address. A delivery of the other one is none that this
/// secret was given for.
pub(super) fn believe(
    secret: Option<&SecretString>,
    headers: &HeaderMap,
    id: &'static str,
    body: &[u8],
) -> Result<Head, WebhookError> {
    hook::verify(secret.ok_or(WebhookError::NoSecret)?, headers, SIGNATURE, body)?;
    hook::require_json(headers)?;
    let other = if id == CLOUD_ID { DATA_CENTER_ID } else { CLOUD_ID };
    if !headers.contains_key(id) && headers.contains_key(other) {
        return Err(WebhookError::WrongSignature);
    }
    let id = hook::word(headers, id)?.ok_or_else(|| hook::missing(&format!("the header {id}")))?;
    let event = hook::word(headers, "x-event-key")?.ok_or_else(|| hook::missing("the header X-Event-Key"))?;
    Ok(Head { id: Some(id), event })
}

/// What happened to a pull request, as a payload tells it.
pub(super) struct Told {
    pub(super) repository: RepositoryName,
    pub(super) number: u64,
    pub(super) actor: Option<String>,
    /// The pull request, if the payload tells it in full.
    pub(super) pull_request: Option<PullRequest>,
}

impl Told {
    pub(super) fn event(self, action: PullRequestAction, event: &str) -> ForgeEvent {
        let Self { repository, number, actor, pull_request } = self;
        ForgeEvent::PullRequest(PullRequestEvent {
            repository,
            number,
            action,
            pull_request,
            actor,
            event: event.to_owned(),
        })
    }

    /// `text` is none if the comment was deleted.
    pub(super) fn comment(
        self,
        id: Option<u64>,
        text: Option<String>,
        created: bool,
    ) -> Result<ForgeEvent, WebhookError> {
        let Self { repository, number, actor, .. } = self;
        let text = text.map(|text| text.chars().take(TEXT_LIMIT).collect());
        let comment = CommentId(id.ok_or_else(|| hook::missing("comment.id"))?.to_string());
        Ok(ForgeEvent::Comment(CommentEvent { repository, number, comment, actor, text, created }))
    }
}

/// A title as it is kept: one line that is not too long.
pub(super) fn title(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TITLE_LIMIT).collect()
}

/// A branch, if the text can be the name of one.
pub(super) fn branch(text: &str) -> Option<String> {
    let legal = !text.is_empty()
        && text.len() <= BRANCH_LIMIT
        && !text.starts_with(['-', '/'])
        && !text.ends_with('/')
        && !text.contains("..")
        && !text.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter));
    legal.then(|| text.to_owned())
}
