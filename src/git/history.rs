//! What a commit says about itself, and what changed between two.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{Commit, Diff, ErrorCode, Oid, Repository};

use super::GitError;
use crate::clock::Timestamp;
use crate::model::CommitSha;

/// The most paths that [`Changed`] lists.
pub(super) const MAX_PATHS: usize = 20_000;
/// The most parents of a commit that are told.
const MAX_PARENTS: usize = 16;
/// The most commits that are looked through for those that begin with some digits.
const MAX_WALK: usize = 500_000;
/// The longest author or first line that is kept, in characters.
const MAX_TEXT: usize = 500;

/// What a commit says about itself. Anybody can write anything here: never an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The author's name.
    pub author: String,
    /// The first line of the message.
    pub message: String,
    /// When it was committed.
    pub time: Timestamp,
    /// The commits that it follows: two and more if it merges.
    pub parents: Vec<CommitSha>,
}

/// The paths in which two commits differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// The paths, sorted, both names of what was moved.
    pub paths: Vec<String>,
    /// There may be more: nothing to compare with, or too many. Every path filter counts as matched then.
    pub truncated: bool,
}

pub(super) fn find<'r>(repository: &'r Repository, dir: &Path, commit: &CommitSha) -> Result<Commit<'r>, GitError> {
    let missing = || GitError::MissingCommit { commit: commit.clone() };
    let id = Oid::from_str(commit.as_str()).map_err(|_| missing())?; // SHA-256 ids are not ours
    match repository.find_object(id, None) {
        Ok(object) => object.into_commit().map_err(|_| missing()),
        Err(error) if error.code() == ErrorCode::NotFound => Err(missing()),
        Err(error) => Err(GitError::reading(dir)(error)),
    }
}

pub(super) fn info(repository: &Repository, dir: &Path, commit: &CommitSha) -> Result<CommitInfo, GitError> {
    let commit = find(repository, dir, commit)?;
    let author = text(commit.author().name_bytes());
    let message = text(commit.message_bytes().split(|byte| *byte == b'\n').next().unwrap_or_default());
    let time = Timestamp::from_millis(commit.time().seconds().saturating_mul(1000));
    let parents = commit.parent_ids().take(MAX_PARENTS).filter_map(|id| CommitSha::parse(&id.to_string()).ok());
    Ok(CommitInfo { author, message, time, parents: parents.collect() })
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().filter(|letter| !letter.is_control()).take(MAX_TEXT).collect()
}

/// The commits in the histories of `heads` whose ids begin with `digits`, two at most: more than one is as good as none.
/// What a mirror has beside those histories, heads of pull requests above all, doesn't count.
///
/// # Errors
/// If the mirror can't be read, or the histories are longer than half a million commits.
pub fn commits_beginning_with<'a>(
    dir: &Path,
    digits: &str,
    heads: impl IntoIterator<Item = &'a CommitSha>,
) -> Result<Vec<CommitSha>, GitError> {
    let repository = super::mirror::open(dir)?;
    let failed = GitError::reading(dir);
    let mut walk = repository.revwalk().map_err(&failed)?;
    for head in heads {
        if let Ok(id) = Oid::from_str(head.as_str()) {
            walk.push(id).map_err(&failed)?;
        }
    }
    let mut found = Vec::new();
    for (number, id) in walk.enumerate() {
        if number == MAX_WALK {
            return Err(GitError::TooMany { what: "the history".to_owned(), max: MAX_WALK });
        }
        let id = id.map_err(&failed)?.to_string();
        if id.starts_with(digits) {
            found.extend(CommitSha::parse(&id));
            if found.len() == 2 {
                break;
            }
        }
    }
    Ok(found)
}

/// Whether `later` contains `earlier`; a commit contains itself.
pub(super) fn contains(
    repository: &Repository,
    dir: &Path,
    later: &CommitSha,
    earlier: &CommitSha,
) -> Result<bool, GitError> {
    let (later, earlier) = (find(repository, dir, later)?.id(), find(repository, dir, earlier)?.id());
    Ok(later == earlier || repository.graph_descendant_of(later, earlier).map_err(GitError::reading(dir))?)
}

pub(super) fn changed_paths(
    repository: &Repository,
    dir: &Path,
    old: Option<&CommitSha>,
    new: &CommitSha,
) -> Result<Changed, GitError> {
    let failed = GitError::reading(dir);
    let new = find(repository, dir, new)?.tree().map_err(&failed)?;
    // A commit that a forced push removed may be gone: then nothing is known.
    let Some(old) = old.and_then(|old| find(repository, dir, old).ok()?.tree().ok()) else {
        return Ok(Changed { paths: Vec::new(), truncated: true });
    };
    let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(&failed)?;
    Ok(paths(&diff, MAX_PATHS))
}

/// Both names of everything in which two trees differ.
pub(super) fn paths(diff: &Diff<'_>, most: usize) -> Changed {
    let mut paths = BTreeSet::new();
    for delta in diff.deltas() {
        if paths.len() >= most {
            return Changed { paths: paths.into_iter().collect(), truncated: true };
        }
        for bytes in [delta.old_file().path_bytes(), delta.new_file().path_bytes()].into_iter().flatten() {
            paths.insert(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    Changed { paths: paths.into_iter().collect(), truncated: false }
}
