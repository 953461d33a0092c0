//! Names and ids. Each is a type of its own; what it may hold is checked where it is made.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not a name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct IdError {
    /// The text, cut to 80 characters.
    pub text: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// What a text must look like to be one.
            pub const RULE: &'static str = $rule;

            /// Checks the text.
            ///
            /// # Errors
            /// If the text breaks [`Self::RULE`].
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { text: text.chars().take(80).collect(), what: $what, rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    };
}

fn is_word(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !text.starts_with(['-', '.'])
}

text_id! {
    /// The name of an application, as `application:` in a file gives it.
    ApplicationName, "an application name",
    "1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`",
    |text| is_word(text, 100)
}

text_id! {
    /// The name of a pipeline, unique within its application. Spinnaker allows spaces, so do we.
    PipelineName, "a pipeline name",
    "1 to 120 characters, no control characters, no `/`, no space at either end",
    |text| {
        (1..=120).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(|letter| letter.is_control() || letter == '/')
    }
}

text_id! {
    /// The name of a lock that pipelines of any application share.
    LockName, "a lock's name",
    "1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`",
    |text| is_word(text, 100)
}

text_id! {
    /// The id of a stage within its pipeline (Spinnaker's `refId`).
    StageId, "a stage id",
    "1 to 63 letters, digits, `_` and `-`",
    |text| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }
}

text_id! {
    /// Where a stage stands in a running pipeline: its id, or a way below it (`deploy/before/window`, `test[eu]`).
    StagePath, "a stage path",
    "stage ids joined by `/`, each with an optional `[key]`, 400 characters at most",
    |text| {
        !text.is_empty()
            && text.len() <= 400
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && !text.chars().any(char::is_control)
    }
}

impl From<&StageId> for StagePath {
    fn from(id: &StageId) -> Self {
        Self(id.0.clone())
    }
}

text_id! {
    /// A repository's name in the configuration, `owner/name` for those of a forge. `~owner/name` is a personal
    /// repository on Bitbucket Data Center.
    RepositoryName, "a repository name",
    "parts of letters, digits, `-`, `_` and `.` joined by `/`, 200 characters at most; `~` may begin the first of several",
    |text| {
        let parts = text.strip_prefix('~').filter(|parts| parts.contains('/')).unwrap_or(text);
        text.len() <= 200 && parts.split('/').all(|part| is_word(part, 200))
    }
}

text_id! {
    /// The name of a secret, as the configuration and `${ secret("name") }` give it.
    SecretName, "a secret's name",
    "1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`",
    |text| is_word(text, 100)
}

text_id! {
    /// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits, and not all zeros.
    CommitSha, "a commit id",
    "40 or 64 lower-case hexadecimal digits, not all zeros",
    |text| {
        matches!(text.len(), 40 | 64)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && text.bytes().any(|byte| byte != b'0')
    }
}

impl CommitSha {
    /// The first seven digits, as people quote commits.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

/// The public id of an execution: a UUIDv7, so that ids sort by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(pub Uuid);

impl ExecutionId {
    /// A new id, later than all that this process made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The path of the page that shows the execution, below the server's public address.
    pub fn page(&self) -> String {
        format!("/executions/{}", self.0)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::str::FromStr for ExecutionId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// The store's own key of an execution: small, so that journal rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionKey(pub i64);

/// The store's key of a revision: one pipeline as rendered from one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionId(pub i64);

/// The id of a pipeline that declares none: a UUIDv5 of `application/name`, the same on every machine.
pub fn pipeline_id(application: &ApplicationName, pipeline: &PipelineName) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("longboat:{application}/{pipeline}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_ids_refuse_what_would_break_a_path() {
        for bad in ["", "a b", "a/b", "a.b", &"x".repeat(64)] {
            assert!(StageId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(StageId::parse("deploy-eu_1").expect("legal").as_str(), "deploy-eu_1");
    }

    #[test]
    fn the_zero_commit_is_no_commit() {
        assert!(CommitSha::parse(&"0".repeat(40)).is_err());
        assert!(CommitSha::parse(&"a".repeat(40)).is_ok());
    }

    #[test]
    fn a_repository_name_has_no_way_up() {
        for bad in
            ["", "..", "a/../b", "/a", "a/", "-a/b", "a b", "~", "~ann", "~/x", "~../x", "a/~b", "~~a/b", "~-a/b"]
        {
            assert!(RepositoryName::parse(bad).is_err(), "{bad}");
        }
        for good in ["shop", "acme/shop", "a/b/c", "SHOP/api", "~ann.b/api"] {
            assert_eq!(RepositoryName::parse(good).expect("legal").as_str(), good);
        }
    }
}
