//! Git: a bare mirror for each repository, reading from it at a commit, and watching local repositories.
//!
//! The network belongs to the `git` program: libgit2 can't stop a server that drips a byte a second, a
//! process group with a deadline can be killed. Reading belongs to git2, on the object database and without
//! a work tree, so that no symbolic link, submodule or `..` leads anywhere. Types of `git2` and `notify` stay
//! in this room.
//!
//! An empty repository, a deleted branch and a force-push are states here: they show in
//! [`Mirror::heads`] and [`RemoteHeads`]. What a forced push left without a name stays readable until the
//! mirror is made anew.

mod checkout;
mod error;
mod head;
mod history;
mod local;
mod mirror;
mod network;
mod remote;
mod snapshot;
mod watch;
mod work_tree;

pub use error::GitError;
pub use head::Head;
pub use history::{Changed, CommitInfo, commits_beginning_with};
pub use local::Local;
pub use mirror::{GitOptions, Mirror};
pub use network::RemoteHeads;
pub use remote::{Credentials, Remote};
pub use snapshot::{EntryKind, Snapshot, SnapshotEntry};
pub use watch::{watch_folder, watch_local};
pub use work_tree::{WorkTreeError, WorkTreeFacts, first_commit, snapshot, work_tree};
