//! The inbox: what was noticed about repositories, and what became of it.

use crate::clock::Timestamp;
use crate::model::{CommitSha, CommitStatus, RepositoryName};

/// The key of an inbox entry; entries of a repository are worked off in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxId(pub i64);

/// How a change was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The forge said so.
    Webhook,
    /// A periodic look at the remote.
    Poll,
    /// The file system said that a local repository changed.
    Watch,
    /// The look at start-up.
    Start,
}

/// What whoever noticed a change knows about the ref before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A webhook's word for where the ref stood before; `None`: the ref was created.
    Claimed(Option<CommitSha>),
    /// The look began when the ref's head had this sequence number (0: the ref was not known). If the head has
    /// moved since, the look is stale and the next one decides.
    Observed {
        /// [`RefHead::seq`] at the beginning of the look.
        head_seq: i64,
    },
}

/// A branch or tag that moved, appeared or went away.
#[derive(Debug, Clone, PartialEq)]
pub struct RefChange {
    /// The repository.
    pub repository: RepositoryName,
    /// The full name: `refs/heads/x` or `refs/tags/x`.
    pub git_ref: String,
    /// What is known about the moment before.
    pub old: Seen,
    /// Where the ref stands now; `None`: it is gone.
    pub new: Option<CommitSha>,
    /// The forge's id of the delivery, so that a repeated delivery is known.
    pub delivery: Option<String>,
    /// How it was noticed.
    pub source: Source,
    /// Who pushed, as the forge authenticated them.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: Option<String>,
    /// Reported if the change is new, in the same transaction.
    pub checking: Option<CommitStatus>,
}

/// What became of a [`RefChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the inbox.
    New(InboxId),
    /// It was known already, or a look that was overtaken; nothing to do.
    Duplicate,
    /// A late word about a push that was already jumped over; nothing to do.
    Superseded,
}

/// A change that waits to be worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its key.
    pub id: InboxId,
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// Where the store last saw the ref.
    pub old: Option<CommitSha>,
    /// Where it stands now; `None`: it is gone.
    pub new: Option<CommitSha>,
    /// How it was noticed.
    pub source: Source,
    /// Who pushed.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: Option<String>,
    /// How often it was tried without success.
    pub attempts: u32,
    /// When it came.
    pub received_at: Timestamp,
}

/// Where the store last saw a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefHead {
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// Its commit; `None`: the ref is gone.
    pub commit: Option<CommitSha>,
    /// Counts the changes of this ref, from 1.
    pub seq: i64,
    /// When it was last seen to move.
    pub seen_at: Timestamp,
}
