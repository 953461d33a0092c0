//! `longboat executions` and `longboat judge`: what runs on a server, seen and steered from a terminal.

mod judge;
mod list;
mod logs;
mod start;
mod watch;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

pub use judge::JudgeArgs;

use super::remote::{Api, ServerArgs};
use super::{Answer, print};
use crate::clock::Clock;
use crate::model::{ExecutionView, StageView, Status, humanize, percent_encode_part};

/// See and steer the executions of a server
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a pipeline; its execution's id is printed
    Start(start::Args),
    /// List executions, the newest first
    List(list::Args),
    /// Show an execution with its stages
    Show {
        #[command(flatten)]
        which: Which,
        /// How it is printed
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Watch an execution until it ends; exit code 1 if it doesn't end well
    Watch {
        #[command(flatten)]
        which: Which,
    },
    /// Print what a stage printed, by default the one that failed or runs
    Logs(logs::Args),
    /// Cancel an execution
    Cancel {
        #[command(flatten)]
        which: Which,
        /// Why, for the others
        #[arg(long)]
        reason: Option<String>,
    },
    /// Pause an execution: what runs goes on, no further stage starts
    Pause {
        #[command(flatten)]
        which: Which,
    },
    /// Have a paused execution go on
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Have a stage wait no longer, for a time or for its window
    Skip {
        #[command(flatten)]
        which: Which,
        /// The stage; by default the only one that can be skipped
        #[arg(long, value_name = "PATH")]
        stage: Option<String>,
    },
    /// Run stages of an ended execution again, with everything after them
    Restart {
        #[command(flatten)]
        which: Which,
        /// The stage; by default all that failed or were cancelled
        #[arg(long, value_name = "PATH")]
        stage: Option<String>,
        /// Go on although there may be a freeze; it is recorded who said so
        #[arg(long = "override")]
        override_freeze: bool,
    },
}

/// Which execution
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The execution's id, or `latest`
    #[arg(value_name = "ID")]
    id: String,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs, as the API has it.
    Json,
}

impl Format {
    /// Prints what a server answered: as it is, or as `text` puts it for people. If that is nothing, standard error
    /// says so in the words of `nothing`.
    pub(super) fn show(self, answer: &Value, text: impl FnOnce(&Value) -> String, nothing: &str) -> anyhow::Result<()> {
        match self {
            Self::Json => print(&format!("{answer:#}\n"))?,
            Self::Human => {
                let text = text(answer);
                print(&text)?;
                if text.is_empty() {
                    eprintln!("{nothing}");
                }
            }
        }
        Ok(())
    }
}

/// The items of a list that a server answered, each as `entry` puts it.
pub(super) fn items(page: &Value, entry: impl FnMut(&Value) -> String) -> String {
    page["items"].as_array().into_iter().flatten().map(entry).collect()
}

/// Runs the command.
///
/// # Errors
/// If the server can't be asked, or says no.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    match args.command {
        Command::Start(args) => start::run(&api, &args).await,
        Command::List(args) => list::run(&api, &args).await,
        Command::Show { which, format } => show(&api, &which, format).await,
        Command::Watch { which } => watch::run(&api, &which).await,
        Command::Logs(args) => logs::run(&api, &args).await,
        Command::Cancel { which, reason } => cancel(&api, &which, reason.as_deref()).await,
        Command::Pause { which } => act(&api, &which, "pause").await,
        Command::Resume { which } => act(&api, &which, "resume").await,
        Command::Skip { which, stage } => skip(&api, &which, stage).await,
        Command::Restart { which, stage, override_freeze } => {
            restart(&api, &which, stage.as_deref(), override_freeze).await
        }
    }
}

/// Runs `longboat judge`.
///
/// # Errors
/// As [`run`].
pub async fn judge(args: JudgeArgs) -> anyhow::Result<Answer> {
    judge::run(args).await
}

impl Which {
    /// The execution's id.
    async fn find(&self, api: &Api) -> anyhow::Result<String> {
        if self.id != "latest" {
            return Ok(self.id.clone());
        }
        let page: Value = api.get("/executions?limit=1").await?;
        match page["items"][0]["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => anyhow::bail!("nothing has run on this server yet"),
        }
    }
}

async fn view(api: &Api, id: &str) -> anyhow::Result<ExecutionView> {
    api.get(&format!("/executions/{}", percent_encode_part(id))).await
}

