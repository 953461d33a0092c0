//! What comes of a commit: revisions, executions, statuses, findings; settled in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use super::examine::{Examined, examine};
use super::failure::WorkError;
use super::pulls::worse_of_pull_requests;
use super::start::{self, Push};
use super::{Notice, Repository, Shared};
use crate::diagnostic::Diagnostic;
use crate::gitops::matching::RefName;
use crate::gitops::{Checked, foreign, summarize};
use crate::model::{ApplicationName, CommitSha, CommitStatus, Message, RepositoryName, StatusState};
use crate::store::{CommitFindings, InboxEntry, InboxId, Publication, Published, Settled, Settlement};

/// Why a commit is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion<'a> {
    /// A branch or tag moved.
    Change(&'a InboxEntry),
    /// The repository is seen for the first time: published and reported, nothing started.
    FirstSight,
    /// Longboat started, or the branch became a tracked one: published again, so that what changed in the
    /// configuration or in Longboat itself takes effect.
    Again,
}

impl Occasion<'_> {
    fn entry(&self) -> Option<&InboxEntry> {
        match self {
            Self::Change(entry) => Some(entry),
            Self::FirstSight | Self::Again => None,
        }
    }

    fn inbox(&self) -> Option<InboxId> {
        self.entry().map(|entry| entry.id)
    }

    fn is_silent(&self) -> bool {
        matches!(self, Self::Again)
    }
}

/// What is published from a commit and what is withdrawn.
#[derive(Default)]
struct Catalogued {
    publish: Vec<Publication>,
    withdraw: Vec<ApplicationName>,
}

/// Works off a branch at a commit.
pub(super) async fn branch(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    branch: &str,
    commit: &CommitSha,
    occasion: Occasion<'_>,
) -> Result<(), WorkError> {
    repository.ensure(commit).await?;
    let tracked = repository.tracked_now().await?.iter().any(|name| name == branch);
    let Examined { info, mut checked } = examine(shared, repository, branch, commit).await?;
    if let Some(rules) = &shared.options.secrets {
        checked.judge_secrets(rules, repository.name(), tracked.then_some(branch));
    }
    let in_force = shared.store.pipelines_of(repository.name()).await?;
    let catalogued = if tracked {
        catalogue(shared, repository, branch, commit, &mut checked, &in_force).await?
    } else {
        Catalogued::default()
    };
    let mut validate = shared.options.reports.checked(repository.name(), commit, summarize(&checked));
    // The head of an open pull request is spoken of by its review, which was rendered as what it would become.
    let left_to_review = !tracked && shared.store.has_pull_request_at(repository.name(), commit).await?;
    if tracked
        && validate.state == StatusState::Success
        && let Some(worse) = worse_of_pull_requests(shared, repository, commit).await?
    {
        validate = worse;
    }
    let silent = occasion.is_silent() || left_to_review;
    let mut statuses = if silent { Vec::new() } else { vec![validate.clone()] };
    let mut executions = Vec::new();
    if let Occasion::Change(entry) = occasion {
        let Catalogued { publish, withdraw } = &catalogued;
        let definitions = start::of_branch(&checked.applications, publish, withdraw, in_force, tracked);
        let push = Push { repository, name: RefName::Branch(branch), commit, entry, info: &info };
        executions = start::executions(shared, push, definitions, &mut statuses).await?;
    }
    let settlement = Settlement {
        git_ref: format!("refs/heads/{branch}"),
        commit: Some(commit.clone()),
        publish: catalogued.publish,
        withdraw: catalogued.withdraw,
        executions,
        messages: statuses.into_iter().map(Message::from).collect(),
        findings: (!left_to_review).then(|| findings(repository, branch, commit, &checked)),
        has_files: tracked.then_some(checked.files > 0),
        ..empty(repository.name(), occasion.inbox())
    };
    let settled = shared.store.settle(settlement).await?;
    submit(shared, &settled).await;
    if tracked {
        repository.note_published(branch, checked.files > 0);
    }
    if !occasion.is_silent() {
        let modules = checked.module_names();
        let notice = Notice {
            repository: repository.name().clone(),
            branch: branch.to_owned(),
            tracked,
            commit: commit.clone(),
            message: info.message,
            author: info.author,
            validate,
            findings: checked.findings,
            modules,
            executions: settled.executions,
        };
        let _nobody_listens = shared.notices.send(notice);
    }
    Ok(())
}

