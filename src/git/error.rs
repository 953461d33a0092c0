//! What can go wrong with a repository, told apart by what a person must do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{CommitSha, humanize};
use crate::process::ProcessError;

/// Why something with a repository failed. Texts name the remote without its credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The server can't be reached, or broke off.
    #[error("{remote} can't be reached: {detail}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// Git's words.
        detail: String,
    },
    /// The server wants other credentials.
    #[error("{remote} refused access: check the credentials that the configuration gives for it ({detail})")]
    AuthRefused {
        /// The remote.
        remote: String,
        /// Git's words.
        detail: String,
    },
    /// The server was too slow.
    #[error("{remote} did not answer in full within {}", humanize(*.after))]
    TimedOut {
        /// The remote.
        remote: String,
        /// The deadline.
        after: Duration,
    },
    /// There is no repository, or none that these credentials may see.
    #[error(
        "{remote} is not a Git repository that can be read: check the address, and that the credentials may see it ({detail})"
    )]
    NotARepository {
        /// The remote.
        remote: String,
        /// Git's words.
        detail: String,
    },
    /// The repository has no such branch, tag or pull request.
    #[error("{remote} has no `{git_ref}` (any more)")]
    MissingRef {
        /// The remote.
        remote: String,
        /// The full name of the ref.
        git_ref: String,
    },
    /// The server sends callers on to another address, and credentials are not taken there.
    #[error("{remote} has moved: put its new address into the configuration ({detail})")]
    Moved {
        /// The remote.
        remote: String,
        /// Git's words.
        detail: String,
    },
    /// The address uses a way of transport that Longboat doesn't.
    #[error(
        "{remote}: `{protocol}` is not a protocol that Longboat fetches by: use a path, file://, http:// or https://"
    )]
    ProtocolNotAllowed {
        /// The remote.
        remote: String,
        /// The protocol.
        protocol: String,
    },
    /// The address can't be used.
    #[error("the address of a repository can't be used: {reason}")]
    BadRemote {
        /// Why; without the address, because it may hold a password.
        reason: String,
    },
    /// The repository is of a kind that this version can't read.
    #[error("{remote} can't be read by this version: {detail}")]
    Unsupported {
        /// The remote.
        remote: String,
        /// What it is.
        detail: String,
    },
    /// The commit isn't in the mirror.
    #[error("commit {} is not in the repository: it was never pushed, or a forced push removed it", .commit.short())]
    MissingCommit {
        /// The commit.
        commit: CommitSha,
    },
    /// The mirror is damaged. [`super::Mirror::repair`] makes it anew.
    #[error("the mirror {} is damaged and will be made anew: {detail}", .dir.display())]
    Corrupt {
        /// The mirror's folder.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Not a path inside the repository.
    #[error("`{0}` is not a path inside the repository: paths are relative and have no `..`")]
    BadPath(String),
    /// A name in the repository that can't be written in a text file.
    #[error("`{0}` stands for a name that is not UTF-8: rename the file")]
    NameNotUtf8(String),
    /// A symbolic link; they are never followed.
    #[error("`{0}` is or goes through a symbolic link, which Longboat doesn't follow: commit the file itself")]
    SymbolicLink(String),
    /// A submodule; they are never followed.
    #[error("`{0}` is or lies in a submodule, which Longboat doesn't follow: commit the file itself")]
    Submodule(String),
    /// A file is larger than the caller takes.
    #[error("`{path}` has {size} bytes; the limit is {max}")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A folder or a remote has more entries than are handled.
    #[error("{what} has more entries than the {max} that Longboat handles")]
    TooMany {
        /// The folder or remote.
        what: String,
        /// The limit.
        max: usize,
    },
    /// The `git` program can't be run.
    #[error("fetching needs the program `git`: {0}")]
    Program(ProcessError),
    /// The local file system refused.
    #[error("{action} {}: {source}", .path.display())]
    Local {
        /// What was tried, as in "could not create".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Git failed in another way.
    #[error("git failed for {remote}: {detail}")]
    Failed {
        /// The remote or mirror.
        remote: String,
        /// Git's words.
        detail: String,
    },
}

impl GitError {
    /// Whether trying again later, with nothing changed by a person, can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Corrupt { .. }
            | Self::Local { .. }
            | Self::Failed { .. } => true,
            // Access is given and repositories appear without Longboat being told.
            Self::AuthRefused { .. } | Self::NotARepository { .. } | Self::Moved { .. } | Self::Program(_) => true,
            Self::ProtocolNotAllowed { .. }
            | Self::BadRemote { .. }
            | Self::Unsupported { .. }
            | Self::MissingCommit { .. }
            | Self::MissingRef { .. }
            | Self::BadPath(_)
            | Self::NameNotUtf8(_)
            | Self::SymbolicLink(_)
            | Self::Submodule(_)
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => false,
        }
    }

    pub(super) fn local(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Local { action, path, source }
    }

    /// What git2 says about a mirror: if it isn't the operating system's doing, the mirror is damaged.
    pub(super) fn reading(dir: &Path) -> impl Fn(git2::Error) -> Self {
        let dir = dir.to_owned();
        move |error| match error.class() {
            git2::ErrorClass::Os if error.code() != git2::ErrorCode::NotFound => Self::Local {
                action: "could not read",
                path: dir.clone(),
                source: io::Error::other(error.message().to_owned()),
            },
            _ => Self::Corrupt { dir: dir.clone(), detail: error.message().to_owned() },
        }
    }
}

/// A blocking task that panicked, or that the runtime's end broke off.
pub(super) fn stopped(path: &Path) -> impl FnOnce(tokio::task::JoinError) -> GitError {
    let path = path.to_owned();
    move |error| GitError::Local { action: "work was broken off on", path, source: io::Error::other(error) }
}
