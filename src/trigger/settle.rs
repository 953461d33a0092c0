//! What comes of a commit: revisions, executions, statuses, findings; settled in one transaction.

use std::sync::Arc;

use super::catalogue::Catalogued;
use super::examine::{Examined, examine};
use super::failure::WorkError;
use super::modules::{uses, waits};
use super::pulls::worse_of_pull_requests;
use super::removal::Removed;
use super::start::{self, Push};
use super::{Notice, Repository, Shared, anew, catalogue, owners};
use crate::diagnostic::{Code, Diagnostic};
use crate::git::CommitInfo;
use crate::gitops::matching::RefName;
use crate::gitops::{Checked, moved, summarize, summarize_moves};
use crate::model::{ApplicationName, CommitSha, CommitStatus, Message, PinMove, RepositoryName, StatusState};
use crate::store::{
    CommitFindings, InboxEntry, InboxId, Published, RemovalVerdict, Settled, Settlement, StoreError, StoredPullRequest,
};

/// How often a commit is looked at once more because another repository was faster.
const MAX_RACES: u32 = 5;

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
    /// Something of a module repository moved that it depends on: published and reported, nothing started. Further
    /// entries that say so are done with the first.
    Modules(&'a InboxEntry, &'a [InboxId]),
    /// Somebody approved what no push brought: published and reported, nothing started.
    Approved(&'a InboxEntry),
}

impl Occasion<'_> {
    fn inbox(&self) -> Option<InboxId> {
        match self {
            Self::Change(entry) | Self::Modules(entry, _) | Self::Approved(entry) => Some(entry.id),
            Self::FirstSight | Self::Again => None,
        }
    }

    fn also(&self) -> Vec<InboxId> {
        match self {
            Self::Modules(_, also) => also.to_vec(),
            Self::Change(_) | Self::FirstSight | Self::Again | Self::Approved(_) => Vec::new(),
        }
    }

    fn is_silent(&self) -> bool {
        matches!(self, Self::Again)
    }
}

/// Works off a branch at a commit. If another repository publishes one of its applications a moment before, it is looked
/// at once more, as what it is by then: refused.
pub(super) async fn branch(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    branch: &str,
    commit: &CommitSha,
    occasion: Occasion<'_>,
) -> Result<(), WorkError> {
    let mut races = 0;
    loop {
        match branch_once(shared, repository, branch, commit, occasion).await {
            Err(WorkError::Store(error @ StoreError::Owned { .. })) if races < MAX_RACES => {
                races += 1;
                tracing::info!(repository = %repository.name(), branch, %commit, %error, "another repository was faster");
            }
            settled => return settled,
        }
    }
}

