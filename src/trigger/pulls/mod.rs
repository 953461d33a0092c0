//! Pull requests: their heads are reviewed in the place of their target branch, and never executed.
//!
//! - **What counts is the forge's word.** A webhook is a hint: it can be late, out of order, or cut short. An entry of
//!   the inbox makes the worker ask the forge how the pull request stands; all entries that were there before the
//!   question are done with its answer. A forge that can't be asked is believed by what its newest webhook told, and
//!   where the head really stands is then Git's word.
//! - **A head is fetched by itself** and kept apart from branches ([`crate::git::Head`]); it is forgotten when the pull
//!   request is closed. Another repository is fetched only below the forge's own address, with the credentials of
//!   the repository that the pull request is for.
//! - **Rendering happens in another process** with bounds on memory and time ([`child`]).
//! - **One commit, several answers.** A head can be the head of several pull requests, with different targets, and the
//!   tip of a branch as well. The status `longboat/validate` is one per commit, and says the worst: [`said`].

pub(super) mod child;
mod dependents;
mod said;
mod source;

use std::sync::Arc;

use super::failure::WorkError;
use super::{Repository, Shared, owners, removal, settle};
use crate::diagnostic::Diagnostic;
use crate::forge::{ForgeError, ForgeErrorKind};
use crate::git::{GitError, Head};
use crate::gitops::{Ownership, trouble};
use crate::model::{
    CommitSha, CommitStatus, Message, PullRequest, PullRequestState, Review, StatusState, pull_request_number,
    pull_request_ref,
};
use crate::store::{CommitFindings, InboxEntry, Settlement, StoredPullRequest};
pub(super) use said::worse_of_pull_requests;

/// How often a merged pull request is asked for its merge commit, which forges make known a moment later.
const MERGE_QUESTIONS: u32 = 3;

/// After how many tries without anybody to ask a head that Git doesn't have is taken for an old one.
const LATE_AFTER: u32 = 3;

/// A pull request that is worked on.
struct Case<'a> {
    shared: &'a Arc<Shared>,
    repository: &'a Arc<Repository>,
    entry: &'a InboxEntry,
    /// The entries that are done with this one, itself left out.
    others: Vec<InboxEntry>,
    stored: Option<StoredPullRequest>,
    /// How it stands.
    this: PullRequest,
    /// Whether the forge said so.
    asked: bool,
}

/// Works off an entry about a pull request.
pub(super) async fn work_off(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    entry: &InboxEntry,
) -> Result<(), WorkError> {
    let Some(number) = pull_request_number(&entry.git_ref) else { return settle::end(shared, entry, None).await };
    let Some(mut case) = Case::open(shared, repository, entry, number, true).await? else {
        tracing::warn!(repository = %repository.name(), number, "nothing is known about a pull request, and its forge can't be asked");
        return settle::end(shared, entry, None).await;
    };
    match case.this.state {
        PullRequestState::Open => case.look().await,
        PullRequestState::Merged | PullRequestState::Closed => case.close().await,
    }
}

/// Gives an entry up: the pull request shows why.
pub(super) async fn give_up(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    entry: &InboxEntry,
    error: &WorkError,
) -> Result<(), WorkError> {
    let Some(number) = pull_request_number(&entry.git_ref) else { return settle::end(shared, entry, None).await };
    let Some(case) = Case::open(shared, repository, entry, number, false).await? else {
        return settle::end(shared, entry, None).await;
    };
    let (review, status) = match error {
        WorkError::Head(error) => {
            let review = case.trouble(format!("the branch can't be fetched: {error}"));
            let status = said::status(shared, &case.this, &review);
            (review, status)
        }
        error => {
            let status = shared.options.reports.failed(repository.name(), &case.this.head, &error.to_string());
            (case.trouble(error.to_string()), status.on_page(case.this.page()))
        }
    };
    case.settle(Some(review), vec![status], None).await
}

