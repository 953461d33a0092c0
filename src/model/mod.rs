//! The domain: what Longboat talks about, without any I/O.
//!
//! Everything here is plain data that the store can keep as a document and the API can show. Times
//! are [`crate::clock::Timestamp`]s; ids are types of their own, so that they can't be mixed up.

mod artifact;
mod comment;
mod correlation;
mod cron;
mod dry_run;
mod duration;
mod execution;
mod freeze;
mod given;
mod id;
mod impact;
mod lane;
mod percent;
mod pin;
mod pipeline;
mod plan;
mod pull_request;
mod report;
mod secret;
mod spread;
mod status;
mod text;
mod trigger;
mod webhook;
mod window;

pub use artifact::{
    Artifact, ArtifactProblem, Artifacts, ExpectedArtifact, ResolvedArtifact, check_artifact_pattern, resolve_artifacts,
};
pub use comment::{Block, Comment, Line, Mark, Piece};
pub use correlation::OwnStart;
pub use cron::{CronError, TimeTable};
pub use dry_run::{DryRun, DryStep};
pub use duration::{Span, SpanError, humanize};
pub use execution::{
    ChildView, Execution, ExecutionView, HoldKind, HoldView, Holder, InstancesView, NewExecution, PauseView,
    RestartView, StageProgress, StageSource, StageView,
};
pub use freeze::Freeze;
pub use given::{ParameterProblem, check_declared, check_parameters};
pub use id::{
    ApplicationName, CommitSha, ExecutionId, ExecutionKey, IdError, LockName, PipelineName, RepositoryName, RevisionId,
    SecretName, StageId, StagePath, pipeline_id,
};
pub use impact::{Impact, ImpactDetail, ImpactedBranch, ImpactedPipeline};
pub use lane::Lane;
pub use percent::{percent_encode, percent_encode_part};
pub use pin::{ComparedPin, FileUse, ModuleUse, Pin, PinKind, PinMove, Pins};
pub use pipeline::{Concurrency, Dialect, OnFailure, OnNew, Parameter, ParameterType, Pipeline, Retry, RetryOn, Stage};
pub use plan::{
    Change, ChangeKind, LineChange, PipelineChange, Plan, PlanEdge, PlanGraph, PlanReport, PlanStage, PlannedStart,
    SourceLine, Told, WhyNot, told,
};
pub use pull_request::{
    PullRequest, PullRequestState, Review, ReviewFinding, ReviewVerdict, pull_request_number, pull_request_page,
    pull_request_ref,
};
pub use report::{CommitStatus, DESCRIPTION_LIMIT, Message, ReportTarget, StatusState, clip};
pub use secret::SecretUse;
pub use spread::{Instance, Over, Spread};
pub use status::Status;
pub use text::{counted, plain_log, shorten};
pub use trigger::{
    Cause, CauseKind, CronTrigger, GitTrigger, Parent, ParentExecution, PipelineTrigger, Start, Trigger,
};
pub use webhook::{WebhookTrigger, is_hook_source, payload_pattern};
pub use window::{Hours, Jitter, Window, Workday};
