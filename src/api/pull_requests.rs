//! Pull requests: what was found in them, and what became of their merge.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::executions::Summary as Execution;
use super::problem::Problem;
use super::request::parse;
use crate::config::Repository;
use crate::diagnostic::Diagnostic;
use crate::model::{
    ApplicationName, ChangeKind, CommitSha, ComparedPin, Impact, ImpactDetail, ImpactedBranch, ImpactedPipeline,
    PipelineChange, PipelineName, PullRequest, PullRequestState, RepositoryName, Review, ReviewFinding, ReviewVerdict,
    Told, told,
};
use crate::store::{ApplicationSummary, ExecutionFilter, StoredPullRequest, published_pins};

/// How many executions of a merge are told; `GET /executions` tells the others.
const EXECUTIONS: u32 = 50;
/// How many differences of a pipeline are told in words.
const DETAILS: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A pull request as the list has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    number: u64,
    title: &'a str,
    state: PullRequestState,
    author: Option<&'a str>,
    head: &'a CommitSha,
    head_branch: &'a str,
    head_repository: Option<&'a str>,
    fork: bool,
    target_branch: &'a str,
    merge_commit: Option<&'a CommitSha>,
    /// Its page on the forge.
    url: Option<String>,
    review: Option<Outcome<'a>>,
    seen_time: String,
    updated_time: String,
}

/// What a review came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    verdict: ReviewVerdict,
    summary: String,
    commit: &'a CommitSha,
    target_branch: &'a str,
    trouble: Option<&'a str>,
    files: u32,
    pipelines: u32,
    errors: u32,
    warnings: u32,
    errors_before: u32,
    changed: u32,
    #[serde(flatten)]
    whole: Option<Whole<'a>>,
}

/// What only the single pull request tells.
#[derive(Serialize)]
struct Whole<'a> {
    findings: Vec<Finding<'a>>,
    changes: Vec<PipelineInWords<'a>>,
    pins: Vec<ComparedPin>,
    dependents: Option<Dependents<'a>>,
}

/// What the merge would do to those who use the modules of this repository: as much as the comment tells.
#[derive(Serialize)]
struct Dependents<'a> {
    detail: ImpactDetail,
    broken: u32,
    errors: u32,
    changed: u32,
    pipelines: u32,
    same: u32,
    elsewhere: u32,
    unknown: u32,
    items: Vec<DependentBranch<'a>>,
}

/// A branch that would break or change.
#[derive(Serialize)]
struct DependentBranch<'a> {
    repository: &'a RepositoryName,
    branch: &'a str,
    commit: &'a CommitSha,
    errors: u32,
    pipelines: &'a [ImpactedPipeline],
    findings: Vec<Finding<'a>>,
    changes: Vec<PipelineInWords<'a>>,
}

impl<'a> Dependents<'a> {
    fn new(impact: &'a Impact) -> Self {
        let item = |one: &'a ImpactedBranch| DependentBranch {
            repository: &one.repository,
            branch: &one.branch,
            commit: &one.commit,
            errors: one.errors,
            pipelines: &one.pipelines,
            findings: one.findings.iter().map(Finding::new).collect(),
            changes: one.plan.iter().flat_map(|plan| &plan.pipelines).map(PipelineInWords::new).collect(),
        };
        Self {
            detail: impact.detail,
            broken: impact.broken,
            errors: impact.errors,
            changed: impact.changed,
            pipelines: impact.pipelines,
            same: impact.same,
            elsewhere: impact.elsewhere,
            unknown: impact.unknown,
            items: impact.dependents.iter().map(item).collect(),
        }
    }
}

/// How a pipeline changes, in words; the plan has the values.
#[derive(Serialize)]
struct PipelineInWords<'a> {
    application: &'a ApplicationName,
    pipeline: &'a PipelineName,
    kind: ChangeKind,
    details: Vec<String>,
}

impl<'a> PipelineInWords<'a> {
    fn new(change: &'a PipelineChange) -> Self {
        let all = told(change);
        let details = all.iter().take(DETAILS).map(Told::sentence).collect();
        Self { application: &change.application, pipeline: &change.pipeline, kind: change.kind, details }
    }
}

#[derive(Serialize)]
struct Finding<'a> {
    #[serde(flatten)]
    finding: &'a Diagnostic,
    snippet: Option<&'a str>,
}

impl<'a> Finding<'a> {
    fn new(found: &'a ReviewFinding) -> Self {
        Self { finding: &found.finding, snippet: found.snippet.as_deref() }
    }
}

