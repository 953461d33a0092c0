//! `longboat executions start`: has a server start a pipeline.

use std::str::FromStr;

use serde_json::{Value, json};

use super::{Which, watch};
use crate::cli::given::{Given, rehearsed};
use crate::cli::remote::Api;
use crate::cli::{Answer, print};
use crate::model::{DryRun, ExecutionView, Parameter, Status, percent_encode_part};

/// Start a pipeline; its execution's id is printed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline, like shop/deploy
    #[arg(value_name = "APPLICATION/PIPELINE")]
    pipeline: Name,
    #[command(flatten)]
    given: Given,
    /// The commit that it runs for; by default the one that the pipeline was published from
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
    /// An id of yours: whatever is started with it is started once, however often it is asked for
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Start although there may be a freeze; it is recorded who said so
    #[arg(long = "override")]
    override_freeze: bool,
    /// Watch it until it ends; exit code 1 if it doesn't end well
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
}

/// An application and a pipeline of it.
#[derive(Debug, Clone)]
struct Name {
    application: String,
    pipeline: String,
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((application, pipeline)) if !application.is_empty() && !pipeline.is_empty() => {
                Ok(Self { application: application.to_owned(), pipeline: pipeline.to_owned() })
            }
            _ => Err("write APPLICATION/PIPELINE"),
        }
    }
}

pub(super) async fn run(api: &Api, args: &Args) -> anyhow::Result<Answer> {
    let Name { application, pipeline } = &args.pipeline;
    let path =
        format!("/applications/{}/pipelines/{}", percent_encode_part(application), percent_encode_part(pipeline));
    let published: Value = api.get(&path).await?;
    let declared: Vec<Parameter> = serde_json::from_value(published["parameters"].clone()).unwrap_or_default();
    let mut body = json!({
        "parameters": args.given.parameters(&declared)?,
        "artifacts": args.given.artifacts()?,
        "commit": args.commit,
        "correlationId": args.correlation_id,
        "override": args.override_freeze,
    });
    let path = format!("{path}/executions");
    if args.given.dry_run {
        body["dryRun"] = json!(true);
        body["outcomes"] = json!(args.given.outcomes()?);
        let told: DryRun = api.post(&path, &body).await?;
        print(&rehearsed(&told))?;
        return Ok(if told.status == Status::Succeeded { Answer::Yes } else { Answer::No });
    }
    let view: ExecutionView = api.post(&path, &body).await?;
    print(&format!("{}\n", view.id))?;
    if args.watch {
        return watch::run(api, &Which { id: view.id.to_string() }).await;
    }
    eprintln!("{}", view.description);
    Ok(Answer::Yes)
}
