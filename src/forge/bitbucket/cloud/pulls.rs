//! Pull requests. Bitbucket Cloud cuts the ids of their commits to 12 digits, which neither Git nor a status takes, so
//! they are looked up: the head among the commits of the pull request, which also knows those of a fork.

use std::collections::hash_map::Entry;
use std::sync::PoisonError;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::payload::{Hash, PullRequestPart};
use super::{Cloud, PULL_REQUESTS, Page, STATUSES};
use crate::forge::{ForgeError, ForgeErrorKind, Listing, Validator};
use crate::model::{CommitSha, PullRequest, RepositoryName};

/// How many pull requests a page has: Bitbucket's maximum.
const PAGE: usize = 50;
/// How many pages are read at most.
const PAGES: usize = 5;
/// How many ids of commits are remembered; then all are forgotten.
const KNOWN_LIMIT: usize = 2000;

impl Cloud {
    pub(super) async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<PullRequest, ForgeError> {
        let path = format!("{}/pullrequests/{number}", Self::path(repository.as_str())?);
        let part: PullRequestPart = self.api.read(&path, PULL_REQUESTS, "a pull request").await?;
        self.in_full(repository, number, part).await
    }

    /// Bitbucket has no conditional requests for this. But the list tells what changed, so the look-ups of commits,
    /// which cost most, are saved.
    pub(super) async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        let path = format!("{}/pullrequests?state=OPEN&sort=-updated_on", Self::path(repository.as_str())?);
        let (parts, mut truncated): (Vec<PullRequestPart>, _) = self.list(&path, PAGE, PAGES, PULL_REQUESTS).await?;
        let validator = digest(&parts);
        if since == Some(&validator) {
            return Ok(Listing::Unchanged);
        }
        let mut open = Vec::new();
        let mut whole = true;
        for part in parts {
            let Some(number) = part.id else { continue };
            match self.in_full(repository, number, part).await {
                Ok(pull_request) => open.push(pull_request),
                // One that can't be read whole must not look as if it were closed, nor hide the others.
                Err(error) if matches!(error.kind, ForgeErrorKind::NotFound | ForgeErrorKind::Server) => {
                    tracing::debug!(%repository, number, %error, "a pull request can't be read whole");
                    truncated = true;
                    whole &= error.kind != ForgeErrorKind::Server;
                }
                Err(error) => return Err(error),
            }
        }
        // What could not be asked for is asked for at the next look, though the list is the same.
        Ok(Listing::Changed { open, truncated, validator: whole.then_some(validator) })
    }

    async fn in_full(
        &self,
        repository: &RepositoryName,
        number: u64,
        part: PullRequestPart,
    ) -> Result<PullRequest, ForgeError> {
        let source = part.source.as_ref().and_then(|source| source.repository.as_ref()?.full_name.clone());
        let head = self.head(repository.as_str(), number, part.head().unwrap_or_default(), source).await?;
        let merge = match part.merge() {
            Some(hash) => Some(self.commit(repository.as_str(), hash).await?),
            None => None,
        };
        part.with(repository, head, merge).ok_or_else(|| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("{repository} #{number}: the answer doesn't tell the pull request's branches"),
            may_have_arrived: false,
        })
    }

    /// The full id of a pull request's head.
    async fn head(
        &self,
        repo: &str,
        number: u64,
        short: &str,
        source: Option<String>,
    ) -> Result<CommitSha, ForgeError> {
        if let Some(known) = self.remembered(repo, short) {
            return Ok(known);
        }
        let path = format!("{}/pullrequests/{number}/commits?pagelen=1", Self::path(repo)?);
        let newest = match self.api.read_on::<Page<Hash>>(&path, PULL_REQUESTS, "a list of commits").await {
            Ok(page) => page.values.into_iter().next().and_then(|commit| commit.hash),
            Err(error) if error.kind == ForgeErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // It moves while one looks: then it's another, and the one that was told is asked for.
        if let Some(found) = newest.as_deref().and_then(|hash| continues(hash, short)) {
            self.remember(repo, short, &found);
            return Ok(found);
        }
        match (self.commit(repo, short).await, source) {
            (Err(error), Some(source)) if error.kind == ForgeErrorKind::NotFound && source != repo => {
                self.commit(&source, short).await
            }
            (found, _) => found,
        }
    }

    /// The full id of a commit.
    async fn commit(&self, repo: &str, short: &str) -> Result<CommitSha, ForgeError> {
        if let Some(known) = self.remembered(repo, short) {
            return Ok(known);
        }
        let unknown = |kind, message: String| ForgeError { kind, message, may_have_arrived: false };
        if !(7..=64).contains(&short.len()) || !short.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown(ForgeErrorKind::Server, format!("{repo}: the answer names no commit")));
        }
        let path = format!("{}/commit/{short}?fields=hash", Self::path(repo)?);
        let commit: Hash = self.api.read_on(&path, STATUSES, "a commit").await?;
        let found = commit
            .hash
            .as_deref()
            .and_then(|hash| continues(hash, short))
            .ok_or_else(|| unknown(ForgeErrorKind::Server, format!("GET {path}: the answer is another commit")))?;
        self.remember(repo, short, &found);
        Ok(found)
    }

    fn remembered(&self, repo: &str, short: &str) -> Option<CommitSha> {
        if let Ok(full) = CommitSha::parse(short) {
            return Some(full);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(repo.to_owned(), short.to_owned())).cloned()
    }

    fn remember(&self, repo: &str, short: &str, full: &CommitSha) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        if let Entry::Vacant(place) = known.entry((repo.to_owned(), short.to_owned())) {
            place.insert(full.clone());
        }
    }
}

/// The full id, if it is one and begins as the short one does.
fn continues(full: &str, short: &str) -> Option<CommitSha> {
    CommitSha::parse(full).ok().filter(|_| !short.is_empty() && full.starts_with(short))
}

/// What the list says, in short.
fn digest(parts: &[PullRequestPart]) -> Validator {
    let mut hash = Sha256::new();
    for part in parts {
        let words = (part.id, &part.updated_on, part.head(), &part.state, &part.title);
        hash.update(format!("{words:?}\n").as_bytes());
    }
    Validator(hex::encode(hash.finalize()))
}

/// For the check: whether pull requests can be read at all.
#[derive(Deserialize)]
pub(super) struct Anything {}
