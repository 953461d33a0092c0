//! What comes of a commit: revisions, executions, statuses, findings; settled in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Map;

use super::examine::{Examined, examine};
use super::failure::WorkError;
use super::matching::{RefName, asks_for_paths, git_triggers, is_for, lets_through, names_branches};
use super::{Notice, Repository, Shared, check_parameters};
use crate::diagnostic::{Code, Diagnostic};
use crate::git::{Changed, CommitInfo};
use crate::gitops::{CheckedApplication, summarize};
use crate::model::{
    ApplicationName, Cause, CauseKind, CommitSha, CommitStatus, ExecutionId, NewExecution, Pipeline, RevisionId,
};
use crate::store::{
    CommitFindings, ExecutionFilter, InboxEntry, InboxId, Publication, Published, Settled, Settlement, Source,
};

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

/// A definition that may be started, and its revision if it isn't published with this commit.
struct Definition {
    pipeline: Pipeline,
    revision: Option<RevisionId>,
}

/// What is published from a commit and what is withdrawn.
#[derive(Default)]
struct Catalogued {
    publish: Vec<Publication>,
    withdraw: Vec<ApplicationName>,
    findings: Vec<Diagnostic>,
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
    let mut examined = examine(shared, repository, branch, commit).await?;
    let in_force = shared.store.pipelines_of(repository.name()).await?;
    let catalogued = if tracked {
        catalogue(shared, repository, branch, commit, &mut examined, &in_force).await?
    } else {
        Catalogued::default()
    };
    examined.checked.findings.extend(catalogued.findings);
    let mut statuses = Vec::new();
    let validate = shared.options.reports.checked(repository.name(), commit, summarize(&examined.checked));
    if !occasion.is_silent() {
        statuses.push(validate.clone());
    }
    let mut executions = Vec::new();
    if let Occasion::Change(entry) = occasion {
        let definitions =
            definitions(&examined.checked.applications, &catalogued.publish, &catalogued.withdraw, in_force, tracked);
        let push = Push { repository, name: RefName::Branch(branch), commit, entry, info: &examined.info };
        (executions, statuses) = start(shared, push, definitions, statuses).await?;
    }
    let files = examined.checked.files > 0;
    let findings = CommitFindings {
        repository: repository.name().clone(),
        commit: commit.clone(),
        git_ref: format!("refs/heads/{branch}"),
        findings: examined.checked.findings,
        pipelines: count(
            examined.checked.applications.iter().filter(|app| app.valid).map(|app| app.pipelines.len()).sum(),
        ),
    };
    let shown = findings.findings.clone();
    let settled = shared
        .store
        .settle(Settlement {
            inbox: occasion.inbox(),
            repository: repository.name().clone(),
            git_ref: findings.git_ref.clone(),
            commit: Some(commit.clone()),
            publish: catalogued.publish,
            withdraw: catalogued.withdraw,
            executions,
            statuses,
            findings: Some(findings),
            has_files: tracked.then_some(files),
        })
        .await?;
    submit(shared, &settled).await;
    if tracked {
        let mut known = repository.known();
        known.has_files = Some(files);
        if !known.published.iter().any(|name| name == branch) {
            known.published.push(branch.to_owned());
        }
    }
    if !occasion.is_silent() {
        let notice = Notice {
            repository: repository.name().clone(),
            branch: branch.to_owned(),
            tracked,
            commit: commit.clone(),
            message: examined.info.message,
            author: examined.info.author,
            validate,
            findings: shown,
            modules: examined.checked.modules,
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
    let in_force = shared.store.pipelines_of(repository.name()).await?;
    let definitions: Vec<Definition> = in_force
        .into_iter()
        .filter(|published| git_triggers(&published.pipeline).any(|trigger| is_for(trigger, name)))
        .map(Definition::from)
        .collect();
    let (mut executions, mut statuses) = (Vec::new(), Vec::new());
    if !definitions.is_empty() {
        repository.ensure(commit).await?;
        let wanted = commit.clone();
        let info = repository.read(move |mirror| mirror.commit(&wanted)).await?;
        let push = Push { repository, name, commit, entry, info: &info };
        (executions, statuses) = start(shared, push, definitions, statuses).await?;
    }
    let settled = shared
        .store
        .settle(Settlement { executions, statuses, commit: Some(commit.clone()), ..nothing(repository, entry) })
        .await?;
    submit(shared, &settled).await;
    Ok(())
}

/// Ends an entry with nothing but a status, if there is one.
pub(super) async fn end(shared: &Shared, entry: &InboxEntry, status: Option<CommitStatus>) -> Result<(), WorkError> {
    let settlement = Settlement {
        inbox: Some(entry.id),
        repository: entry.repository.clone(),
        git_ref: entry.git_ref.clone(),
        commit: entry.new.clone(),
        publish: Vec::new(),
        withdraw: Vec::new(),
        executions: Vec::new(),
        statuses: status.into_iter().collect(),
        findings: None,
        has_files: None,
    };
    shared.store.settle(settlement).await?;
    Ok(())
}

fn nothing(repository: &Repository, entry: &InboxEntry) -> Settlement {
    Settlement {
        inbox: Some(entry.id),
        repository: repository.name().clone(),
        git_ref: entry.git_ref.clone(),
        commit: None,
        publish: Vec::new(),
        withdraw: Vec::new(),
        executions: Vec::new(),
        statuses: Vec::new(),
        findings: None,
        has_files: None,
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
    examined: &mut Examined,
    in_force: &[Published],
) -> Result<Catalogued, WorkError> {
    let mut catalogued = Catalogued::default();
    let owners = shared.store.applications().await?;
    let blocked: HashSet<&str> = examined.checked.blocked_files.iter().map(String::as_str).collect();
    for application in &mut examined.checked.applications {
        let owner =
            owners.iter().find(|owner| owner.name == application.name && owner.repository != *repository.name());
        if let Some(owner) = owner {
            if shared.repositories.get(&owner.repository).is_some() {
                catalogued.findings.push(foreign(application, &owner.repository));
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
    if blocked.is_empty() {
        let ours = owners.iter().filter(|owner| owner.repository == *repository.name() && owner.branch == branch);
        let defined = |name: &ApplicationName| examined.checked.applications.iter().any(|app| app.name == *name);
        catalogued.withdraw = ours.filter(|owner| !defined(&owner.name)).map(|owner| owner.name.clone()).collect();
    }
    Ok(catalogued)
}

fn foreign(application: &CheckedApplication, owner: &crate::model::RepositoryName) -> Diagnostic {
    let message = format!("the application `{}` belongs to the repository {owner}", application.name);
    let hint = "choose another name, or remove the application there first";
    let place = crate::diagnostic::Place::point(&application.file, 1, 1);
    Diagnostic::error(Code::ForeignApplication, message).at(place).hint(hint)
}

/// Takes an application from a repository that is not followed any more (it was renamed, say).
async fn give_up(
    shared: &Shared,
    owner: &crate::model::RepositoryName,
    application: &ApplicationName,
) -> Result<(), WorkError> {
    let settlement = Settlement {
        inbox: None,
        repository: owner.clone(),
        git_ref: String::new(),
        commit: None,
        publish: Vec::new(),
        withdraw: vec![application.clone()],
        executions: Vec::new(),
        statuses: Vec::new(),
        findings: None,
        has_files: None,
    };
    shared.store.settle(settlement).await?;
    Ok(())
}

/// The definitions that a push to a branch can start: those that it publishes, and those in force of
/// applications that its files don't speak of. On a branch that isn't tracked, all in force. What has errors in
/// this commit starts nothing for it.
fn definitions(
    applications: &[CheckedApplication],
    publish: &[Publication],
    withdraw: &[ApplicationName],
    in_force: Vec<Published>,
    tracked: bool,
) -> Vec<Definition> {
    let fresh = publish.iter().flat_map(|publication| &publication.pipelines);
    let mut definitions: Vec<Definition> =
        fresh.map(|pipeline| Definition { pipeline: pipeline.clone(), revision: None }).collect();
    let spoken_of =
        |name: &ApplicationName| applications.iter().any(|app| app.name == *name) || withdraw.contains(name);
    let others = in_force.into_iter().filter(|published| !tracked || !spoken_of(&published.pipeline.application));
    definitions.extend(others.map(Definition::from));
    definitions
}

impl From<Published> for Definition {
    fn from(published: Published) -> Self {
        Self { revision: Some(published.revision), pipeline: published.pipeline }
    }
}

/// A branch or tag that moved to a commit.
#[derive(Clone, Copy)]
struct Push<'a> {
    repository: &'a Arc<Repository>,
    name: RefName<'a>,
    commit: &'a CommitSha,
    entry: &'a InboxEntry,
    info: &'a CommitInfo,
}

/// Makes an execution of each definition that has a trigger for the push, or a status that says why it can't.
async fn start(
    shared: &Shared,
    push: Push<'_>,
    definitions: Vec<Definition>,
    mut statuses: Vec<CommitStatus>,
) -> Result<(Vec<NewExecution>, Vec<CommitStatus>), WorkError> {
    let mut executions = Vec::new();
    let mut changed = None;
    for definition in definitions {
        if !starts(shared, push, &definition.pipeline, &mut changed).await? {
            continue;
        }
        let pipeline = (&definition.pipeline.application, &definition.pipeline.name);
        let reports = &shared.options.reports;
        match check_parameters(&definition.pipeline, Map::new()) {
            Ok(parameters) => executions.push(NewExecution {
                id: ExecutionId::generate(),
                report: Some(reports.pipeline(push.repository.name(), push.commit, pipeline.0, pipeline.1)),
                revision: definition.revision,
                parameters,
                trigger: cause(push),
                repository: Some(push.repository.name().clone()),
                commit: Some(push.commit.clone()),
                correlation_id: None,
                created_at: shared.clock.now(),
                pipeline: definition.pipeline,
            }),
            Err(problems) => {
                let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let why = why.join("; ").replace('`', "");
                statuses.push(reports.not_started(push.repository.name(), push.commit, pipeline, &why));
            }
        }
    }
    Ok((executions, statuses))
}

/// Whether one of the pipeline's triggers is for the push.
async fn starts(
    shared: &Shared,
    push: Push<'_>,
    pipeline: &Pipeline,
    changed: &mut Option<Changed>,
) -> Result<bool, WorkError> {
    for trigger in git_triggers(pipeline).filter(|trigger| is_for(trigger, push.name)) {
        if asks_for_paths(trigger, push.name) {
            let changed = match changed {
                Some(changed) => changed,
                None => changed.insert(changed_paths(push).await?),
            };
            if !lets_through(trigger, changed) {
                continue;
            }
        }
        // A new branch at a commit that has run is no news to who takes every branch.
        let any_branch = matches!(push.name, RefName::Branch(_)) && !names_branches(trigger);
        if any_branch && push.entry.old.is_none() && has_run(shared, push, pipeline).await? {
            continue;
        }
        return Ok(true);
    }
    Ok(false)
}

async fn changed_paths(push: Push<'_>) -> Result<Changed, WorkError> {
    let (old, new) = (push.entry.old.clone(), push.commit.clone());
    Ok(push.repository.read(move |mirror| mirror.changed_paths(old.as_ref(), &new)).await?)
}

async fn has_run(shared: &Shared, push: Push<'_>, pipeline: &Pipeline) -> Result<bool, WorkError> {
    let filter = ExecutionFilter {
        application: Some(pipeline.application.clone()),
        pipeline: Some(pipeline.name.clone()),
        commit: Some(push.commit.clone()),
        repository: Some(push.repository.name().clone()),
        limit: 1,
        ..ExecutionFilter::default()
    };
    Ok(!shared.store.executions(filter).await?.items.is_empty())
}

fn cause(push: Push<'_>) -> Cause {
    let (branch, tag) = match push.name {
        RefName::Branch(name) => (Some(name.to_owned()), None),
        RefName::Tag(name) => (None, Some(name.to_owned())),
    };
    let looked = matches!(push.entry.source, Source::Poll | Source::Watch | Source::Start);
    Cause {
        kind: CauseKind::Git,
        repository: Some(push.repository.name().clone()),
        branch,
        tag,
        commit: Some(push.commit.clone()),
        previous: push.entry.old.clone(),
        event: push.entry.event.clone().or_else(|| looked.then(|| "push".to_owned())),
        actor: push.entry.actor.clone(),
        author: Some(push.info.author.clone()),
        message: Some(push.info.message.clone()),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
