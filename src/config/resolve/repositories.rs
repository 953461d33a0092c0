//! The repositories: where each is, who may fetch it, what of it counts.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use http::Uri;
use indexmap::IndexMap;

use super::Work;
use super::forges::{clone_url, git_credentials};
use crate::config::file::{ApplicationWord, CredentialsSection, RepositorySection};
use crate::config::shape::dotted;
use crate::config::{ApplicationRule, Applications, Credentials, Forge, Location, Names, Repository};
use crate::diagnostic::{Code, nearest};
use crate::model::{ApplicationName, RepositoryName};

impl Work<'_> {
    pub(super) fn repositories(
        &mut self,
        sections: Vec<RepositorySection>,
        forges: &IndexMap<String, Forge>,
    ) -> Vec<Repository> {
        let mut repositories: Vec<Repository> = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            let pointer = format!("/repositories/{index}");
            let Some(repository) = self.repository(&pointer, section, forges) else { continue };
            // Forges don't tell upper from lower case, and neither do some file systems.
            let same = |other: &&Repository| other.name.as_str().eq_ignore_ascii_case(repository.name.as_str());
            if let Some(other) = repositories.iter().find(same) {
                self.error(
                    &format!("{pointer}/name"),
                    Code::DuplicateRepository,
                    format!("the repository `{}` is there already, as `{}`", repository.name, other.name),
                    "give each repository once, with all its branches",
                );
            } else {
                repositories.push(repository);
            }
        }
        repositories
    }

    fn repository(
        &mut self,
        pointer: &str,
        section: RepositorySection,
        forges: &IndexMap<String, Forge>,
    ) -> Option<Repository> {
        let name = section.name.as_deref();
        let name = name.and_then(|name| self.named(name, &format!("{pointer}/name"), RepositoryName::parse));
        let forge = section.forge.as_deref().and_then(|key| self.forge_named(key, pointer, forges));
        let location = self.location(pointer, &section, name.as_ref(), forge.as_ref().map(|(_, forge)| *forge));
        let own = section.credentials.and_then(|section| self.credentials(pointer, section));
        let credentials = own.or_else(|| forge_credentials(location.as_ref()?, forge.as_ref()?.1));
        for (index, branch) in section.branches.iter().enumerate() {
            if !is_branch_name(branch) {
                self.error(
                    &format!("{pointer}/branches/{index}"),
                    Code::BadIdentifier,
                    format!("`{branch}` is not a branch name"),
                    "write the name without `refs/heads/`; patterns are for triggers",
                );
            }
        }
        let applications = section.applications.map(|words| {
            let mut rules = Vec::new();
            for (index, word) in words.into_iter().enumerate() {
                rules.extend(self.application(&format!("{pointer}/applications/{index}"), word));
            }
            Applications::new(rules)
        });
        let poll = self.duration(section.poll, &format!("{pointer}/poll"), Duration::from_secs(60));
        Some(Repository {
            name: name?,
            forge: forge.map(|(key, _)| key),
            location: location?,
            credentials,
            branches: section.branches,
            applications,
            poll,
        })
    }

    fn application(&mut self, pointer: &str, word: ApplicationWord) -> Option<ApplicationRule> {
        let (name, branches, at) = match word {
            ApplicationWord::Name(name) => (name, None, pointer.to_owned()),
            ApplicationWord::Rule { name, branches } => (name?, branches, format!("{pointer}/name")),
        };
        if !name.contains(['*', '?', '[', '{']) {
            self.named(&name, &at, ApplicationName::parse)?;
        }
        let names = match Names::parse(&[name]) {
            Ok(names) => Some(names),
            Err((_, reason)) => {
                let message = format!("`{}` is not a pattern: {reason}", dotted(&at));
                self.error(&at, Code::BadPattern, message, "write a name; `*` is any part of one");
                None
            }
        };
        let branches = match branches {
            Some(branches) => Some(self.names(Some(branches), &format!("{pointer}/branches"))?),
            None => None,
        };
        Some(ApplicationRule { names: names?, branches })
    }

    pub(super) fn forge_named<'f>(
        &mut self,
        key: &str,
        pointer: &str,
        forges: &'f IndexMap<String, Forge>,
    ) -> Option<(String, &'f Forge)> {
        if let Some(forge) = forges.get(key) {
            return Some((key.to_owned(), forge));
        }
        let hint = nearest(key, forges.keys().map(String::as_str))
            .map_or_else(|| "add it to `forges`".to_owned(), |near| format!("did you mean `{near}`?"));
        let message = format!("the forge `{key}` is not one of `forges`");
        self.error(&format!("{pointer}/forge"), Code::UnknownForge, message, &hint);
        None
    }

    /// A path, an address, or the forge's address for it.
    fn location(
        &mut self,
        pointer: &str,
        section: &RepositorySection,
        name: Option<&RepositoryName>,
        forge: Option<&Forge>,
    ) -> Option<Location> {
        match (&section.path, &section.url) {
            (Some(_), Some(_)) => {
                let message = "both `path` and `url` say where the repository is".to_owned();
                self.error(&format!("{pointer}/path"), Code::ConflictingKeys, message, "keep the one that is right");
                None
            }
            (Some(path), None) => Some(Location::Local(tidy_path(&self.base.join(path)))),
            (None, Some(url)) => {
                self.address(url, &format!("{pointer}/url"), &["https", "http", "file"]).map(Location::Remote)
            }
            (None, None) if section.forge.is_some() => {
                let (name, forge) = (name?, forge?);
                if name.as_str().split('/').count() != 2 {
                    let message = format!("`{name}` is not the name of a repository on {}", forge.kind.product());
                    let hint = format!("write `{}`", forge.kind.repository_form());
                    self.error(&format!("{pointer}/name"), Code::BadIdentifier, message, &hint);
                }
                Some(Location::Remote(clone_url(forge, name.as_str())))
            }
            (None, None) => {
                let message = format!("`{}` doesn't say where the repository is", dotted(pointer));
                let hint = "add `forge: NAME`, `url: https://...` or `path: ../folder`";
                self.error(pointer, Code::MissingKey, message, hint);
                None
            }
        }
    }

    pub(super) fn credentials(&mut self, pointer: &str, section: CredentialsSection) -> Option<Credentials> {
        let password = self.secret(&section.password?, &format!("{pointer}/credentials/password"))?;
        let username = section.username?;
        if username.is_empty() || username.contains([':', '\n', '\r', '\0']) {
            self.error(
                &format!("{pointer}/credentials/username"),
                Code::ValueNotAllowed,
                format!("`{username}` is not a user name"),
                "it can't be empty or hold `:` or line breaks",
            );
        }
        Some(Credentials { username: Some(username), password })
    }
}

/// The forge's token for a repository that lies on the forge; a token never goes to another host.
pub(super) fn forge_credentials(location: &Location, forge: &Forge) -> Option<Credentials> {
    let Location::Remote(url) = location else { return None };
    let (ours, theirs) = (url.parse::<Uri>().ok()?, forge.url.parse::<Uri>().ok()?);
    let same = ours.scheme() == theirs.scheme() && ours.authority() == theirs.authority();
    Some(git_credentials(forge, forge.token.clone().filter(|_| same)?))
}

/// What `git check-ref-format --branch` lets through, without patterns.
fn is_branch_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 250
        && !name.starts_with(['-', '/'])
        && !name.starts_with("refs/")
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains("//")
        && name.split('/').all(|part| !part.starts_with('.') && !part.ends_with(".lock"))
        && !name.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter))
}

/// Takes `.` and `x/..` out of a path without asking the file system, so that messages read well.
pub(super) fn tidy_path(path: &Path) -> PathBuf {
    // With symbolic links in it, `x/..` need not be where it seems to be; then only the system knows.
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !tidy.pop() {
                    tidy.push("..");
                }
            }
            other => tidy.push(other),
        }
    }
    tidy
}