impl<'a> View<'a> {
    /// With what only the single pull request tells, if there are the applications to compare its pins with.
    fn new(shared: &Shared, stored: &'a StoredPullRequest, whole: Option<&[ApplicationSummary]>) -> Self {
        let this = &stored.pull_request;
        Self {
            number: this.number,
            title: &this.title,
            state: this.state,
            author: this.author.as_deref(),
            head: &this.head,
            head_branch: &this.head_branch,
            head_repository: this.head_repository.as_deref(),
            fork: this.fork,
            target_branch: &this.target_branch,
            merge_commit: this.merge_commit.as_ref(),
            url: shared.api.config.pages(&this.repository).map(|pages| pages.pull_request(this.number)),
            review: stored.review.as_ref().map(|review| Outcome::new(this, review, whole)),
            seen_time: stored.seen_at.to_rfc3339(),
            updated_time: stored.updated_at.to_rfc3339(),
        }
    }
}

impl<'a> Outcome<'a> {
    fn new(this: &PullRequest, review: &'a Review, whole: Option<&[ApplicationSummary]>) -> Self {
        Self {
            verdict: review.verdict(),
            summary: review.summary(),
            commit: &review.commit,
            target_branch: &review.target_branch,
            trouble: review.trouble.as_deref(),
            files: review.files,
            pipelines: review.pipelines,
            errors: review.errors,
            warnings: review.warnings,
            errors_before: review.errors_before,
            changed: review.changed,
            whole: whole.map(|applications| Whole {
                findings: review.findings.iter().map(Finding::new).collect(),
                changes: review.plan.iter().flat_map(|plan| &plan.pipelines).map(PipelineInWords::new).collect(),
                pins: ComparedPin::all(&review.pins, published_pins(applications, this)),
                dependents: review.dependents.as_ref().filter(|_| review.trouble.is_none()).map(Dependents::new),
            }),
        }
    }
}

/// Answers `GET /repositories/{name}/pull-requests`: the highest number first.
pub(super) async fn list(shared: &Shared, repository: &Repository, filter: Filter) -> Result<Json<Value>, Problem> {
    let state = filter.state.as_deref().filter(|text| !text.is_empty()).map(|text| {
        PullRequestState::parse(text).ok_or_else(|| {
            let known = PullRequestState::ALL.map(PullRequestState::as_str).join(", ");
            Problem::bad_request(format!("`state` is `{text}`; it can be {known}"))
        })
    });
    let limit = filter.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(Problem::bad_request("`limit` is a number from 1 to 100"));
    }
    let before = filter.cursor.as_deref().filter(|text| !text.is_empty()).map(|text| {
        text.parse::<u64>().map_err(|_| Problem::bad_request(format!("`{text}` is not a cursor that this list gave")))
    });
    let (state, before) = (state.transpose()?, before.transpose()?);
    let mut found = shared.api.store.pull_requests(&repository.name, state, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| last.pull_request.number.to_string());
    let items: Vec<View<'_>> = found.iter().map(|stored| View::new(shared, stored, None)).collect();
    Ok(Json(json!({"items": items, "nextCursor": next})))
}

/// Answers `GET /repositories/{name}/pull-requests/{number}`, with the findings, what the merge changes, and what it
/// started.
pub(super) async fn one(shared: &Shared, repository: &Repository, number: &str) -> Result<Json<Value>, Problem> {
    let stored = find(shared, repository, number).await?;
    let applications = shared.api.store.applications().await?;
    let mut answer = json!(View::new(shared, &stored, Some(&applications)));
    answer["executions"] = match &stored.pull_request.merge_commit {
        Some(commit) => {
            let filter = ExecutionFilter {
                repository: Some(repository.name.clone()),
                commit: Some(commit.clone()),
                limit: EXECUTIONS,
                ..ExecutionFilter::default()
            };
            let page = shared.api.store.executions(filter).await?;
            page.items.into_iter().map(|summary| json!(Execution::from(summary))).collect()
        }
        None => json!([]),
    };
    Ok(Json(answer))
}

/// Answers `GET /repositories/{name}/pull-requests/{number}/plan`: the document that `longboat plan --format json` prints.
pub(super) async fn plan(shared: &Shared, repository: &Repository, number: &str) -> Result<Json<Value>, Problem> {
    let stored = find(shared, repository, number).await?;
    let review = stored.review.as_ref().filter(|review| review.plan.is_some() || review.trouble.is_some());
    let review = review.ok_or_else(|| {
        Problem::not_found(format!(
            "pull request {number} of `{}` has no plan yet: comment `/longboat check`",
            repository.name
        ))
    })?;
    Ok(Json(json!(review.report(&repository.name))))
}

async fn find(shared: &Shared, repository: &Repository, number: &str) -> Result<StoredPullRequest, Problem> {
    let number: u64 = parse(number, "pull request")?;
    let stored = shared.api.store.pull_request(&repository.name, number).await?;
    stored.ok_or_else(|| Problem::not_found(format!("of `{}`, no pull request {number} is known", repository.name)))
}