async fn show(api: &Api, which: &Which, format: Format) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    if format == Format::Json {
        let document: Value = api.get(&format!("/executions/{}", percent_encode_part(&id))).await?;
        print(&format!("{document:#}\n"))?;
        return Ok(Answer::Yes);
    }
    print(&describe(&view(api, &id).await?))?;
    Ok(Answer::Yes)
}

/// An execution in a few lines.
fn describe(view: &ExecutionView) -> String {
    let now = Clock::system().now();
    let mut text = format!("{}/{}  {}\n{}\n", view.application, view.pipeline, view.id, view.description);
    if let (Some(repository), Some(commit)) = (&view.repository, &view.commit) {
        let branch = view.trigger.branch.as_deref().map(|branch| format!(" ({branch})")).unwrap_or_default();
        text.push_str(&format!("{repository} at {}{branch}", commit.short()));
        if let Some(actor) = &view.trigger.actor {
            text.push_str(&format!(", started by {actor}"));
        }
        text.push('\n');
    }
    if let Some(stranded) = &view.stranded {
        text.push_str(&format!("stranded: {stranded}\n"));
    }
    if let Some(hold) = &view.held {
        text.push_str(&super::progress::hold(hold));
    }
    text.push('\n');
    let width = view.stages.iter().map(|stage| stage.path.as_str().chars().count()).max().unwrap_or(0);
    for stage in &view.stages {
        text.push_str(&super::progress::line(stage, width, now, super::color()));
        text.push('\n');
    }
    if let Some(start) = view.start_time {
        let took = humanize(view.end_time.unwrap_or(now).since(start));
        text.push_str(&format!("\n{} {took}\n", if view.status.is_complete() { "took" } else { "running for" }));
    }
    text
}

async fn cancel(api: &Api, which: &Which, reason: Option<&str>) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let view: ExecutionView = api.post(&format!("/executions/{}/cancel", percent_encode_part(&id)), &body).await?;
    eprintln!("{}", if view.status.is_complete() { view.description } else { "cancelling".to_owned() });
    Ok(Answer::Yes)
}

/// Something that needs no more words than its name.
async fn act(api: &Api, which: &Which, what: &str) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    let view: ExecutionView = api.post(&format!("/executions/{}/{what}", percent_encode_part(&id)), &json!({})).await?;
    eprintln!("{}", view.description);
    Ok(Answer::Yes)
}

async fn skip(api: &Api, which: &Which, stage: Option<String>) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    let stage = match stage {
        Some(stage) => stage,
        None => {
            let view = view(api, &id).await?;
            let waiting: Vec<&str> =
                view.stages.iter().filter(|stage| stage.progress.skippable).map(|stage| stage.path.as_str()).collect();
            match waiting.as_slice() {
                [one] => (*one).to_owned(),
                [] => anyhow::bail!("no stage of it waits for a time or a window"),
                several => anyhow::bail!("several stages wait; choose one with --stage: {}", several.join(", ")),
            }
        }
    };
    let path = format!("/executions/{}/stages/{}/skip", percent_encode_part(&id), percent_encode_part(&stage));
    let view: ExecutionView = api.post(&path, &json!({})).await?;
    eprintln!("{}", view.description);
    Ok(Answer::Yes)
}

async fn restart(api: &Api, which: &Which, stage: Option<&str>, override_freeze: bool) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    let body = json!({ "stage": stage, "override": override_freeze });
    let view: ExecutionView = api.post(&format!("/executions/{}/restart", percent_encode_part(&id)), &body).await?;
    eprintln!("{}", view.description);
    Ok(Answer::Yes)
}

/// The stage that a person means who names none: one that failed, else one that runs, else the last that ran.
fn interesting(view: &ExecutionView) -> Option<&StageView> {
    let failed = |stage: &&StageView| {
        matches!(stage.status, Status::Terminal | Status::Stopped | Status::FailedContinue | Status::Canceled)
    };
    // What became several says nothing itself.
    let ran = |stage: &&StageView| stage.attempt > 0 && stage.instances.is_none();
    view.stages
        .iter()
        .filter(ran)
        .find(failed)
        .or_else(|| view.stages.iter().filter(ran).find(|stage| stage.status == Status::Running))
        .or_else(|| view.stages.iter().rev().find(ran))
}
