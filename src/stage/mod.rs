//! The stage types: one file or folder each, named as in a pipeline's `type`.
//!
//! | type | what it does |
//! |---|---|
//! | `noop` | nothing |
//! | `wait` | lets time pass |
//! | `script` | runs a command on this machine, under a supervisor of its own |
//! | `manualJudgment` | asks a person |
//! | `waitUntil` | lets time pass up to a moment |
//! | `group` | nothing: a heading for pages |
//! | `checkPreconditions` | goes on only if expressions are true and stages stand as they should |
//! | `evaluateVariables` | gives names to values for the stages after it |
//! | `findArtifactFromExecution` | takes artifacts over from another execution |
//! | `pipeline` | runs another pipeline |
//! | `webhook` | calls an address over HTTP |
//!
//! [`registry`] is what the engine runs, [`catalog`] is what a file may say; both list every type. What scripts
//! leave on disk stands under the state folder:
//!
//! ```text
//! logs/<execution>/<stage>.<attempt>.log    what an attempt printed; kept until `remove_logs` (`Logs` reads it)
//! work/<execution>/shared/                  the checkout that the stages of an execution share
//! work/<execution>/<stage>.<attempt>/       one attempt: claim, command, status, output, fresh checkout
//! files/<execution>/<stage>/                what a stage saved for later ones (`saved`)
//! ```
//!
//! `<stage>` is the stage's path with every byte but letters, digits, `_` and `-` written as `%2F`. `work/<execution>`
//! is removed by [`forget`] when the execution is complete.

mod censor;
mod check_preconditions;
mod evaluate_variables;
mod files;
mod find_artifact;
mod group;
mod logs;
mod manual_judgment;
mod noop;
mod pipeline;
mod places;
mod saved;
pub mod script;
mod shared;
mod wait;
mod wait_until;
mod webhook;
mod workspace;

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::engine::{Outcome, Registry, StageContext, StageHandler, Wake};
use crate::outbound::ClientOptions;
use crate::process::own_program;
use crate::schema::{Catalog, stage_type};
use crate::secret::{Revealed, Secrets};

pub use files::{FolderLocks, forget, let_go, working_executions};
pub use find_artifact::{FoundExecution, PastExecutions, WantedExecution};
pub use logs::{Logs, logged_executions, remove_logs};
pub use manual_judgment::DEFAULT_TIMEOUT as JUDGMENT_TIMEOUT;
pub use pipeline::{ChildError, ChildStart, Pipelines};
pub use places::{Placements, Whereabouts};
pub use saved::{SavedLimits, remove_saved, saved_executions};
pub use shared::{Leaving, SharedLogs, SharedStore, Shelf, Shipper, Sizes};
pub use workspace::Checkouts;

/// What the stage types need from the rest of the program.
#[derive(Clone)]
pub struct StageDeps {
    /// Fills the folders that scripts run in.
    pub checkouts: Arc<dyn Checkouts>,
    /// The values of what stages name as secrets.
    pub secrets: Secrets,
    /// Finds executions whose artifacts are taken over.
    pub executions: Arc<dyn PastExecutions>,
    /// The folder for logs, workspaces and the files of supervisors.
    pub state_dir: PathBuf,
    /// The program whose `supervise` subcommand watches over a script: Longboat itself.
    pub supervisor: PathBuf,
    /// How many bytes of an attempt's output are kept.
    pub log_limit: u64,
    /// How many scripts run at once; the next ones wait for their turn.
    pub max_scripts: usize,
    /// How much stages may save for later ones.
    pub saved: SavedLimits,
    /// Who works with which execution's folder; whoever removes folders has a clone.
    pub locks: FolderLocks,
    /// Where scripts were begun, if several replicas share the executions; nothing if they are this process's alone.
    pub placements: Option<Arc<dyn Placements>>,
    /// Where logs and saved files go, if other replicas are to find them; nothing if they stay on this machine.
    pub shipper: Option<Shipper>,
    /// Starts other pipelines.
    pub pipelines: Arc<dyn Pipelines>,
    /// The bounds of what `webhook` stages call, and judgments tell.
    pub calls: ClientOptions,
    /// The address under which people reach the server, for links.
    pub public_url: Option<String>,
}

impl StageDeps {
    /// No secrets, no other executions or pipelines, and the usual limits: logs of 16 MiB, 32 scripts at once; this very program as
    /// supervisor.
    pub fn new(checkouts: Arc<dyn Checkouts>, state_dir: PathBuf) -> Self {
        Self {
            checkouts,
            secrets: Secrets::none(),
            executions: Arc::new(find_artifact::NoExecutions),
            state_dir,
            supervisor: own_program(),
            log_limit: 16 * 1024 * 1024,
            max_scripts: 32,
            saved: SavedLimits::default(),
            locks: FolderLocks::default(),
            placements: None,
            shipper: None,
            pipelines: Arc::new(pipeline::NoPipelines),
            calls: webhook::usual_calls(),
            public_url: None,
        }
    }
}