async fn branch_once(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    branch: &str,
    commit: &CommitSha,
    occasion: Occasion<'_>,
) -> Result<(), WorkError> {
    shared.modules.touch(repository.name());
    repository.ensure(commit).await?;
    let tracked = repository.tracked_now().await?.iter().any(|name| name == branch);
    let Examined { info, mut checked, version } = examine(shared, repository, branch, tracked, commit).await?;
    if let Some(rules) = &shared.options.secrets {
        checked.judge_secrets(rules, repository.name(), tracked.then_some(branch));
    }
    let in_force = shared.store.pipelines_of(repository.name()).await?;
    let (catalogued, removed) = if tracked {
        catalogue::decide(shared, repository, branch, commit, &mut checked, &in_force).await?
    } else {
        (Catalogued::default(), None)
    };
    let moves = if tracked {
        tell_moves(shared, repository, branch, commit, &info, &mut checked, &in_force).await?
    } else {
        Vec::new()
    };
    let anew = anew::different(commit, &catalogued, &in_force);
    if !anew.is_empty() {
        let (name, pipelines) = (repository.name(), anew.len());
        tracing::info!(repository = %name, branch, %commit, pipelines, "rendered anew after a change of the configuration, and otherwise");
        checked.findings.extend(anew::findings(&anew, commit, &checked));
        sort(&mut checked.findings);
    }
    let news = [summarize_moves(&moves), anew::summarize(&anew)];
    let mut validate = validate_status(shared, repository, commit, &checked, removed.as_ref(), news);
    // The head of an open pull request is spoken of by its review, which was rendered as what it would become.
    let left_to_review = !tracked && shared.store.has_pull_request_at(repository.name(), commit).await?;
    if tracked
        && validate.state == StatusState::Success
        && let Some(worse) = worse_of_pull_requests(shared, repository, commit).await?
    {
        validate = worse;
    }
    // Whoever was told that a module repository is missing is told that it is there, and whoever was refused what
    // others had that they have it; and what moved while nobody looked, or comes out otherwise, is news as well.
    let quiet = occasion.is_silent()
        && moves.is_empty()
        && anew.is_empty()
        && !is_news(shared, repository, commit, &checked, &validate).await?;
    let silent = quiet || left_to_review;
    let mut statuses = if silent { Vec::new() } else { vec![validate.clone()] };
    let mut executions = Vec::new();
    let refused = removed.as_ref().is_some_and(Removed::is_refused);
    if let Occasion::Change(entry) = occasion
        && !refused
    {
        let Catalogued { publish, withdraw, .. } = &catalogued;
        let definitions = start::of_branch(&checked.applications, publish, withdraw, in_force, tracked);
        let push = Push { repository, name: RefName::Branch(branch), commit, entry, info: &info };
        executions = start::executions(shared, push, definitions, &mut statuses).await?;
    }
    let publishes = !(catalogued.publish.is_empty() && catalogued.withdraw.is_empty());
    let (refused, given_up) = (catalogued.refused, catalogued.withdraw.clone());
    let settlement = Settlement {
        git_ref: format!("refs/heads/{branch}"),
        commit: Some(commit.clone()),
        publish: catalogued.publish,
        withdraw: catalogued.withdraw,
        removal: removed.map(RemovalVerdict::from),
        executions,
        messages: statuses.into_iter().map(Message::from).collect(),
        findings: (!left_to_review).then(|| findings(repository, branch, commit, &checked)),
        has_files: tracked.then_some(checked.files > 0),
        uses: tracked.then(|| uses(&checked)),
        also: occasion.also(),
        ..empty(repository.name(), occasion.inbox())
    };
    if tracked {
        // Before the settlement shows: who has seen it may count on what the next push says.
        repository.note_files(checked.files > 0);
    }
    let settled = shared.store.settle(settlement).await?;
    submit(shared, &settled).await;
    if publishes {
        shared.catalog_changed.send_modify(|count| *count += 1);
    }
    if tracked {
        repository.note_published(branch);
        owners::note_refused(shared, repository, branch, &refused).await?;
        owners::offer(shared, &given_up).await?;
        // Whoever looked for dependents meanwhile has not seen these uses yet.
        shared.modules.tell_since(version, &checked.pins);
    }
    if !quiet {
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
    shared.modules.touch(repository.name());
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
    shared.modules.touch(&entry.repository);
    let settlement = Settlement {
        git_ref: entry.git_ref.clone(),
        commit: entry.new.clone(),
        messages: status.into_iter().map(Message::from).collect(),
        ..empty(&entry.repository, Some(entry.id))
    };
    shared.store.settle(settlement).await?;
    Ok(())
}

/// Whether a look that nobody asked for has something to tell: the last that was found in the commit is that it lacked
/// something of a module repository, or defined what it may define by now; or the commit was never told of: whoever saw
/// it first did not get that far.
async fn is_news(
    shared: &Shared,
    repository: &Repository,
    commit: &CommitSha,
    checked: &Checked,
    validate: &CommitStatus,
) -> Result<bool, WorkError> {
    let Some(found) = shared.store.findings(repository.name(), commit).await? else {
        return Ok(!shared.store.was_said_last(&validate.clone().into()).await?);
    };
    let is_refused = |findings: &[Diagnostic]| findings.iter().any(|one| one.code == Code::ForeignApplication);
    let permitted = is_refused(&found.findings) && !is_refused(&checked.findings);
    Ok(permitted || found.findings.iter().any(waits))
}

/// Adds findings about references to module repositories that mean another commit than when the pull request of this
/// commit was reviewed, or when its applications were published last. Yields those moves.
async fn tell_moves(
    shared: &Shared,
    repository: &Repository,
    branch: &str,
    commit: &CommitSha,
    info: &CommitInfo,
    checked: &mut Checked,
    in_force: &[Published],
) -> Result<Vec<PinMove>, WorkError> {
    let (mut told, mut findings) = (Vec::new(), Vec::new());
    if checked.pins.is_empty() {
        return Ok(told);
    }
    if let Some(StoredPullRequest { pull_request, review: Some(review), .. }) =
        reviewed(shared, repository, commit, info).await?
    {
        let when = format!("when #{} was reviewed", pull_request.number);
        findings.extend(moved(checked, &review.pins, &when, &mut told));
    }
    let mut seen: Vec<&ApplicationName> = Vec::new();
    for published in in_force.iter().filter(|published| published.branch == branch) {
        let application = &published.pipeline.application;
        let is_here = checked.applications.iter().any(|here| here.name == *application);
        if is_here && !seen.contains(&application) {
            seen.push(application);
            let when = format!("when `{application}` was published last, from {}", published.commit.short());
            findings.extend(moved(checked, &published.pins, &when, &mut told));
        }
    }
    checked.findings.extend(findings);
    sort(&mut checked.findings);
    Ok(told)
}

/// The pull request that a commit merges. Its forge may not have told of the merge yet; then its head is a parent.
async fn reviewed(
    shared: &Shared,
    repository: &Repository,
    commit: &CommitSha,
    info: &CommitInfo,
) -> Result<Option<StoredPullRequest>, WorkError> {
    if let Some(merged) = shared.store.pull_request_by_merge(repository.name(), commit).await? {
        return Ok(Some(merged));
    }
    // A commit that is the head itself was put on the branch without a merge commit.
    for head in info.parents.iter().skip(1).chain([commit]) {
        let open = shared.store.open_pull_requests_at(repository.name(), head).await?;
        if let Some(one) = open.into_iter().find(|one| one.review.is_some()) {
            return Ok(Some(one));
        }
    }
    Ok(None)
}

/// Sorted by place; stable, so that one place's findings stay in their order.
fn sort(findings: &mut [Diagnostic]) {
    let place =
        |finding: &Diagnostic| finding.place.as_ref().map(|place| (place.file.clone(), place.line, place.column));
    findings.sort_by_cached_key(place);
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
        removal: None,
        executions: Vec::new(),
        messages: Vec::new(),
        pull_request: None,
        findings: None,
        has_files: None,
        uses: None,
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

/// What is said about the files of a commit.
fn validate_status(
    shared: &Shared,
    repository: &Repository,
    commit: &CommitSha,
    checked: &Checked,
    removed: Option<&Removed>,
    news: [Option<String>; 2],
) -> CommitStatus {
    let reports = &shared.options.reports;
    let errors = checked.findings.iter().filter(|finding| finding.is_error()).count();
    let summary = || {
        let (state, mut text) = summarize(checked);
        for news in news.iter().flatten().filter(|_| state == StatusState::Success) {
            text = format!("{text}; {news}");
        }
        (state, text)
    };
    match removed {
        // Together with other errors it is one of them.
        Some(Removed::Refused(removal)) if errors == 1 => reports.large_removal(repository.name(), commit, removal),
        Some(Removed::Approved { removal, by }) => {
            let (state, text) = summary();
            let text = format!("{text}, removal of {} approved by {by}", removal.pipelines.len());
            reports.checked(repository.name(), commit, (state, text))
        }
        _ => reports.checked(repository.name(), commit, summary()),
    }
}
