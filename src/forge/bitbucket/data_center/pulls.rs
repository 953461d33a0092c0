//! Pull requests.

use sha2::{Digest as _, Sha256};

use super::payload::PullRequestPart;
use super::{Center, READ};
use crate::forge::{ForgeError, ForgeErrorKind, Listing, Validator};
use crate::model::{PullRequest, RepositoryName};

/// How many pull requests a page has.
const PAGE: usize = 100;
/// How many pages are read at most.
const PAGES: usize = 3;

impl Center {
    pub(super) async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<PullRequest, ForgeError> {
        let path = format!("{}/pull-requests/{number}", Self::path(repository.as_str())?);
        let part: PullRequestPart = self.api.read(&path, READ, "a pull request").await?;
        part.in_full(repository).ok_or_else(|| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("GET {path}: the answer doesn't tell the pull request's branches and commits"),
            may_have_arrived: false,
        })
    }

    /// Bitbucket has no conditional requests; each pull request has a version, and together they tell whether anything
    /// changed.
    pub(super) async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        let path = format!("{}/pull-requests?state=OPEN&order=NEWEST", Self::path(repository.as_str())?);
        let (parts, mut truncated, _): (Vec<PullRequestPart>, _, _) = self.list(&path, PAGE, PAGES).await?;
        let validator = digest(&parts);
        if since == Some(&validator) {
            return Ok(Listing::Unchanged);
        }
        let told = parts.len();
        let open: Vec<PullRequest> = parts.into_iter().filter_map(|part| part.in_full(repository)).collect();
        // One that can't be read whole must not look as if it were closed.
        truncated |= open.len() < told;
        Ok(Listing::Changed { open, truncated, validator: Some(validator) })
    }
}

/// What the list says, in short.
fn digest(parts: &[PullRequestPart]) -> Validator {
    let mut hash = Sha256::new();
    for part in parts {
        let head = part.from_ref.as_ref().and_then(|end| end.latest_commit.as_deref());
        hash.update(format!("{:?}\n", (part.id, part.version, head, &part.state)).as_bytes());
    }
    Validator(hex::encode(hash.finalize()))
}