/// Works off a tag: its files are those of a branch's commit, so that only triggers count.
pub(super) async fn tag(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    tag: &str,
    commit: &CommitSha,
    entry: &InboxEntry,
) -> Result<(), WorkError> {
    let name = RefName::Tag(tag);
    let definitions = start::of_tag(name, shared.store.pipelines_of(repository.name()).await?);
    let (mut executions, mut statuses) = (Vec::new(), Vec::new());
    if !definitions.is_empty() {
        repository.ensure(commit).await?;
        let wanted = commit.clone();
        let info = repository.read(move |mirror| mirror.commit(&wanted)).await?;
        let push = Push { repository, name, commit, entry, info: &info };
        executions = start::executions(shared, push, definitions, &mut statuses).await?;
    }
    let (git_ref, commit) = (entry.git_ref.clone(), Some(commit.clone()));
    let messages = statuses.into_iter().map(Message::from).collect();
    let settlement = Settlement { git_ref, commit, executions, messages, ..empty(repository.name(), Some(entry.id)) };
    let settled = shared.store.settle(settlement).await?;
    submit(shared, &settled).await;
    Ok(())
}

/// Ends an entry with nothing but a status, if there is one.
pub(super) async fn end(shared: &Shared, entry: &InboxEntry, status: Option<CommitStatus>) -> Result<(), WorkError> {
    let settlement = Settlement {
        git_ref: entry.git_ref.clone(),
        commit: entry.new.clone(),
        messages: status.into_iter().map(Message::from).collect(),
        ..empty(&entry.repository, Some(entry.id))
    };
    shared.store.settle(settlement).await?;
    Ok(())
}

/// A settlement of which nothing comes.
pub(super) fn empty(repository: &RepositoryName, inbox: Option<InboxId>) -> Settlement {
    Settlement {
        inbox,
        also: Vec::new(),
        repository: repository.clone(),
        git_ref: String::new(),
        commit: None,
        publish: Vec::new(),
        withdraw: Vec::new(),
        executions: Vec::new(),
        messages: Vec::new(),
        pull_request: None,
        findings: None,
        has_files: None,
    }
}

fn findings(repository: &Repository, branch: &str, commit: &CommitSha, checked: &Checked) -> CommitFindings {
    let valid = checked.applications.iter().filter(|application| application.valid);
    let pipelines = valid.map(|application| application.pipelines.len()).sum::<usize>();
    CommitFindings {
        repository: repository.name().clone(),
        commit: commit.clone(),
        git_ref: format!("refs/heads/{branch}"),
        findings: checked.findings.clone(),
        pipelines: u32::try_from(pipelines).unwrap_or(u32::MAX),
    }
}

async fn submit(shared: &Shared, settled: &Settled) {
    for key in &settled.executions {
        (shared.submit)(*key).await;
    }
}

/// Decides what a tracked branch publishes. An application with errors keeps its last good revision; one whose
/// file is gone is withdrawn, unless some file can't be told whose it is: then nothing is withdrawn, and what
/// that file defined stays.
async fn catalogue(
    shared: &Shared,
    repository: &Repository,
    branch: &str,
    commit: &CommitSha,
    checked: &mut Checked,
    in_force: &[Published],
) -> Result<Catalogued, WorkError> {
    let mut catalogued = Catalogued::default();
    let owners = shared.store.applications().await?;
    let blocked: HashSet<&str> = checked.blocked_files.iter().map(String::as_str).collect();
    for application in &mut checked.applications {
        let owner =
            owners.iter().find(|owner| owner.name == application.name && owner.repository != *repository.name());
        if let Some(owner) = owner {
            if shared.repositories.get(&owner.repository).is_some() {
                checked.findings.push(foreign(&application.name, &application.file, &owner.repository));
                application.valid = false;
                continue;
            }
            give_up(shared, &owner.repository, &application.name).await?;
        }
        let reaches_in = |published: &Published| {
            published.pipeline.application == application.name
                && blocked.contains(published.pipeline.source.file.as_str())
        };
        if application.valid && !in_force.iter().any(reaches_in) {
            catalogued.publish.push(Publication {
                application: application.name.clone(),
                file_owner: repository.name().clone(),
                pipelines: application.pipelines.clone(),
                branch: branch.to_owned(),
                commit: commit.clone(),
            });
        }
    }
    // Sorted as before, with what was added: stable, so that one place's findings stay in their order.
    let place =
        |finding: &Diagnostic| finding.place.as_ref().map(|place| (place.file.clone(), place.line, place.column));
    checked.findings.sort_by_cached_key(place);
    if blocked.is_empty() {
        let ours = owners.iter().filter(|owner| owner.repository == *repository.name() && owner.branch == branch);
        let defined = |name: &ApplicationName| checked.applications.iter().any(|app| app.name == *name);
        catalogued.withdraw = ours.filter(|owner| !defined(&owner.name)).map(|owner| owner.name.clone()).collect();
    }
    Ok(catalogued)
}

/// Takes an application from a repository that is not followed any more (it was renamed, say).
async fn give_up(shared: &Shared, owner: &RepositoryName, application: &ApplicationName) -> Result<(), WorkError> {
    let settlement = Settlement { withdraw: vec![application.clone()], ..empty(owner, None) };
    shared.store.settle(settlement).await?;
    Ok(())
}
