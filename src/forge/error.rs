//! What can go wrong between Longboat and a forge.

use crate::clock::Timestamp;

/// Why a forge did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ForgeError {
    /// What kind of trouble it is; decides about further tries.
    pub kind: ForgeErrorKind,
    /// For people: what happened, where, and what to do. Holds no secret.
    pub message: String,
    /// Whether the forge may have acted although there's no good answer: the request had left when the
    /// trouble began. Then it is to be read back before it is sent again.
    pub may_have_arrived: bool,
}

/// Why a forge can't be set up from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("forge `{forge}`: {message}")]
pub struct SetupError {
    /// The forge's name.
    pub forge: String,
    /// What is wrong and what to do. Holds no secret.
    pub message: String,
}

/// The kinds of trouble with a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeErrorKind {
    /// The request is not acceptable and never will be (GitHub's 422).
    Refused,
    /// No such repository or commit, or the token may not see it.
    NotFound,
    /// The token is missing, wrong or expired (401): nothing on this forge works.
    Auth,
    /// The token may not do this to this repository (403 without a rate limit).
    Forbidden,
    /// Too many requests; nothing is to be sent before `until`.
    RateLimited {
        /// When the forge takes requests again, by Longboat's clock.
        until: Timestamp,
    },
    /// No connection, no answer in time, or the connection broke.
    Unreachable,
    /// The forge failed (5xx), or answered with something that is no answer.
    Server,
}

impl ForgeError {
    /// That a forge has no such thing, or no token for it.
    pub fn unsupported(forge: &str, what: &str) -> Self {
        Self {
            kind: ForgeErrorKind::Refused,
            message: format!("the forge `{forge}` has no {what} that Longboat could use; does it have a `token`?"),
            may_have_arrived: false,
        }
    }
}

impl ForgeErrorKind {
    /// Whether the forge as a whole is in trouble, rather than this one request.
    pub const fn concerns_whole_forge(self) -> bool {
        matches!(self, Self::Auth | Self::RateLimited { .. } | Self::Unreachable | Self::Server)
    }
}
