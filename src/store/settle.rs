//! Settling an inbox entry: everything that came out of a commit, in one transaction.

use std::collections::HashMap;

use super::ahead::Ahead;
use super::catalog::{CommitFindings, Publication};
use super::execution::{self, Birth, Created};
use super::repository::{self, SettledNote};
use super::rows::document;
use super::writer::Tx;
use super::{
    FileDependency, InboxId, RemovalVerdict, Store, StoreError, graph, notice, outbox, publish, pull_request, removal,
};
use crate::model::{
    ApplicationName, CommitSha, ExecutionKey, Message, NewExecution, PipelineName, PullRequest, RepositoryName, Review,
    RevisionId,
};

/// The whole result of working off one inbox entry.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The entry that is done with this; `None`: there was none (a start by hand).
    pub inbox: Option<InboxId>,
    /// Further entries that are done with it: about the same pull request, and known when its state was read.
    pub also: Vec<InboxId>,
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// The commit that was worked off; `None`: the ref is gone.
    pub commit: Option<CommitSha>,
    /// Applications whose pipelines are replaced, each as a whole.
    pub publish: Vec<Publication>,
    /// Applications of this repository whose file is gone.
    pub withdraw: Vec<ApplicationName>,
    /// What was decided about the pipelines that the commit takes away, if that was looked at.
    pub removal: Option<RemovalVerdict>,
    /// What is to run. Where a pipeline is published here, its revision is filled in.
    pub executions: Vec<NewExecution>,
    /// What is to be said about commits and pull requests.
    pub messages: Vec<Message>,
    /// A pull request as it stands, and what was found in its head; without that, what was found before stays.
    pub pull_request: Option<(PullRequest, Option<Review>)>,
    /// What was found in the commit.
    pub findings: Option<CommitFindings>,
    /// Whether the repository's tree holds pipeline files, if that was looked at.
    pub has_files: Option<bool>,
    /// All that the files of a tracked branch use; none: what is known of that stays.
    pub uses: Option<Vec<FileDependency>>,
}

/// What [`super::Store::settle`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// The new executions, in the settlement's order; those that existed already are left out.
    pub executions: Vec<ExecutionKey>,
    /// The entry had been settled before, so nothing was done.
    pub repeated: bool,
}

impl Store {
    /// Writes all that came out of an inbox entry, and the entry's end, in one transaction.
    ///
    /// # Errors
    /// If it can't be written, a document is above 16 MiB, or an application that is to be published belongs to another
    /// repository ([`StoreError::Owned`]); then nothing of it holds.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        let encoded = Encoded::new(settlement, &self.inner.ahead)?;
        self.write(move |tx| Box::pin(async move { settle(tx, &encoded).await })).await
    }
}

/// A settlement whose documents are written out, so that the one writer doesn't have to.
struct Encoded {
    inbox: Option<InboxId>,
    also: Vec<InboxId>,
    repository: RepositoryName,
    git_ref: String,
    commit: Option<CommitSha>,
    publish: Vec<publish::Encoded>,
    withdraw: Vec<ApplicationName>,
    removal: Option<removal::Encoded>,
    births: Vec<Birth>,
    reports: Vec<outbox::NewEntry>,
    pull_request: Option<pull_request::Encoded>,
    findings: Option<(CommitFindings, String)>,
    has_files: Option<bool>,
    uses: Option<Vec<FileDependency>>,
}

impl Encoded {
    fn new(settlement: Settlement, ahead: &Ahead) -> Result<Self, StoreError> {
        let findings = settlement.findings.map(|found| {
            let text = document(|| format!("the findings of commit {}", found.commit), &found.findings)?;
            Ok::<_, StoreError>((found, text))
        });
        let pull_request = settlement
            .pull_request
            .map(|(pull_request, review)| pull_request::Encoded::new(pull_request, review.as_ref()));
        Ok(Self {
            inbox: settlement.inbox,
            also: settlement.also,
            repository: settlement.repository,
            git_ref: settlement.git_ref,
            commit: settlement.commit,
            publish: settlement.publish.into_iter().map(publish::Encoded::new).collect::<Result<_, _>>()?,
            withdraw: settlement.withdraw,
            removal: settlement.removal.map(removal::Encoded::new).transpose()?,
            births: settlement
                .executions
                .into_iter()
                .map(|new| Birth::knowing(new, ahead))
                .collect::<Result<_, _>>()?,
            reports: settlement
                .messages
                .iter()
                .map(|message| outbox::NewEntry::new(None, message))
                .collect::<Result<_, _>>()?,
            pull_request: pull_request.transpose()?,
            findings: findings.transpose()?,
            has_files: settlement.has_files,
            uses: settlement.uses,
        })
    }
}

