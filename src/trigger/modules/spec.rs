//! What is to be known of a module repository before it is looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::{self, Applications};
use crate::git::{self, GitOptions, Remote};
use crate::model::{ImpactDetail, RepositoryName};
use crate::trigger::{Repository, RepositorySet, RepositorySpec};

/// A module repository to keep.
#[derive(Debug, Clone)]
pub struct ModuleSpec {
    /// The first part of the names of its modules.
    pub name: String,
    /// Where it is fetched from, as it may be shown.
    pub address: String,
    /// The folder of its modules; empty: the whole repository.
    pub folder: String,
    /// What a name without `@` means; none: the default branch.
    pub reference: Option<String>,
    /// Where it is.
    pub from: ModuleFrom,
    /// What its pull requests may tell about those who use it.
    pub tells: ImpactDetail,
}

/// Where a module repository is.
#[derive(Debug, Clone)]
pub enum ModuleFrom {
    /// It is one of those that are followed.
    Followed(RepositoryName),
    /// It is one of its own.
    Own {
        /// Where it is fetched from.
        remote: Remote,
        /// The pause between two looks.
        poll: Duration,
    },
}

impl ModuleSpec {
    /// All module repositories of a configuration. One whose address is that of a followed repository is that repository,
    /// with its mirror, webhooks and pull requests.
    pub fn all(config: &config::Config) -> Vec<Self> {
        let followed_at = |location: &config::Location| {
            config.repositories.iter().find(|repository| repository.location.is_same_as(location))
        };
        let spec = |modules: &config::ModuleRepository| {
            let followed = match &modules.source {
                config::ModuleSource::Own { location, .. } => followed_at(location),
                config::ModuleSource::Followed(_) => None,
            };
            let (address, from) = match (&modules.source, followed) {
                (config::ModuleSource::Own { location, .. }, Some(followed)) => {
                    (location.to_url(), ModuleFrom::Followed(followed.name.clone()))
                }

                (config::ModuleSource::Followed(name), _) => {
                    let location = config.repository(name).map(|repository| repository.location.to_url());
                    (location.unwrap_or_default(), ModuleFrom::Followed(name.clone()))
                }
                (config::ModuleSource::Own { location, credentials, poll }, None) => {
                    let credentials = credentials.as_ref().map(|credentials| git::Credentials {
                        username: credentials.username.clone(),
                        password: credentials.password.clone(),
                    });
                    let url = location.to_url();
                    (url.clone(), ModuleFrom::Own { remote: Remote { url, credentials }, poll: *poll })
                }
            };
            let config::ModuleRepository { name, reference, folder, .. } = modules;
            let tells = modules.dependents.detail();
            Self { name: name.clone(), address, folder: folder.clone(), reference: reference.clone(), from, tells }
        };
        config.modules.iter().map(spec).collect()
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.folder_here().is_some()
    }

    /// Where it is on this machine; nothing if it isn't.
    pub fn folder_here(&self) -> Option<PathBuf> {
        match &self.from {
            ModuleFrom::Own { remote, .. } => remote.local_path(),
            ModuleFrom::Followed(_) => None,
        }
    }

    /// The folder of its own mirror below `mirrors`: another address is another mirror.
    pub fn mirror(&self, mirrors: &Path) -> PathBuf {
        let url = match &self.from {
            ModuleFrom::Own { remote, .. } => remote.url.as_str(),
            ModuleFrom::Followed(_) => "",
        };
        let digest = hex::encode(Sha256::digest(url.as_bytes()));
        mirrors.join("modules").join(format!("{}-{}.git", self.name, &digest[..16]))
    }

    /// The repository with its mirror, and the pause between two looks.
    pub(super) fn repository(
        &self,
        repositories: &RepositorySet,
        mirrors: &Path,
        options: &GitOptions,
    ) -> Option<(Arc<Repository>, Duration)> {
        match &self.from {
            ModuleFrom::Followed(name) => {
                let repository = repositories.get(name)?.clone();
                let poll = repository.spec.poll;
                Some((repository, poll))
            }
            ModuleFrom::Own { remote, poll } => {
                let spec = RepositorySpec {
                    name: RepositoryName::parse(&format!("modules/{}", self.name)).ok()?,
                    forge: None,
                    forge_url: None,
                    remote: remote.clone(),
                    branches: Vec::new(),
                    applications: Some(Applications::default()),
                    poll: *poll,
                };
                Some((Arc::new(Repository::new(spec, self.mirror(mirrors), options.clone())), *poll))
            }
        }
    }
}