/// What the engine runs; no secret gets past what it is told.
pub fn registry(deps: StageDeps) -> Registry {
    let censor = censor::censor(deps.secrets.clone());
    Registry::new(handlers(deps)).censored(censor)
}

/// The handlers of all stage types.
pub fn handlers(deps: StageDeps) -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(check_preconditions::CheckPreconditions),
        Arc::new(evaluate_variables::EvaluateVariables),
        Arc::new(find_artifact::FindArtifact(deps.executions.clone())),
        Arc::new(group::Group),
        Arc::new(manual_judgment::ManualJudgment::new(
            deps.calls.clone(),
            deps.secrets.clone(),
            deps.public_url.clone(),
        )),
        Arc::new(noop::Noop),
        Arc::new(pipeline::SubPipeline::new(Arc::clone(&deps.pipelines))),
        Arc::new(webhook::Webhook::new(deps.calls.clone(), deps.secrets.clone())),
        Arc::new(script::Script::new(deps)),
        Arc::new(wait::Wait),
        Arc::new(wait_until::WaitUntil),
    ]
}

/// The schemas of all stage types.
pub fn catalog() -> Catalog {
    Catalog::new(vec![
        stage_type::<check_preconditions::Fields>("checkPreconditions", check_preconditions::DESCRIPTION)
            .with_outputs(&["preconditions"])
            .with_example(check_preconditions::EXAMPLE),
        stage_type::<evaluate_variables::Fields>("evaluateVariables", evaluate_variables::DESCRIPTION)
            .with_example(evaluate_variables::EXAMPLE),
        stage_type::<find_artifact::Fields>("findArtifactFromExecution", find_artifact::DESCRIPTION)
            .with_outputs(&["executionId", "executionStatus", "artifacts", "resolvedExpectedArtifacts"])
            .with_example(find_artifact::EXAMPLE),
        stage_type::<group::Fields>("group", group::DESCRIPTION).with_example(group::EXAMPLE),
        stage_type::<manual_judgment::Fields>("manualJudgment", manual_judgment::DESCRIPTION)
            .with_outputs(&["judgmentInput", "judgedBy"])
            .with_example(manual_judgment::EXAMPLE),
        stage_type::<noop::Fields>("noop", noop::DESCRIPTION).with_example(noop::EXAMPLE),
        stage_type::<pipeline::Fields>("pipeline", pipeline::DESCRIPTION)
            .with_outputs(&["executionId", "executionName", "status"])
            .with_example(pipeline::EXAMPLE),
        stage_type::<script::Fields>("script", script::DESCRIPTION)
            .with_outputs(&["exitCode"])
            .with_example(script::EXAMPLE),
        stage_type::<wait::Fields>("wait", wait::DESCRIPTION).with_example(wait::EXAMPLE),
        stage_type::<wait_until::Fields>("waitUntil", wait_until::DESCRIPTION).with_example(wait_until::EXAMPLE),
        stage_type::<webhook::Fields>("webhook", webhook::DESCRIPTION)
            .with_outputs(&["webhook"])
            .with_example(webhook::EXAMPLE),
    ])
}

/// A stage's own fields in the form that its handler wants.
fn fields_of<T: DeserializeOwned>(ctx: &StageContext) -> Result<T, Outcome> {
    serde_json::from_value(ctx.fields.clone().into())
        .map_err(|error| Outcome::fail(format!("the stage's fields can't be used: {error}")))
}

/// The end of a wait that somebody skipped, if that is what a wake says.
fn skipped(wake: &Wake) -> Option<Outcome> {
    let Wake::Signal(payload) = wake else { return None };
    let by = payload.get("skippedBy")?.clone();
    Some(Outcome::Done { outputs: [("skippedBy".to_owned(), by)].into_iter().collect() })
}

/// A stage's own fields with the values of its secrets in them, to be used now and kept nowhere. What comes back from
/// that use goes through [`Revealed::masker`] before anybody sees it. It may be asked as often as there is a use: for
/// each attempt, each poll, and when the stage is cancelled.
async fn reveal(ctx: &StageContext, secrets: &Secrets) -> Result<Revealed, String> {
    let revealed = secrets.reveal(&ctx.execution.info, &ctx.fields, &ctx.secrets).await;
    revealed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
