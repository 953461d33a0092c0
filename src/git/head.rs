//! Heads of pull requests: fetched one by one, kept apart from what is followed, and put into relation to a branch.
//!
//! A head is kept under `refs/longboat/pull/<number>`, where neither a look nor a fetch of the repository itself
//! touches it. Objects are shared, so that a head costs what is new in it.

use std::ffi::OsString;

use git2::{ErrorCode, Oid};

use super::network::Network;
use super::{GitError, Mirror, Remote, history};
use crate::model::CommitSha;

/// Where the head of a pull request is fetched from.
#[derive(Debug, Clone)]
pub enum Head {
    /// A ref of the mirror's own remote.
    Own(String),
    /// A ref of another repository.
    Other {
        /// The repository.
        remote: Remote,
        /// The full name of the ref there.
        git_ref: String,
    },
}

impl Head {
    fn git_ref(&self) -> &str {
        match self {
            Self::Own(git_ref) | Self::Other { git_ref, .. } => git_ref,
        }
    }
}

impl Mirror {
    /// Fetches the head of a pull request, and yields where it stands. With a ref of the mirror's own remote, the
    /// branches there are brought up to date as well; what is gone stays until the next [`Mirror::fetch`].
    ///
    /// # Errors
    /// [`GitError::MissingRef`] if the remote doesn't have the ref; others if it can't be fetched from.
    pub async fn fetch_head(&self, number: u64, head: &Head) -> Result<CommitSha, GitError> {
        let from = head.git_ref();
        if !is_full_name(from) {
            let remote = self.remote();
            return Err(GitError::MissingRef { remote, git_ref: from.chars().take(200).collect() });
        }
        let into = kept(number);
        let _writing = self.0.writing.lock().await;
        let spec = format!("+{from}:{into}");
        match head {
            Head::Own(_) => self.fetch_specs(&self.0.network, &[&spec, "+refs/heads/*:refs/heads/*"]).await?,
            Head::Other { remote, .. } => {
                let other = Network::new(&self.0.dir, remote.clone())?;
                self.fetch_specs(&other, &[&spec]).await?;
            }
        }
        self.blocking(move |inner| {
            let failed = GitError::reading(&inner.dir);
            let repository = inner.repository()?;
            let commit = repository.find_reference(&into).and_then(|found| found.peel_to_commit()).map_err(failed)?;
            CommitSha::parse(&commit.id().to_string())
                .map_err(|error| GitError::Corrupt { dir: inner.dir.clone(), detail: error.to_string() })
        })
        .await
    }

    async fn fetch_specs(&self, network: &Network, specs: &[&str]) -> Result<(), GitError> {
        let flags =
            ["fetch", "--quiet", "--no-tags", "--no-auto-gc", "--no-recurse-submodules", "--no-write-fetch-head"];
        let mut args: Vec<OsString> = flags.map(Into::into).into();
        args.extend(["--".into(), network.address()]);
        args.extend(specs.iter().map(Into::into));
        let empty = self.blocking(super::mirror::Inner::is_empty).await?;
        let deadline = if empty { self.0.options.first_deadline } else { self.0.options.deadline };
        self.write(network, args, deadline).await
    }

    /// Forgets the head of a pull request. Its objects stay until the mirror is made anew.
    ///
    /// # Errors
    /// If the mirror can't be written.
    pub async fn forget_head(&self, number: u64) -> Result<(), GitError> {
        let _writing = self.0.writing.lock().await;
        self.blocking(move |inner| {
            let repository = inner.repository()?;
            match repository.find_reference(&kept(number)).and_then(|mut found| found.delete()) {
                Err(error) if error.code() != ErrorCode::NotFound => Err(GitError::reading(&inner.dir)(error)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The newest commit that the histories of two commits share; none if they share nothing.
    ///
    /// # Errors
    /// If the mirror doesn't have one of the commits or can't be read.
    pub fn merge_base(&self, one: &CommitSha, other: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        let repository = self.0.repository()?;
        let id = |commit| history::find(&repository, &self.0.dir, commit).map(|commit| commit.id());
        let (one, other): (Oid, Oid) = (id(one)?, id(other)?);
        match repository.merge_base(one, other) {
            Ok(base) => Ok(CommitSha::parse(&base.to_string()).ok()),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(GitError::reading(&self.0.dir)(error)),
        }
    }
}

/// Where the head of a pull request is kept.
fn kept(number: u64) -> String {
    format!("refs/longboat/pull/{number}")
}

/// Whether a text is the full name of one ref, and nothing that a fetch would take for more.
fn is_full_name(name: &str) -> bool {
    name.starts_with("refs/") && name.len() <= 1024 && git2::Reference::is_valid_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_ref_s_full_name_is_fetched() {
        for good in ["refs/pull/7/head", "refs/heads/feature/ä b".trim_end_matches(" b"), "refs/pull-requests/7/from"]
        {
            assert!(is_full_name(good), "{good}");
        }
        for bad in [
            "",
            "HEAD",
            "main",
            "refs/heads/*",
            "refs/heads/a:refs/heads/main",
            "+refs/heads/a",
            "refs/heads/a b",
            "refs/heads/../x",
            "--upload-pack=x",
        ] {
            assert!(!is_full_name(bad), "{bad}");
        }
    }
}