impl<'a> Case<'a> {
    /// Finds out how the pull request stands; none if nobody can tell.
    async fn open(
        shared: &'a Arc<Shared>,
        repository: &'a Arc<Repository>,
        entry: &'a InboxEntry,
        number: u64,
        ask_forge: bool,
    ) -> Result<Option<Self>, WorkError> {
        // Read before the forge is asked: what comes meanwhile is worked off by itself.
        let mut others = shared.store.pending_inbox(repository.name(), &entry.git_ref).await?;
        others.retain(|other| other.id != entry.id);
        let stored = shared.store.pull_request(repository.name(), number).await?;
        let told = others.iter().rev().chain([entry]).find_map(told).cloned();
        let known = || stored.as_ref().map(|stored| stored.pull_request.clone());
        let asked = if ask_forge { ask(shared, repository, number).await } else { Ok(None) };
        let (this, asked) = match asked {
            Ok(Some(this)) => (Some(this), true),
            Ok(None) => (told.or_else(known), false),
            // It was deleted: what is known of it is closed.
            Err(error) if error.kind == ForgeErrorKind::NotFound && stored.is_some() => {
                (known().map(|this| PullRequest { state: PullRequestState::Closed, ..this }), true)
            }
            // What was told in full is enough to go on with.
            Err(error) if told.is_some() => {
                tracing::debug!(repository = %repository.name(), number, %error, "the forge can't be asked; what its webhook told has to do");
                (told, false)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(this.map(|this| Self { shared, repository, entry, others, stored, this, asked }))
    }

    fn trouble(&self, why: String) -> Review {
        trouble(&self.this.head, &self.this.target_branch, why)
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = &InboxEntry> {
        std::iter::once(self.entry).chain(&self.others)
    }

    /// The review of the head as it stands, if there is one that counts.
    fn reviewed(&self) -> Option<&Review> {
        let review = self.stored.as_ref()?.review.as_ref()?;
        let same = review.commit == self.this.head && review.target_branch == self.this.target_branch;
        (same && review.trouble.is_none()).then_some(review)
    }

    /// The head that the newest webhook told, if it isn't the one that the forge has.
    fn disputed(&self) -> Option<&CommitSha> {
        let told = self.entries().rev().find_map(told)?;
        (told.state == PullRequestState::Open && told.head != self.this.head).then_some(&told.head)
    }

    /// Works off an open pull request.
    async fn look(&mut self) -> Result<(), WorkError> {
        let again = self.entries().any(|entry| entry.pull_request.as_ref().is_some_and(|noticed| noticed.again));
        if !again && self.disputed().is_none() && self.is_known_open() {
            return self.repeat().await;
        }
        match self.fetch().await? {
            Ok(head) => self.this.head = head,
            Err(why) => {
                let review = self.trouble(why);
                let status = said::status(self.shared, &self.this, &review);
                return self.settle(Some(review), vec![status], None).await;
            }
        }
        if !again && self.is_known_open() {
            return self.repeat().await;
        }
        self.review().await
    }

    fn is_known_open(&self) -> bool {
        let open = |stored: &StoredPullRequest| stored.pull_request.state == PullRequestState::Open;
        self.reviewed().is_some() && self.stored.as_ref().is_some_and(open)
    }

    /// Says once more what was found: somebody may have been told that it is being checked.
    async fn repeat(&self) -> Result<(), WorkError> {
        let was_told = self.entries().filter_map(told).any(|told| told.head == self.this.head);
        let mut statuses = Vec::new();
        if let Some(review) = self.reviewed().filter(|_| was_told) {
            let status = said::worst(self.shared, self.repository, &self.this, review).await?;
            // The look at another entry may have said it since.
            if !self.shared.store.was_said_last(&status.clone().into()).await? {
                statuses.push(status);
            }
        }
        self.settle(None, statuses, None).await
    }

    /// Fetches the head and yields where it stands, or why it can't be had.
    async fn fetch(&self) -> Result<Result<CommitSha, String>, WorkError> {
        let forge = self.shared.forges.of(self.repository.name());
        let head = match source::of(forge, &self.repository.spec, &self.this) {
            Ok(head) => head,
            Err(why) => return Ok(Err(why)),
        };
        let mirror = self.repository.mirror().await?;
        if matches!(head, Head::Other { .. }) {
            mirror.fetch().await?;
        }
        let tip = match mirror.fetch_head(self.this.number, &head).await {
            Ok(tip) => tip,
            // A ref that is missing may not be there yet; what can't be read by these means never will be.
            Err(error) if source::is_final(&error) => return Ok(Err(format!("the branch can't be fetched: {error}"))),
            Err(error) if matches!(head, Head::Other { .. }) || matches!(error, GitError::MissingRef { .. }) => {
                return Err(WorkError::Head(error));
            }
            Err(error) => return Err(error.into()),
        };
        let (wanted, disputed) = (self.this.head.clone(), self.disputed().cloned());
        let has = {
            let wanted = wanted.clone();
            self.repository.read(move |mirror| Ok(mirror.has_commit(&wanted))).await?
        };
        let last = self.stored.as_ref().map(|stored| &stored.pull_request.head);
        Ok(Ok(match (self.asked, has) {
            // The forge's API can be a moment behind its own webhook.
            (true, _) if disputed.as_ref() == Some(&tip) => tip,
            (true, true) => wanted,
            // Nobody to ask: the tip is news, unless the server hasn't heard of the push yet. After some time the
            // word was late, and not the server.
            (false, true) => tip,
            (false, false) if last != Some(&tip) || self.entry.attempts >= LATE_AFTER => tip,
            (_, false) => return Err(WorkError::Head(GitError::MissingCommit { commit: wanted })),
        }))
    }

    /// Renders and checks the head, and settles what was found.
    async fn review(&self) -> Result<(), WorkError> {
        let base = self.base().await?;
        let mut review = match self.examine(base.clone()).await? {
            Ok(review) => review,
            Err(why) => self.trouble(why),
        };
        if review.trouble.is_none() {
            review.dependents = dependents::of(self.shared, self.repository, &self.this, base.as_ref()).await?;
        }
        if let Some(before) = self.stored.as_ref().and_then(|stored| stored.review.as_ref()) {
            // A look that told nothing, or that is repeated, is no step of its own.
            let no_step = before.trouble.is_some() || before.commit == review.commit;
            review.errors_before = if no_step { before.errors_before } else { before.errors };
        }
        let status = said::worst(self.shared, self.repository, &self.this, &review).await?;
        let findings = self.findings(&review);
        self.settle(Some(review), vec![status], findings).await
    }

    /// The commit that the head and its target come from, or the target's own.
    async fn base(&self) -> Result<Option<CommitSha>, WorkError> {
        let (head, target) = (self.this.head.clone(), format!("refs/heads/{}", self.this.target_branch));
        let base = self.repository.read(move |mirror| match mirror.heads()?.remove(&target) {
            Some(target) => Ok(mirror.merge_base(&head, &target)?.or(Some(target))),
            None => Ok(None),
        });
        Ok(base.await?)
    }

    async fn examine(&self, base: Option<CommitSha>) -> Result<Result<Review, String>, WorkError> {
        let ownership = ownership(self.shared, self.repository, &self.this.target_branch).await?;
        let taken = self.shared.modules.taken().await;
        let mut job = child::Job {
            mirror: self.repository.mirror().await?.dir().to_owned(),
            head: self.this.head.clone(),
            base,
            repository: self.repository.name().clone(),
            branch: self.this.target_branch.clone(),
            globals: self.shared.options.globals.clone(),
            limits: self.shared.options.limits.clone(),
            ownership,
            modules: taken.mirrors.clone(),
            instead_of: None,
        };
        let looked = self.run(&job).await?;
        if let Ok(looked) = &looked
            && !looked.wanted.is_empty()
            && self.shared.modules.ask(&looked.wanted, &taken).await
        {
            job.modules = self.shared.modules.taken().await.mirrors;
            return Ok(self.run(&job).await?.map(|looked| looked.review));
        }
        Ok(looked.map(|looked| looked.review))
    }

    async fn run(&self, job: &child::Job) -> Result<Result<child::Looked, String>, WorkError> {
        let _permit = self.shared.reviews.acquire().await.map_err(|_| WorkError::Stopping)?;
        child::run(&self.shared.options.reviews, job).await
    }

    /// What was found, for whoever asks by commit; a tracked branch tells that of its own commits itself.
    fn findings(&self, review: &Review) -> Option<CommitFindings> {
        let own = !self.this.fork && self.repository.tracks(&format!("refs/heads/{}", self.this.head_branch));
        let findings: Vec<Diagnostic> = review.findings.iter().map(|found| found.finding.clone()).collect();
        (!own && review.trouble.is_none()).then(|| CommitFindings {
            repository: self.repository.name().clone(),
            commit: review.commit.clone(),
            git_ref: pull_request_ref(self.this.number),
            findings,
            pipelines: review.pipelines,
        })
    }

    /// Works off a pull request that is merged or closed.
    async fn close(&mut self) -> Result<(), WorkError> {
        let merged = self.this.state == PullRequestState::Merged;
        if merged && self.asked && self.this.merge_commit.is_none() && self.entry.attempts < MERGE_QUESTIONS {
            return Err(WorkError::NoMergeCommit);
        }
        let mut statuses = Vec::new();
        let pending = self.is_checking();
        match self.reviewed() {
            Some(review) if pending => {
                statuses.push(said::worst(self.shared, self.repository, &self.this, review).await?);
            }
            None if pending && self.this.merge_commit.as_ref() != Some(&self.this.head) => {
                statuses.push(said::cancelled(self.shared, &self.this));
            }
            _ => {}
        }
        // What this one said there may have been worse than what the others say.
        if let Some(status) = said::of_others(self.shared, self.repository, &self.this).await? {
            statuses = vec![status];
        }
        self.settle(None, statuses, None).await?;
        self.repository.mirror().await?.forget_head(self.this.number).await?;
        Ok(())
    }

    /// Whether somebody was told that the head is being checked, and nothing since.
    fn is_checking(&self) -> bool {
        let open = |told: &PullRequest| told.state == PullRequestState::Open && told.head == self.this.head;
        self.entries().filter_map(told).any(open)
    }

    /// Writes down how it stands and what is said about it, and ends the entries.
    async fn settle(
        &self,
        review: Option<Review>,
        statuses: Vec<CommitStatus>,
        findings: Option<CommitFindings>,
    ) -> Result<(), WorkError> {
        let mut messages: Vec<Message> = self.overtaken().into_iter().chain(statuses).map(Message::from).collect();
        if self.has_news(review.as_ref()) {
            let repository = self.repository.name().clone();
            messages.push(Message::Comment { repository, pull_request: self.this.number });
        }
        let settlement = Settlement {
            also: self.others.iter().map(|other| other.id).collect(),
            git_ref: self.entry.git_ref.clone(),
            commit: Some(self.this.head.clone()),
            messages,
            findings,
            pull_request: Some((self.this.clone(), review)),
            ..settle::empty(self.repository.name(), Some(self.entry.id))
        };
        self.shared.store.settle(settlement).await?;
        Ok(())
    }

    /// What is said on heads that were told and are not the head any more.
    fn overtaken(&self) -> Vec<CommitStatus> {
        let mut heads: Vec<&CommitSha> = self
            .entries()
            .filter_map(told)
            .filter(|told| told.state == PullRequestState::Open && told.head != self.this.head)
            .map(|told| &told.head)
            .collect();
        heads.sort_unstable();
        heads.dedup();
        let reports = &self.shared.options.reports;
        let page = || self.this.page();
        let superseded = |head| reports.superseded(self.repository.name(), head, &self.this.head).on_page(page());
        heads.into_iter().map(superseded).collect()
    }

    /// Whether there is anything to tell in a comment: not if the repository has no pipeline files and gets none.
    fn has_news(&self, review: Option<&Review>) -> bool {
        let tells = |review: &Review| review.is_of_interest();
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| stored.comment.is_some())
            || review.is_some_and(tells)
            || stored.and_then(|stored| stored.review.as_ref()).is_some_and(tells)
    }
}

/// What a repository may define when it is rendered as one of its branches.
async fn ownership(shared: &Shared, repository: &Repository, branch: &str) -> Result<Ownership, WorkError> {
    let owners = shared.store.applications().await?;
    let foreign = owners::of_others(repository, &owners).into_iter();
    let tracked = repository.tracks(&format!("refs/heads/{branch}"));
    let removal = if tracked { Some(removal::rule(shared, repository).await?) } else { None };
    Ok(Ownership {
        allowed: repository.spec.applications.clone(),
        foreign: foreign.map(|(name, owner)| (name.clone(), owner.clone())).collect(),
        secrets: shared.options.secrets.clone(),
        tracked,
        removal,
    })
}

/// What an entry told of the pull request, if it told anything.
fn told(entry: &InboxEntry) -> Option<&PullRequest> {
    entry.pull_request.as_ref()?.told.as_ref()
}

/// The pull request as its forge has it; none if that one can't be asked.
async fn ask(shared: &Shared, repository: &Repository, number: u64) -> Result<Option<PullRequest>, ForgeError> {
    let forge = shared.forges.of(repository.name()).filter(|forge| forge.capabilities().pull_requests);
    match forge {
        Some(forge) => forge.pull_request(repository.name(), number).await.map(Some),
        None => Ok(None),
    }
}

/// Whether a status says anything but good.
fn is_bad(status: &CommitStatus) -> bool {
    status.state != StatusState::Success
}
