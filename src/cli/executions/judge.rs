//! `longboat judge`: answers a manual judgment on a server.

use anyhow::bail;
use clap::ValueEnum;
use serde_json::json;

use super::{Which, view};
use crate::cli::Answer;
use crate::cli::remote::ServerArgs;
use crate::model::{ExecutionView, StageView, Status, percent_encode_part};

/// Answer a stage of a server that waits for a person
#[derive(Debug, clap::Args)]
pub struct JudgeArgs {
    #[command(flatten)]
    which: Which,
    /// What to do
    #[arg(value_enum)]
    verdict: Verdict,
    /// The stage, if several wait
    #[arg(long, value_name = "PATH")]
    stage: Option<String>,
    /// Which of the choices, if the stage offers any
    #[arg(long)]
    input: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    /// The pipeline goes on.
    Continue,
    /// The stage fails.
    Stop,
}

pub(super) async fn run(args: JudgeArgs) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    let id = args.which.find(&api).await?;
    let stage = match args.stage {
        Some(stage) => stage,
        None => waiting(&view(&api, &id).await?)?,
    };
    let verdict = match args.verdict {
        Verdict::Continue => "continue",
        Verdict::Stop => "stop",
    };
    let mut body = json!({ "verdict": verdict });
    if let Some(input) = args.input {
        body["input"] = json!(input);
    }
    let path = format!("/executions/{}/stages/{}/judge", percent_encode_part(&id), percent_encode_part(&stage));
    let view: ExecutionView = api.post(&path, &body).await?;
    eprintln!("{stage}: {verdict}; {}", view.description);
    Ok(Answer::Yes)
}

/// The one stage that waits for a person.
fn waiting(view: &ExecutionView) -> anyhow::Result<String> {
    let waits = |stage: &&StageView| stage.status == Status::Running && stage.instances.is_none();
    let asks = view.stages.iter().filter(|stage| stage.kind == "manualJudgment").filter(waits);
    let asks: Vec<String> = asks.map(|stage| stage.path.to_string()).collect();
    match asks.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("nobody is asked in this execution: {}", view.description),
        several => bail!("several stages wait: {}; name one with --stage", several.join(", ")),
    }
}
