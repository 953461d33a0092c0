//! The files of a commit, on disk, for scripts.

use std::fs;
use std::path::Path;

use git2::Repository;
use git2::build::CheckoutBuilder;

use super::{GitError, history};
use crate::model::CommitSha;

/// Writes beside `dir` and moves the result there: a folder that is there is whole.
pub(super) fn checkout(repository: &Repository, mirror: &Path, commit: &CommitSha, dir: &Path) -> Result<(), GitError> {
    let commit = history::find(repository, mirror, commit)?;
    let parent = dir.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(GitError::local("could not create", parent))?;
    let fresh = tempfile::Builder::new()
        .prefix(".checkout-")
        .tempdir_in(parent)
        .map_err(GitError::local("could not create a folder in", parent))?;
    // On this handle only, and written nowhere: libgit2 makes no folders for submodules in a bare repository.
    repository.set_workdir(fresh.path(), false).map_err(GitError::reading(mirror))?;
    let mut options = CheckoutBuilder::new();
    options.target_dir(fresh.path()).force().recreate_missing(true).update_index(false);
    repository.checkout_tree(commit.as_object(), Some(&mut options)).map_err(|error| match error.class() {
        git2::ErrorClass::Odb | git2::ErrorClass::Zlib | git2::ErrorClass::Object => GitError::reading(mirror)(error),
        _ => GitError::Local {
            action: "could not check out into",
            path: dir.to_owned(),
            source: std::io::Error::other(error.message().to_owned()),
        },
    })?;
    let fresh = fresh.keep();
    fs::rename(&fresh, dir).map_err(|error| {
        let _left_behind = fs::remove_dir_all(&fresh);
        GitError::local("could not move a checkout to", dir)(error)
    })
}
