//! Secrets of pipelines: from a name to a value, at the moment of use, and out of everything that is kept.
//!
//! A file names a secret as `${ secret("name") }`. Journal, context, API, pages and database only ever hold the
//! reference that expressions leave in its place ([`crate::model::SecretUse`]); [`Secrets::reveal`] puts the values in,
//! for whoever is about to use them, and hands out the [`Masker`] for what comes back.
//!
//! - **Who may use what** is decided by the operator's rules ([`crate::config::SecretRules`]), from the execution's
//!   repository, application and branch, at every single use.
//! - **Which secrets a stage uses** was decided when its template was read. Nothing that was evaluated (a parameter, an
//!   output, a commit's message) is ever looked through for names.
//! - **Values are fetched when they are used.** Nothing is remembered but what has to be masked. So a value that was
//!   changed counts for the next attempt, and a file that appears late is found.
//! - **Masked is what is known**: the server's own tokens, the values of sources on this machine, and every value that
//!   was handed out since this process began, each in the forms that [`forms`] lists.
//!
//! Environment variables and files are the sources of this version; [`SecretSource`] is what another one implements.

mod forms;
mod masker;
mod reveal;
mod source;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use secrecy::{ExposeSecret as _, SecretString};

pub use masker::{MaskStream, Masker};
pub use reveal::Revealed;
pub use source::{SecretSource, SourceError};

use crate::config::{Config, Secret, SecretPlace, SecretRefusal, SecretRules, SecretUser};
use crate::model::{CauseKind, NewExecution, SecretName};
use source::{EnvSource, FileSource};

/// The most values that are remembered to be masked; the oldest are forgotten first.
const MAX_SEEN: usize = 1000;

/// The secrets of a server; cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    sources: IndexMap<SecretName, Arc<dyn SecretSource>>,
    rules: SecretRules,
    seen: Mutex<Seen>,
}

/// What is to be masked.
#[derive(Default)]
struct Seen {
    values: Vec<SecretString>,
    /// Made of the values; none if they have changed since.
    masker: Option<Masker>,
}

/// Names only.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.0.sources.keys()).finish()
    }
}

/// Why a secret is not handed out. Names the secret and its source, and never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The rules are against it.
    #[error("{0}")]
    Refused(SecretRefusal),
    /// Whatever runs for a pull request gets none.
    #[error("the secret `{0}` is not handed out to what runs for a pull request")]
    PullRequest(SecretName),
    /// It isn't known that the commit was ever pushed to a branch or tag of the repository.
    #[error("the secret `{0}` is not handed out: the commit is on no branch or tag that Longboat follows")]
    Homeless(SecretName),
    /// The source has no value.
    #[error("the secret `{name}` is missing: {source_name} {error}")]
    Source {
        /// The secret.
        name: SecretName,
        /// The source, for people.
        source_name: String,
        /// What is wrong with it.
        error: SourceError,
    },
    /// The field isn't what it was when the reference was made, which is a fault in Longboat.
    #[error("the secret `{name}` has lost its place in `{pointer}`")]
    Misplaced {
        /// The secret.
        name: SecretName,
        /// Where it should be.
        pointer: String,
    },
}

impl Secrets {
    /// Those of a configuration.
    pub fn new(config: &Config) -> Self {
        Self::of(&config.secrets, config.own_secrets())
    }

    /// These, and values that are masked without being anybody's to use.
    pub fn of(secrets: &IndexMap<SecretName, Secret>, masked: Vec<SecretString>) -> Self {
        let sources = secrets.iter().map(|(name, secret)| {
            let source: Arc<dyn SecretSource> = match &secret.source {
                SecretPlace::Env(variable) => Arc::new(EnvSource(variable.clone())),
                SecretPlace::File(path) => Arc::new(FileSource(path.clone())),
            };
            (name.clone(), source)
        });
        Self::with_sources(sources.collect(), SecretRules::new(secrets), masked)
    }

    /// These sources under these rules, and values that are masked without being anybody's to use.
    pub fn with_sources(
        sources: IndexMap<SecretName, Arc<dyn SecretSource>>,
        rules: SecretRules,
        masked: Vec<SecretString>,
    ) -> Self {
        let seen = Seen { values: masked, masker: None };
        Self(Arc::new(Inner { sources, rules, seen: Mutex::new(seen) }))
    }

    /// None at all.
    pub fn none() -> Self {
        Self::with_sources(IndexMap::new(), SecretRules::default(), Vec::new())
    }

    /// Whether an execution may use a secret.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, name: &SecretName, execution: &NewExecution) -> Result<(), SecretError> {
        let cause = &execution.trigger;
        let user = SecretUser {
            repository: execution.repository.as_ref(),
            application: &execution.pipeline.application,
            branch: cause.branch.as_deref(),
        };
        self.0.rules.check(name, user).map_err(SecretError::Refused)?;
        // Written as a list of those that may, so that a new kind of cause is refused until somebody has thought of it.
        // What a stage started is what started the execution of that stage.
        let kind = match (&cause.parent, &cause.parent_execution, cause.kind) {
            (Some(parent), _, CauseKind::Pipeline) if parent.root != CauseKind::Pipeline => parent.root,
            // By the end of another, or below what that started: what began it all counts.
            (_, Some(parent), CauseKind::Pipeline) => parent.root,
            (.., kind) => kind,
        };
        if !matches!(kind, CauseKind::Git | CauseKind::Manual | CauseKind::Cron | CauseKind::Webhook) {
            return Err(SecretError::PullRequest(name.clone()));
        }
        // A start by hand can name any commit, also one that only a stranger's pull request has brought.
        if execution.commit.is_some() && cause.branch.is_none() && cause.tag.is_none() {
            return Err(SecretError::Homeless(name.clone()));
        }
        Ok(())
    }

    /// The value of a secret, for an execution that may use it.
    ///
    /// # Errors
    /// If it may not, or the source has none.
    pub async fn fetch(&self, name: &SecretName, execution: &NewExecution) -> Result<SecretString, SecretError> {
        self.check(name, execution)?;
        let unknown = || SecretError::Refused(SecretRefusal::Unknown { name: name.clone(), near: None });
        let source = self.0.sources.get(name).ok_or_else(unknown)?;
        let of_source = |error| SecretError::Source { name: name.clone(), source_name: source.describe(), error };
        let value = source.fetch().await.and_then(source::checked).map_err(of_source)?;
        self.remember(&value);
        Ok(value)
    }

    /// Every value that is to be kept out of logs, as far as it is known. Sources on this machine are read anew.
    pub async fn masked_values(&self) -> Vec<SecretString> {
        for source in self.0.sources.values().filter(|source| source.is_near()) {
            // One that is missing has nothing to hide.
            if let Ok(value) = source.fetch().await.and_then(source::checked) {
                self.remember(&value);
            }
        }
        self.seen().values.clone()
    }

    /// What keeps every value that is known out of a text: for answers and errors of what stages speak to.
    pub fn masker(&self) -> Masker {
        let mut seen = self.seen();
        let Seen { values, masker } = &mut *seen;
        masker.get_or_insert_with(|| Masker::new(values.iter())).clone()
    }

    fn remember(&self, value: &SecretString) {
        let mut seen = self.seen();
        if seen.values.iter().any(|known| known.expose_secret() == value.expose_secret()) {
            return;
        }
        if seen.values.len() >= MAX_SEEN {
            seen.values.remove(0);
        }
        seen.values.push(value.clone());
        seen.masker = None;
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