async fn settle(tx: &mut Tx, what: &Encoded) -> Result<Settled, StoreError> {
    if let Some(id) = what.inbox
        && !end_entry(tx, id).await?
    {
        return Ok(Settled { repeated: true, ..Settled::default() });
    }
    notice::end_entries(tx, &what.also).await?;
    for application in &what.withdraw {
        publish::withdraw(tx, application, &what.repository).await?;
    }
    let (mut revisions, mut owned) = (HashMap::new(), Vec::new());
    for publication in &what.publish {
        if !publish::publish(tx, publication, &mut revisions).await? {
            owned.push(publication.application().clone());
        }
    }
    if !owned.is_empty() {
        return Err(StoreError::Owned { applications: owned });
    }
    let settled = Settled { executions: start(tx, &what.births, &revisions).await?, repeated: false };
    if let (Some(verdict), Some(commit)) = (&what.removal, &what.commit) {
        removal::keep(tx, (&what.repository, &what.git_ref, Some(commit)), what.inbox, verdict).await?;
    }
    let said = match what.pull_request {
        // Somebody may have asked for this review, and looks for an answer.
        Some(_) => what.reports.iter().collect(),
        None => outbox::news(tx, &what.reports).await?,
    };
    outbox::insert(tx, &said).await?;
    if let Some((findings, text)) = &what.findings {
        keep_findings(tx, findings, text).await?;
    }
    if let Some(this) = &what.pull_request {
        pull_request::keep(tx, this).await?;
        notice::confirm(tx, &this.pull_request).await?;
        // A repository's own state is about its branches.
        return Ok(settled);
    }
    if let (Some(uses), Some(branch)) = (&what.uses, what.git_ref.strip_prefix("refs/heads/")) {
        graph::keep(tx, &what.repository, branch, uses).await?;
    }
    let note = SettledNote {
        repository: &what.repository,
        git_ref: &what.git_ref,
        commit: what.commit.as_ref(),
        has_files: what.has_files,
    };
    repository::note_settled(tx, note).await?;
    Ok(settled)
}

/// Ends an inbox entry; `false` if it had ended.
async fn end_entry(tx: &mut Tx, id: InboxId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE inbox SET state = 'done', settled_at = $1 WHERE id = $2 AND state = 'pending'")
        .bind(tx.now.as_millis())
        .bind(id.0)
        .execute(&mut tx.connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn start(
    tx: &mut Tx,
    births: &[Birth],
    revisions: &HashMap<(ApplicationName, PipelineName), RevisionId>,
) -> Result<Vec<ExecutionKey>, StoreError> {
    let mut keys = Vec::new();
    for birth in births {
        let pipeline = &birth.new.pipeline;
        let revision = revisions.get(&(pipeline.application.clone(), pipeline.name.clone())).copied();
        if let Created::New(key) = execution::create(tx, birth, revision).await? {
            keys.push(key);
        }
    }
    Ok(keys)
}

async fn keep_findings(tx: &mut Tx, found: &CommitFindings, text: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO findings (repository, commit_sha, git_ref, pipelines, found_at, document) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (repository, commit_sha) DO UPDATE SET \
         git_ref = excluded.git_ref, pipelines = excluded.pipelines, found_at = excluded.found_at, \
         document = excluded.document",
    )
    .bind(found.repository.as_str())
    .bind(found.commit.as_str())
    .bind(found.git_ref.as_str())
    .bind(i64::from(found.pipelines))
    .bind(tx.now.as_millis())
    .bind(text)
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}
