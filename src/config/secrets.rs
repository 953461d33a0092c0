//! Secrets for pipelines: where each is kept, and who may use it.

use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::diagnostic::nearest;
use crate::model::{ApplicationName, RepositoryName, SecretName};

/// The least length of a secret's value, in bytes: masking a shorter one would hide half of every text, and show by
/// that what it is.
pub const MIN_SECRET: usize = 6;

/// A secret that pipelines can use by its name.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Where its value is kept. It is read each time that it is used.
    pub source: SecretPlace,
    /// Who may use it.
    pub access: SecretAccess,
}

/// Where the value of a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// An environment variable of the server.
    Env(String),
    /// A file, by its absolute path.
    File(PathBuf),
}

/// Who may use a secret. What is not said is not restricted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SecretAccess {
    /// The repositories whose pipelines may.
    pub repositories: Option<Names>,
    /// The applications whose pipelines may.
    pub applications: Option<Names>,
    /// The branches whose commits may.
    pub branches: Option<Names>,
}

/// A list of names, as globs: `*` stops at a `/` and `**` doesn't.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Names(Vec<GlobMatcher>);

impl TryFrom<Vec<String>> for Names {
    type Error = String;
    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        Self::parse(&patterns).map_err(|(_, reason)| reason)
    }
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        names.patterns().collect()
    }
}

impl Names {
    /// Reads the patterns.
    ///
    /// # Errors
    /// The position of the first that is none, and why.
    pub fn parse(patterns: &[String]) -> Result<Self, (usize, String)> {
        let compile = |(index, pattern): (usize, &String)| {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| (index, error.kind().to_string()))
        };
        patterns.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the patterns takes a name.
    pub(super) fn hold(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.is_match(name))
    }

    /// The patterns as they were written.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|matcher| matcher.glob().glob().to_owned())
    }
}

/// Who wants to use a secret, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct SecretUser<'a> {
    /// The repository of the definition and of the commit.
    pub repository: Option<&'a RepositoryName>,
    /// The application of the pipeline.
    pub application: &'a ApplicationName,
    /// The branch of the commit.
    pub branch: Option<&'a str>,
}

/// Why somebody may not use a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefusal {
    /// There is none of that name.
    #[error("there is no secret `{name}`")]
    Unknown {
        /// The name.
        name: SecretName,
        /// One that is similar.
        near: Option<String>,
    },
    /// It is for other repositories.
    #[error("the secret `{name}` is not for the repository {repository}")]
    Repository {
        /// The secret.
        name: SecretName,
        /// The repository; `(none)` if there is none.
        repository: String,
    },
    /// It is for other applications.
    #[error("the secret `{name}` is not for the application `{application}`")]
    Application {
        /// The secret.
        name: SecretName,
        /// The application.
        application: ApplicationName,
    },
    /// It is for other branches.
    #[error("the secret `{name}` is not for the branch `{branch}`")]
    Branch {
        /// The secret.
        name: SecretName,
        /// The branch.
        branch: String,
    },
    /// It is for certain branches, and the commit is not known to be on one.
    #[error("the secret `{name}` is for certain branches, and it isn't known that the commit is on one of them")]
    NoBranch {
        /// The secret.
        name: SecretName,
    },
}

impl SecretRefusal {
    /// Whether nothing speaks against it but that the branch isn't known.
    pub const fn is_for_want_of_a_branch(&self) -> bool {
        matches!(self, Self::NoBranch { .. })
    }
}

/// Which secrets there are and who may use them: all that is known of them but their values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SecretRules(IndexMap<SecretName, SecretAccess>);

impl SecretRules {
    /// The rules of these secrets.
    pub fn new(secrets: &IndexMap<SecretName, Secret>) -> Self {
        Self(secrets.iter().map(|(name, secret)| (name.clone(), secret.access.clone())).collect())
    }

    /// Whether somebody may use a secret.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, name: &SecretName, user: SecretUser<'_>) -> Result<(), SecretRefusal> {
        let Some(access) = self.0.get(name) else {
            let near = nearest(name.as_str(), self.0.keys().map(SecretName::as_str)).map(str::to_owned);
            return Err(SecretRefusal::Unknown { name: name.clone(), near });
        };
        let name = || name.clone();
        if let Some(repositories) = &access.repositories
            && !user.repository.is_some_and(|repository| repositories.hold(repository.as_str()))
        {
            let repository = user.repository.map_or_else(|| "(none)".to_owned(), ToString::to_string);
            return Err(SecretRefusal::Repository { name: name(), repository });
        }
        if access.applications.as_ref().is_some_and(|names| !names.hold(user.application.as_str())) {
            return Err(SecretRefusal::Application { name: name(), application: user.application.clone() });
        }
        match (&access.branches, user.branch) {
            (Some(branches), Some(branch)) if !branches.hold(branch) => {
                Err(SecretRefusal::Branch { name: name(), branch: branch.to_owned() })
            }
            (Some(_), None) => Err(SecretRefusal::NoBranch { name: name() }),
            (Some(_), Some(_)) | (None, _) => Ok(()),
        }
    }
}
