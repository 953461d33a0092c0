//! As whom a token acts: what tells Longboat's own comments from those that somebody made look like them.
//!
//! A person's token says it (`GET /user`). The token of a GitHub App can't ask that; what it wrote itself says it then:
//! GitHub names the author of each new status and comment in its answer. Before the first of those, all that is known
//! is that such a comment was written through some App.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde::Deserialize;

use super::answer::read;
use super::client::{Api, Call};
use crate::forge::ForgeError;

/// Who writes with the token, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Account(Mutex<Known>);

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    id: Option<u64>,
    /// Whether GitHub has said that there's no person behind the token.
    app: bool,
}

/// Who writes with the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// The account with this number.
    Account(u64),
    /// An App that has not written anything yet.
    SomeApp,
}

/// The author of a comment or status.
#[derive(Debug, Deserialize)]
pub(super) struct AuthorPart {
    id: Option<u64>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Account {
    fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of whom GitHub names as the author of what was written just now.
    pub(super) fn wrote(&self, author: Option<&AuthorPart>) {
        if let Some(id) = author.and_then(|author| author.id) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).id = Some(id);
        }
    }

    fn is_app(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).app = true;
    }
}

impl Author {
    /// Whether a comment is this author's. `through_app`: whether an App wrote it.
    pub(super) fn wrote(self, author: Option<&AuthorPart>, through_app: bool) -> bool {
        match self {
            Self::Account(id) => author.is_some_and(|author| author.id == Some(id)),
            Self::SomeApp => through_app && author.is_some_and(|author| author.kind.as_deref() == Some("Bot")),
        }
    }
}

impl Api {
    /// Who writes with the token; asked once, after what it is to be compared with.
    pub(super) async fn author(&self) -> Result<Author, ForgeError> {
        match self.account.known() {
            Known { id: Some(id), .. } => return Ok(Author::Account(id)),
            Known { app: true, .. } => return Ok(Author::SomeApp),
            Known { .. } => {}
        }
        let call = Call::get("/user");
        let answer = self.ask_on(call).await?;
        if answer.status == StatusCode::OK {
            let person: AuthorPart = read(&answer, call, "an account")?;
            self.account.wrote(Some(&person));
            return Ok(person.id.map_or(Author::SomeApp, Author::Account));
        }
        let error = self.refusal(&answer, call, "Metadata: read");
        // "Resource not accessible by integration"; a limit of requests is something else.
        if answer.status == StatusCode::FORBIDDEN && !error.kind.concerns_whole_forge() {
            self.account.is_app();
            return Ok(Author::SomeApp);
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u64, kind: &str) -> AuthorPart {
        AuthorPart { id: Some(id), kind: Some(kind.to_owned()) }
    }

    #[test]
    fn only_the_own_account_wrote_it() {
        assert!(Author::Account(7).wrote(Some(&part(7, "User")), false));
        assert!(!Author::Account(7).wrote(Some(&part(8, "User")), false));
        assert!(!Author::Account(7).wrote(None, true));
        assert!(Author::SomeApp.wrote(Some(&part(9, "Bot")), true));
        assert!(!Author::SomeApp.wrote(Some(&part(9, "User")), true), "a person who works through an App");
        assert!(!Author::SomeApp.wrote(Some(&part(9, "Bot")), false));
    }
}
