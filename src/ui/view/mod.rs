//! What the pages show, ready for the templates: plain data, every text final, every decision made.

mod execution;
mod findings;
mod freeze;
mod lists;
mod modules;
mod plan;
mod pulls;
mod replicas;
mod status;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{CommitSha, PullRequest, RepositoryName, shorten};

pub(super) use execution::{ExecutionPage, LogTail};
pub(super) use findings::finding_rows;
pub(super) use freeze::FreezeNote;
pub(super) use lists::{ApplicationCard, FilterForm, RepositoryCard, execution_rows};
pub(super) use pulls::{PullPage, pull_rows, state_choices};
pub(super) use replicas::ReplicaRow;
pub(super) use status::{Pill, status_choices};

/// The longest text of a value that a page shows; the API has the whole.
const MAX_VALUE: usize = 4000;

/// A moment: for machines, and for people without scripts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Moment {
    iso: String,
    text: String,
}

impl Moment {
    pub(super) fn new(time: Timestamp) -> Self {
        let iso = time.to_rfc3339();
        let text = format!("{} UTC", iso.get(..19).unwrap_or(&iso).replace('T', " "));
        Self { iso, text }
    }
}

/// A commit, with the page of its forge if there is one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CommitLink {
    short: String,
    full: String,
    url: Option<String>,
}

/// A page, and what it shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct PageLink {
    url: String,
    name: String,
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Named {
    name: String,
    text: String,
    /// Whether it has several lines.
    block: bool,
}

/// Where the forges have pages about what is shown. Addresses come from the configuration alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'a>(pub(super) &'a Config);

impl Links<'_> {
    /// The repository's page on its forge.
    pub(super) fn repository(&self, name: &RepositoryName) -> Option<String> {
        Some(self.0.pages(name)?.repository().to_owned())
    }

    pub(super) fn commit(&self, repository: Option<&RepositoryName>, commit: &CommitSha) -> CommitLink {
        let pages = repository.and_then(|name| self.0.pages(name));
        CommitLink {
            short: commit.short().to_owned(),
            full: commit.to_string(),
            url: pages.map(|pages| pages.commit(commit)),
        }
    }

    /// A file's line on the forge, for files of the repository itself.
    pub(super) fn line(
        &self,
        repository: Option<&RepositoryName>,
        commit: Option<&CommitSha>,
        file: &str,
        line: u32,
    ) -> Option<String> {
        if !file.starts_with(".longboat/") || file.contains("..") {
            return None;
        }
        Some(self.0.pages(repository?)?.line(commit?, file, line))
    }

    /// The pull request's page on its forge.
    pub(super) fn pull_request(&self, this: &PullRequest) -> Option<String> {
        Some(self.0.pages(&this.repository)?.pull_request(this.number))
    }
}

fn named(map: &Map<String, Value>) -> Vec<Named> {
    map.iter().map(|(name, value)| Named::new(name, value)).collect()
}

impl Named {
    fn new(name: &str, value: &Value) -> Self {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = shorten(text.trim_end(), MAX_VALUE);
        Self { name: name.to_owned(), block: text.contains('\n'), text }
    }
}

#[cfg(test)]
pub(super) mod samples;
